//! JSON texts and their answers over one stream of bytes, raw or in WebSocket messages.
//!
//! Calls run side by side and are answered as they are ready. The daemon reads no further while a
//! connection has as many under way, or as much unread, as it may have.

mod bounds;

use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::Arc,
};

use bytes::{Buf, Bytes};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    task::consume_budget,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{Caller, Rpc, answer::parse_error, goodbye::say_goodbye, room::Room};
use crate::{
    frame::{Bounds, Broken, End, Found, Framing, Pieces},
    memory::Hold,
    metrics::Refusal,
};

/// Texts in a row that are no calls after which a connection is closed.
const MAX_BROKEN_IN_A_ROW: u32 = 8;
/// Room for a read on a connection that has been silent, in bytes: it is held while waiting.
const FIRST_READ_BYTES: usize = 512;
/// Room for a read on a connection that sends much, in bytes.
const MAX_READ_BYTES: usize = 16 << 10;
/// How many bytes to look through are as much work as a tiny call: a task yields after some 128 such
/// steps.
const BYTES_A_STEP: usize = 1 << 10;
/// Pieces of what waits that are written together.
const MAX_CHUNKS: usize = 8;

/// What answers a text, and how long that was.
type Answer = Pin<Box<dyn Future<Output = (usize, Option<String>)> + Send>>;

/// One connection.
struct Connection<S, F> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    rpc: Arc<Rpc>,
    caller: Arc<Caller>,
    framing: F,
    read_bytes: usize,
    /// What was read and not looked through yet, in bytes.
    new_bytes: usize,
    under_way: FuturesUnordered<Answer>,
    /// The texts of the calls under way, in bytes.
    asked_bytes: usize,
    unsent: Pieces,
    /// Whether TLS still holds back what was written.
    unflushed: bool,
    /// What the connection holds while it waits.
    hold: Hold,
    input: Input,
    stopping: bool,
    /// Whether the peer is gone: what it sent is carried out, and nothing is written.
    deserted: bool,
    broken_in_a_row: u32,
    last_progress: Instant,
    text_began: Option<Instant>,
    /// Since when an answer waits of which nothing was read.
    unread_since: Option<Instant>,
}

/// How much of the input is still to come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    /// Nothing that counts.
    Done,
    /// Nothing, but what was received has not been looked through to its end.
    Ended,
    /// Perhaps more.
    Open,
}

/// Serves one connection until the peer is done, misbehaves, or `stop` is cancelled.
pub fn serve<S, F>(
    stream: S,
    framing: impl FnOnce(Bounds) -> F,
    rpc: Arc<Rpc>,
    caller: Caller,
    stop: CancellationToken,
) -> impl Future<Output = ()>
where
    S: AsyncRead + AsyncWrite,
    F: Framing,
{
    let (reader, writer) = tokio::io::split(stream);
    let mut connection = Connection {
        reader,
        writer,
        framing: framing(rpc.shared.bounds()),
        hold: rpc.shared.memory.hold(),
        rpc,
        caller: Arc::new(caller),
        read_bytes: FIRST_READ_BYTES,
        new_bytes: 0,
        under_way: FuturesUnordered::new(),
        asked_bytes: 0,
        unsent: Pieces::default(),
        unflushed: false,
        input: Input::Open,
        stopping: false,
        deserted: false,
        broken_in_a_row: 0,
        last_progress: Instant::now(),
        text_began: None,
        unread_since: None,
    };
    // Made before it runs, or it would hold all of that twice.
    async move {
        if let Err(err) = connection.run(&stop).await {
            tracing::debug!(%err, "a connection ended early");
        }
    }
}

