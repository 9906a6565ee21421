//! The Model Context Protocol: the operations as tools of agents, over HTTP and on standard input.
//!
//! rmcp speaks the protocol, in every revision from 2024-11-05 to 2026-07-28, each request by
//! itself; its types are named in this folder alone. No session is kept, and nothing here talks to
//! Discord: a tool's call goes the way that a JSON-RPC call goes.
//! See <https://modelcontextprotocol.io/specification/2026-07-28>.

mod carry;
mod endpoint;
mod lines;
mod message;
mod result;
mod schema;
mod stdio;
mod tools;

use std::{sync::Arc, time::Duration};

use axum::http::request::Parts;
use futures_util::future::ready;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult,
        DiscoverResult, ErrorCode, Implementation, ListToolsResult, MetaObject,
        PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion, ServerCapabilities,
        ServerConfig,
    },
    service::RequestContext,
};
use serde_json::{Map, Value, value::RawValue};

use self::tools::Listed;
pub use self::{
    carry::{Asked, Carried, Carry},
    endpoint::Endpoint,
    stdio::serve,
    tools::{Offer, UnknownTool},
};
use super::{Caller, Traceparent};
use crate::{
    discord::{Progress, Wait},
    operation::Entry,
};

/// How long a client may keep the list of tools, which changes with the daemon's version and
/// settings only, in milliseconds.
const FRESH_MS: u64 = 300_000;

/// The param that carries the token elsewhere: a model never sees a token, and never sends one.
const TOKEN: &str = "discord_token";

/// Where agents ask: the tools that are offered there, and who carries them out.
#[derive(Clone)]
pub struct Desk {
    carrier: Arc<dyn Carry>,
    offer: Offer,
    caller: Option<Caller>,
    guild_id: Option<String>,
}

impl Desk {
    /// Opens one. `caller` asks where a request does not tell who does, and `guild_id` is meant
    /// where a call names neither a guild nor a channel.
    #[must_use]
    pub fn new(
        carrier: Arc<dyn Carry>,
        offer: Offer,
        caller: Option<Caller>,
        guild_id: Option<String>,
    ) -> Self {
        Self {
            carrier,
            offer,
            caller,
            guild_id,
        }
    }

    fn tool(&self, name: &str) -> Option<&'static Listed> {
        let found = tools::listed().iter().find(|it| it.tool.name == name);
        found.filter(|it| self.offer.has(it.entry))
    }

    /// The tools that whoever asks may call.
    fn offered(&self, context: &RequestContext<RoleServer>) -> Vec<&'static Listed> {
        let rights = self.caller(context).map(|it| it.visitor.rights.now());
        let may = |entry: &Entry| {
            let checked = rights
                .as_ref()
                .map(|it| it.check_method(entry.name, entry.effect));
            checked.is_none_or(|checked| checked.is_ok())
        };
        let listed = tools::listed().iter();
        let offered = listed.filter(|it| self.offer.has(it.entry) && may(it.entry));
        offered.collect()
    }

    /// Who asks, as the request tells or else the desk was opened for.
    fn caller<'a>(&'a self, context: &'a RequestContext<RoleServer>) -> Option<&'a Caller> {
        let parts = context.extensions.get::<Parts>();
        let caller = parts.and_then(|parts| parts.extensions.get::<Caller>());
        caller.or(self.caller.as_ref())
    }

    /// Puts in the guild that is meant where none is named.
    fn complete(&self, listed: &Listed, mut arguments: Map<String, Value>) -> String {
        let places = ["guild_id", "server_id", "channel_id"];
        // Models say null where they say nothing.
        arguments.retain(|name, value| !(places.contains(&name.as_str()) && value.is_null()));
        let names_one = places.iter().any(|name| arguments.contains_key(*name));
        if let Some(guild_id) = &self.guild_id
            && listed.takes_guild()
            && !names_one
        {
            arguments.insert("guild_id".to_owned(), Value::from(guild_id.as_str()));
        }
        Value::from(arguments).to_string()
    }

    /// Waits for a call, and passes on that it waits. Who cancels it is told nothing more: what
    /// reads ends here, what changes something goes on without anybody waiting.
    async fn wait(
        &self,
        listed: &Listed,
        params: String,
        context: &RequestContext<RoleServer>,
    ) -> Result<Result<Box<RawValue>, Box<RawValue>>, ErrorData> {
        let (progress, mut waits) = if context.meta.get_progress_token().is_some() {
            let (progress, waits) = Progress::heard();
            (progress, Some(waits))
        } else {
            (Progress::default(), None)
        };
        let mut caller = self.caller(context).cloned();
        // What the message says of itself is more than what its request's header says.
        let trace = context.meta.get_traceparent();
        let trace = trace.and_then(|it| Traceparent::parse(it.as_bytes()));
        if let (Some(caller), Some(trace)) = (&mut caller, trace) {
            caller.traceparent = Some(trace);
        }
        let mut carried = self.carrier.carry(Asked {
            entry: listed.entry,
            params,
            caller,
            progress,
        });
        let mut told = 0;
        loop {
            let wait = async {
                match &mut waits {
                    Some(waits) => waits.recv().await,
                    None => None,
                }
            };
            tokio::select! {
                biased;
                () = context.ct.cancelled() => {
                    return Err(ErrorData::internal_error("the call was cancelled", None));
                }
                outcome = &mut carried => return Ok(outcome),
                Some(wait) = wait => {
                    told += 1;
                    tell(context, told, wait).await;
                }
            }
        }
    }
}

