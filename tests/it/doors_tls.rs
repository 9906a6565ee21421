//! TLS at the doors: every framing in it, whose certificate is taken, and a reload of both.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use tungstenite::Message;

use crate::support::{
    authority::Authority,
    certificates::{Identity, Secured, Speaker},
    daemon::{Daemon, Folder, run},
    http::Client,
    lines::Lines,
    mcp,
    sandbox::SandboxProcess,
    upstream::Upstream,
};

/// Nobody is asked anything in these tests.
const NOWHERE: &str = "http://127.0.0.1:9";
const HEALTH: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"health\"}\n";

/// A daemon with a certificate.
struct Served {
    authority: Authority,
    folder: Folder,
    daemon: Daemon,
}

impl Served {
    /// Starts one with these settings beside its certificate; `CLIENTS` in them is the file of an
    /// authority for clients.
    fn start(settings: &str, clients: Option<&Authority>, base_url: &str) -> Self {
        let (authority, folder) = (Authority::new(), Folder::new());
        let (certificate, key) = Identity::issue(&authority, "localhost").write(&folder);
        let mut tls = format!("[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
        if let Some(clients) = clients {
            let file = folder.put("clients.pem", &clients.certificate.pem());
            writeln!(tls, "client_ca = \"{file}\"").unwrap();
        }
        let listen = "[listen]\ntcp = \"127.0.0.1:0\"\n";
        let daemon = Daemon::configured(&folder, &format!("{listen}{tls}{settings}"), base_url);
        Self {
            authority,
            folder,
            daemon,
        }
    }

    /// One with a door that takes TLS only, beside the one that takes both.
    fn required() -> Self {
        Self::start(&door("strict", "tls = \"required\""), None, NOWHERE)
    }

    fn speaker(&self) -> Speaker {
        Speaker::trusting(&self.authority)
    }

    /// Connects to the port of `[listen]`.
    fn connect(&self) -> Secured {
        self.speaker().connect(self.both()).unwrap()
    }

    /// The port of `[listen]`, where TLS is optional.
    fn both(&self) -> SocketAddr {
        let first = &self.daemon.addresses("tcp:")[0];
        first.parse().unwrap()
    }
}

fn door(name: &str, settings: &str) -> String {
    format!("[[door]]\nname = \"{name}\"\naddress = \"tcp:127.0.0.1:0\"\n{settings}\n")
}

/// Asks for `health` by lines.
fn health(mut lines: Lines) {
    lines.send(HEALTH.as_bytes());
    assert_eq!(lines.read()["result"]["status"], "healthy");
}

fn send(sandbox: &SandboxProcess, content: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "discord.sendMessage",
        "params": [sandbox.token(0), sandbox.channel("general"), content]})
}

#[test]
fn every_framing_is_spoken_inside_tls() {
    let sandbox = SandboxProcess::start(&[]);
    let base_url = format!("http://{}", sandbox.line.http);
    let served = Served::start("", None, &base_url);
    let answer = Lines::secured(served.connect()).ask(&send(&sandbox, "lines"));
    assert_eq!(answer["result"]["success"], true, "{answer}");
    let mut speaker = served.speaker();
    speaker.protocols = &["h2", "http/1.1"];
    let stream = speaker.connect(served.both()).unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut http = Client::over(stream);
    let body = send(&sandbox, "http").to_string();
    let json = [("content-type", "application/json")];
    let answer = http.send("POST", "/", &json, body.as_bytes()).json();
    assert_eq!(answer["result"]["success"], true, "{answer}");
    let tool = mcp::tool(
        "send_message",
        &json!({"channel_id": sandbox.channel("general"), "content": "mcp"}),
    );
    let call = mcp::request(2, "tools/call", &tool);
    let answer = mcp::ask(&mut http, "/mcp", sandbox.token(0), &call);
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    let (mut socket, _) = tungstenite::client("ws://localhost/", served.connect()).unwrap();
    let call = send(&sandbox, "websocket").to_string();
    socket.send(Message::text(call)).unwrap();
    let answer: Value = serde_json::from_str(socket.read().unwrap().to_text().unwrap()).unwrap();
    assert_eq!(answer["result"]["success"], true, "{answer}");
    let expected = ["lines", "http", "mcp", "websocket"];
    assert_eq!(sandbox.texts("general"), expected.map(|text| json!(text)));
    let figures = served.daemon.http().figures();
    let begun = |framing: &str| {
        let door = format!("{{door=\"tcp\",framing=\"{framing}\",tls=\"true\"}}");
        figures[&format!("discordd_connections_begun_total{door}")]
    };
    assert_eq!((begun("lines"), begun("http")), (1.0, 2.0));
    assert!(!served.daemon.stop().contains("\"ERROR\""));
}

