//! Raw JSON texts, one answer a line: what `nc` speaks.
//!
//! Calls run side by side and are answered as they are ready. The daemon reads no further while a
//! connection has as many under way, or as much unread, as it may have.

use std::{pin::Pin, sync::Arc};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{FutureExt, Stream, StreamExt, stream::FuturesUnordered};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    time::{Duration, Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Caller, Rpc, document::parse_error};
use crate::frame::{Broken, Framer};

/// Texts in a row that are no calls after which a connection is closed.
const MAX_BROKEN_IN_A_ROW: u32 = 8;
/// How long what the peer still sends is read after the last answer, so that no reset destroys it.
const GOODBYE: Duration = Duration::from_secs(1);
/// Room for each read, in bytes.
const READ_BYTES: usize = 8 << 10;

type Answer = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// One connection.
struct Connection<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    rpc: Arc<Rpc>,
    caller: Arc<Caller>,
    framer: Framer,
    under_way: FuturesUnordered<Answer>,
    unsent: BytesMut,
    reading: bool,
    stopping: bool,
    broken_in_a_row: u32,
    last_progress: Instant,
    text_began: Option<Instant>,
}

/// Serves one connection until the peer is done, misbehaves, or `stop` is cancelled.
pub async fn serve<S>(stream: S, rpc: Arc<Rpc>, caller: Caller, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite,
{
    let (reader, writer) = tokio::io::split(stream);
    let mut connection = Connection {
        reader,
        writer,
        framer: Framer::new(rpc.shared.limits.request_bytes.bytes()),
        rpc,
        caller: Arc::new(caller),
        under_way: FuturesUnordered::new(),
        unsent: BytesMut::new(),
        reading: true,
        stopping: false,
        broken_in_a_row: 0,
        last_progress: Instant::now(),
        text_began: None,
    };
    if let Err(err) = connection.run(&stop).await {
        tracing::debug!(%err, "a connection ended early");
    }
}

impl<S: AsyncRead + AsyncWrite> Connection<S> {
    async fn run(&mut self, stop: &CancellationToken) -> std::io::Result<()> {
        let mut alarm = Box::pin(tokio::time::sleep_until(self.deadline()));
        loop {
            self.begin_calls();
            let done = self.under_way.is_empty() && self.unsent.is_empty();
            if done && (!self.reading || self.stopping) {
                return self.say_goodbye().await;
            }
            let may_read = self.reading && self.has_room();
            self.framer
                .buffer()
                .reserve(if may_read { READ_BYTES } else { 0 });
            tokio::select! {
                read = self.reader.read_buf(self.framer.buffer()), if may_read => {
                    if read? == 0 {
                        self.end_of_input();
                    }
                }
                answer = next(&mut self.under_way), if !self.under_way.is_empty() => {
                    self.queue(answer);
                }
                written = self.writer.write(&self.unsent), if !self.unsent.is_empty() => {
                    self.written(written?);
                }
                () = stop.cancelled(), if !self.stopping => {
                    self.stopping = true;
                    self.read_what_has_come();
                    continue;
                }
                () = alarm.as_mut() => {
                    if Instant::now() >= self.deadline() && self.under_way.is_empty() {
                        return self.time_is_over().await;
                    }
                    alarm.as_mut().reset(self.next_look());
                    continue;
                }
            }
            self.last_progress = Instant::now();
        }
    }

    /// Begins the calls that have been received whole, as far as there is room.
    fn begin_calls(&mut self) {
        while self.has_room() {
            match self.framer.next_text() {
                Some(text) => self.take_text(text),
                None => break,
            }
            self.text_began = None;
        }
        if self.text_began.is_none() && self.framer.in_text() {
            self.text_began = Some(Instant::now());
        }
    }

    /// Reads what the peer sent before the daemon stopped, so that it is refused and not dropped.
    fn read_what_has_come(&mut self) {
        while self.reading && self.has_room() {
            self.framer.buffer().reserve(READ_BYTES);
            let read = self.reader.read_buf(self.framer.buffer());
            match read.now_or_never() {
                Some(Ok(0)) => self.end_of_input(),
                Some(Ok(_)) => self.begin_calls(),
                Some(Err(_)) | None => return,
            }
        }
    }

    fn take_text(&mut self, text: Result<Bytes, Broken>) {
        match text {
            Ok(text) if self.stopping => self.queue(Some(Rpc::refuse(&text))),
            Ok(text) if text.starts_with(b"{") || text.starts_with(b"[") => {
                self.broken_in_a_row = 0;
                self.begin(text);
            }
            Ok(text) => {
                self.count_broken();
                self.begin(text);
            }
            Err(broken) => {
                self.count_broken();
                self.queue(Some(parse_error(&broken.to_string())));
            }
        }
    }

    fn begin(&mut self, text: Bytes) {
        let (rpc, caller) = (Arc::clone(&self.rpc), Arc::clone(&self.caller));
        let answer = async move { rpc.answer(&text, &caller).await };
        self.under_way.push(Box::pin(answer));
    }

    fn count_broken(&mut self) {
        self.broken_in_a_row += 1;
        if self.broken_in_a_row >= MAX_BROKEN_IN_A_ROW {
            self.reading = false;
        }
    }

    fn end_of_input(&mut self) {
        self.reading = false;
        if let Some(last) = self.framer.finish() {
            self.take_text(last);
        }
    }

    fn queue(&mut self, answer: Option<String>) {
        if let Some(answer) = answer {
            self.unsent.extend_from_slice(answer.as_bytes());
            self.unsent.extend_from_slice(b"\n");
        }
    }

    fn written(&mut self, bytes: usize) {
        self.unsent.advance(bytes);
        if self.unsent.is_empty() {
            // An idle connection keeps no buffer.
            self.unsent = BytesMut::new();
        }
    }

    /// Whether another call may begin.
    fn has_room(&self) -> bool {
        let limits = &self.rpc.shared.limits;
        self.broken_in_a_row < MAX_BROKEN_IN_A_ROW
            && self.under_way.len() < limits.calls_per_connection
            && self.unsent.len() < limits.response_bytes.bytes()
    }

    /// When the connection has taken too long.
    fn deadline(&self) -> Instant {
        let limits = &self.rpc.shared.limits;
        let idle = self.last_progress + limits.idle_timeout;
        match self.text_began {
            Some(began) if self.unsent.is_empty() => idle.min(began + limits.body_timeout),
            _ => idle,
        }
    }

    /// When to look at the clock again: never so late that a text begun meanwhile takes too long.
    fn next_look(&self) -> Instant {
        let soon = Instant::now() + self.rpc.shared.limits.body_timeout;
        self.deadline()
            .max(Instant::now() + Duration::from_secs(1))
            .min(soon)
    }

    async fn time_is_over(&mut self) -> std::io::Result<()> {
        if self.text_began.is_some() && self.unsent.is_empty() {
            self.queue(Some(parse_error(
                "the rest of the JSON text did not come in time",
            )));
            let line = self.unsent.split();
            let _ = timeout(GOODBYE, self.writer.write_all(&line)).await;
        }
        self.say_goodbye().await
    }

    /// Ends writing first, then reads what still comes.
    async fn say_goodbye(&mut self) -> std::io::Result<()> {
        self.writer.shutdown().await?;
        let mut rest = [0; 512];
        let drained = async { while self.reader.read(&mut rest).await.is_ok_and(|n| n > 0) {} };
        let _ = timeout(GOODBYE, drained).await;
        Ok(())
    }
}

/// The next answer that is ready; asked only while calls are under way.
async fn next(under_way: &mut (impl Stream<Item = Option<String>> + Unpin)) -> Option<String> {
    under_way.next().await.flatten()
}
