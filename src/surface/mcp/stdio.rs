//! MCP on standard input and output: one message on each line, and nothing else.
//!
//! rmcp's own transport ends the process when a notification comes first, leaves what is no JSON
//! without an answer, and drops a last line without its end.

use std::{collections::HashSet, io};

use anyhow::Context as _;
use bytes::Bytes;
use rmcp::{
    RoleServer, ServiceExt,
    model::{
        ClientJsonRpcMessage, ClientNotification, JsonRpcError, RequestId, ServerJsonRpcMessage,
    },
    service::ServerInitializeError,
    transport::{StdioReader, StdioWriter, Transport, stdio_pipes},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{Desk, lines::Lines, message};
use crate::frame::Broken;

/// Requests that may wait for their answers; then no further ones are read.
const MAX_UNDER_WAY: usize = 1024;
/// Answers that may wait to be written.
const MAX_UNWRITTEN: usize = 16;
/// Room for a read, in bytes.
const READ_BYTES: usize = 16 << 10;

/// Serves `desk` until the input ends or `stop` is cancelled, and what was asked is answered.
/// Messages of up to `max_message_bytes` are taken. An output that cannot be written to any more
/// cancels `stop`; one that nobody reads is waited for.
///
/// # Errors
///
/// When the protocol could not be begun.
pub async fn serve(
    desk: Desk,
    max_message_bytes: usize,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (input, output) = stdio_pipes();
    let (unwritten, writer) = open_output(output, stop.clone());
    let stdio = Stdio::open(input, max_message_bytes, stop, unwritten);
    let served = match desk.serve(stdio).await {
        Ok(running) => running.waiting().await.map(drop).map_err(Into::into),
        // Nobody asked anything that opens a session, or the output is closed.
        Err(
            ServerInitializeError::ConnectionClosed(_)
            | ServerInitializeError::TransportError { .. },
        ) => Ok(()),
        Err(err) => Err(err.into()),
    };
    // It ends when every sender is gone, as the streams are by now.
    writer.await.context("write to standard output")?;
    served
}

/// Begins to write what is sent, in a task that ends behind the last sender.
fn open_output(
    mut output: StdioWriter,
    stop: CancellationToken,
) -> (mpsc::Sender<Bytes>, JoinHandle<()>) {
    let (sender, mut unwritten) = mpsc::channel::<Bytes>(MAX_UNWRITTEN);
    let writer = tokio::spawn(async move {
        while let Some(line) = unwritten.recv().await {
            let written = async {
                output.write_all(&line).await?;
                output.flush().await
            };
            if let Err(err) = written.await {
                tracing::debug!(%err, "standard output is closed");
                stop.cancel();
                return;
            }
        }
    });
    (sender, writer)
}

/// The two streams.
struct Stdio {
    input: StdioReader,
    lines: Lines,
    ended: bool,
    stop: CancellationToken,
    /// The requests that wait for their answers.
    under_way: watch::Sender<HashSet<RequestId>>,
    unwritten: Option<mpsc::Sender<Bytes>>,
    /// Said next, because what came was no message.
    refusal: Option<JsonRpcError>,
}

impl Stdio {
    fn open(
        input: StdioReader,
        max_message_bytes: usize,
        stop: CancellationToken,
        unwritten: mpsc::Sender<Bytes>,
    ) -> Self {
        Self {
            input,
            lines: Lines::new(max_message_bytes),
            ended: false,
            stop,
            under_way: watch::Sender::default(),
            unwritten: Some(unwritten),
            refusal: None,
        }
    }

    /// Reads until there is more to look at, or nothing more will come.
    async fn read(&mut self) -> Option<Result<Bytes, Broken>> {
        self.lines.buffer().reserve(READ_BYTES);
        let read = tokio::select! {
            read = self.input.read_buf(self.lines.buffer()) => read,
            () = self.stop.cancelled() => {
                self.ended = true;
                return None;
            }
        };
        match read {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(err) => {
                tracing::debug!(%err, "standard input cannot be read");
                self.ended = true;
            }
        }
        self.ended.then(|| self.lines.finish()).flatten()
    }

    /// Takes what was found; gives what is for rmcp. It needs no notification but a cancellation,
    /// and has asked nothing that could be answered.
    fn take(&mut self, line: Result<Bytes, Broken>) -> Option<ClientJsonRpcMessage> {
        let read = line
            .map_err(|broken| message::unreadable(&broken.to_string()))
            .and_then(|line| message::read(&line));
        match read {
            Err(refusal) => {
                self.refusal = Some(refusal);
                None
            }
            Ok(ClientJsonRpcMessage::Error(_) | ClientJsonRpcMessage::Response(_)) => None,
            Ok(ClientJsonRpcMessage::Notification(sent)) => {
                let ClientNotification::CancelledNotification(cancelled) = &sent.notification
                else {
                    return None;
                };
                let id = cancelled.params.request_id.as_ref()?;
                // It will have no answer.
                let waits = self.under_way.send_if_modified(|ids| ids.remove(id));
                waits.then_some(ClientJsonRpcMessage::Notification(sent))
            }
            Ok(ClientJsonRpcMessage::Request(request)) => {
                let id = request.id.clone();
                if !self.under_way.send_if_modified(|ids| ids.insert(id)) {
                    self.refusal = Some(message::under_way(request.id));
                    return None;
                }
                Some(ClientJsonRpcMessage::Request(request))
            }
        }
    }

    /// Waits until fewer than this many requests wait for their answers.
    async fn fewer_than(&self, count: usize) {
        let mut changes = self.under_way.subscribe();
        let few = changes.wait_for(|ids| ids.len() < count).await;
        few.expect("the sender is here");
    }

    /// Says that what came was no message. What is not said when this is dropped is said later.
    async fn say_refusal(&mut self) -> Option<()> {
        if self.refusal.is_some() {
            let place = self.unwritten.as_ref()?.reserve().await.ok()?;
            let refusal = self.refusal.take()?;
            place.send(line(&ServerJsonRpcMessage::Error(refusal)));
        }
        Some(())
    }
}

/// The future of `receive` is dropped whenever rmcp has something else to do: nothing that was read
/// may be lost by it.
impl Transport<RoleServer> for Stdio {
    type Error = io::Error;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let (unwritten, under_way) = (self.unwritten.clone(), self.under_way.clone());
        async move {
            let place = match &unwritten {
                Some(unwritten) => unwritten.reserve().await.ok(),
                None => None,
            };
            let answered = match &message {
                ServerJsonRpcMessage::Error(error) => error.id.as_ref(),
                ServerJsonRpcMessage::Response(response) => Some(&response.id),
                ServerJsonRpcMessage::Notification(_) | ServerJsonRpcMessage::Request(_) => None,
            };
            // Who reads the answer may use the id again at once.
            if let Some(id) = answered {
                under_way.send_if_modified(|ids| ids.remove(id));
            }
            place.ok_or(io::ErrorKind::BrokenPipe)?.send(line(&message));
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            self.say_refusal().await?;
            self.fewer_than(MAX_UNDER_WAY).await;
            let line = match self.lines.next_line() {
                None if self.ended => {
                    self.fewer_than(1).await;
                    return None;
                }
                None => self.read().await,
                line => line,
            };
            if let Some(message) = line.and_then(|line| self.take(line)) {
                return Some(message);
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.unwritten = None;
        Ok(())
    }
}

fn line(message: &ServerJsonRpcMessage) -> Bytes {
    let mut json = serde_json::to_vec(message).expect("texts and numbers are JSON");
    json.push(b'\n');
    json.into()
}