impl<S: AsyncRead + AsyncWrite, F: Framing> Connection<S, F> {
    async fn run(&mut self, stop: &CancellationToken) -> io::Result<()> {
        let mut alarm = Box::pin(tokio::time::sleep_until(self.deadline()));
        let mut stopped = pin!(stop.cancelled());
        loop {
            // Before others have a turn: what is held then is counted.
            self.count()?;
            self.begin_in_turns().await;
            self.take_seat().await;
            if self.is_over() {
                return Box::pin(self.say_goodbye()).await;
            }
            if self.has_to_send() && self.unread_since.is_none() {
                self.unread_since = Some(Instant::now());
            }
            if alarm.deadline() > self.deadline() {
                alarm.as_mut().reset(self.deadline());
            }
            let may_read = self.input == Input::Open && self.has_room();
            if may_read {
                self.framing.buffer().reserve(self.read_bytes);
            }
            let (held, has_room) = (self.held_bytes(), self.has_room_for_answers());
            tokio::select! {
                biased;
                () = stopped.as_mut(), if !self.stopping => {
                    self.stopping = true;
                    self.read_what_has_come();
                }
                // What is not read holds up what is not answered: no more is held than unread
                // answers may have, and one.
                Some(answer) = self.under_way.next(), if has_room => {
                    self.queue_with_others(answer);
                    self.send_what_is_taken();
                }
                sent = send(&mut self.writer, &self.unsent), if self.has_to_send() => {
                    self.sent(sent);
                }
                read = self.reader.read_buf(self.framing.buffer()), if may_read => {
                    self.received(read);
                }
                () = alarm.as_mut() => {
                    if self.is_idle_too_long() {
                        self.unsent.clear();
                        return Box::pin(self.say_goodbye()).await;
                    }
                    alarm.as_mut().reset(self.deadline());
                }
                full = self.hold.rest(held) => self.give_way(full)?,
            }
        }
    }

    /// Begins calls, and lets others have their turns: what waits for nothing would keep every other
    /// connection waiting.
    async fn begin_in_turns(&mut self) {
        let looked_through = std::mem::take(&mut self.new_bytes) / BYTES_A_STEP;
        for _ in 0..self.begin_calls() + looked_through {
            consume_budget().await;
        }
    }

    /// Whether everything is answered and nothing more is to come.
    fn is_over(&mut self) -> bool {
        let is_answered = |it: &Self| it.under_way.is_empty() && it.unsent.is_empty();
        if is_answered(self) && self.stopping {
            self.read_what_has_come();
        }
        is_answered(self) && (self.input == Input::Done || self.stopping)
    }

    /// Begins the calls that have been received whole, as far as there is room, and gives how many.
    fn begin_calls(&mut self) -> usize {
        let mut begun = 0;
        while self.has_room() && self.input != Input::Done {
            let found = self.framing.next_found();
            begun += 1;
            match found {
                Some(found) => {
                    // A ping between the pieces of a message gives it no more time.
                    if !matches!(found, Found::Reply(_)) {
                        self.text_began = None;
                    }
                    self.take(found);
                }
                None if self.input == Input::Ended => {
                    self.input = Input::Done;
                    if let Some(last) = self.framing.finish() {
                        self.take(last);
                    }
                }
                None => break,
            }
        }
        if !self.framing.in_text() {
            self.text_began = None;
        } else if self.text_began.is_none() {
            self.text_began = Some(Instant::now());
        }
        begun
    }

    fn take(&mut self, found: Found) {
        match found {
            Found::Text(text) => {
                let begins = text.iter().find(|byte| !byte.is_ascii_whitespace());
                if matches!(begins, Some(b'{' | b'[')) {
                    self.broken_in_a_row = 0;
                } else {
                    self.count_broken();
                }
                self.begin(text);
            }
            Found::Broken(broken) => {
                self.count_broken();
                self.rpc.metrics().refuse(refusal(broken));
                self.queue(Some(parse_error(&broken.to_string())));
            }
            Found::Reply(_) if self.deserted => {}
            Found::Reply(bytes) => self.unsent.extend(&bytes),
            Found::End => self.input = Input::Done,
        }
    }

    fn begin(&mut self, text: Bytes) {
        let (rpc, caller) = (Arc::clone(&self.rpc), Arc::clone(&self.caller));
        self.asked_bytes += text.len();
        // What was held of it is kept from now on.
        let held = self.held_bytes();
        let _ = self.hold.set(held);
        let mut room = Room::of(rpc.shared.memory.kept());
        room.take(text.len());
        let answer = async move { (text.len(), rpc.answer(&text, &caller, room).await) };
        self.under_way.push(Box::pin(answer));
    }

    fn count_broken(&mut self) {
        self.broken_in_a_row += 1;
        if self.broken_in_a_row >= MAX_BROKEN_IN_A_ROW {
            self.input = Input::Done;
        }
    }