#[test]
fn both_versions_are_spoken_and_no_older() {
    let served = Served::required();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut speaker = served.speaker();
        speaker.only_version = Some(version);
        health(Lines::secured(speaker.connect(served.both()).unwrap()));
    }
    // A ClientHello of TLS 1.1, the last before them.
    let mut hello = b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x02".to_vec();
    hello.extend([7; 32]);
    hello.extend(b"\x00\x00\x02\xc0\x09\x01\x00");
    let mut stream = TcpStream::connect(served.both()).unwrap();
    stream.write_all(&hello).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    // An alert: fatal, of the version or of what else it lacks.
    assert_eq!((answer[0], answer[5]), (0x15, 2), "{answer:?}");
}

#[test]
fn where_tls_is_optional_the_first_byte_tells() {
    let served = Served::required();
    health(Lines::tcp(served.both()));
    let answer = Client::plain(served.both()).send("GET", "/health", &[], b"");
    assert_eq!(answer.status, 200);
    health(Lines::secured(served.connect()));
}

#[test]
fn where_tls_is_required_plain_callers_are_told_so() {
    let served = Served::required();
    let strict = served.daemon.port_of("strict");
    health(Lines::secured(served.speaker().connect(strict).unwrap()));
    for input in [HEALTH, "hello\n", "{"] {
        let mut lines = Lines::tcp(strict);
        lines.send(input.as_bytes());
        let answers = lines.rest();
        assert_eq!(answers.len(), 1, "{input}");
        let error = &answers[0]["error"];
        assert_eq!(error["code"], 403, "{input}");
        assert_eq!(error["data"]["denied"], "tls", "{input}");
        assert_eq!(error["data"]["delivered"], "no", "{input}");
    }
    let json = [("content-type", "application/json")];
    let answer = Client::plain(strict).send("POST", "/", &json, HEALTH.as_bytes());
    assert_eq!(
        (answer.status, answer.header("connection")),
        (403, Some("close"))
    );
    assert_eq!(answer.json()["error"]["data"]["denied"], "tls");
    assert_eq!(served.daemon.refused("tls"), 4);
}

#[test]
fn where_there_is_no_tls_a_handshake_is_nonsense() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let mut lines = Lines::tcp(daemon.tcp);
    lines.send(b"\x16\x03\x01\x00\x05hello");
    assert_eq!(lines.rest()[0]["error"]["code"], -32700);
}

#[test]
fn a_client_shows_a_certificate_where_one_is_wanted() {
    let (clients, strangers) = (Authority::new(), Authority::new());
    let settings =
        door("open", "client_certificate = false") + &door("strict", "tls = \"required\"");
    let served = Served::start(&settings, Some(&clients), NOWHERE);
    let known = Speaker {
        shows: Some(Identity::issue(&clients, "client")),
        ..served.speaker()
    };
    let strict = served.daemon.port_of("strict");
    for port in [served.both(), strict] {
        health(Lines::secured(known.connect(port).unwrap()));
    }
    let stranger = Speaker {
        shows: Some(Identity::issue(&strangers, "client")),
        ..served.speaker()
    };
    for only_version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for speaker in [served.speaker(), stranger.clone()] {
            let speaker = Speaker {
                only_version: Some(only_version),
                ..speaker
            };
            // With TLS 1.3 a client is done before the server has looked.
            let refused = speaker.connect(strict).and_then(|mut stream| {
                stream.write_all(HEALTH.as_bytes())?;
                stream.read_exact(&mut [0])
            });
            let why = refused.unwrap_err().to_string();
            let expected = ["CertificateRequired", "HandshakeFailure", "UnknownCA"];
            assert!(expected.iter().any(|it| why.contains(it)), "{why}");
        }
    }
    let open = served.daemon.port_of("open");
    health(Lines::secured(served.speaker().connect(open).unwrap()));
    // Optional is optional.
    health(Lines::tcp(served.both()));
    assert_eq!(served.daemon.refused("certificate"), 4);
}

