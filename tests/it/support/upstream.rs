//! Upstreams that are not Discord: they answer what they are told, or break off.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

/// A server that reads whole HTTP requests and lets a function do with the connection what it wants.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

/// What lets requests through, one by one.
pub(crate) struct Gate {
    arrival: Receiver<()>,
    go: Sender<()>,
}

impl Gate {
    /// Waits until another request has come.
    pub(crate) fn wait(&self) {
        // A request that never comes fails the test instead of holding it up.
        self.arrival.recv_timeout(Duration::from_secs(60)).unwrap();
    }

    /// Lets one request through.
    pub(crate) fn open(&self) {
        self.go.send(()).unwrap();
    }
}

impl Upstream {
    /// Answers each request by `answer`, which gets its text; the connection is closed behind it.
    pub(crate) fn start(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, requests) = (
            Arc::clone(&upstream.connections),
            Arc::clone(&upstream.requests),
        );
        let answer = Arc::new(answer);
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (answer, requests) = (Arc::clone(&answer), Arc::clone(&requests));
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    if let Some(request) = read_request(&stream) {
                        requests.fetch_add(1, Ordering::SeqCst);
                        answer(&request, &mut stream);
                    }
                });
            }
        });
        upstream
    }

    /// Answers each request with 404, but only when it is let through.
    pub(crate) fn gated() -> (Self, Gate) {
        let (arrived, arrival) = mpsc::channel();
        let (go, gone) = mpsc::channel();
        let (arrived, gone) = (Mutex::new(arrived), Mutex::new(gone));
        let upstream = Self::start(move |_, stream| {
            // The test may be over.
            let _ = arrived.lock().unwrap().send(());
            if gone.lock().unwrap().recv().is_ok() {
                let _ = stream.write_all(http("404 Not Found", "", "{}").as_bytes());
            }
        });
        (upstream, Gate { arrival, go })
    }

    /// Answers every request with these bytes.
    pub(crate) fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |_, stream| {
            // A daemon that has read enough may be gone.
            let _ = stream.write_all(&bytes);
        })
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many whole requests came so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// An HTTP answer with this status line, more headers, and a body.
pub(crate) fn http(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

/// Reads one request, head and body; none if the connection ends before it does.
pub(crate) fn read_request(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|it| it.strip_prefix("content-length:"));
    let mut body = vec![0; length.map_or(0, |it| it.trim().parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}
