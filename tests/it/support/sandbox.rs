//! A sandbox in a process of its own, on ports of the kernel's choice.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{Answer, Client};

/// The line `discordd sandbox --json` prints.
#[derive(Deserialize)]
pub(crate) struct Line {
    pub(crate) http: SocketAddr,
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) bots: Vec<Bot>,
    pub(crate) more_bots: Vec<Bot>,
    pub(crate) guild_id: String,
    pub(crate) channels: Vec<Channel>,
    pub(crate) workshop: Workshop,
}

/// The guild with roles and a channel of each kind, in the line.
#[derive(Deserialize)]
pub(crate) struct Workshop {
    pub(crate) guild_id: String,
    pub(crate) channels: Vec<Channel>,
    pub(crate) roles: Vec<Role>,
}

/// A role in the line.
#[derive(Deserialize)]
pub(crate) struct Role {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// A bot in the line.
#[derive(Deserialize)]
pub(crate) struct Bot {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) token: String,
}

/// A channel in the line.
#[derive(Deserialize)]
pub(crate) struct Channel {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// What `/_sandbox/stats` answers.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Stats {
    pub(crate) connections: u64,
    pub(crate) requests: u64,
    pub(crate) messages: u64,
}

/// Everything that can go wrong with a request, what keeps later ones back last.
pub(crate) const FAULTS: [&str; 18] = [
    r#"{"drop":"before"}"#,
    r#"{"drop":"after"}"#,
    r#"{"drop":"after","reset":true}"#,
    r#"{"cut":10}"#,
    r#"{"hang":"head"}"#,
    r#"{"hang":"body"}"#,
    r#"{"delay_ms":10000}"#,
    r#"{"oversize":10000000}"#,
    r#"{"status":401}"#,
    r#"{"status":413}"#,
    r#"{"status":500,"body":"<html>oops</html>"}"#,
    r#"{"status":503}"#,
    r#"{"rate_limit":{"scope":"user","retry_after":1.5}}"#,
    r#"{"rate_limit":{"scope":"shared","retry_after":1.5}}"#,
    r#"{"rate_limit":{"scope":"none","retry_after":1.5}}"#,
    r#"{"rate_limit":{"scope":"global","retry_after":1.5}}"#,
    r#"{"cloudflare":{"status":502}}"#,
    r#"{"cloudflare":{"retry_after":60}}"#,
];

/// A running sandbox; it is killed when this is dropped.
pub(crate) struct SandboxProcess {
    child: Child,
    /// Kept open, so that what it prints never fails.
    _stdout: BufReader<ChildStdout>,
    pub(crate) line: Line,
}

impl SandboxProcess {
    /// Starts one with these arguments besides `sandbox --json --http 127.0.0.1:0`.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_discordd"))
            .args(["sandbox", "--json", "--http", "127.0.0.1:0"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        Self {
            child,
            _stdout: stdout,
            line: serde_json::from_str(&line).unwrap(),
        }
    }

    /// Gives the token of the bot with this index.
    pub(crate) fn token(&self, index: usize) -> &str {
        &self.line.bots[index].token
    }

    /// Gives the bot with this name.
    pub(crate) fn bot(&self, name: &str) -> &Bot {
        let mut bots = self.line.bots.iter().chain(&self.line.more_bots);
        bots.find(|bot| bot.name == name).unwrap()
    }

    /// Gives the id of the role with this name.
    pub(crate) fn role(&self, name: &str) -> &str {
        let mut roles = self.line.workshop.roles.iter();
        &roles.find(|role| role.name == name).unwrap().id
    }

    /// Gives the id of the channel with this name.
    pub(crate) fn channel(&self, name: &str) -> &str {
        let workshop = &self.line.workshop.channels;
        let mut channels = self.line.channels.iter().chain(workshop);
        let channel = channels.find(|channel| channel.name == name);
        &channel.unwrap().id
    }

    /// Opens a connection to it.
    pub(crate) fn client(&self) -> Client {
        Client::plain(self.line.http)
    }

    /// Asks for a path under `/api/v10` on a connection of its own.
    pub(crate) fn get(&self, token: &str, path: &str) -> Answer {
        let path = format!("/api/v10{path}");
        let authorization = format!("Bot {token}");
        let headers = [("authorization", authorization.as_str())];
        self.client().send("GET", &path, &headers, b"")
    }

    /// Posts a message to the channel with this name on a connection of its own.
    pub(crate) fn post(&self, token: &str, channel: &str, body: &Value) -> Answer {
        let path = format!("/api/v10/channels/{}/messages", self.channel(channel));
        let authorization = format!("Bot {token}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        let body = body.to_string();
        self.client().send("POST", &path, &headers, body.as_bytes())
    }

    /// Gives what it has counted so far.
    pub(crate) fn stats(&self) -> Stats {
        let answer = self.client().send("GET", "/_sandbox/stats", &[], b"");
        assert_eq!(answer.status, 200);
        answer.parse()
    }

    /// Asks for one of the sandbox's own paths.
    pub(crate) fn own(&self, method: &str, path: &str, body: &str) -> Answer {
        let path = format!("/_sandbox{path}");
        self.client().send(method, &path, &[], body.as_bytes())
    }

    /// Lets requests go wrong by this rule, and by those before it.
    pub(crate) fn fault(&self, rule: &Value) {
        let answer = self.own("POST", "/faults", &rule.to_string());
        assert_eq!(answer.status, 200, "{rule}: {answer:?}");
    }

    /// Lets every request go wrong like this, and like nothing before.
    pub(crate) fn fault_all(&self, act: &str) {
        assert_eq!(self.own("DELETE", "/faults", "").status, 204);
        let act: Value = serde_json::from_str(act).unwrap();
        self.fault(&json!({ "times": 0, "do": act }));
    }

    /// Gives the requests that came after the one with this number.
    pub(crate) fn requests(&self, since: u64) -> Vec<Value> {
        self.own("GET", &format!("/requests?since={since}"), "")
            .parse()
    }

    /// Reads the whole history of the channel with this name, oldest first, by paging.
    pub(crate) fn messages(&self, channel: &str) -> Vec<Value> {
        let id = self.channel(channel);
        let mut messages: Vec<Value> = Vec::new();
        loop {
            let before = messages.last().map_or_else(String::new, |message| {
                format!("&before={}", message["id"].as_str().unwrap())
            });
            let path = format!("/channels/{id}/messages?limit=100{before}");
            let page: Vec<Value> = self.get(self.token(0), &path).parse();
            if page.is_empty() {
                messages.reverse();
                return messages;
            }
            messages.extend(page);
        }
    }

    /// Gives the texts of the whole history of a channel, oldest first.
    pub(crate) fn texts(&self, channel: &str) -> Vec<Value> {
        let messages = self.messages(channel);
        let texts = messages.iter().map(|message| json!(message["content"]));
        texts.collect()
    }

    /// Sends it a signal and waits for its end.
    pub(crate) fn end(mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for SandboxProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