#[test]
fn a_handshake_that_does_not_end_is_given_up_in_time() {
    let limits = "[limits]\nheader_timeout = \"200ms\"\n";
    let served = Served::start(limits, None, NOWHERE);
    for half in [
        &b"\x16"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let mut stream = TcpStream::connect(served.both()).unwrap();
        stream.write_all(half).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    let mut stream = TcpStream::connect(served.both()).unwrap();
    stream
        .write_all(b"\x16\x03\x01\x00\x04\x00\x00\x00\x00")
        .unwrap();
    let mut alert = Vec::new();
    stream.read_to_end(&mut alert).unwrap();
    assert_eq!(alert[0], 0x15, "{alert:?}");
    assert_eq!(served.daemon.refused("late"), 2);
    assert_eq!(served.daemon.refused("handshake"), 1);
}

#[test]
fn a_call_is_answered_after_its_caller_ended_the_input() {
    let (upstream, gate) = Upstream::gated();
    let served = Served::start("", None, &upstream.base_url());
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"discord.sendMessage","params":["t","1","x"]}"#;
    let mut lines = Lines::secured(served.connect());
    lines.send(call.as_bytes());
    lines.end();
    gate.wait();
    for _ in 0..20 {
        served.daemon.call("health", &json!({}));
    }
    gate.open();
    assert_eq!(lines.rest()[0]["error"]["code"], 404);
    // Without a word in TLS, by the end of the connection alone.
    let mut stream = served.connect();
    stream.write_all(HEALTH.trim_end().as_bytes()).unwrap();
    stream.sock.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("healthy"), "{answer}");
    assert!(!served.daemon.stop().contains("\"ERROR\""));
}

