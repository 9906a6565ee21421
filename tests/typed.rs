//! What the README shows, typed as it stands there, with `nc`, `curl`, `openssl` and `websocat` as
//! they come.
//!
//! It needs programs that are not everywhere, so plain `cargo test` leaves it out:
//! `cargo test --test typed`.
#![allow(
    clippy::unwrap_used,
    reason = "a test, or what it is made of, ends where it went wrong"
)]
#![cfg(feature = "sandbox")]

#[allow(dead_code, reason = "each crate of tests uses another part of it")]
#[path = "it/support/authority.rs"]
mod authority;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio},
};

use authority::{Authority, Issued};

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
    /// What it logged until it was ready.
    log: String,
    /// It logs little; what it logs must not fail.
    stderr: BufReader<ChildStderr>,
    _stdout: BufReader<ChildStdout>,
}

impl Served {
    fn start(name: &str) -> Self {
        Self::start_in(folder(name), "")
    }

    /// Starts one with these settings, in the folder of the files that they name.
    fn start_in(folder: PathBuf, settings: &str) -> Self {
        let config = folder.join("config.toml");
        fs::write(&config, settings).unwrap();
        let socket = folder.join("s.sock");
        let mut child = Command::new(env!("CARGO_BIN_EXE_discordd"))
            .args(["serve", "--sandbox", "--tcp", "127.0.0.1:0", "--unix"])
            .arg(&socket)
            .arg("--config")
            .arg(&config)
            .current_dir(&folder)
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let log = read_until(&mut stderr, "\"ready\"");
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut welcome = Vec::new();
        let last = |line: &String| line.contains("/messages -H");
        while !welcome.last().is_some_and(last) {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "{welcome:?}");
            welcome.push(line.trim_end().to_owned());
        }
        let port = port(&log).to_owned();
        Self {
            child,
            folder,
            port,
            welcome,
            log,
            stderr,
            _stdout: stdout,
        }
    }

    /// The shell's assignments that it printed.
    fn assignments(&self) -> Vec<(&str, &str)> {
        let pairs = self.welcome.iter().filter_map(|line| line.split_once('='));
        pairs.filter(|(name, _)| name.len() == 1).collect()
    }

    /// Types a command into a shell that knows `S`, `T` and `C`, and `discordd` by its name.
    fn try_in(&self, command: &str) -> Output {
        let command = command.replace("9091", &self.port);
        let command = format!("PATH=$PROGRAMS:$PATH; {command}");
        let program = Path::new(env!("CARGO_BIN_EXE_discordd"));
        Command::new("bash")
            .args(["-o", "pipefail", "-c", &command])
            .current_dir(&self.folder)
            .env("PROGRAMS", program.parent().unwrap())
            .env_remove("DISCORD_TOKEN")
            .envs(self.assignments())
            .output()
            .unwrap()
    }

    /// Types a command that has to succeed; gives what it prints.
    fn type_in(&self, command: &str) -> String {
        let output = self.try_in(command);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The port of a door of this name.
    fn port_of(&self, door: &str) -> &str {
        let door = format!("\"{door}\"");
        let line = self.log.lines().find(|line| line.contains(&door));
        port(line.unwrap())
    }

    /// Has the daemon read its settings again.
    fn reload(&mut self) {
        self.type_in(&format!("kill -HUP {}", self.child.id()));
        read_until(&mut self.stderr, "the settings were read again");
    }
}

