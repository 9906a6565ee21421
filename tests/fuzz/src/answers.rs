//! Discord's answers, whatever they are: every call has its outcome, what may have been delivered is
//! not denied, and nothing is left when it is over.

use std::time::Duration;

use discordd::{frame::JsonTexts, metrics::Framing, surface::stream};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::support::{
    TOKEN,
    calls::check_error,
    indoors::{House, Indoors, caller},
    upstream::{Route, Said},
};

/// What is asked: each way that the operations go.
const CALLS: [(&str, &str); 8] = [
    ("discord.sendMessage", r#""channel_id":3,"content":"hi""#),
    (
        "discord.sendMessage",
        r#""channel_id":3,"content":"hi","nonce":"mine","guild_id":2"#,
    ),
    ("discord.listChannels", r#""types":"all""#),
    ("discord.listChannels", r#""guild_id":2"#),
    ("discord.test", r#""content":"hi""#),
    ("discord.test", r#""channel_id":3"#),
    ("discord.test", r#""guild_id":2,"nonce":1"#),
    ("discord.test", r#""dry_run":true"#),
];
/// Time of a call, in milliseconds: too little to wait for another attempt.
const TIMEOUT_MS: u64 = 400;
/// How long what a call has left may last.
const REST: Duration = Duration::from_secs(5);

thread_local! {
    static INDOORS: &'static Indoors = Indoors::open();
}

/// Checks one input: a byte for the call, and what is answered to it.
pub fn check(bytes: &[u8]) {
    let Some((first, script)) = bytes.split_first() else {
        return;
    };
    let call = CALLS[usize::from(*first) % CALLS.len()];
    // Twice, so that what the guard has learned of the first answers counts for the second call.
    let times = if *first < 128 { 1 } else { 2 };
    INDOORS.with(|indoors| {
        indoors.run(async {
            let upstream = indoors.house.upstream.clone();
            let house = House::open(upstream, true);
            for _ in 0..times {
                house.upstream.follow(script);
                let answer = ask(&house, call).await;
                check_answer(&answer, &house.upstream.said());
            }
            house.stop.cancel();
            house.tracker.close();
            let ended = timeout(REST, house.tracker.wait()).await;
            ended.expect("something goes on behind the calls");
        });
    });
}

async fn ask(house: &House, (method, params): (&str, &str)) -> Value {
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"discord_token":"{TOKEN}","timeout_ms":{TIMEOUT_MS},{params}}}}}"#
    );
    let (mut near, far) = tokio::io::duplex(1 << 16);
    let rpc = house.rpc.clone();
    let served = stream::serve(
        far,
        JsonTexts::new,
        rpc,
        caller(Framing::Lines),
        house.stop.clone(),
    );
    let asked = async {
        near.write_all(text.as_bytes())
            .await
            .expect("it is in memory");
        near.shutdown().await.expect("it is in memory");
        let mut answer = String::new();
        near.read_to_string(&mut answer)
            .await
            .expect("it is in memory");
        answer
    };
    let ((), answer) = tokio::join!(served, asked);
    serde_json::from_str(&answer).expect("one answer is JSON")
}

fn check_answer(answer: &Value, said: &[(Route, Said)]) {
    let posts = said.iter().filter(|(route, _)| *route == Route::Message);
    let posts: Vec<Said> = posts.map(|(_, said)| *said).collect();
    let Some(error) = answer.get("error") else {
        assert!(answer["result"].is_object(), "{answer}");
        return;
    };
    let text = error.to_string();
    assert!(!text.contains(TOKEN), "{text} holds the token");
    check_error(&text);
    let delivered = error["data"]["delivered"].as_str().unwrap_or_default();
    let may_be = posts.iter().any(|said| match said {
        Said::Bytes => false,
        Said::Status(status) => matches!(status, 200..=299 | 408 | 500..=599),
    });
    // A nonce that was used for another message: this one was not posted.
    let reused = error["data"]["kind"] == "nonce_reused";
    assert!(
        !may_be || delivered != "no" || reused,
        "{answer} to {posts:?}"
    );
    assert!(
        !posts.is_empty() || delivered == "no",
        "{answer} to {said:?}"
    );
}