#[test]
fn a_reload_under_load_loses_no_call_and_shows_the_new_certificate() {
    let sandbox = SandboxProcess::start(&[]);
    let base_url = format!("http://{}", sandbox.line.http);
    let served = Served::start("", None, &base_url);
    let new = Authority::new();
    let both = Speaker {
        trusts: vec![served.authority.certificate.pem(), new.certificate.pem()],
        ..Speaker::default()
    };
    let shown = |speaker: &Speaker| {
        let stream = speaker.connect(served.both()).unwrap();
        stream.conn.peer_certificates().unwrap()[0].clone()
    };
    let (over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let reloads = 20;
    thread::scope(|scope| {
        for lane in 0..4 {
            let (served, sandbox, over, sent, both) = (&served, &sandbox, &over, &sent, &both);
            scope.spawn(move || {
                let connect = || Lines::secured(both.connect(served.both()).unwrap());
                let mut kept = connect();
                while !over.load(Ordering::Relaxed) {
                    let number = sent.fetch_add(1, Ordering::Relaxed);
                    let call = send(sandbox, &format!("{lane}-{number}"));
                    let answer = if lane % 2 == 0 {
                        kept.ask(&call)
                    } else {
                        connect().ask(&call)
                    };
                    assert_eq!(answer["result"]["success"], true, "{answer}");
                }
            });
        }
        let mut identity = Identity::issue(&served.authority, "localhost");
        for round in 0..reloads {
            let by = if round % 2 == 0 {
                &new
            } else {
                &served.authority
            };
            identity = Identity::issue(by, "localhost");
            identity.write(&served.folder);
            served.daemon.signal(Signal::HUP);
            served
                .daemon
                .wait_for_logs("the settings were read again", round + 1);
            assert_eq!(shown(&both), identity.der(), "round {round}");
        }
        over.store(true, Ordering::Relaxed);
        drop(identity);
    });
    let sent = sent.load(Ordering::Relaxed);
    assert_eq!(sandbox.stats().messages, sent as u64);
    assert!(sent > reloads, "only {sent}");
    assert!(!served.daemon.stop().contains("\"ERROR\""));
}

#[test]
fn who_may_no_more_is_out_after_a_reload_although_the_session_could_be_resumed() {
    let (old, new) = (Authority::new(), Authority::new());
    let settings = door("strict", "tls = \"required\"");
    let served = Served::start(&settings, Some(&old), NOWHERE);
    let strict = served.daemon.port_of("strict");
    let speaker = |authority: &Authority| Speaker {
        shows: Some(Identity::issue(authority, "client")),
        ..served.speaker()
    };
    let known = speaker(&old);
    let mut kept = Lines::secured(known.connect(strict).unwrap());
    kept.send(HEALTH.as_bytes());
    kept.read();
    served.folder.put("clients.pem", &new.certificate.pem());
    served.daemon.signal(Signal::HUP);
    served.daemon.wait_for_log("the settings were read again");
    let refused = known.connect(strict).and_then(|mut stream| {
        stream.write_all(HEALTH.as_bytes())?;
        stream.read_exact(&mut [0])
    });
    assert!(refused.unwrap_err().to_string().contains("UnknownCA"));
    health(Lines::secured(speaker(&new).connect(strict).unwrap()));
    // What is open stays open.
    kept.send(HEALTH.as_bytes());
    assert_eq!(kept.read()["result"]["status"], "healthy");
}

#[test]
fn a_reload_that_cannot_be_leaves_all_as_it_was() {
    let served = Served::required();
    let strict = served.daemon.port_of("strict");
    let put = |text: &str| served.folder.put("config.toml", text);
    let good = std::fs::read_to_string(served.folder.join("config.toml")).unwrap();
    let other = Identity::issue(&Authority::new(), "localhost");
    let broken = [
        ("[limits\n".to_owned(), "config.toml"),
        (format!("{good}methods = [\"nothing\"]\n"), "nothing"),
        (format!("{good}[log]\nfilter = \"a=b=c\"\n"), "log.filter"),
        (good.replace("key.pem", "none.pem"), "none.pem"),
        (format!("{good}secret_file = \"/nowhere\"\n"), "/nowhere"),
    ];
    for (count, (text, why)) in broken.iter().enumerate() {
        put(text);
        served.daemon.signal(Signal::HUP);
        served
            .daemon
            .wait_for_logs("the settings were not reloaded", count + 1);
        let errors = served.daemon.logged("error");
        let error = errors.last().unwrap().as_str().unwrap();
        assert!(error.contains(why), "{error}");
        health(Lines::secured(served.speaker().connect(strict).unwrap()));
    }
    // A certificate that is not its key's.
    put(&good);
    served.folder.put("cert.pem", &other.certificate);
    served.daemon.signal(Signal::HUP);
    served
        .daemon
        .wait_for_logs("the settings were not reloaded", broken.len() + 1);
    health(Lines::secured(served.speaker().connect(strict).unwrap()));
}

#[test]
fn what_waits_for_a_restart_is_named() {
    let served = Served::required();
    let changed = std::fs::read_to_string(served.folder.join("config.toml")).unwrap();
    let changed = changed.replace("\"required\"", "\"optional\"");
    let more = "[limits]\ncalls = 7\n[[door]]\naddress = \"unix:/x\"\n";
    served
        .folder
        .put("config.toml", &format!("{changed}{more}"));
    served.daemon.signal(Signal::HUP);
    served
        .daemon
        .wait_for_logs("this change waits for a restart", 3);
    let named = served.daemon.logged("what");
    let expected = [
        "limits.calls",
        "tls of door strict (tcp:127.0.0.1:0)",
        "door unix:/x, which is new",
    ];
    assert_eq!(named, expected.map(|what| json!(what)));
    // And it does wait.
    let mut lines = Lines::tcp(served.daemon.port_of("strict"));
    lines.send(HEALTH.as_bytes());
    assert_eq!(lines.rest()[0]["error"]["data"]["denied"], "tls");
}

#[test]
fn what_is_not_safe_or_cannot_be_is_refused_at_start() {
    let folder = Folder::new();
    let authority = Authority::new();
    let (certificate, key) = Identity::issue(&authority, "localhost").write(&folder);
    let other = folder.put("other.pem", &Identity::issue(&authority, "localhost").key);
    let empty = folder.put("empty.pem", "");
    let short = folder.put("short", "0123456789abcde\n");
    let tls = |key: &str| format!("[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
    let with = |text: &str| format!("{}{text}", tls(&key));
    let open = "address = \"tcp:0.0.0.0:0\"\n";
    for (settings, why) in [
        (format!("[[door]]\n{open}"), "allow_insecure_tcp"),
        (
            with(&format!("[[door]]\n{open}tls = \"optional\"\n")),
            "allow_insecure_tcp",
        ),
        (
            with(&format!("[[door]]\n{open}tls = \"off\"\n")),
            "allow_insecure_tcp",
        ),
        (door("a", "tls = \"required\""), "tls.certificate"),
        (with(&door("a", "client_certificate = true")), "client_ca"),
        (with(&door("a", "uids = 0")), "uids"),
        (
            with("[[door]]\naddress = \"unix:/x\"\ntls = \"required\"\n"),
            "TCP",
        ),
        (tls(&other), "used together"),
        (tls(&empty), "empty.pem"),
        (tls(&folder.path("none.pem")), "none.pem"),
        (
            format!("[tls]\ncertificate = \"{certificate}\"\n"),
            "go together",
        ),
        (with(&format!("client_ca = \"{empty}\"\n")), "client_ca"),
        (
            with("client_ca = \"credential:ca\"\n"),
            "CREDENTIALS_DIRECTORY",
        ),
        (with("client_ca = \"credential:../ca\"\n"), "no slash"),
        (
            door("a", &format!("secret_file = \"{short}\"")),
            "16 to 512",
        ),
        (
            door("a", &format!("secret_file = \"{empty}\"")),
            "no secret",
        ),
        (door("a", "methods = []"), "empty list"),
        (door("a", "methods = [\"!sendMessage\"]"), "sendMessage"),
        (door("a", "guilds = [\"home\"]"), "home"),
        (
            "[[door]]\naddress = \"unix:/x\"\nuids = \"nobody-at-all\"\n".to_owned(),
            "nobody-at-all",
        ),
    ] {
        let path = &folder.put("config.toml", &settings);
        for args in [
            &[
                "serve",
                "--unix",
                "",
                "--tcp",
                "127.0.0.1:0",
                "--config",
                path,
            ][..],
            &["config", "check", "--config", path],
        ] {
            let output = run(args, &[]);
            let complaint = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(78), "{settings}: {complaint}");
            assert!(complaint.contains(why), "{settings}: {complaint}");
        }
    }
}

#[test]
fn a_port_for_all_is_opened_with_tls_or_with_a_secret() {
    let folder = Folder::new();
    let secret = folder.put("secret", "0123456789abcdef\n");
    let open = "[[door]]\nname = \"open\"\naddress = \"tcp:0.0.0.0:0\"\n";
    let settings = format!("{open}secret_file = \"{secret}\"\n");
    let served = Served::start(&settings, None, NOWHERE);
    // By itself it takes TLS only.
    let port = served.daemon.port_of("open").port();
    let mut lines = Lines::tcp(SocketAddr::from(([127, 0, 0, 1], port)));
    lines.send(HEALTH.as_bytes());
    assert_eq!(lines.rest()[0]["error"]["data"]["denied"], "tls");
    let daemon = Daemon::configured(&folder, &settings, NOWHERE);
    let port = daemon.port_of("open").port();
    let mut lines = Lines::tcp(SocketAddr::from(([127, 0, 0, 1], port)));
    lines.send(b"{\"secret\":\"0123456789abcdef\"}");
    health(lines);
}

#[test]
fn keys_come_from_the_credentials_of_the_service() {
    let (authority, folder) = (Authority::new(), Folder::new());
    Identity::issue(&authority, "localhost").write(&folder);
    let tls = "[tls]\ncertificate = \"credential:cert.pem\"\nkey = \"credential:key.pem\"\n";
    let path = &folder.put("config.toml", tls);
    let (unix, credentials) = (&folder.path("s.sock"), &folder.path(""));
    let args = [
        "serve",
        "--config",
        path,
        "--tcp",
        "127.0.0.1:0",
        "--unix",
        unix,
    ];
    let daemon = Daemon::with(&args, NOWHERE, &[("CREDENTIALS_DIRECTORY", credentials)]);
    let stream = Speaker::trusting(&authority).connect(daemon.tcp).unwrap();
    health(Lines::secured(stream));
}
