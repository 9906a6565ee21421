//! One connection: its first bytes are looked at, TLS is set up where they ask for it, and it is given
//! to the surface that it is for.

use std::{pin::Pin, sync::Arc};

use tokio::{
    io::AsyncRead,
    time::{Duration, timeout},
};
use tokio_rustls::server::TlsStream;

use super::{
    Reception,
    line::Line,
    sniff::{Framing, Sniffed},
    tls::Terms,
    wire::Wire,
};
use crate::{
    metrics::{self, Refusal},
    operation::Denied,
    surface::{Caller, Visitor, close, http, lines},
};

/// The answer to bytes that begin no framing.
const NONSENSE: &str = concat!(
    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"#,
    r#""message":"Parse error: neither JSON nor HTTP/1.1","#,
    r#""data":{"kind":"parse_error","retryable":false,"delivered":"no"}}}"#,
    "\n"
);
/// What a handshake that has not come to its end makes the daemon hold, in bytes.
const HANDSHAKE_BYTES: usize = 32 << 10;
/// How long a handshake goes on when the daemon stops.
const GOODBYE: Duration = Duration::from_secs(1);

/// What is done with a connection once it is known what it speaks: boxed, so that one that has said
/// nothing is no larger for what it might say.
type Served = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Reception {
    /// Serves a connection until it is over.
    pub(super) async fn serve_connection(self, line: Line, visitor: Arc<Visitor>) {
        let mut stream = Sniffed::new(line);
        if let Some(framing) = self.sniff(&mut stream).await {
            self.serve_sniffed(stream, framing, visitor).await;
        }
    }

    fn serve_sniffed(
        self,
        stream: Sniffed<Line>,
        framing: Framing,
        visitor: Arc<Visitor>,
    ) -> Served {
        match (self.tls.clone(), framing) {
            (Some(terms), Framing::Tls) => Box::pin(self.serve_tls(stream, terms, visitor)),
            (Some(terms), _) if terms.required => {
                let stream = stream.map(Wire::Plain);
                Box::pin(self.turn_off(stream, framing, Denied::Tls))
            }
            _ => self.serve_framing(stream.map(Wire::Plain), framing, visitor),
        }
    }

    async fn serve_tls(self, stream: Sniffed<Line>, terms: Terms, visitor: Arc<Visitor>) {
        let Some(stream) = Box::pin(self.secure(stream, &terms)).await else {
            return;
        };
        visitor.begins_tls();
        let mut stream = Sniffed::new(Wire::Tls(stream));
        if let Some(framing) = self.sniff(&mut stream).await {
            self.serve_framing(stream, framing, visitor).await;
        }
    }

    /// Looks at the first bytes; none where none came.
    async fn sniff(&self, stream: &mut Sniffed<impl AsyncRead + Unpin>) -> Option<Framing> {
        let sniffed = tokio::select! {
            // What has come already is looked at even when the daemon stops.
            biased;
            sniffed = timeout(self.first_byte_timeout, stream.sniff()) => sniffed,
            () = self.stop.cancelled() => return None,
        };
        match sniffed {
            Ok(Ok(Framing::Nothing)) => None,
            Ok(Ok(framing)) => Some(framing),
            Ok(Err(err)) => {
                tracing::debug!(%err, "a connection ended before its first byte");
                None
            }
            Err(_) => {
                self.rpc.metrics().refuse(Refusal::Late);
                tracing::debug!("a connection brought no byte in time");
                None
            }
        }
    }

    /// Comes to speak TLS.
    async fn secure(
        &self,
        stream: Sniffed<Line>,
        terms: &Terms,
    ) -> Option<Box<TlsStream<Sniffed<Line>>>> {
        let mut handshake = Box::pin(terms.accept(stream, self.header_timeout));
        let mut hold = self.rpc.memory().hold();
        let accepted = tokio::select! {
            biased;
            accepted = handshake.as_mut() => accepted,
            _ = hold.rest(HANDSHAKE_BYTES) => {
                self.rpc.metrics().refuse(Refusal::Memory);
                return None;
            }
            () = self.stop.cancelled() => timeout(GOODBYE, handshake).await.ok()?,
        };
        let (failure, stream) = match accepted {
            Ok(stream) => return Some(Box::new(stream)),
            Err(failed) => failed,
        };
        self.rpc.metrics().refuse(failure.tell());
        // What the caller is told of it stands in an alert that was written.
        close(stream?, "").await;
        None
    }

    /// Gives the connection to the surface that it is for.
    fn serve_framing(
        self,
        stream: Sniffed<Wire>,
        framing: Framing,
        visitor: Arc<Visitor>,
    ) -> Served {
        if let Err(denied) = visitor.rights.now().admit(visitor.user) {
            return Box::pin(self.turn_off(stream, framing, denied));
        }
        let Self {
            rpc, pages, stop, ..
        } = self;
        match framing {
            Framing::Http => {
                visitor.speaks(metrics::Framing::Http);
                Box::pin(http::serve(stream, visitor, pages, rpc, stop))
            }
            Framing::Lines => {
                visitor.speaks(metrics::Framing::Lines);
                let (framing, calls) = (metrics::Framing::Lines, self.calls_per_connection);
                let caller = Caller::new(visitor, framing, calls, None);
                lines::serve(stream, rpc, caller, stop)
            }
            Framing::Nonsense | Framing::Nothing | Framing::Tls => {
                rpc.metrics().refuse(Refusal::Nonsense);
                Box::pin(close(stream, NONSENSE))
            }
        }
    }

    /// Says why the door is not for this connection, and closes it.
    async fn turn_off(self, stream: Sniffed<Wire>, framing: Framing, denied: Denied) {
        self.rpc.metrics().refuse(denied.reason());
        let why = self.rpc.denied(denied);
        let answer = match framing {
            Framing::Http => http::forbidden(&why),
            Framing::Lines | Framing::Nonsense | Framing::Nothing | Framing::Tls => why + "\n",
        };
        close(stream, &answer).await;
    }
}