    /// Takes note of a read; a connection that fills its room is given more.
    fn received(&mut self, read: io::Result<usize>) {
        self.last_progress = Instant::now();
        let bytes = read.unwrap_or_else(|err| self.desert(&err));
        self.new_bytes += bytes;
        if bytes == 0 {
            self.input = Input::Ended;
        } else if bytes >= self.read_bytes {
            let was_silent = self.read_bytes == FIRST_READ_BYTES;
            self.read_bytes = MAX_READ_BYTES;
            // Calls that came together are begun and answered together.
            if was_silent {
                self.read_on();
            }
        } else {
            self.read_bytes = FIRST_READ_BYTES;
        }
    }

    /// Reads what the peer sent before the daemon stopped, so that it is refused and not dropped.
    fn read_what_has_come(&mut self) {
        while self.input == Input::Open && self.has_room() && self.read_on() {
            self.begin_calls();
        }
    }

    /// Reads what is there without being waited for; false if nothing is.
    fn read_on(&mut self) -> bool {
        self.framing.buffer().reserve(MAX_READ_BYTES);
        let read = self.reader.read_buf(self.framing.buffer()).now_or_never();
        read.map(|read| self.received(read)).is_some()
    }

    /// Queues an answer and those that are ready with it, so that they are written together.
    fn queue_with_others(&mut self, answered: (usize, Option<String>)) {
        self.last_progress = Instant::now();
        let mut next = Some(answered);
        while let Some((bytes, answer)) = next {
            self.asked_bytes -= bytes;
            self.queue(answer);
            next = if self.has_room_for_answers() {
                self.under_way.next().now_or_never().flatten()
            } else {
                None
            };
        }
    }

    fn queue(&mut self, answer: Option<String>) {
        if let Some(answer) = answer.filter(|_| !self.deserted) {
            self.framing.put(answer, &mut self.unsent);
        }
    }

    /// Takes note that nobody is there any more, and nothing more goes either way. What was received
    /// before is still carried out.
    fn desert(&mut self, err: &io::Error) -> usize {
        tracing::debug!(%err, "a peer is gone");
        self.deserted = true;
        self.unsent.clear();
        0
    }

    /// Sends what the peer takes without being waited for.
    fn send_what_is_taken(&mut self) {
        while self.has_to_send() {
            let Some(sent) = send(&mut self.writer, &self.unsent).now_or_never() else {
                return;
            };
            self.sent(sent);
        }
    }

    fn has_to_send(&self) -> bool {
        !self.unsent.is_empty() || self.unflushed
    }

    fn sent(&mut self, sent: io::Result<usize>) {
        self.last_progress = Instant::now();
        let flushed = self.unsent.is_empty();
        let bytes = sent.unwrap_or_else(|err| {
            // What is below the WebSocket has a clock of its own.
            if err.kind() == io::ErrorKind::TimedOut {
                self.rpc.metrics().refuse(Refusal::Unread);
                self.input = Input::Done;
            }
            self.desert(&err)
        });
        self.unread_since = None;
        self.unsent.advance(bytes);
        // Nearly always there is nothing to wait for.
        let held = !flushed && self.writer.flush().now_or_never().is_none();
        self.unflushed = held && !self.deserted;
    }

    async fn say_goodbye(&mut self) -> io::Result<()> {
        if self.deserted {
            return Ok(());
        }
        let end = if self.input == Input::Open {
            End::OfDaemon
        } else {
            End::OfInput
        };
        self.framing.put_end(end, &mut self.unsent);
        say_goodbye(&mut self.reader, &mut self.writer, &mut self.unsent).await
    }
}

fn refusal(broken: Broken) -> Refusal {
    match broken {
        Broken::Cut => Refusal::Cut,
        Broken::Depth { .. } | Broken::OpenString => Refusal::ParseError,
        Broken::Size { .. } => Refusal::TooLarge,
    }
}

/// Writes some of what waits, or makes TLS give out what it holds back.
async fn send(writer: &mut (impl AsyncWrite + Unpin), unsent: &Pieces) -> io::Result<usize> {
    let mut chunks = [IoSlice::new(&[]); MAX_CHUNKS];
    match unsent.chunks_vectored(&mut chunks) {
        0 => writer.flush().await.map(|()| 0),
        1 => writer.write(unsent.chunk()).await,
        count => writer.write_vectored(&chunks[..count]).await,
    }
}
