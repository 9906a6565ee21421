//! A WebSocket over a socket of either kind, spoken by tungstenite's client.

use std::{os::unix::net::UnixStream, time::Duration};

use serde_json::Value;
use tungstenite::{
    Message, WebSocket, client::IntoClientRequest as _, protocol::frame::coding::CloseCode,
};

use super::daemon::Daemon;

/// A WebSocket.
pub(crate) struct Socket(WebSocket<UnixStream>);

impl Socket {
    pub(crate) fn connect(daemon: &Daemon) -> Self {
        Self::connect_with(daemon, &[])
    }

    /// Connects by a request that has these headers too.
    pub(crate) fn connect_with(daemon: &Daemon, headers: &[(&'static str, &str)]) -> Self {
        let stream = UnixStream::connect(&daemon.socket).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut request = "ws://localhost/".into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = tungstenite::client(request, stream).unwrap();
        Self(socket)
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).unwrap();
    }

    /// Reads the next text, or how the connection was closed.
    pub(crate) fn read(&mut self) -> Result<String, Option<CloseCode>> {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Ok(text.to_string()),
                Ok(Message::Close(frame)) => return Err(frame.map(|frame| frame.code)),
                Ok(_) => {}
                Err(_) => return Err(None),
            }
        }
    }

    pub(crate) fn ask(&mut self, text: &str) -> Value {
        self.send(text);
        serde_json::from_str(&self.read().unwrap()).unwrap()
    }

    /// Says Close, and reads every text that still comes.
    pub(crate) fn close(mut self) -> Vec<String> {
        self.0.close(None).unwrap();
        std::iter::from_fn(|| self.read().ok()).collect()
    }

    /// The stream below, for bytes that no client would send.
    pub(crate) fn stream(&mut self) -> &mut UnixStream {
        self.0.get_mut()
    }
}
