//! The tools that the official conformance suite of MCP wants to find, behind the doors and the
//! transport of the daemon: only what is offered there is not the daemon's.
//!
//! It prints the address of its endpoint and serves until it is killed.
//! See <https://github.com/modelcontextprotocol/conformance>.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "it is made for tests, and ends where it went wrong"
)]

use std::sync::{Arc, OnceLock};

use discordd::{
    config::Settings,
    discord::Exit,
    metrics::Metrics,
    operation::Hall,
    surface::{Entrance, Rpc, Visitor, Web, http, mcp::Endpoint},
};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities,
        ListToolsResult, PaginatedRequestParams, ProgressNotificationParam, SamplingCapability,
        ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, runtime};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A picture of one pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
/// A sound without a sample.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=";

#[derive(Clone)]
struct Fixtures;

fn main() {
    let runtime = runtime::Builder::new_multi_thread().enable_all().build();
    runtime.unwrap().block_on(serve());
}

async fn serve() {
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    let settings = Settings::default();
    let metrics = Arc::new(Metrics::default());
    let hall = Arc::new(Hall {
        exit: Exit::open(&settings.discord, &metrics, &stop, &tracker).unwrap(),
        metrics,
        upstream: "nowhere".to_owned(),
    });
    let rpc = Arc::new(Rpc::new(hall, settings.limits, tracker));
    let endpoint = Endpoint::new(|| Fixtures);
    let web = Web::new(&settings.listen);
    let pages = http::pages_with(Arc::clone(&rpc), endpoint, web, stop.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    println!("http://{address}/mcp");
    let port = address.port();
    let visitor = Arc::new(Visitor {
        entrance: Entrance::Loopback { port },
        ..Visitor::own()
    });
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (pages, rpc, stop) = (pages.clone(), Arc::clone(&rpc), stop.clone());
        let visitor = Arc::clone(&visitor);
        tokio::spawn(http::serve(stream, visitor, pages, rpc, stop));
    }
}

impl ServerHandler for Fixtures {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools().iter().find(|tool| tool.name == name).cloned()
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let list = ListToolsResult::with_all_items(tools().to_vec());
        Ok(list.with_ttl_ms(0).with_cache_scope(CacheScope::Private))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        match request.name.as_ref() {
            "test_missing_capability" => {
                let mut wanted = ClientCapabilities::default();
                wanted.sampling = Some(SamplingCapability::default());
                return Err(ErrorData::missing_required_client_capability(wanted));
            }
            "test_tool_with_progress" => tell_progress(&context).await,
            _ => {}
        }
        let Some(result) = result(&request.name) else {
            return Err(ErrorData::invalid_params("there is no such tool", None));
        };
        let result: CallToolResult = serde_json::from_value(result).unwrap();
        Ok(result.into())
    }
}

/// Tells three times how far the call is.
async fn tell_progress(context: &RequestContext<RoleServer>) {
    let Some(token) = context.meta.get_progress_token() else {
        return;
    };
    for done in [0.0, 50.0, 100.0] {
        let mut param = ProgressNotificationParam::new(token.clone(), done);
        param.total = Some(100.0);
        context.peer.notify_progress(param).await.unwrap();
    }
}

/// What a tool comes back with.
fn result(name: &str) -> Option<Value> {
    let text = |text: &str| json!({"type": "text", "text": text});
    let image = json!({"type": "image", "data": PNG, "mimeType": "image/png"});
    let resource = |uri: &str, kind: &str, text: &str| json!({"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": text}});
    let mut is_error = false;
    let content = match name {
        "json_schema_2020_12_tool"
        | "test_logging_tool"
        | "test_streaming_elicitation"
        | "test_tool_with_progress"
        | "test_x_mcp_header" => json!([text("done")]),
        "test_audio_content" => json!([{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]),
        "test_embedded_resource" => {
            json!([resource(
                "test://embedded-resource",
                "text/plain",
                "This is an embedded resource content."
            )])
        }
        "test_error_handling" => {
            is_error = true;
            json!([text("This tool intentionally returns an error for testing")])
        }
        "test_image_content" => json!([image]),
        "test_multiple_content_types" => json!([
            text("Multiple content types test:"),
            image,
            resource(
                "test://mixed-content-resource",
                "application/json",
                r#"{"test":"data","value":123}"#
            ),
        ]),
        "test_simple_text" => json!([text("This is a simple text response for testing.")]),
        _ => return None,
    };
    Some(json!({"resultType": "complete", "content": content, "isError": is_error}))
}

/// The tools by the names that the suite calls.
fn tools() -> &'static [Tool] {
    static TOOLS: OnceLock<Vec<Tool>> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let names = [
            "test_simple_text",
            "test_image_content",
            "test_audio_content",
            "test_embedded_resource",
            "test_multiple_content_types",
            "test_error_handling",
            "test_tool_with_progress",
            "test_missing_capability",
            "test_streaming_elicitation",
            "test_logging_tool",
        ];
        let plain = names.map(|name| tool(name, json!({"type": "object"})));
        let header = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
        }});
        let more = [
            tool("test_x_mcp_header", header),
            tool("json_schema_2020_12_tool", wide_schema()),
        ];
        plain.into_iter().chain(more).collect()
    })
}

fn tool(name: &'static str, schema: Value) -> Tool {
    let schema: Map<String, Value> = serde_json::from_value(schema).unwrap();
    Tool::new(
        name,
        "A fixture of the conformance suite.",
        Arc::new(schema),
    )
}

/// A schema with every word that must come through a list of tools as it is.
fn wide_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    })
}
