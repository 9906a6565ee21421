//! The paths of the API, and the sandbox's own.
//!
//! It only names who answers: what is answered is in the file of each resource.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;

use super::control::{self, Control};
use super::error::Error;
use super::request::MAX_BODY_BYTES;
use super::world::World;
use super::{channels, guilds, messages, users};

/// Where a request comes from.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Makes the router. Every request must carry a [`Peer`] as an extension.
pub(super) fn router(world: Arc<World>, control: Arc<Control>) -> Router {
    let api = Router::new()
        .route("/users/@me", get(users::me))
        .route("/users/@me/guilds", get(users::guilds))
        .route("/guilds/{guild_id}", get(guilds::show))
        .route("/guilds/{guild_id}/channels", get(guilds::channels))
        .route("/guilds/{guild_id}/roles", get(guilds::roles))
        .route("/guilds/{guild_id}/members/{user_id}", get(guilds::member))
        .route("/channels/{channel_id}", get(channels::show))
        .route(
            "/channels/{channel_id}/messages",
            get(messages::list).post(messages::create),
        )
        .route(
            "/channels/{channel_id}/messages/{message_id}",
            get(messages::show),
        );
    Router::new()
        .nest("/api/v10", api)
        .merge(control::router(control))
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(world)
}
