//! JSON-RPC 2.0 to the letter, on every framing alike, and as other libraries speak it.
//! See <https://www.jsonrpc.org/specification>.

use jsonrpsee_core::client::ClientT;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::support::{daemon::Daemon, websocket::Socket};

const NOWHERE: &str = "http://127.0.0.1:9";

/// One answer: its id as it was written, and the code of its error.
#[derive(Debug, Deserialize)]
struct Answer {
    jsonrpc: String,
    id: Box<RawValue>,
    result: Option<Value>,
    error: Option<ErrorObject>,
}

#[derive(Debug, Deserialize)]
struct ErrorObject {
    code: i32,
    message: String,
}

/// What a document is answered with: nothing, one answer, or a list.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Nothing,
    One(&'static str, i32),
    List(&'static [(&'static str, i32)]),
}
use Expected::{List, Nothing, One};

/// The code that stands for a result.
const OK: i32 = 0;

/// The specification's own examples, with a method that there is in the place of `subtract`; and
/// ids of every legal kind.
const CASES: &[(&str, Expected)] = &[
    (
        r#"{"jsonrpc": "2.0", "method": "health", "params": [], "id": 1}"#,
        One("1", OK),
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "health", "params": {}, "id": 3}"#,
        One("3", OK),
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "health", "id": 4}"#,
        One("4", OK),
    ),
    (r#"{"jsonrpc": "2.0", "method": "health"}"#, Nothing),
    (
        r#"{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}"#,
        Nothing,
    ),
    (r#"{"jsonrpc": "2.0", "method": "foobar"}"#, Nothing),
    (
        r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#,
        One(r#""1""#, -32601),
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#,
        One("null", -32700),
    ),
    (
        r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#,
        One("null", -32600),
    ),
    (
        r#"[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]"#,
        One("null", -32700),
    ),
    (
        r#"{"jsonrpc": "2.0", "id": 1, "id": 2, "method": "health"}"#,
        One("null", -32600),
    ),
    (
        r#"{"jsonrpc": "2.0", "id": 1, "id": 2, "method": health}"#,
        One("null", -32700),
    ),
    ("[]", One("null", -32600)),
    ("[1]", List(&[("null", -32600)])),
    (
        "[1,2,3]",
        List(&[("null", -32600), ("null", -32600), ("null", -32600)]),
    ),
    (
        r#"[{"jsonrpc": "2.0", "method": "health", "params": [], "id": "1"},
         {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
         {"jsonrpc": "2.0", "method": "health", "params": [], "id": "2"},
         {"foo": "boo"},
         {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
         {"jsonrpc": "2.0", "method": "health", "id": "9"}]"#,
        List(&[
            (r#""1""#, OK),
            (r#""2""#, OK),
            ("null", -32600),
            (r#""5""#, -32601),
            (r#""9""#, OK),
        ]),
    ),
    (
        r#"[{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
         {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]"#,
        Nothing,
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","id":-1}"#,
        One("-1", OK),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","id":1.5}"#,
        One("1.5", OK),
    ),
    (
        r#"{"jsonrpc":"2\u002e0","method":"he\u0061lth","id":1}"#,
        One("1", OK),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","id":1e400}"#,
        One("1e400", OK),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","id":18446744073709551616}"#,
        One("18446744073709551616", OK),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","id":""}"#,
        One(r#""""#, OK),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","id":"a\"\u00e9"}"#,
        One(r#""a\"\u00e9""#, OK),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","id":null}"#,
        One("null", OK),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","id":true}"#,
        One("null", -32600),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","id":[1]}"#,
        One("null", -32600),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","id":{}}"#,
        One("null", -32600),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","id":1,"id":2}"#,
        One("null", -32600),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","method":"health","id":1}"#,
        One("null", -32600),
    ),
    (
        r#"{"jsonrpc":"2.0","\u006dethod":"\u0068ealth","id":1}"#,
        One("1", OK),
    ),
    (
        r#"{"jsonrpc":"1.0","method":"health","id":1}"#,
        One("1", -32600),
    ),
    (
        r#"{"jsonrpc":2.0,"method":"health","id":1}"#,
        One("1", -32600),
    ),
    (r#"{"method":"health","id":1}"#, One("1", -32600)),
    (r#"{"jsonrpc":"2.0","id":1}"#, One("1", -32600)),
    (
        r#"{"jsonrpc":"2.0","method":"health","params":1,"id":1}"#,
        One("1", -32600),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","params":null,"id":1}"#,
        One("1", OK),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","params":"x","id":1}"#,
        One("1", -32600),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","params":[1],"id":1}"#,
        One("1", -32602),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"health","params":{"a":1},"id":1}"#,
        One("1", -32602),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"rpc.discover","params":{ },"id":1}"#,
        One("1", OK),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"rpc.discover","params":[1],"id":1}"#,
        One("1", -32602),
    ),
    (
        r#"{"jsonrpc":"2.0","method":"rpc.nothing","id":1}"#,
        One("1", -32601),
    ),
    (r#"{"jsonrpc":"2.0","method":"","id":1}"#, One("1", -32601)),
    (
        r#"{"jsonrpc":"2.0","method":"health","id":1,"extra":{"a":[1]}}"#,
        One("1", OK),
    ),
    (r#"[["2.0",1,"health",{}]]"#, List(&[("null", -32600)])),
    ("[[]]", List(&[("null", -32600)])),
];

/// Holds what `text` was answered with.
fn check(framing: &str, document: &str, text: Option<&str>, expected: &Expected) {
    let about = format!("{document} over {framing}: {text:?}");
    let found = text.map(|text| {
        let answers: Vec<Answer> = if text.starts_with('[') {
            serde_json::from_str(text).unwrap()
        } else {
            vec![serde_json::from_str(text).unwrap()]
        };
        answers
    });
    let expected = match (expected, text) {
        (Nothing, None) => return,
        (One(id, code), Some(text)) if text.starts_with('{') => vec![(*id, *code)],
        (List(list), Some(text)) if text.starts_with('[') => list.to_vec(),
        _ => panic!("not {expected:?} for {about}"),
    };
    let found = found.unwrap();
    assert_eq!(found.len(), expected.len(), "{about}");
    for (answer, (id, code)) in found.iter().zip(expected) {
        assert_eq!(answer.jsonrpc, "2.0", "{about}");
        assert_eq!(answer.id.get(), id, "{about}");
        assert_eq!(
            answer.error.as_ref().map_or(OK, |error| error.code),
            code,
            "{about}"
        );
        assert_eq!(answer.result.is_some(), answer.error.is_none(), "{about}");
        assert!(
            answer
                .error
                .as_ref()
                .is_none_or(|error| !error.message.is_empty())
        );
    }
}

#[test]
fn every_document_is_answered_alike_on_every_framing() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let mark = r#"{"jsonrpc":"2.0","id":"mark","method":"health"}"#;
    for (document, expected) in CASES {
        let mut lines = daemon.lines();
        lines.send(document.as_bytes());
        lines.end();
        let answers = lines.rest_of_text();
        let mut answers = answers.lines();
        check("lines", document, answers.next(), expected);
        assert_eq!(answers.next(), None, "{document}");

        let headers = [("content-type", "application/json")];
        let answer = daemon
            .http()
            .send("POST", "/", &headers, document.as_bytes());
        let body = String::from_utf8(answer.body).unwrap();
        let nothing = answer.status == 204;
        assert!(
            nothing || answer.status == 200,
            "{document}: {}",
            answer.status
        );
        check("HTTP", document, (!nothing).then_some(&body), expected);

        let mut socket = Socket::connect(&daemon);
        socket.send(document);
        if *expected != Nothing {
            let text = socket.read().unwrap();
            check("WebSocket", document, Some(&text), expected);
        }
        // Whatever was sent, the next call is answered, and nothing before it.
        assert_eq!(socket.ask(mark)["id"], "mark", "{document}");
    }
}

#[test]
fn the_openrpc_document_describes_every_method() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let answer = daemon.call("rpc.discover", &json!({}));
    let document = &answer["result"];
    let names: Vec<&str> = document["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|method| method["name"].as_str().unwrap())
        .collect();
    let expected = [
        "health",
        "discord.listChannels",
        "discord.sendMessage",
        "discord.test",
        "rpc.discover",
    ];
    assert_eq!(names, expected);
    let page = daemon.http().send("GET", "/openrpc.json", &[], b"").json();
    assert_eq!(&page, document);
    let send = &document["methods"][2];
    let params: Vec<&str> = send["params"]
        .as_array()
        .unwrap()
        .iter()
        .map(|param| param["name"].as_str().unwrap())
        .collect();
    assert_eq!(params[..3], ["discord_token", "channel_id", "content"]);
    assert_eq!(params.last(), Some(&"timeout_ms"));
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split(r##""$ref":"#"##).skip(1) {
        let path = reference.split('"').next().unwrap();
        assert!(document.pointer(path).is_some(), "{path}");
    }
    assert_eq!(
        daemon.call("rpc.discover", &json!({"a": 1}))["error"]["code"],
        -32602
    );
}

#[tokio::test]
async fn jsonrpsees_own_clients_are_understood() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let http = jsonrpsee_http_client::HttpClientBuilder::default()
        .build(format!("http://{}", daemon.tcp))
        .unwrap();
    let socket = jsonrpsee_ws_client::WsClientBuilder::default()
        .build(format!("ws://{}", daemon.tcp))
        .await
        .unwrap();
    converse(&http).await;
    converse(&socket).await;
}

async fn converse(client: &impl ClientT) {
    use jsonrpsee_core::{
        ClientError,
        params::{ArrayParams, BatchRequestBuilder, ObjectParams},
    };
    let health: Value = client.request("health", ArrayParams::new()).await.unwrap();
    assert_eq!(health["status"], "healthy");
    let mut params = ObjectParams::new();
    params.insert("discord_token", "t").unwrap();
    let refused = client
        .request::<Value, _>("discord.sendMessage", params)
        .await;
    let Err(ClientError::Call(error)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error.code(), -32602);
    client
        .notification("health", ArrayParams::new())
        .await
        .unwrap();
    let mut batch = BatchRequestBuilder::new();
    batch.insert("health", ArrayParams::new()).unwrap();
    batch.insert("nothing", ArrayParams::new()).unwrap();
    let answers = client.batch_request::<Value>(batch).await.unwrap();
    assert_eq!(
        (answers.num_successful_calls(), answers.num_failed_calls()),
        (1, 1)
    );
}

#[test]
fn another_librarys_clients_are_understood() {
    use jsonrpc::{Client, Error, simple_http::SimpleHttpTransport, simple_uds::UdsTransport};
    let daemon = Daemon::start(NOWHERE, &[]);
    // It sends raw JSON without a line's end, and waits for the whole answer.
    let raw = Client::with_transport(UdsTransport::new(&daemon.socket));
    let http = SimpleHttpTransport::builder();
    let http = http
        .url(&format!("http://{}/", daemon.tcp))
        .unwrap()
        .build();
    for client in [raw, Client::with_transport(http)] {
        let health: Value = client.call("health", None).unwrap();
        assert_eq!(health["status"], "healthy");
        let refused = client.call::<Value>("nothing", None);
        assert!(matches!(refused, Err(Error::Rpc(error)) if error.code == -32601));
    }
}
