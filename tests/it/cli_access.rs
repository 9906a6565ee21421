//! How the commands that ask a daemon meet it: over TLS, with a secret, with a certificate.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    thread,
};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use serde_json::json;

use crate::support::{
    authority::{Authority, Issued},
    daemon::{Daemon, Folder, run},
    fake::Fake,
    mcp::{Server, request, tool},
};

const SECRET: &str = "callers-secret-0123456789";
const HEALTHY: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"status":"healthy","stateless":true,"version":"1","uptime_seconds":1,"in_flight":0,"upstream":"discord"}}"#;

/// A daemon that is none, behind TLS that asks for a certificate or not.
struct Secure {
    url: String,
    requests: Receiver<String>,
    folder: Folder,
}

impl Secure {
    fn start(asks_for_certificate: bool) -> Self {
        let folder = Folder::new();
        let authority = Authority::new();
        fs::write(folder.join("ca.pem"), authority.certificate.pem()).unwrap();
        let Issued { certificate, key } = authority.issue("localhost");
        fs::write(folder.join("client.pem"), certificate.pem()).unwrap();
        fs::write(folder.join("client.key"), key.serialize_pem()).unwrap();
        let both = certificate.pem() + &key.serialize_pem();
        fs::write(folder.join("both.pem"), both).unwrap();

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.der().clone()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = if asks_for_certificate {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            config.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            config.with_no_client_auth()
        };
        let Issued { certificate, key } = authority.issue("localhost");
        fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = config.with_single_cert(vec![certificate.der().clone()], key);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let requests = answer(listener, Arc::new(config.unwrap()));
        Self {
            url,
            requests,
            folder,
        }
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }
}

/// Answers every request with health; gives what was asked, as it came.
fn answer(listener: TcpListener, config: Arc<ServerConfig>) -> Receiver<String> {
    let (sender, requests) = channel();
    // Ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            // The call's own last byte, as nothing here asks for params.
            while !request.ends_with(b"}") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(length) => request.extend_from_slice(&buffer[..length]),
                }
            }
            if request.is_empty() {
                continue;
            }
            let _ = sender.send(String::from_utf8(request).unwrap());
            let length = HEALTHY.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            let _ = stream.write_all((head + HEALTHY).as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    requests
}

/// Runs a command; gives its exit code and what it printed on both.
fn seen(args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let output = run(args, variables);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), stdout, stderr)
}

#[test]
fn a_daemon_over_tls_is_asked_if_it_proves_to_be_the_host() {
    let secure = Secure::start(false);
    let ca_file = secure.file("ca.pem");
    for (args, variables) in [
        (
            vec!["health", "--url", &secure.url, "--ca-file", &ca_file],
            vec![],
        ),
        (
            vec!["call", "health", "--url", &secure.url],
            vec![("SSL_CERT_FILE", ca_file.as_str())],
        ),
    ] {
        let (code, stdout, stderr) = seen(&args, &variables);
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        assert!(stdout.contains("healthy"), "{stdout}");
        let asked = secure.requests.recv().unwrap();
        assert!(asked.starts_with("POST / HTTP/1.1\r\n"), "{asked}");
        assert!(!asked.contains("discordd-secret"), "{asked}");
    }
    // Without its authority it is a stranger, and is told nothing.
    let (code, stdout, stderr) = seen(&["health", "--url", &secure.url], &[]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.contains("UnknownIssuer"), "{stderr}");
    let by_another_name = secure.url.replace("localhost", "127.0.0.1");
    let args = ["health", "--url", &by_another_name, "--ca-file", &ca_file];
    let (code, _, stderr) = seen(&args, &[]);
    assert_eq!(code, 2);
    assert!(stderr.contains("not valid for name"), "{stderr}");
    assert!(secure.requests.try_recv().is_err());
}

