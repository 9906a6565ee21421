//! The params of every operation, as text and made up from its own schema: what the schema takes is
//! read, what it does not is refused under its path, and no error holds a value.

use std::{cell::OnceCell, sync::Arc, time::Duration};

use discordd::{
    discord::{Peer, Progress},
    operation::{Call, Entry, Error, Job, Params, TABLE},
};
use serde_json::{Value, value::RawValue};
use tokio::time::Instant;

use super::support::{
    TOKEN,
    calls::check_details,
    indoors::Indoors,
    schema::{self, MARKED, MARKER, Maker},
};

thread_local! {
    static INDOORS: &'static Indoors = Indoors::open();
    static SCHEMAS: OnceCell<Vec<Value>> = const { OnceCell::new() };
}

/// Checks one input: a byte for the operation, one for how it is made, and the rest.
pub fn check(bytes: &[u8]) {
    let Some(([operation, how], rest)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let at = usize::from(*operation) % TABLE.len();
    match how {
        0 => check_text(&TABLE[at], rest),
        1 => check_made(at, Maker::new(rest, None)),
        _ => check_made(at, Maker::new(rest, Some(usize::from(*how) - 2))),
    }
}

/// Params as anybody may write them.
fn check_text(entry: &Entry, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // Nothing else comes here: the envelope is read before.
    if serde_json::from_str::<&RawValue>(text).is_err() || !text.starts_with(['{', '[']) {
        return;
    }
    let positions: Vec<&'static str> = ["discord_token"]
        .into_iter()
        .chain(entry.positions.iter().copied())
        .collect();
    let read = Params::parse(text, &positions).and_then(|mut params| {
        params.take::<String>("discord_token")?;
        params.take::<u64>("timeout_ms")?;
        Ok(params)
    });
    let outcome = read.and_then(|params| begin(entry, params));
    if let Err(error) = outcome.and_then(finish) {
        check_refused(&error);
    }
}

/// Params as the operation's schema has them.
fn check_made(at: usize, maker: Maker<'_>) {
    let (params, wrong) = SCHEMAS.with(|schemas| {
        let schemas = schemas.get_or_init(|| TABLE.iter().map(schema::of).collect());
        maker.make(&schemas[at])
    });
    let text = params.to_string();
    let read = Params::parse(&text, &[]).and_then(|params| begin(&TABLE[at], params));
    match (read, wrong) {
        (Ok(job), None) => {
            if let Err(error) = finish(job) {
                check_refused(&error);
            }
        }
        (Err(error), Some(wrong)) => {
            check_refused(&error);
            assert!(
                matches!(error, Error::Param { .. }),
                "{} in {text}",
                error.sentence()
            );
            assert_eq!(path(&error), wrong, "{} in {text}", error.sentence());
        }
        (Ok(_), Some(wrong)) => panic!("{wrong} was taken in {text}"),
        (Err(error), None) => panic!("{} in {text}", error.sentence()),
    }
}

/// Reads params for a call that has no token: it is not sent.
fn begin(entry: &Entry, params: Params<'_>) -> Result<Job, Error> {
    let call = INDOORS.with(|indoors| Call {
        hall: Arc::clone(&indoors.house.hall),
        token: None,
        peer: Peer::Own,
        rights: Arc::default(),
        deadline: Instant::now() + Duration::from_secs(1),
        progress: Progress::default(),
    });
    entry.read(params, call)
}

fn finish(job: Job) -> Result<String, Error> {
    INDOORS.with(|indoors| indoors.run(job))
}

fn path(error: &Error) -> String {
    let details = serde_json::to_value(error.details()).expect("details are JSON");
    details["path"].as_str().unwrap_or_default().to_owned()
}

/// Holds that an error is the caller's mistake, says where, and repeats nothing that was given.
fn check_refused(error: &Error) {
    assert!(error.is_mistake(), "{}", error.sentence());
    let details = serde_json::to_value(error.details()).expect("details are JSON");
    check_details(&details);
    assert!(details["path"].is_string(), "{details}");
    let told = format!("{} {details}", error.sentence());
    for secret in [TOKEN, MARKER, "c2VjcmV0", &MARKED.to_string()] {
        assert!(!told.contains(secret), "{told}");
    }
}
