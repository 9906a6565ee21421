//! JSON-RPC documents: any bytes have the answer that the specification has for them, one for each
//! call with an id and under that id, and none holds the token of a call.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use discordd::surface::Entrance;
use http_body_util::BodyExt as _;
use serde_json::value::RawValue;

use super::support::{
    TOKEN,
    calls::{self, Answers},
    indoors::{Indoors, visitor},
};

thread_local! {
    static INDOORS: &'static Indoors = Indoors::open();
}

/// Checks one document.
pub fn check(document: &[u8]) {
    let answer = INDOORS.with(|indoors| indoors.run(ask(indoors, document)));
    let expected = calls::expected(document);
    match (&expected, &answer) {
        (Answers::None, None) => {}
        (Answers::One(expected), Some(answer)) => calls::check(answer, expected),
        (Answers::Batch(expected), Some(answer)) => {
            let answers: Vec<&RawValue> = serde_json::from_str(answer).expect("a batch is a list");
            assert_eq!(answers.len(), expected.len(), "{answer} for {expected:?}");
            for (answer, expected) in answers.iter().zip(expected) {
                calls::check(answer.get(), expected);
            }
        }
        _ => panic!("{answer:?} for {expected:?}"),
    }
    let answer = answer.unwrap_or_default();
    assert!(
        !answer.contains(TOKEN) || is_in_an_id(&expected),
        "{answer} holds the token"
    );
}

/// Whether the caller itself put the token in an id, which every answer must repeat.
fn is_in_an_id(answers: &Answers<'_>) -> bool {
    let has = |id: &str| id.contains(TOKEN);
    match answers {
        Answers::Batch(all) => all.iter().any(|it| has(it.id)),
        Answers::None => false,
        Answers::One(one) => has(one.id),
    }
}

async fn ask(indoors: &Indoors, document: &[u8]) -> Option<String> {
    let request = Request::post("/").header("content-type", "application/json");
    let request = request.body(Body::from(document.to_vec()));
    let request = request.expect("the request has no error");
    let visitor = visitor(Entrance::Unix);
    let answer = indoors.house.pages.answer(visitor, request).await;
    let status = answer.status();
    let body = answer.into_body().collect().await.expect("it is in memory");
    if status == StatusCode::NO_CONTENT {
        return None;
    }
    assert_eq!(status, StatusCode::OK);
    Some(String::from_utf8(body.to_bytes().to_vec()).expect("JSON is UTF-8"))
}
