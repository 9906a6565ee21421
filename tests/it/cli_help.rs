//! `--help` of every command as it stands in `tests/it/snapshots/help`, completions and manual pages.
//!
//! After a change that is wanted, `DISCORDD_REWRITE=1 cargo test --test it cli_help` writes the
//! snapshots anew; their diff is then reviewed as a change of the interface.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::daemon::{Folder, run};

/// The variable that has the snapshots written anew.
const REWRITE: &str = "DISCORDD_REWRITE";

fn printed(args: &[&str]) -> String {
    let output = run(args, &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), stderr.as_str()),
        (Some(0), ""),
        "{args:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that a help lists.
fn listed(help: &str) -> Vec<String> {
    let commands = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = commands.lines().take_while(|line| line.starts_with("  "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    let names = names.filter(|name| *name != "help").map(str::to_owned);
    names.collect()
}

/// Every command and its help, found from the top down.
fn every_help() -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut left = vec![Vec::new()];
    while let Some(command) = left.pop() {
        let args: Vec<&str> = command
            .iter()
            .map(String::as_str)
            .chain(["--help"])
            .collect();
        let help = printed(&args);
        left.extend(
            listed(&help)
                .into_iter()
                .map(|name| [command.clone(), vec![name]].concat()),
        );
        found.push((command, help));
    }
    found
}

#[test]
fn every_help_is_as_it_was_reviewed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots/help");
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch of this test, not of the program"
    )]
    let rewrite = std::env::var_os(REWRITE).is_some();
    let mut names = BTreeSet::new();
    for (command, help) in every_help() {
        let name = [vec!["discordd".to_owned()], command].concat().join("-") + ".txt";
        let file = folder.join(&name);
        if rewrite {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &help).unwrap();
        }
        let reviewed = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            help, reviewed,
            "{name}; if it is wanted, run with {REWRITE}=1"
        );
        names.insert(name);
    }
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name), "{name} is of no command");
    }
}

#[test]
fn every_command_is_listed_and_has_an_example() {
    let all = every_help();
    let names: BTreeSet<String> = all.iter().map(|(command, _)| command.join(" ")).collect();
    for name in [
        "serve",
        "call",
        "health",
        "mcp",
        "config show",
        "config check",
        "config default",
        "sandbox",
        "completions",
        "man",
    ] {
        assert!(names.contains(name), "{name}");
    }
    for (command, help) in all {
        let name = ["discordd".to_owned(), command.join(" ")].join(" ");
        let examples = help.split("Example").nth(1).unwrap_or_default();
        assert!(examples.contains(name.trim_end()), "{name} has no example");
    }
}

#[test]
fn every_shell_gets_a_completion_that_knows_the_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        assert!(
            script.contains("sandbox") && script.contains("timeout"),
            "{shell}"
        );
    }
    let wrong = run(&["completions", "cmd"], &[]);
    assert_eq!(wrong.status.code(), Some(64));
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let main = printed(&["man"]);
    assert!(main.contains(".TH discordd 1"), "{main}");
    let folder = Folder::new();
    let pages = folder.join("a/b");
    assert_eq!(printed(&["man", "--dir", pages.to_str().unwrap()]), "");
    for (command, _) in every_help() {
        let name = [vec!["discordd".to_owned()], command].concat().join("-");
        let page = fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(&format!(".TH {name} 1")), "{name}: {page}");
    }
    let file = folder.join("file");
    fs::write(&file, "").unwrap();
    let refused = run(&["man", "--dir", file.to_str().unwrap()], &[]);
    assert_eq!(refused.status.code(), Some(73));
}