impl ServerHandler for Desk {
    fn get_info(&self) -> ServerConfig {
        let about_guild = self.guild_id.as_ref().map(|guild| {
            format!(" A call that names neither a guild nor a channel is about guild {guild}.")
        });
        let instructions = format!(
            "Posts on Discord as the bot whose token the client was set up with.{}",
            about_guild.unwrap_or_default()
        );
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(implementation())
            .with_instructions(instructions)
    }

    fn discover(
        &self,
        _: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<DiscoverResult, ErrorData>> + Send + '_ {
        let versions = self.supported_protocol_versions().into_owned();
        let discovered = DiscoverResult::from_server_info(versions, self.get_info())
            .with_ttl_ms(FRESH_MS)
            .with_cache_scope(CacheScope::Public);
        ready(Ok(discovered))
    }

    fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<ListToolsResult, ErrorData>> + Send + '_ {
        if request.is_some_and(|request| request.cursor.is_some()) {
            let why = "cursor: there is one page only, and no cursor was given out";
            return ready(Err(ErrorData::invalid_params(why, None)));
        }
        let offered = self.offered(&context).into_iter();
        let mut list = ListToolsResult::with_all_items(offered.map(|it| it.tool.clone()).collect());
        if is_modern(&context) {
            list.ttl_ms = Some(FRESH_MS);
            list.cache_scope = Some(CacheScope::Public);
            list.meta = Some(about_server());
        }
        ready(Ok(list))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(listed) = self.tool(&request.name) else {
            let offered = self.offered(&context).into_iter();
            let names: Vec<&str> = offered.map(|it| it.tool.name.as_ref()).collect();
            let why = format!("name: there is no such tool, but {}", names.join(", "));
            return Err(ErrorData::invalid_params(why, None));
        };
        let arguments = request.arguments.unwrap_or_default();
        let outcome = if arguments.contains_key(TOKEN) {
            Err(carry::no_such_param(TOKEN))
        } else {
            let params = self.complete(listed, arguments);
            self.wait(listed, params, &context).await?
        };
        let mut result = match outcome {
            Ok(reply) => result::done(listed, &reply),
            Err(error) => result::refused(&error),
        };
        if is_modern(&context) {
            result.meta = Some(about_server());
        }
        Ok(result.into())
    }

    /// What comes here is a method that rmcp does not know, or one whose params it cannot read.
    fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<CustomResult, ErrorData>> + Send + '_ {
        let known: &[&str] = if is_modern(&context) {
            &["server/discover", "tools/call", "tools/list"]
        } else {
            &["initialize", "ping", "tools/call", "tools/list"]
        };
        ready(Err(if known.contains(&request.method.as_str()) {
            ErrorData::invalid_params("the params are not those of the method", None)
        } else {
            ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "Method not found", None)
        }))
    }
}

/// Tells a client that wants to know that its call waits.
async fn tell(context: &RequestContext<RoleServer>, told: u32, wait: Wait) {
    let Some(token) = context.meta.get_progress_token() else {
        return;
    };
    let millis = u64::try_from(wait.duration.as_millis()).unwrap_or(u64::MAX);
    let wait = humantime::format_duration(Duration::from_millis(millis));
    let mut param = ProgressNotificationParam::new(token, told.into());
    param.message = Some(format!("waiting for {wait} before Discord is asked again"));
    // A client that is gone misses nothing.
    let _ = context.peer.notify_progress(param).await;
}

/// Whether a request is of a revision without a handshake, whose results say more.
fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    let version = context.protocol_version();
    version.is_some_and(|it| it.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

fn about_server() -> MetaObject {
    let mut meta = MetaObject::new();
    let server = serde_json::to_value(implementation()).expect("texts are JSON");
    meta.insert("io.modelcontextprotocol/serverInfo".to_owned(), server);
    meta
}

fn implementation() -> Implementation {
    Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .with_description(env!("CARGO_PKG_DESCRIPTION"))
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, Request};
    use bytes::Bytes;
    use http_body_util::BodyExt;
    use serde_json::{json, value::to_raw_value};

    use super::*;

    /// Waits twice before it answers.
    struct Waits;

    impl Carry for Waits {
        fn carry(&self, asked: Asked) -> Carried {
            Box::pin(async move {
                for secs in [2, 3] {
                    let duration = Duration::from_secs(secs);
                    asked.progress.tell(Wait { duration });
                    tokio::task::yield_now().await;
                }
                Ok(to_raw_value(&json!({"count": 0})).unwrap())
            })
        }
    }

    async fn ask(meta: &Value) -> String {
        let desk = Desk::new(Arc::new(Waits), Offer::default(), None, None);
        let endpoint = Endpoint::new(move || desk.clone());
        let params = json!({"name": "list_channels", "_meta": meta});
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let request = Request::builder()
            .method(Method::POST)
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json");
        let (head, ()) = request.body(()).unwrap().into_parts();
        let answer = endpoint.answer(head, Bytes::from(call.to_string())).await;
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn who_asks_for_progress_is_told_of_waits_and_others_get_one_answer() {
        let events = ask(&json!({"progressToken": "p"})).await;
        assert_eq!(
            events.matches("notifications/progress").count(),
            2,
            "{events}"
        );
        assert!(events.contains("waiting for 3s before Discord"), "{events}");
        assert!(
            events.contains(r#""structuredContent":{"count":0}"#),
            "{events}"
        );
        let answer: Value = serde_json::from_str(&ask(&json!({})).await).unwrap();
        assert_eq!(answer["result"]["structuredContent"], json!({"count": 0}));
    }
}
