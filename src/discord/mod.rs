//! The far side: a fresh twilight client for each call, and the one exit it goes through.
//!
//! It must not remember a call: when a [`Discord`] is dropped, its token, its client and its
//! connections are gone.

mod codes;
mod error;
mod exit;
mod guard;
mod peer;
mod progress;
mod said;
mod token;

use std::{future::IntoFuture, ops::Deref, time::Duration};

use serde::de::DeserializeOwned;
use tokio::{runtime, time::Instant};
use twilight_http::{
    Client, Error as TwilightError, Response, api_error::ApiError, error::ErrorType,
    request::Request, routing::Route,
};

use self::exit::{Passage, innermost};
pub use self::{
    error::{Cause, Delivered, Error, FieldError, Guarded, Phase, Said, Scope, Unreadable},
    exit::{Exit, roots},
    guard::GuardState,
    peer::Peer,
    progress::{Progress, Wait},
    token::{InvalidToken, Token},
};

/// How much longer than the call twilight waits: the exit ends a call, and says why.
const MARGIN: Duration = Duration::from_secs(2);

/// Discord as one call sees it: a client that lives as long as the call.
pub struct Discord {
    client: Client,
    passage: Passage,
}

/// What a request is for.
#[derive(Clone, Copy)]
enum Purpose {
    /// Changing something: whether it was delivered matters.
    Change,
    /// Reading only.
    Read,
}

/// Whether a request may be sent again although its bytes may have arrived before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It may not: nothing in it would keep Discord from doing it twice.
    Never,
    /// It may: it carries a nonce that Discord is told to enforce.
    Safe,
}

/// Makes the client for one call of `peer`, which ends at `deadline`.
///
/// # Errors
///
/// When the system gives no runtime to make it in.
pub fn connect(
    exit: &Exit,
    token: Token,
    peer: Peer,
    deadline: Instant,
    progress: Progress,
) -> Result<Discord, Error> {
    let passage = exit.admit(token, peer, deadline, progress);
    let exit = exit.address().to_string();
    let timeout = deadline.saturating_duration_since(Instant::now()) + MARGIN;
    // The builder spawns a rate limiter's task that never ends, even when none is wanted. It is
    // born in a runtime of its own, which is never driven, and ends with that.
    let nursery = runtime::Builder::new_current_thread()
        .build()
        .map_err(|_| Error::Build)?;
    let entered = nursery.enter();
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
    let client = Client::builder()
        .ratelimiter(None)
        .proxy(exit, true)
        .remember_invalid_token(false)
        .timeout(timeout)
        .token(passage.key())
        .build();
    drop(entered);
    nursery.shutdown_background();
    Ok(Discord { client, passage })
}

impl Discord {
    /// Sends a request that changes something, one at a time, and reads its answer.
    ///
    /// # Errors
    ///
    /// When it did not succeed, with all that is known of why.
    pub async fn send<T, R>(&self, request: R, repeat: Repeat) -> Result<T, Error>
    where
        T: DeserializeOwned + Unpin,
        R: IntoFuture<Output = Result<Response<T>, TwilightError>>,
    {
        self.passage.set_repeatable(repeat == Repeat::Safe);
        self.exchange(request, Purpose::Change).await
    }

    /// Asks for something that only has to be read.
    ///
    /// # Errors
    ///
    /// When it cannot be had; nothing was delivered then.
    pub async fn get<T: DeserializeOwned + Unpin>(&self, route: &Route<'_>) -> Result<T, Error> {
        let request = self.client.request::<T>(Request::from_route(route));
        self.exchange(request, Purpose::Read).await
    }

    async fn exchange<T, R>(&self, request: R, purpose: Purpose) -> Result<T, Error>
    where
        T: DeserializeOwned + Unpin,
        R: IntoFuture<Output = Result<Response<T>, TwilightError>>,
    {
        let begun = self.passage.begun();
        let response = request
            .await
            .map_err(|err| self.explain(&err, begun, purpose))?;
        let status = response.status().get();
        response.model().await.map_err(|_| Error::BadAnswer {
            why: Unreadable::Shape,
            status,
            delivered: match purpose {
                Purpose::Change => Delivered::Yes,
                Purpose::Read => Delivered::No,
            },
        })
    }

    /// Finds what the exit kept of a failure; twilight itself knows only its number.
    fn explain(&self, err: &TwilightError, begun: u64, purpose: Purpose) -> Error {
        let number = match err.kind() {
            ErrorType::Response {
                error: ApiError::General(kept),
                ..
            } => Some(kept.code),
            ErrorType::BuildingRequest
            | ErrorType::CreatingHeader { .. }
            | ErrorType::Json
            | ErrorType::Validation => return Error::Build,
            ErrorType::Parsing { .. }
            | ErrorType::RequestCanceled
            | ErrorType::RequestError
            | ErrorType::RequestTimedOut
            | ErrorType::Response { .. }
            | ErrorType::Unauthorized
            | _ => None,
        };
        let kept = number.and_then(|number| self.passage.failure(number));
        kept.unwrap_or_else(|| self.without_exit(err, begun, purpose))
    }

    /// The exit itself did not answer: out of descriptors, overrun, or the daemon is ending.
    fn without_exit(&self, err: &TwilightError, begun: u64, purpose: Purpose) -> Error {
        let unsent = match purpose {
            Purpose::Change => self.passage.close_unless_begun(begun),
            // Others of the call may still be read, and nothing is delivered either way.
            Purpose::Read => true,
        };
        let delivered = if unsent {
            Delivered::No
        } else {
            Delivered::Unknown
        };
        if Instant::now() >= self.passage.deadline() {
            let phase = if unsent {
                Phase::Connecting
            } else {
                Phase::Waiting
            };
            return Error::TimedOut { phase, delivered };
        }
        Error::Unavailable {
            cause: Cause::Exit(innermost(err)),
            said: None,
            retry_after: None,
            delivered,
        }
    }
}

impl Deref for Discord {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use tokio::{io::AsyncReadExt, net::TcpListener};
    use tokio_util::{sync::CancellationToken, task::TaskTracker};

    use super::*;
    use crate::config;

    /// Reads a request and closes, so that nobody knows what became of it; counts them.
    async fn lose_answers(listener: TcpListener, requests: Arc<AtomicU32>) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"{}") && stream.read_buf(&mut head).await.unwrap_or(0) > 0 {}
            requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn requests_made(repeat: Repeat) -> (u32, Delivered) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU32::new(0));
        tokio::spawn(lose_answers(listener, Arc::clone(&requests)));
        let settings = config::Discord {
            base_url: format!("http://{address}").parse().unwrap(),
            ..config::Discord::default()
        };
        let (metrics, tracker) = (Arc::default(), TaskTracker::new());
        let exit = Exit::open(&settings, &metrics, &CancellationToken::new(), &tracker).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let token = Token::parse("made-up").unwrap();
        let discord = connect(&exit, token, Peer::Own, deadline, Progress::default()).unwrap();
        let route = Route::CreateMessage { channel_id: 1 };
        let request = Request::builder(&route).body(b"{}".to_vec()).build();
        let request = discord.client.request::<Vec<()>>(request.unwrap());
        let error = discord.send(request, repeat).await.unwrap_err();
        (requests.load(Ordering::Relaxed), error.delivered())
    }

    #[tokio::test]
    async fn what_would_be_done_twice_is_not_sent_twice() {
        assert_eq!(requests_made(Repeat::Never).await, (1, Delivered::Unknown));
        assert_eq!(requests_made(Repeat::Safe).await, (3, Delivered::Unknown));
    }
}
