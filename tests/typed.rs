//! What the README shows, typed as it stands there, with `nc`, `curl` and `websocat` as they come.
//!
//! It needs programs that are not everywhere, so plain `cargo test` leaves it out:
//! `cargo test --test typed`.
#![allow(
    clippy::unwrap_used,
    reason = "a test, or what it is made of, ends where it went wrong"
)]
#![cfg(feature = "sandbox")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

/// A command of the README, and what stands below it.
struct Typed {
    command: String,
    shown: String,
}

/// The commands in the README's `console` blocks.
fn typed_in_readme() -> Vec<Typed> {
    let readme = include_str!("../README.md");
    let blocks = readme.split("```console\n").skip(1);
    let mut typed: Vec<Typed> = Vec::new();
    for line in blocks.flat_map(|block| block.split("```").next().unwrap().lines()) {
        if let Some(command) = line.strip_prefix("$ ") {
            typed.push(Typed {
                command: command.to_owned(),
                shown: String::new(),
            });
        } else {
            typed.last_mut().unwrap().shown.push_str(line);
        }
    }
    typed
}

/// The text with everything that differs from run to run replaced: each word with a digit in it.
fn without_numbers(text: &str) -> String {
    let of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | ':');
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let from = rest[..start].rfind(|c| !of_word(c)).map_or(0, |at| at + 1);
        let end = rest[start..]
            .find(|c| !of_word(c))
            .map_or(rest.len(), |at| start + at);
        plain.push_str(&rest[..from]);
        plain.push('#');
        rest = &rest[end..];
    }
    plain + rest
}

/// `discordd serve --sandbox`, and what it printed.
struct Served {
    child: Child,
    folder: PathBuf,
    port: String,
    welcome: Vec<String>,
    _stdout: BufReader<ChildStdout>,
}

impl Served {
    fn start(name: &str) -> Self {
        let name = format!("discordd-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let socket = folder.join("s.sock");
        let mut child = Command::new(env!("CARGO_BIN_EXE_discordd"))
            .args(["serve", "--sandbox", "--tcp", "127.0.0.1:0", "--unix"])
            .arg(&socket)
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut log = String::new();
        while !log.contains("\"ready\"") {
            assert!(stderr.read_line(&mut log).unwrap() > 0, "{log}");
        }
        // It logs little; what it logs must not fail.
        std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut welcome = Vec::new();
        let last = |line: &String| line.contains("/messages -H");
        while !welcome.last().is_some_and(last) {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "{welcome:?}");
            welcome.push(line.trim_end().to_owned());
        }
        let port = log.split("tcp:127.0.0.1:").nth(1).unwrap();
        let port = port.split('"').next().unwrap().to_owned();
        Self {
            child,
            folder,
            port,
            welcome,
            _stdout: stdout,
        }
    }

    /// The shell's assignments that it printed.
    fn assignments(&self) -> Vec<(&str, &str)> {
        let pairs = self.welcome.iter().filter_map(|line| line.split_once('='));
        pairs.filter(|(name, _)| name.len() == 1).collect()
    }

    /// Types a command into a shell that knows `S`, `T` and `C`, and `discordd` by its name.
    fn type_in(&self, command: &str) -> String {
        let command = command.replace("9091", &self.port);
        let command = format!("PATH=$PROGRAMS:$PATH; {command}");
        let program = Path::new(env!("CARGO_BIN_EXE_discordd"));
        let output = Command::new("bash")
            .args(["-o", "pipefail", "-c", &command])
            .env("PROGRAMS", program.parent().unwrap())
            .env_remove("DISCORD_TOKEN")
            .envs(self.assignments())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{command}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn what_the_readme_shows_is_what_is_seen() {
    let served = Served::start("readme");
    let all = typed_in_readme();
    assert!(all.len() >= 12);
    for Typed { command, shown } in all {
        let seen = served.type_in(&command);
        assert_eq!(
            without_numbers(seen.trim_end()),
            without_numbers(&shown),
            "{command}"
        );
    }
}

#[test]
fn what_the_sandbox_prints_can_be_pasted() {
    let served = Served::start("welcome");
    let tokens = served
        .welcome
        .iter()
        .filter(|line| line.starts_with("bot "));
    assert_eq!(tokens.count(), 2);
    let names: Vec<&str> = served.assignments().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["T", "C", "S"]);
    let lines = served.welcome.iter();
    let pasted: Vec<&String> = lines
        .filter(|line| {
            let programs = [" nc ", "curl ", " websocat ", "/discordd call "];
            programs.iter().any(|program| line.contains(program))
        })
        .collect();
    assert_eq!(pasted.len(), 8);
    let (read, posts) = pasted.split_last().unwrap();
    for line in posts {
        let seen = served.type_in(line);
        assert!(
            seen.contains(r#""bot_info":"scout""#) || seen.contains("healthy"),
            "{seen}"
        );
    }
    // The last line asks the sandbox what was posted: one message for each line but health's.
    assert_eq!(served.type_in(read).matches(r#""content":"hi""#).count(), 6);
}

#[test]
fn words_with_digits_are_taken_out() {
    let text = r#"{"id":"15","at":"2026-11-23T22:51:41.120Z","n":"a1b2","x":"y"} 19"#;
    assert_eq!(
        without_numbers(text),
        r##"{"id":"#","at":"#","n":"#","x":"y"} #"##
    );
}
