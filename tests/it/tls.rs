//! TLS to the far side: who is taken for Discord, directly and through a proxy.

use std::{
    io::{Read, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};

use crate::support::{
    daemon::{Daemon, Folder},
    sandbox::SandboxProcess,
    upstream::{Upstream, read_request},
};

/// A sandbox with TLS, and the file with its authority.
struct Secure {
    sandbox: SandboxProcess,
    ca_file: String,
    _folder: Folder,
}

impl Secure {
    fn start() -> Self {
        let folder = Folder::new();
        let ca_file = folder.join("ca.pem").to_str().unwrap().to_owned();
        let sandbox = SandboxProcess::start(&["--tls", "127.0.0.1:0", "--ca-file", &ca_file]);
        Self {
            sandbox,
            ca_file,
            _folder: folder,
        }
    }

    fn base_url(&self) -> String {
        format!(
            "https://localhost:{}",
            self.sandbox.line.tls.unwrap().port()
        )
    }

    fn send(&self, daemon: &Daemon, text: &str) -> Value {
        let params = json!([self.sandbox.token(0), self.sandbox.channel("general"), text]);
        daemon.call("discord.sendMessage", &params)
    }
}

const CA_FILE: &str = "DISCORDD_DISCORD__CA_FILE";

#[test]
fn a_message_goes_out_over_tls() {
    let secure = Secure::start();
    for resumption in ["true", "false"] {
        let daemon = Daemon::start(
            &secure.base_url(),
            &[
                (CA_FILE, &secure.ca_file),
                ("DISCORDD_DISCORD__TLS_RESUMPTION", resumption),
            ],
        );
        for text in ["one", "two", "three"] {
            let answer = secure.send(&daemon, text);
            assert_eq!(answer["result"]["success"], true, "{answer}");
        }
    }
    let stats = secure.sandbox.stats();
    assert_eq!(
        (stats.connections, stats.requests, stats.messages),
        (6, 6, 6)
    );
    assert_eq!(
        secure.sandbox.texts("general"),
        ["one", "two", "three", "one", "two", "three"]
    );
}

#[test]
fn the_authority_may_be_named_by_ssl_cert_file() {
    let secure = Secure::start();
    let daemon = Daemon::start(&secure.base_url(), &[("SSL_CERT_FILE", &secure.ca_file)]);
    assert_eq!(secure.send(&daemon, "hello")["result"]["success"], true);
}

#[test]
fn a_message_goes_out_through_a_proxy() {
    let secure = Secure::start();
    for (user, header) in [("", None), ("user:secret@", Some("Basic dXNlcjpzZWNyZXQ="))] {
        let proxy = connect_proxy(header);
        let url = format!("http://{user}{proxy}");
        let daemon = Daemon::start(
            &secure.base_url(),
            &[(CA_FILE, &secure.ca_file), ("HTTPS_PROXY", &url)],
        );
        let answer = secure.send(&daemon, "hello");
        assert_eq!(answer["result"]["success"], true, "{answer}");
    }
    assert_eq!(secure.sandbox.stats().messages, 2);
}

#[test]
fn a_host_named_in_no_proxy_is_reached_directly() {
    let secure = Secure::start();
    let nowhere = Upstream::answering("");
    let daemon = Daemon::start(
        &secure.base_url(),
        &[
            (CA_FILE, &secure.ca_file),
            ("HTTPS_PROXY", &nowhere.base_url()),
            ("NO_PROXY", "localhost"),
        ],
    );
    assert_eq!(secure.send(&daemon, "hello")["result"]["success"], true);
    assert_eq!(nowhere.connections(), 0);
}

#[test]
fn a_proxy_that_refuses_is_told() {
    let secure = Secure::start();
    let proxy = Upstream::answering("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    let daemon = Daemon::start(
        &secure.base_url(),
        &[
            (CA_FILE, &secure.ca_file),
            ("HTTPS_PROXY", &proxy.base_url()),
        ],
    );
    let answer = secure.send(&daemon, "hello");
    unavailable(&answer, "the proxy did not open the way");
}

#[test]
fn who_does_not_prove_to_be_the_host_gets_no_message() {
    let secure = Secure::start();
    let daemon = Daemon::start(&secure.base_url(), &[]);
    unavailable(&secure.send(&daemon, "hello"), "UnknownIssuer");

    let folder = Folder::new();
    let ca_file = folder.join("ca.pem");
    for (name, expired, why) in [
        ("elsewhere.example", false, "not valid for name"),
        ("localhost", true, "certificate expired"),
    ] {
        let (address, authority) = tls_server(name, expired);
        std::fs::write(&ca_file, authority).unwrap();
        let base_url = format!("https://localhost:{}", address.port());
        let daemon = Daemon::start(&base_url, &[(CA_FILE, ca_file.to_str().unwrap())]);
        unavailable(&secure.send(&daemon, "hello"), why);
    }
    assert_eq!(secure.sandbox.stats().requests, 0);
}

#[test]
fn one_that_speaks_no_tls_gets_no_message() {
    let secure = Secure::start();
    let port = secure.sandbox.line.http.port();
    let daemon = Daemon::start(&format!("https://localhost:{port}"), &[]);
    unavailable(&secure.send(&daemon, "hello"), "TLS failed");
}

fn unavailable(answer: &Value, why: &str) {
    let error = &answer["error"];
    assert_eq!(error["code"], 503, "{answer}");
    assert_eq!(error["data"]["kind"], "unavailable");
    assert_eq!(error["data"]["delivered"], "no", "{answer}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(why), "{message}");
}

/// A proxy that opens tunnels, for those who name themselves as `authorization` says.
fn connect_proxy(authorization: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the test's process.
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let request = read_request(&client).unwrap();
            let target = request
                .strip_prefix("CONNECT ")
                .unwrap()
                .split(' ')
                .next()
                .unwrap();
            let named = |line: &str| {
                line.strip_prefix("Proxy-Authorization: ")
                    .map(str::to_owned)
            };
            let given = request.lines().find_map(named);
            assert_eq!(given.as_deref(), authorization);
            let mut server = TcpStream::connect(target).unwrap();
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            thread::spawn(move || std::io::copy(&mut server, &mut client));
        }
    });
    address
}

/// A TLS server with a certificate for `name`, and the authority that signed it.
fn tls_server(name: &str, expired: bool) -> (SocketAddr, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    if expired {
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            // The client breaks off: that is what is tested.
            let _ = stream.read(&mut [0]);
        }
    });
    (address, authority.pem())
}
