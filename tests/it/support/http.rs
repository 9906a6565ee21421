//! A small blocking HTTP/1.1 client, plain or over TLS: one connection, one request at a time.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How long a read may wait: a test that hangs fails instead.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection to read from and write to.
pub(crate) trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// One connection, kept alive between requests.
pub(crate) struct Client {
    reader: BufReader<Box<dyn Stream>>,
}

impl Client {
    /// Connects over plain TCP.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self::over(connect(address))
    }

    /// Connects over TLS as `localhost`, offering these protocols; gives the one agreed on too.
    pub(crate) fn tls(
        address: SocketAddr,
        authority: &str,
        protocols: &[&str],
    ) -> (Self, Option<String>) {
        let mut stream = StreamOwned::new(session(authority, protocols), connect(address));
        stream.conn.complete_io(&mut stream.sock).unwrap();
        let agreed = stream.conn.alpn_protocol();
        let agreed = agreed.map(|name| String::from_utf8(name.to_vec()).unwrap());
        (Self::over(stream), agreed)
    }

    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self {
            reader: BufReader::new(Box::new(stream)),
        }
    }

    /// Sends a request and reads its answer.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = Vec::new();
        write!(request, "{method} {path} HTTP/1.1\r\n").unwrap();
        if !headers.iter().any(|(name, _)| *name == "host") {
            write!(request, "host: localhost\r\n").unwrap();
        }
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        if !body.is_empty() || method == "POST" {
            write!(request, "content-length: {}\r\n", body.len()).unwrap();
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        self.reader.get_mut().write_all(&request).unwrap();
        self.reader.get_mut().flush().unwrap();
        self.read()
    }

    /// Sends the head of a request whose body has this length.
    pub(crate) fn begin(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        length: usize,
    ) {
        let mut head = Vec::new();
        write!(head, "{method} {path} HTTP/1.1\r\nhost: localhost\r\n").unwrap();
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        write!(head, "content-length: {length}\r\n\r\n").unwrap();
        self.reader.get_mut().write_all(&head).unwrap();
        self.reader.get_mut().flush().unwrap();
    }

    /// Sends a head, but for the empty line at its end.
    pub(crate) fn begin_head(&mut self, method: &str, path: &str) {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        self.reader.get_mut().write_all(head.as_bytes()).unwrap();
        self.reader.get_mut().flush().unwrap();
    }

    /// Sends the rest of a request that was begun, and reads its answer.
    pub(crate) fn finish(&mut self, body: &[u8]) -> Answer {
        self.reader.get_mut().write_all(body).unwrap();
        self.reader.get_mut().flush().unwrap();
        self.read()
    }

    /// Asks a daemon for its figures.
    pub(crate) fn figures(&mut self) -> HashMap<String, f64> {
        let answer = self.send("GET", "/metrics", &[], b"");
        let text = String::from_utf8(answer.body).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.map(|line| line.rsplit_once(' ').unwrap());
        pairs
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect()
    }

    fn read(&mut self) -> Answer {
        let status = self.line();
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = self.chunks();
        } else if let Some(length) = answer.header("content-length") {
            answer.body = self.bytes(length.parse().unwrap());
        }
        answer
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(&self.line(), 16).unwrap();
            body.extend(self.bytes(length));
            self.line();
            if length == 0 {
                return body;
            }
        }
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the connection ended in a head");
        line.trim_end().to_owned()
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Gives a header by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Gives the body as JSON.
    pub(crate) fn json(&self) -> Value {
        self.parse()
    }

    /// Gives the body as this type.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> T {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err} in {text}"))
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn session(authority: &str, protocols: &[&str]) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority.as_bytes()).unwrap();
    roots.add(authority).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
    config.alpn_protocols = protocols.collect();
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap()
}