/// A folder of a test.
fn folder(name: &str) -> PathBuf {
    let name = format!("discordd-{name}-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The first TCP port that a log tells of.
fn port(log: &str) -> &str {
    let (_, behind) = log.split_once("tcp:127.0.0.1:").unwrap();
    behind.split('"').next().unwrap()
}

/// Reads lines up to one with these words; gives them all.
fn read_until(log: &mut impl BufRead, words: &str) -> String {
    let mut read = String::new();
    while !read.contains(words) {
        assert!(log.read_line(&mut read).unwrap() > 0, "{read}");
    }
    read
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

/// Settings with a certificate, and a door beside the port of `[listen]` as the README has one.
const SECURED: &str = r#"
[tls]
certificate = "cert.pem"
key = "key.pem"
client_ca = "clients.pem"

[[door]]
name = "panel"
address = "tcp:127.0.0.1:0"
client_certificate = false
secret_file = "panel.secret"
"#;
/// What is typed to post, between quotes of the shell.
const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"discord.sendMessage","params":["'$T'","'$C'","hi"]}"#;

/// A daemon with `SECURED`, and in its folder what its callers have.
struct Secured {
    served: Served,
    authority: Authority,
}

impl Secured {
    fn start(name: &str) -> Self {
        let folder = folder(name);
        let [authority, clients, strangers] = [(); 3].map(|()| Authority::new());
        for (file, authority) in [("ca.pem", &authority), ("clients.pem", &clients)] {
            fs::write(folder.join(file), authority.certificate.pem()).unwrap();
        }
        fs::write(folder.join("panel.secret"), "0123456789abcdef\n").unwrap();
        issue(&folder, &authority, "localhost", ["cert.pem", "key.pem"]);
        for (by, name) in [(&clients, "client"), (&strangers, "stranger")] {
            let [pem, key] = ["pem", "key"].map(|kind| format!("{name}.{kind}"));
            issue(&folder, by, name, [&pem, &key]);
        }
        let served = Served::start_in(folder, SECURED);
        Self { served, authority }
    }

    /// What `openssl` says of the certificate that it is shown.
    fn shown(&self) -> String {
        self.served.type_in(
            "openssl s_client -connect localhost:9091 -CAfile ca.pem -verify_return_error \
             -cert client.pem -key client.key </dev/null | openssl x509 -noout -fingerprint",
        )
    }

    /// Posts over HTTP, over WebSocket and by a line, and shows the certificate of this name.
    fn post(&self, name: Option<&str>) -> [Output; 3] {
        let shows = |options: &str| name.map_or_else(String::new, |it| options.replace("NAME", it));
        let curl = format!(
            "curl -sS --cacert ca.pem {} https://localhost:9091/ \
             -H 'content-type: application/json' -d '{CALL}'",
            shows("--cert NAME.pem --key NAME.key")
        );
        let websocat = format!(
            "echo '{CALL}' | SSL_CERT_FILE=ca.pem websocat -t -n1 {} wss://localhost:9091",
            shows("--client-pkcs12-der=NAME.p12 --client-pkcs12-passwd=word")
        );
        // It ends with its input, which ends with the first answer.
        let openssl = format!(
            "rm -f answer && mkfifo answer && (echo '{CALL}'; read -r <answer) | \
             openssl s_client -quiet -no_ign_eof -CAfile ca.pem -verify_return_error {} \
             -connect localhost:9091 | tee answer",
            shows("-cert NAME.pem -key NAME.key")
        );
        [curl, websocat, openssl].map(|command| self.served.try_in(&command))
    }
}

/// Writes a certificate of this authority and its key.
fn issue(folder: &Path, authority: &Authority, name: &str, files: [&str; 2]) {
    let Issued { certificate, key } = authority.issue(name);
    fs::write(folder.join(files[0]), certificate.pem()).unwrap();
    fs::write(folder.join(files[1]), key.serialize_pem()).unwrap();
}

#[test]
fn what_the_readme_shows_of_tls_is_answered() {
    let secured = Secured::start("tls");
    let (_, section) = include_str!("../README.md")
        .split_once("## TLS and rights")
        .unwrap();
    let (_, block) = section.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let panel = format!("localhost:{}", secured.served.port_of("panel"));
    let seen = secured
        .served
        .type_in(&format!("set -e; {}", block.replace("host:9443", &panel)));
    let answered = seen.matches(r#""status":"healthy""#).count();
    // One for each program, and one more with a certificate.
    assert_eq!(answered, 4, "{seen}");
}

#[test]
fn who_shows_a_certificate_of_the_right_authority_is_let_in_by_every_program() {
    let secured = Secured::start("mutual");
    for name in ["client", "stranger"] {
        secured.served.type_in(&format!(
            "openssl pkcs12 -export -in {name}.pem -inkey {name}.key -out {name}.p12 -passout pass:word"
        ));
    }
    for (name, is_let_in) in [
        (Some("client"), true),
        (None, false),
        (Some("stranger"), false),
    ] {
        for output in secured.post(name) {
            let seen = String::from_utf8_lossy(&output.stdout);
            let complaint = String::from_utf8_lossy(&output.stderr);
            let posted = seen.contains(r#""success":true"#);
            assert_eq!(posted, is_let_in, "{name:?}: {seen}{complaint}");
            let is_refused = ["alert", "certificate required", "unknown ca"];
            let is_told = is_refused.iter().any(|words| complaint.contains(words));
            assert_eq!(is_told, !is_let_in, "{name:?}: {complaint}");
        }
    }
    let read = secured.served.welcome.last().unwrap();
    let messages = secured.served.type_in(read);
    assert_eq!(messages.matches(r#""content":"hi""#).count(), 3);
}

#[test]
fn a_certificate_that_is_replaced_is_shown_after_a_reload() {
    let mut secured = Secured::start("reload");
    let in_file = "openssl x509 -noout -fingerprint -in cert.pem";
    let old = secured.served.type_in(in_file);
    assert_eq!(secured.shown(), old);
    let folder = &secured.served.folder;
    issue(
        folder,
        &secured.authority,
        "localhost",
        ["cert.pem", "key.pem"],
    );
    let new = secured.served.type_in(in_file);
    assert_ne!(new, old);
    assert_eq!(secured.shown(), old);
    secured.served.reload();
    assert_eq!(secured.shown(), new);
}

#[test]
fn words_with_digits_are_taken_out() {
    let text = r#"{"id":"15","at":"2026-11-23T22:51:41.120Z","n":"a1b2","x":"y"} 19"#;
    assert_eq!(
        without_numbers(text),
        r##"{"id":"#","at":"#","n":"#","x":"y"} #"##
    );
}
