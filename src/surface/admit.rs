//! Who is let in at a door: users, and who knows its secret. What they may ask for is looked at call
//! by call.

use std::{borrow::Cow, io, sync::Arc, time::Duration};

use axum::{
    http::{StatusCode, request::Parts},
    response::Response,
};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Caller, Rpc, Visitor, answer, http::json, leftover::closing, pages::Site, rest};
use crate::{
    frame::{Found, Framing, JsonTexts},
    metrics::Refusal,
    operation::{Denied, Effect, Error, Rights, Secret},
};

/// How long whoever shows a wrong secret waits for the answer: guessing takes a connection and a
/// second for each.
const PAUSE: Duration = Duration::from_secs(1);
/// Most bytes that are read before the secret is known. The longest is 512 characters, and each may
/// be written as an escape of six.
const MAX_BYTES: usize = 4 << 10;
/// Room for a read, in bytes.
const READ_BYTES: usize = 512;

/// The first text on a raw connection.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown<'a> {
    #[serde(borrow)]
    secret: Cow<'a, str>,
}

/// Reads a text that only shows a secret.
pub(super) fn shown(text: &[u8]) -> Option<Secret> {
    // What serde reads from a list too is an object here.
    let begins = text.iter().find(|byte| !byte.is_ascii_whitespace());
    if begins != Some(&b'{') {
        return None;
    }
    let shown: Shown<'_> = serde_json::from_slice(text).ok()?;
    Some(Secret::of(shown.secret.as_bytes()))
}

/// Gives what a caller may, if that is to call this method at all. Rights that were taken away
/// since the connection was made are gone.
pub(super) fn allow(
    caller: Option<&Caller>,
    method: &'static str,
    effect: Effect,
) -> Result<Arc<Rights>, Error> {
    let Some(caller) = caller else {
        return Ok(Arc::default());
    };
    caller.visitor.admit(effect)?;
    let rights = caller.visitor.rights.now();
    let allowed = rights
        .admit(caller.visitor.user)
        .and_then(|()| rights.check_secret(caller.secret.as_ref()))
        .and_then(|()| rights.check_method(method, effect));
    allowed?;
    Ok(rights)
}

impl Rpc {
    /// Refuses who is not let in. Who guesses waits for it.
    async fn admit(&self, caller: &Caller, stop: &CancellationToken) -> Result<(), Denied> {
        let rights = caller.visitor.rights.now();
        let admitted = rights
            .admit(caller.visitor.user)
            .and_then(|()| rights.check_secret(caller.secret.as_ref()));
        if let Err(denied) = admitted {
            self.metrics().refuse(denied.reason());
            if denied == Denied::SecretWrong {
                tokio::select! {
                    () = sleep(PAUSE) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        admitted
    }

    /// Says why a raw connection is refused.
    #[must_use]
    pub fn denied(&self, denied: Denied) -> String {
        answer::error(&Error::Denied(denied))
    }
}

/// Asks for the secret on a raw connection, if there is one; gives what was read behind it too.
///
/// # Errors
///
/// With what is to be answered before the connection is closed.
pub(super) async fn ask(
    stream: &mut (impl AsyncRead + Unpin),
    texts: &mut JsonTexts,
    rpc: &Rpc,
    caller: &mut Caller,
    stop: &CancellationToken,
) -> Result<(), String> {
    if !caller.visitor.rights.now().has_secret() {
        return Ok(());
    }
    let limit = rpc.shared.limits.header_timeout;
    let read = tokio::select! {
        read = timeout(limit, first_text(stream, texts)) => read,
        () = stop.cancelled() => return Err(answer::error(&Error::Stopping)),
    };
    match read {
        Ok(Ok(secret)) => caller.secret = secret,
        Ok(Err(err)) => tracing::debug!(%err, "a connection ended before its secret"),
        Err(_) => rpc.metrics().refuse(Refusal::Late),
    }
    let admitted = rpc.admit(caller, stop).await;
    admitted.map_err(|denied| rpc.denied(denied))
}

/// Reads the first text; none where it is not a secret.
async fn first_text(
    stream: &mut (impl AsyncRead + Unpin),
    texts: &mut JsonTexts,
) -> io::Result<Option<Secret>> {
    loop {
        match texts.next_found() {
            Some(Found::Text(text)) => return Ok(shown(&text)),
            Some(_) => return Ok(None),
            None if texts.buffer().len() > MAX_BYTES => return Ok(None),
            None => {}
        }
        texts.buffer().reserve(READ_BYTES);
        if stream.read_buf(texts.buffer()).await? == 0 {
            return Ok(None);
        }
    }
}

/// Lets in a request over HTTP, or gives the answer to whoever is not let in.
pub(super) async fn let_in(
    site: &Site,
    visitor: Arc<Visitor>,
    head: &Parts,
) -> Result<Caller, Response> {
    let caller = site.caller(visitor, &head.headers);
    let Err(denied) = site.rpc.admit(&caller, &site.stop).await else {
        return Ok(caller);
    };
    Err(closing(match head.uri.path() {
        "/" | "/mcp" => json(StatusCode::FORBIDDEN, site.rpc.denied(denied)),
        _ => rest::failed(&Error::Denied(denied)),
    }))
}
