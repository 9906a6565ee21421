//! What Discord says with a status that is no success, and what callers are told of it: any bytes
//! give a sentence and details, short and without the call's token.

use discordd::{
    discord::{Delivered, Error as DiscordError, Said, Token},
    operation::Error,
};

use super::support::{TOKEN, calls::check_details};

/// Longest text of Discord's that is passed on, in characters: 300, and the sign that there was more.
const MAX_CHARS: usize = 301;
/// Most field errors that are passed on.
const MAX_FIELDS: usize = 50;
/// A token that looks like none, and like what stands in field errors' paths.
const SHORT: &str = "a.b/c";

/// Checks one answer: two bytes for its status, the rest its body.
pub fn check(bytes: &[u8]) {
    let Some((status, body)) = bytes.split_at_checked(2) else {
        return;
    };
    let status = 300 + (u16::from(status[0]) << 8 | u16::from(status[1])) % 300;
    for token in [TOKEN, SHORT] {
        let said = Said::read(status, body, &Token::parse(token).expect("it is one"));
        check_said(&said, token);
        for error in errors(&said) {
            check_told(&Error::from(error), token);
        }
    }
}

fn check_said(said: &Said, token: &str) {
    assert!(said.fields.len() <= MAX_FIELDS);
    let fields = said.fields.iter();
    let texts = fields
        .flat_map(|field| [&field.code, &field.message])
        .chain(&said.message);
    for text in texts {
        assert!(text.chars().count() <= MAX_CHARS, "{text}");
    }
    let fields = said.fields.iter();
    let texts = fields.flat_map(|field| [&field.code, &field.message, &field.path]);
    for text in texts.chain(&said.message) {
        assert!(!text.contains(token), "{text} holds the token");
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}

/// Every error that is made of it.
fn errors(said: &Said) -> [DiscordError; 3] {
    let delivered = Delivered::No;
    [
        DiscordError::Refused {
            said: said.clone(),
            delivered,
        },
        DiscordError::RateLimited {
            scope: discordd::discord::Scope::User,
            retry_after: None,
            said: said.clone(),
            delivered,
        },
        DiscordError::Unavailable {
            cause: discordd::discord::Cause::Status(said.status),
            said: Some(said.clone()),
            retry_after: None,
            delivered: Delivered::Unknown,
        },
    ]
}

fn check_told(error: &Error, token: &str) {
    let sentence = error.sentence();
    assert!(
        !sentence.is_empty() && !sentence.contains(token),
        "{sentence}"
    );
    let details = serde_json::to_value(error.details()).expect("details are JSON");
    check_details(&details);
    assert!(!details.to_string().contains(token), "{details}");
    assert!(error.status().is_some_and(|it| (400..600).contains(&it)));
}
