//! Raw connections: JSON texts one after another, behind the secret where the door has one.

use std::{pin::Pin, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::{Caller, Rpc, admit, close, stream};
use crate::frame::JsonTexts;

/// Serves one connection until the peer is done, misbehaves, or `stop` is cancelled. It is no larger
/// for a secret where there is none.
pub fn serve<S>(
    stream: S,
    rpc: Arc<Rpc>,
    caller: Caller,
    stop: CancellationToken,
) -> Pin<Box<dyn Future<Output = ()> + Send>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    if caller.visitor.rights.now().has_secret() {
        Box::pin(ask(stream, rpc, caller, stop))
    } else {
        Box::pin(stream::serve(stream, JsonTexts::new, rpc, caller, stop))
    }
}

/// Asks for the secret, and serves the connection then.
async fn ask<S>(mut stream: S, rpc: Arc<Rpc>, mut caller: Caller, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut texts = JsonTexts::new(rpc.shared.bounds());
    let asked = admit::ask(&mut stream, &mut texts, &rpc, &mut caller, &stop).await;
    match asked {
        Ok(()) => stream::serve(stream, |_| texts, rpc, caller, stop).await,
        Err(why) => close(stream, &(why + "\n")).await,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use tokio::{
        io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufStream, duplex},
        task::yield_now,
        time::timeout,
    };
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::{
        config::{self, Limits},
        discord::Exit,
        metrics,
        operation::Hall,
        surface::Visitor,
    };

    fn rpc(stop: &CancellationToken) -> Arc<Rpc> {
        let tracker = TaskTracker::new();
        let (settings, metrics) = (config::Discord::default(), Arc::default());
        let exit = Exit::open(&settings, &metrics, stop, &tracker).unwrap();
        let hall = Hall {
            exit,
            metrics,
            upstream: String::new(),
        };
        Arc::new(Rpc::new(Arc::new(hall), Limits::default(), tracker))
    }

    /// Counts the turns that others have until a connection has been served that brings these bytes.
    async fn turns_of_others(bytes: &[u8]) -> (usize, String) {
        let stop = CancellationToken::new();
        let caller = Caller::new(Visitor::own(), metrics::Framing::Lines, 64, None);
        let (near, mut far) = duplex(8 << 20);
        far.write_all(bytes).await.unwrap();
        far.shutdown().await.unwrap();
        let turns = Arc::new(AtomicUsize::new(0));
        let others = Arc::clone(&turns);
        tokio::spawn(async move {
            loop {
                others.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        });
        serve(near, rpc(&stop), caller, stop).await;
        let turns = turns.load(Ordering::Relaxed);
        let mut answers = String::new();
        far.read_to_string(&mut answers).await.unwrap();
        (turns, answers)
    }

    #[tokio::test]
    async fn a_flood_of_calls_that_wait_for_nothing_leaves_others_their_turns() {
        const CALLS: usize = 10_000;
        let calls = r#"{"jsonrpc":"2.0","id":1,"method":"health"}"#.repeat(CALLS);
        let (turns, answers) = turns_of_others(calls.as_bytes()).await;
        assert!(turns >= CALLS / 200, "{turns} turns");
        assert_eq!(answers.lines().count(), CALLS);
    }

    #[tokio::test]
    async fn a_flood_of_bytes_leaves_others_their_turns() {
        const BYTES: usize = 4 << 20;
        let (turns, answers) = turns_of_others(&vec![b' '; BYTES]).await;
        assert!(turns >= BYTES / (200 << 10), "{turns} turns");
        assert_eq!(answers, "");
    }

    #[tokio::test]
    async fn what_the_stream_below_holds_back_comes_too() {
        let stop = CancellationToken::new();
        let caller = Caller::new(Visitor::own(), metrics::Framing::Lines, 1, None);
        // Takes whole answers at once and gives them on bit by bit, as TLS does on a slow connection.
        let (near, far) = duplex(16);
        tokio::spawn(serve(BufStream::new(near), rpc(&stop), caller, stop));
        let mut far = BufReader::with_capacity(16, far);
        let call = br#"{"jsonrpc":"2.0","id":1,"method":"health"}"#;
        for _ in 0..3 {
            far.write_all(call).await.unwrap();
            let mut line = String::new();
            let read = far.read_line(&mut line);
            timeout(Duration::from_secs(20), read)
                .await
                .unwrap()
                .unwrap();
            assert!(line.ends_with("}\n"), "{line}");
        }
    }
}
