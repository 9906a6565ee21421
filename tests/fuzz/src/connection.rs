//! Connections: whatever comes on one, in pieces of any size, it ends behind its last answer, and
//! each call on it has one.

use discordd::{
    frame::{Bounds, Found, JsonTexts, Messages},
    metrics::Framing,
    surface::{Entrance, http, stream},
};
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::{
    support::{
        calls::{self, Answers, Expected},
        indoors::{Indoors, MAX_DEPTH, caller, visitor},
        reads::cut,
    },
    texts,
};

/// Room for what is on the way, in bytes: so little that both ends wait for each other.
const ROOM_BYTES: usize = 256;
/// How large a text may be: no input is so long.
const BOUNDS: Bounds = Bounds {
    max_bytes: 1 << 20,
    max_depth: MAX_DEPTH,
};
/// Texts in a row that are no calls after which a connection is closed.
const MAX_BROKEN: usize = 8;

thread_local! {
    static INDOORS: &'static Indoors = Indoors::open();
}

/// Checks one input: where to cut it, and all that comes. As at a door, the first byte tells what is
/// spoken; what would be nonsense there is taken for frames of a WebSocket.
pub fn check(bytes: &[u8]) {
    let Some((input, reads)) = cut(bytes) else {
        return;
    };
    let Some(first) = input.first() else { return };
    INDOORS.with(|indoors| {
        indoors.run(async {
            let (near, far) = tokio::io::duplex(ROOM_BYTES);
            let spoken = speak(near, reads);
            match first {
                b'{' | b'[' => {
                    let served = stream::serve(
                        far,
                        JsonTexts::new,
                        indoors.house.rpc.clone(),
                        caller(Framing::Lines),
                        indoors.house.stop.clone(),
                    );
                    let (answers, ()) = tokio::join!(spoken, served);
                    check_lines(input, &answers);
                }
                b'A'..=b'Z' => {
                    let served = http::serve(
                        far,
                        visitor(Entrance::Unix),
                        indoors.house.pages.clone(),
                        indoors.house.rpc.clone(),
                        indoors.house.stop.clone(),
                    );
                    let (answers, ()) = tokio::join!(spoken, served);
                    check_http(input, &answers);
                }
                _ => {
                    let served = stream::serve(
                        far,
                        Messages::new,
                        indoors.house.rpc.clone(),
                        caller(Framing::Websocket),
                        indoors.house.stop.clone(),
                    );
                    let (answers, ()) = tokio::join!(spoken, served);
                    // The last frame is a Close with its code.
                    let close = answers.len().checked_sub(4).map(|at| &answers[at..at + 2]);
                    assert_eq!(close, Some(&b"\x88\x02"[..]));
                }
            }
        });
    });
}

/// Says everything in these pieces, and that this is all; gives what comes back, up to its end.
async fn speak<'a>(stream: DuplexStream, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let said = async move {
        for piece in pieces {
            // The other end may have had enough.
            if writer.write_all(piece).await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    };
    let mut answers = Vec::new();
    let ((), read) = tokio::join!(said, reader.read_to_end(&mut answers));
    read.expect("it is in memory");
    answers
}

/// Holds that each call has one answer, in any order.
fn check_lines(input: &[u8], answers: &[u8]) {
    let answers = std::str::from_utf8(answers).expect("JSON is UTF-8");
    assert!(answers.is_empty() || answers.ends_with('\n'));
    let answers: Vec<Vec<&str>> = answers.lines().map(ids).collect();
    let found = texts::found_with(input.chunks(input.len()), BOUNDS);
    let begins = |found: &Found| match found {
        Found::Text(text) => text.starts_with(b"{") || text.starts_with(b"["),
        Found::Broken(_) | Found::End | Found::Reply(_) => false,
    };
    let broken = found.iter().filter(|it| !begins(it)).count();
    let expected = found.iter().filter_map(|found| match found {
        Found::Text(text) => match calls::expected(text) {
            Answers::Batch(all) => Some(all.iter().map(|it| it.id.to_owned()).collect()),
            Answers::None => None,
            Answers::One(Expected { id, .. }) => Some(vec![id.to_owned()]),
        },
        Found::Broken(_) | Found::End | Found::Reply(_) => Some(vec!["null".to_owned()]),
    });
    let mut expected: Vec<Vec<String>> = expected.collect();
    for answer in &answers {
        let at = expected.iter().position(|it| it == answer);
        let at = at.unwrap_or_else(|| panic!("{answer:?} answers nothing"));
        expected.swap_remove(at);
    }
    assert!(
        expected.is_empty() || broken >= MAX_BROKEN,
        "{expected:?} have no answer"
    );
}

/// Holds that each answer is whole, and the next begins behind it.
fn check_http(input: &[u8], answers: &[u8]) {
    // What is asked for by HEAD is told without its body.
    let may_lack_bodies = at(input, b"HEAD ").is_some();
    // Where an upgrade was asked for, hyper leaves at the end what still waits for its peer.
    let may_be_cut = at(&input.to_ascii_lowercase(), b"upgrade").is_some();
    let mut rest = answers;
    while !rest.is_empty() {
        let Some((head, behind)) = split_head(rest) else {
            assert!(may_be_cut, "the last head is not whole");
            return;
        };
        let length = header(head, "content-length").map(|it| it.parse().expect("a number"));
        rest = match length {
            Some(_) if may_lack_bodies && (behind.is_empty() || is_answer(behind)) => behind,
            Some(length) if behind.len() < length => {
                assert!(may_be_cut, "the last body is not whole");
                return;
            }
            Some(length) => &behind[length..],
            None if head.starts_with("HTTP/1.1 100 ") || head.starts_with("HTTP/1.1 204 ") => {
                behind
            }
            // Frames, or a stream up to the end.
            None => return,
        };
    }
}

/// The head of an answer, and what is behind it; none where it does not end.
fn split_head(answers: &[u8]) -> Option<(&str, &[u8])> {
    assert!(is_answer(answers), "an answer is not whole");
    let end = at(answers, b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answers[..end]).expect("a head is text");
    Some((head, &answers[end..]))
}

/// Whether an answer begins here, as far as there is something.
fn is_answer(bytes: &[u8]) -> bool {
    let start = b"HTTP/1.";
    bytes.starts_with(&start[..start.len().min(bytes.len())])
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    let found = headers.find(|(it, _)| it.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

/// Where these bytes are.
fn at(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|it| it == wanted)
}

/// The ids of an answer: one, or those of a batch.
fn ids(answer: &str) -> Vec<&str> {
    let all: Vec<&RawValue> = if answer.starts_with('[') {
        serde_json::from_str(answer).expect("a batch is a list")
    } else {
        vec![serde_json::from_str(answer).expect("an answer is JSON")]
    };
    all.into_iter().map(|it| id(it.get())).collect()
}

fn id(answer: &str) -> &str {
    let members: calls::Members<'_> = serde_json::from_str(answer).expect("it is an object");
    members.get("id").expect("it has an id")
}
