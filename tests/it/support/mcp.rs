//! MCP as a client speaks it, written by hand: over HTTP, and to `discordd mcp`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{
    daemon::discordd,
    http::{Answer, Client},
};

/// The revision without a handshake.
pub(crate) const MODERN: &str = "2026-07-28";

/// What every message over HTTP has.
pub(crate) const HEADERS: [(&str, &str); 2] = [
    ("accept", "application/json, text/event-stream"),
    ("content-type", "application/json"),
];

/// A request of the revision without a handshake.
pub(crate) fn request(id: u64, method: &str, params: &Value) -> Value {
    let mut params = params.clone();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    legacy(id, method, &params)
}

/// A request of the revisions before.
pub(crate) fn legacy(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// The params of a tool's call.
pub(crate) fn tool(name: &str, arguments: &Value) -> Value {
    json!({"name": name, "arguments": arguments})
}

/// Posts a message with these headers beside those that every message has.
pub(crate) fn post(
    client: &mut Client,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let all = [&HEADERS, headers].concat();
    let answer = client.send("POST", path, &all, body);
    assert_eq!(answer.header("mcp-session-id"), None);
    answer
}

/// Posts a request of the revision without a handshake, and gives its result or error.
pub(crate) fn ask(client: &mut Client, path: &str, token: &str, body: &Value) -> Value {
    let authorization = format!("Bot {token}");
    let method = body["method"].as_str().unwrap();
    let mut headers = vec![
        ("authorization", authorization.as_str()),
        ("mcp-protocol-version", MODERN),
        ("mcp-method", method),
    ];
    if let Some(name) = body["params"]["name"].as_str() {
        headers.push(("mcp-name", name));
    }
    let answer = post(client, path, &headers, body.to_string().as_bytes());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let answer = answer.json();
    assert_eq!(answer["id"], body["id"], "{answer}");
    answer
}

/// `discordd mcp`; it is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts one with these arguments, and these variables.
    pub(crate) fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = discordd(&[&["mcp"], args].concat(), variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            output: child.stdout.take().map(BufReader::new),
            child,
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Sends a message.
    pub(crate) fn say(&mut self, message: &Value) {
        self.send(format!("{message}\n").as_bytes());
    }

    /// Reads a message.
    pub(crate) fn read(&mut self) -> Value {
        let mut line = String::new();
        let output = self.output.as_mut().unwrap();
        output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|err| panic!("{err} in {line:?}"))
    }

    /// Sends a request and reads one message.
    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        self.say(request);
        let answer = self.read();
        assert_eq!(answer["id"], request["id"], "{answer}");
        answer
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Reads nothing more, and lets it know.
    pub(crate) fn close_output(&mut self) {
        self.output = None;
    }

    /// Waits for its end without reading what it says.
    pub(crate) fn wait_unread(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends its input; gives what it still says, and how it ends.
    pub(crate) fn end(mut self) -> (Vec<Value>, ExitStatus) {
        drop(self.input.take());
        self.wait()
    }

    /// Waits for its end; gives what it still says.
    pub(crate) fn wait(mut self) -> (Vec<Value>, ExitStatus) {
        let mut rest = Vec::new();
        let mut line = String::new();
        let output = self.output.as_mut().unwrap();
        while output.read_line(&mut line).unwrap() > 0 {
            rest.push(serde_json::from_str(&line).unwrap());
            line.clear();
        }
        (rest, self.child.wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
