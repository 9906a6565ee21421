//! What holds of any input, held of inputs that are made up here: the same ones on every run. What
//! they must keep is what the fuzz targets hold.

use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use serde_json::{Value, json};

use crate::corpus::checks::{answers, connection, document, messages, pages, params, said, texts};

/// Holds a property of so many inputs; the smallest that breaks it is shown.
fn hold<S: Strategy>(cases: u32, inputs: S, property: impl Fn(S::Value)) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, random).run(&inputs, |input| {
        property(input);
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, input)) => panic!("{why}: {input:?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// Any bytes, and among them more of those that mean something.
fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let telling = select(b"{}[]\"\\:,\n\r 01ntf\x81\x88\x80\x1e".to_vec());
    vec(prop_oneof![telling, any::<u8>()], 0..most)
}

/// Any JSON value.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        let members = vec((any::<String>(), inner.clone()), 0..5);
        prop_oneof![
            vec(inner, 0..5).prop_map(Value::from),
            members.prop_map(|it| Value::Object(it.into_iter().collect())),
        ]
    })
}

/// An id as it may be written, and some that may not be.
fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|it| json!(it).to_string()),
        any::<i64>().prop_map(|it| it.to_string()),
        (any::<i64>(), any::<u32>(), -400..400_i32).prop_map(|(a, b, c)| format!("{a}.{b}e{c}")),
        value().prop_map(|it| it.to_string()),
        Just("null".to_owned()),
    ]
}

/// A call, whole or with members that are missing or wrong.
fn call() -> impl Strategy<Value = String> {
    let version = prop_oneof![4 => Just(json!("2.0")), 1 => value()].prop_map(|it| it.to_string());
    let method = select(vec!["health", "rpc.discover", "discord.test", "nope", ""]);
    let method = prop_oneof![
        4 => method.prop_map(|it| json!(it).to_string()),
        1 => value().prop_map(|it| it.to_string()),
    ];
    let params = value().prop_map(|it| it.to_string());
    let often = |it: BoxedStrategy<String>| proptest::option::weighted(0.9, it);
    let members = (
        often(version.boxed()),
        often(id().boxed()),
        often(method.boxed()),
        proptest::option::weighted(0.3, params),
    );
    members.prop_map(|(version, id, method, params)| {
        let members = [
            ("jsonrpc", version),
            ("id", id),
            ("method", method),
            ("params", params),
        ];
        let members = members.into_iter();
        let members = members.filter_map(|(name, it)| Some(format!("\"{name}\": {}", it?)));
        format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
    })
}

/// A call or a batch.
fn calls() -> impl Strategy<Value = String> {
    let batch = vec(call(), 0..7).prop_map(|calls| format!("[{}]", calls.join(",")));
    prop_oneof![2 => call(), 1 => batch]
}

#[test]
fn a_call_has_the_answer_that_the_specification_has_for_it_under_its_id_as_sent() {
    hold(1000, calls(), |text| document::check(text.as_bytes()));
}

#[test]
fn calls_on_a_connection_are_answered_once_each_wherever_the_reads_fall() {
    let space = select(vec!["", " ", "\n", "\r\n\t"]);
    let stream = (any::<u8>(), vec((calls(), space), 1..5));
    hold(300, stream, |(plan, calls)| {
        let texts = calls.into_iter().map(|(call, space)| call + space);
        let stream: String = texts.collect();
        connection::check(&[&[plan], stream.as_bytes()].concat());
    });
}

#[test]
fn texts_are_found_wherever_the_reads_fall() {
    let text = prop_oneof![
        value().prop_map(|it| it.to_string()),
        value().prop_map(|it| serde_json::to_string_pretty(&it).unwrap()),
    ];
    let space = select(vec!["", " ", "\n", "\r\n\t"]);
    let stream = (any::<u8>(), vec((text, space), 1..5));
    hold(1000, stream, |(plan, texts)| {
        let texts = texts.into_iter().map(|(text, space)| text + space);
        let stream: String = texts.collect();
        texts::check(&[&[plan], stream.as_bytes()].concat());
    });
}

#[test]
fn a_text_that_is_too_long_is_an_error_and_the_next_line_is_read() {
    // Longer than the target's limit, by a text of any length inside.
    let long = (
        any::<u8>(),
        510..2000_usize,
        select(vec!['x', '[', '1', ' ']),
    );
    hold(300, long, |(plan, length, filler)| {
        let filler: String = std::iter::repeat_n(filler, length).collect();
        let stream = format!("[\"{filler}\"]\n{{}}\n");
        let found = texts::found_in(stream.as_bytes());
        assert!(
            matches!(found[0], discordd::frame::Found::Broken(_)),
            "{length}"
        );
        assert!(matches!(&found[1], discordd::frame::Found::Text(text) if text == "{}"));
        texts::check(&[&[plan], stream.as_bytes()].concat());
    });
}

#[test]
fn no_bytes_panic() {
    hold(1000, bytes(200), |bytes| {
        texts::check(&bytes);
        messages::check(&bytes);
        document::check(&bytes);
        params::check(&bytes);
        said::check(&bytes);
    });
    hold(200, bytes(200), |bytes| {
        connection::check(&bytes);
        pages::check(&bytes);
        answers::check(&bytes);
    });
}

#[test]
fn params_of_any_operation_are_taken_as_their_schema_has_them_and_else_refused_by_name() {
    let made = (any::<u8>(), 1..40_u8, vec(any::<u8>(), 0..300));
    hold(1000, made, |(operation, how, bytes)| {
        params::check(&[&[operation, how], &bytes[..]].concat());
    });
}

#[test]
fn params_of_any_kind_are_read_or_refused_by_name() {
    let names = select(vec![
        "channel_id",
        "content",
        "embeds",
        "nonce",
        "types",
        "guild_id",
        "x",
    ]);
    let params = (any::<u8>(), vec((names, value()), 0..4));
    hold(500, params, |(operation, members)| {
        let members = members
            .into_iter()
            .map(|(name, value)| format!("\"{name}\":{value}"));
        let text = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
        params::check(&[&[operation, 0], text.as_bytes()].concat());
    });
}

#[test]
fn a_wait_that_discord_asks_for_is_a_time_whatever_it_looks_like() {
    let number = prop_oneof![
        any::<f64>().prop_map(|it| it.to_string()),
        any::<u64>().prop_map(|it| it.to_string()),
        select(vec![
            "",
            "-0",
            "1e400",
            "inf",
            "NaN",
            "Wed, 21 Oct 2026 07:28:00 GMT",
            " 1 ",
            "0x1"
        ])
        .prop_map(str::to_owned),
    ];
    let scope = select(vec!["user", "shared", "global", "", "USER"]);
    let status = select(vec![429, 503, 500, 401, 403]);
    let waits = (status, scope, number.clone(), number, any::<bool>());
    hold(200, waits, |(status, scope, header, body, global)| {
        let script = format!(
            "\u{0}m{status}\nretry-after: {header}\nx-ratelimit-scope: {scope}\n\n{{\"retry_after\":{body},\"global\":{global}}}"
        );
        answers::check(script.as_bytes());
    });
}