#[test]
fn a_certificate_is_shown_where_one_is_asked_for() {
    let secure = Secure::start(true);
    let (ca_file, certificate) = (secure.file("ca.pem"), secure.file("client.pem"));
    let (key, both) = (secure.file("client.key"), secure.file("both.pem"));
    let args = ["health", "--url", &secure.url, "--ca-file", &ca_file];
    for shown in [
        vec!["--client-cert", &certificate, "--client-key", &key],
        vec!["--client-cert", &both],
    ] {
        let (code, _, stderr) = seen(&[&args[..], &shown].concat(), &[]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{shown:?}");
        secure.requests.recv().unwrap();
    }
    let (code, _, stderr) = seen(&args, &[]);
    assert_eq!(code, 1);
    assert!(stderr.contains("CertificateRequired"), "{stderr}");
    assert!(secure.requests.try_recv().is_err());
}

#[test]
fn the_secret_of_a_file_is_shown_before_the_call_and_to_nobody_else() {
    let secure = Secure::start(false);
    let (ca_file, secret_file) = (secure.file("ca.pem"), secure.file("secret"));
    fs::write(&secret_file, format!("{SECRET}\n")).unwrap();
    let args = ["call", "health", "--secret-file", &secret_file];
    let over_tls = ["--url", &secure.url, "--ca-file", &ca_file];
    let (code, stdout, stderr) = seen(&[&args[..], &over_tls].concat(), &[]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(!stdout.contains(SECRET));
    let asked = secure.requests.recv().unwrap();
    let header = format!("\r\ndiscordd-secret: {SECRET}\r\n");
    assert!(asked.contains(&header), "{asked}");

    let fake = Fake::answering(Some(&format!("{HEALTHY}\n")));
    let (code, stdout, stderr) = seen(&[&args[..], &["--socket", fake.path()]].concat(), &[]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert_eq!(fake.asked(), format!("{{\"secret\":\"{SECRET}\"}}\n"));
}

#[test]
fn a_daemon_is_met_as_its_settings_say() {
    let secure = Secure::start(false);
    let folder = Folder::new();
    let (file, secret_file) = (folder.join("config.toml"), folder.join("secrets"));
    fs::write(
        &secret_file,
        format!("{SECRET}\nthe-one-before-0123456789\n"),
    )
    .unwrap();
    let address = secure.url.replace("https://localhost", "127.0.0.1");
    let door = format!(
        "address = 'tcp:{address}'\ntls = 'required'\nsecret_file = '{}'",
        secret_file.display()
    );
    let health = |certificate: &str| {
        let text = format!(
            "[listen]\nunix = ''\ntcp = ''\n[tls]\ncertificate = '{}'\nkey = 'key.pem'\n[[door]]\n{door}\n",
            secure.file(certificate)
        );
        fs::write(&file, text).unwrap();
        // What authorities there are elsewhere is no matter here.
        let variables = [("SSL_CERT_FILE", secure.file("ca.pem"))];
        let variables = variables
            .each_ref()
            .map(|(name, file)| (*name, file.as_str()));
        seen(&["health", "--config", file.to_str().unwrap()], &variables)
    };
    // It is known by its certificate, which is for another name.
    let (code, _, stderr) = health("server.pem");
    assert_eq!((code, stderr.as_str()), (0, ""));
    let asked = secure.requests.recv().unwrap();
    let header = format!("\r\ndiscordd-secret: {SECRET}\r\n");
    assert!(asked.contains(&header), "{asked}");
    let (code, _, stderr) = health("client.pem");
    assert_eq!(code, 2);
    assert!(stderr.contains("another certificate"), "{stderr}");
    assert!(secure.requests.try_recv().is_err());
}

#[test]
fn a_daemon_with_a_secret_and_an_authority_is_met_at_both_doors() {
    let folder = Folder::new();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let authority = Authority::new();
    let Issued { certificate, key } = authority.issue("localhost");
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    let (ca_file, secret_file) = (
        file("ca.pem", &authority.certificate.pem()),
        file("secret", SECRET),
    );
    let socket = folder.join("s.sock");
    let settings = |port: u16| {
        let text = format!(
            "[listen]\nunix = ''\ntcp = ''\n[tls]\ncertificate = '{}'\nkey = '{}'\nclient_ca = '{ca_file}'\n\
             [[door]]\naddress = 'unix:{}'\nsecret_file = '{secret_file}'\n\
             [[door]]\naddress = 'tcp:127.0.0.1:{port}'\ntls = 'required'\nsecret_file = '{secret_file}'\n",
            file("tls.crt", &certificate),
            file("tls.key", &key),
            socket.display()
        );
        file("config.toml", &text)
    };
    let config = settings(0);
    let daemon = Daemon::with(&["serve", "--config", &config], "http://127.0.0.1:9", &[]);
    let url = format!("https://localhost:{}", daemon.tcp.port());
    let (both, socket) = (
        file("both.pem", &(certificate.clone() + &key)),
        socket.to_str().unwrap(),
    );

    let over_socket = ["--socket", socket];
    let over_tls = ["--url", &url, "--ca-file", &ca_file, "--client-cert", &both];
    let with_secret = ["--secret-file", &secret_file];
    for at in [&over_socket[..], &over_tls] {
        let (code, stdout, stderr) = seen(&[&["health"], at, &with_secret].concat(), &[]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{at:?}");
        assert!(stdout.starts_with("healthy"), "{stdout}");
        // Without it the daemon answers, but only that it does not.
        let (code, stdout, _) = seen(&[&["health", "--json"], at].concat(), &[]);
        assert_eq!(code, 1, "{stdout}");
        assert!(stdout.contains("\"code\":403"), "{stdout}");
        let (code, ..) = seen(&[&["health", "--live"], at].concat(), &[]);
        assert_eq!(code, 0, "{at:?}");
    }
    // Where the settings tell of both, the socket is asked, with the door's secret.
    let config = settings(daemon.tcp.port());
    let (code, stdout, stderr) = seen(&["health", "--config", &config], &[]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    // The port wants a certificate too, which no settings of the daemon's hold.
    fs::remove_file(socket).unwrap();
    let (code, _, stderr) = seen(&["health", "--config", &config], &[]);
    assert_eq!(code, 1);
    assert!(stderr.contains("CertificateRequired"), "{stderr}");
    let shown = ["--client-cert", &both];
    let (code, _, stderr) = seen(
        &[&["health", "--config", &config], &shown[..]].concat(),
        &[],
    );
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[test]
fn files_that_cannot_be_used_are_named_and_nothing_is_sent() {
    let secure = Secure::start(false);
    let folder = Folder::new();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let nowhere = folder.join("nowhere").to_str().unwrap().to_owned();
    let (words, empty) = (file("words", "my secret words"), file("empty", "\n"));
    let certificate = secure.file("client.pem");
    let url = secure.url.as_str();
    for args in [
        vec!["health", "--url", url, "--secret-file", &nowhere],
        vec!["health", "--url", url, "--secret-file", &words],
        vec!["call", "health", "--socket", "/x", "--secret-file", &empty],
        vec!["health", "--url", url, "--ca-file", &words],
        vec!["health", "--url", url, "--client-cert", &nowhere],
        // There is no key in it.
        vec!["health", "--url", url, "--client-cert", &certificate],
        vec!["mcp", "--connect", url, "--secret-file", &words],
    ] {
        let (code, stdout, stderr) = seen(&args, &[]);
        assert_eq!((code, stdout.as_str()), (64, ""), "{args:?}: {stderr}");
        assert!(stderr.contains(args.last().unwrap()), "{stderr}");
        assert!(!stderr.contains("my secret"), "{stderr}");
    }
    let (code, _, stderr) = seen(&["mcp", "--secret-file", &words], &[]);
    assert_eq!(code, 64);
    assert!(stderr.contains("--connect"), "{stderr}");
    assert!(secure.requests.try_recv().is_err());
}

#[test]
fn mcp_passes_calls_on_over_tls_with_the_secret() {
    let secure = Secure::start(false);
    let (ca_file, secret_file) = (secure.file("ca.pem"), secure.file("secret"));
    fs::write(&secret_file, SECRET).unwrap();
    let connect = format!("{}/mcp", secure.url);
    let args = [
        "--connect",
        &connect,
        "--ca-file",
        &ca_file,
        "--secret-file",
        &secret_file,
    ];
    let token = "MTE4NDAyOTMwMTI4NDkyMTM0NA.Gabcde.aaaa";
    let mut server = Server::start(&args, &[("DISCORD_TOKEN", token)]);
    let call = tool("test_message", &json!({"dry_run": true}));
    let answer = server.ask(&request(1, "tools/call", &call));
    assert_eq!(
        answer["result"]["structuredContent"]["status"], "healthy",
        "{answer}"
    );
    let asked = secure.requests.recv().unwrap();
    assert!(
        asked.contains(SECRET) && asked.contains("discord.test"),
        "{asked}"
    );
}
