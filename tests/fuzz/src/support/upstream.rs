//! Discord's place in the process: answers each request by a script, or as Discord would.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What is asked for, as a script writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    Channel,
    Channels,
    Guild,
    Guilds,
    Member,
    Message,
    User,
}

/// Routes by the letters that a script begins their answers with.
const LETTERS: [(u8, Route); 7] = [
    (b'C', Route::Channel),
    (b'c', Route::Channels),
    (b'G', Route::Guild),
    (b'g', Route::Guilds),
    (b'M', Route::Member),
    (b'm', Route::Message),
    (b'u', Route::User),
];

/// Between the answers of a script.
const NEXT: u8 = 0x1e;
/// Longest head of a request that is read, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// What a request was answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Something with this status.
    Status(u16),
    /// Bytes as the script has them, or none at all, and the end of the connection.
    Bytes,
}

/// The server.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    script: HashMap<Route, VecDeque<Vec<u8>>>,
    said: Vec<(Route, Said)>,
}

impl Upstream {
    /// Opens a port; must be called in a runtime, on which it runs.
    pub(crate) fn open() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there are ports");
        listener.set_nonblocking(true).expect("it is a socket");
        let listener = TcpListener::from_std(listener).expect("there is a runtime");
        let upstream = Self {
            address: listener.local_addr().expect("it is bound"),
            state: Arc::default(),
        };
        let serving = upstream.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                // A peer that breaks off is no failure here.
                tokio::spawn(async move { serving.serve(stream).await });
            }
        });
        upstream
    }

    /// Answers by a script from now on; what is not in it is answered as Discord would.
    pub(crate) fn follow(&self, script: &[u8]) {
        let mut state = State::default();
        for part in script.split(|byte| *byte == NEXT) {
            let Some((letter, answer)) = part.split_first() else {
                continue;
            };
            if let Some((_, route)) = LETTERS.iter().find(|(it, _)| it == letter) {
                let answers = state.script.entry(*route).or_default();
                answers.push_back(answer.to_vec());
            }
        }
        *self.state.lock().expect("no panic leaves it locked") = state;
    }

    /// What was answered since then, as far as a request was read whole.
    pub(crate) fn said(&self) -> Vec<(Route, Said)> {
        self.state
            .lock()
            .expect("no panic leaves it locked")
            .said
            .clone()
    }

    async fn serve(self, mut stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        loop {
            let route = read_request(&mut stream).await?;
            let (said, bytes) = self.answer(route);
            stream.write_all(&bytes).await.ok()?;
            if said == Said::Bytes {
                return None;
            }
        }
    }

    /// Takes the next answer of the script; the last one counts for all that follow.
    fn answer(&self, route: Route) -> (Said, Vec<u8>) {
        let mut state = self.state.lock().expect("no panic leaves it locked");
        let answer = match state.script.get_mut(&route) {
            Some(answers) if answers.len() > 1 => answers.pop_front(),
            Some(answers) => answers.front().cloned(),
            None => None,
        };
        let answer = answer.unwrap_or_else(|| usual(route).into());
        let answered = match compose(&answer) {
            Some((status, bytes)) => (Said::Status(status), bytes),
            None => (Said::Bytes, answer),
        };
        state.said.push((route, answered.0));
        answered
    }
}

/// Makes an answer of a status, lines of headers, an empty line and a body. Headers that would give
/// the body another length are left out.
fn compose(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(2).position(|it| it == b"\n\n")?;
    let (head, body) = (&answer[..end], &answer[end + 2..]);
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = std::str::from_utf8(lines.next()?).ok()?;
    let status: u16 = status.parse().ok()?;
    // Those below are no answers yet, and these two have no body.
    if !(200..=999).contains(&status) || matches!(status, 204 | 304) {
        return None;
    }
    let mut bytes = format!("HTTP/1.1 {status} -\r\n").into_bytes();
    for line in lines {
        let lower = line.to_ascii_lowercase();
        let framing: [&[u8]; 4] = [
            b"connection",
            b"content-length",
            b"transfer-encoding",
            b"upgrade",
        ];
        let fits = !framing.iter().any(|it| lower.starts_with(it)) && !line.contains(&b'\r');
        if fits && line.contains(&b':') && !line.starts_with(b" ") {
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    Some((status, bytes))
}

/// Reads one request, head and body.
async fn read_request(stream: &mut TcpStream) -> Option<Route> {
    let mut received = Vec::new();
    let head = loop {
        if let Some(end) = received.windows(4).position(|it| it == b"\r\n\r\n") {
            break end + 4;
        }
        if received.len() > MAX_HEAD_BYTES || stream.read_buf(&mut received).await.ok()? == 0 {
            return None;
        }
    };
    let text = std::str::from_utf8(&received[..head])
        .ok()?
        .to_ascii_lowercase();
    let route = route(text.lines().next()?)?;
    let length = text
        .lines()
        .find_map(|it| it.strip_prefix("content-length:"));
    let length: usize = length.map_or(Some(0), |it| it.trim().parse().ok())?;
    while received.len() < head + length {
        if stream.read_buf(&mut received).await.ok()? == 0 {
            return None;
        }
    }
    Some(route)
}

/// What a line of a request asks for.
fn route(line: &str) -> Option<Route> {
    let mut words = line.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let path = path.split('?').next()?.strip_prefix("/api/v10/")?;
    let parts: Vec<&str> = path.split('/').collect();
    match (method, &parts[..]) {
        ("get", ["channels", _]) => Some(Route::Channel),
        ("get", ["guilds", _, "channels"]) => Some(Route::Channels),
        ("get", ["guilds", _]) => Some(Route::Guild),
        ("get", ["users", "@me", "guilds"]) => Some(Route::Guilds),
        ("get", ["guilds", _, "members", _]) => Some(Route::Member),
        ("post", ["channels", _, "messages"]) => Some(Route::Message),
        ("get", ["users", "@me"]) => Some(Route::User),
        _ => panic!("{line} is not asked for by any operation"),
    }
}

/// What Discord would answer: a bot in one guild with one channel.
fn usual(route: Route) -> &'static str {
    match route {
        Route::Channel => {
            "200\n\n{\"id\":\"3\",\"type\":0,\"name\":\"general\",\"guild_id\":\"2\"}"
        }
        Route::Channels => "200\n\n[{\"id\":\"3\",\"type\":0,\"name\":\"general\",\"position\":0}]",
        Route::Guild => {
            "200\n\n{\"id\":\"2\",\"name\":\"guild\",\"owner_id\":\"9\",\"roles\":[{\"id\":\"2\",\
             \"permissions\":\"3072\"}]}"
        }
        Route::Guilds => "200\n\n[{\"id\":\"2\",\"name\":\"guild\"}]",
        Route::Member => "200\n\n{\"roles\":[],\"communication_disabled_until\":null}",
        Route::Message => {
            "200\n\n{\"id\":\"4\",\"channel_id\":\"3\",\"author\":{\"id\":\"1\",\"username\":\"bot\"},\
             \"timestamp\":\"2026-01-01T00:00:00.000000+00:00\",\"content\":\"hi\"}"
        }
        Route::User => "200\n\n{\"id\":\"1\",\"username\":\"bot\"}",
    }
}
