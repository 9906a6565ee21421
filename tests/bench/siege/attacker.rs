//! The attacker: a process with one thread that does what an attack is, as fast as it can.

use std::{
    collections::VecDeque,
    future::pending,
    io::Write as _,
    net::{self, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    runtime,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::attack::{Attack, Flood, Reads, Shape};

/// How long a connection may come no further before another takes its place.
const STUCK: Duration = Duration::from_secs(1);
/// How long it is waited after a connection that could not be made.
const PAUSE: Duration = Duration::from_millis(10);
/// Room for a read of whoever reads all, in bytes.
const READ_BYTES: usize = 64 << 10;
/// Room for a read of whoever reads in bites.
const BITE: usize = 16;

/// What an attacker has done.
pub(crate) static MADE: AtomicU64 = AtomicU64::new(0);
/// How much it has sent, in bytes.
pub(crate) static SENT: AtomicU64 = AtomicU64::new(0);

/// Attacks until the process ends.
pub(crate) fn run(attack: &Attack, target: SocketAddr) {
    match attack.shape(target) {
        Shape::Churn { held, says } => churn(target, held, &says),
        Shape::Flood(flood) => {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(spread(target, flood));
        }
    }
}

fn churn(target: SocketAddr, held: usize, says: &[u8]) {
    let mut open = VecDeque::new();
    loop {
        // Where it is turned away it comes again.
        if let Ok(mut stream) = net::TcpStream::connect(target) {
            MADE.fetch_add(1, Ordering::Relaxed);
            if stream.write_all(says).is_ok() {
                SENT.fetch_add(says.len() as u64, Ordering::Relaxed);
            }
            open.push_back(stream);
        }
        if open.len() > held {
            open.pop_front();
        }
    }
}

async fn spread(target: SocketAddr, flood: Flood) {
    let flood: &'static Flood = Box::leak(Box::new(flood));
    let mut connections = JoinSet::new();
    for number in 0..flood.connections {
        let first = &flood.first[number % flood.first.len()];
        connections.spawn(async move {
            loop {
                let Ok(stream) = TcpStream::connect(target).await else {
                    sleep(PAUSE).await;
                    continue;
                };
                MADE.fetch_add(1, Ordering::Relaxed);
                let (reader, writer) = stream.into_split();
                tokio::select! {
                    () = read(reader, flood.reads) => {}
                    () = write(writer, first, flood) => {}
                }
            }
        });
    }
    connections.join_all().await;
}

async fn read(mut stream: impl AsyncRead + Unpin, reads: Reads) {
    let room = match reads {
        Reads::All => READ_BYTES,
        Reads::Bites => BITE,
        Reads::Nothing => return pending().await,
    };
    let mut room = vec![0; room];
    while stream.read(&mut room).await.is_ok_and(|bytes| bytes > 0) {}
}

/// Writes what there is to write, and waits for a moment behind its end.
async fn write(mut stream: impl AsyncWrite + Unpin, first: &[u8], flood: &Flood) {
    let mut left = flood.most;
    let mut piece = if first.is_empty() {
        &flood.again
    } else {
        first
    };
    while left > 0 && !piece.is_empty() {
        let Ok(Ok(bytes)) = timeout(STUCK, stream.write(piece)).await else {
            return;
        };
        SENT.fetch_add(bytes as u64, Ordering::Relaxed);
        left = left.saturating_sub(bytes);
        piece = &piece[bytes..];
        if piece.is_empty() {
            piece = &flood.again;
        }
    }
    sleep(STUCK).await;
}
