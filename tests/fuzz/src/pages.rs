//! HTTP requests, of the pages, of the REST API and of MCP: each has an answer whose status, type and
//! body agree, and which does not hold the token.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use discordd::surface::Entrance;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::support::{
    TOKEN,
    calls::check_details,
    indoors::{Indoors, visitor},
};

/// What the service may answer.
const STATUSES: [u16; 20] = [
    200, 202, 204, 400, 401, 403, 404, 405, 406, 408, 409, 413, 415, 422, 426, 429, 500, 502, 503,
    504,
];
/// What the paths of the REST API are.
const REST: [&str; 3] = ["/channels", "/messages", "/test"];

thread_local! {
    static INDOORS: &'static Indoors = Indoors::open();
}

/// Checks one request: a byte for where it comes in, and then lines: method and path, headers, an
/// empty line, and the body.
pub fn check(bytes: &[u8]) {
    let Some((entrance, bytes)) = bytes.split_first() else {
        return;
    };
    let entrance = match entrance % 3 {
        0 => Entrance::Unix,
        1 => Entrance::Network,
        _ => Entrance::Loopback { port: 9091 },
    };
    let Some(request) = request(bytes) else {
        return;
    };
    let path = request.uri().path().to_owned();
    INDOORS.with(|indoors| {
        indoors.run(async {
            let visitor = visitor(entrance);
            let answer = indoors.house.pages.answer(visitor, request).await;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.expect("it is in memory").to_bytes();
            let kind = head.headers.get(header::CONTENT_TYPE);
            let is_json = kind.is_some_and(|it| it == "application/json");
            check_answer(&path, head.status, is_json, &body);
        });
    });
}

fn request(bytes: &[u8]) -> Option<Request<Body>> {
    let end = bytes.windows(2).position(|it| it == b"\n\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split('\n');
    let (method, path) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(path);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        request = request.header(name, value.trim());
    }
    request.body(Body::from(bytes[end + 2..].to_vec())).ok()
}

fn check_answer(path: &str, status: StatusCode, is_json: bool, body: &[u8]) {
    assert!(STATUSES.contains(&status.as_u16()), "{status}");
    let text = String::from_utf8_lossy(body);
    // Whoever put it in an id gets it back.
    let of_id = text.contains("\"id\":\"");
    assert!(of_id || !text.contains(TOKEN), "{text} holds the token");
    if !is_json {
        return;
    }
    let json: Option<Value> = serde_json::from_str(&text).ok();
    let of_rest = REST.contains(&path);
    let Some(json) = json else {
        // JSON may hold what a value of serde_json's cannot: an id is given back as it came.
        assert!(!of_rest && of_id, "{text}");
        return;
    };
    if of_rest && status != StatusCode::OK {
        assert_eq!(json["success"], false, "{json}");
        assert_eq!(json["code"], status.as_u16(), "{json}");
        assert!(json["error"].is_string(), "{json}");
        check_details(&json["data"]);
    }
    if of_rest && status == StatusCode::OK {
        assert!(
            json["success"] == true || json["channels"].is_array(),
            "{json}"
        );
    }
    let result = &json["result"];
    if result["isError"] == true {
        check_details(&result["structuredContent"]["data"]);
    }
}
