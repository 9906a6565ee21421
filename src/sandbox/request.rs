//! Reads the parts of a request: ids of its path, its query, its JSON body.
//!
//! It must not know a resource: each says itself which parts it has.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde_json::Value;
use twilight_model::id::Id;

use super::error::{Error, FormErrors};
use super::form::Field;
use crate::json::Json;

/// Longest body read, in bytes: what Discord takes in a request.
///
/// See <https://discord.com/developers/docs/reference#uploading-files>.
pub(super) const MAX_BODY_BYTES: usize = 25 << 20;

/// Reads an id out of the path.
///
/// # Errors
///
/// When it is no snowflake.
pub(super) fn path_id<T>(name: &str, text: &str) -> Result<Id<T>, Error> {
    text.parse().ok().and_then(Id::new_checked).ok_or_else(|| {
        let message = format!("Value \"{text}\" is not snowflake.");
        Error::InvalidForm(FormErrors::one(name, "NUMBER_TYPE_COERCE", &message))
    })
}

/// The query, whose values are all texts.
pub(super) struct Parameters(Value);

impl Parameters {
    /// Gives the query as a form.
    pub(super) fn form(&self) -> Field<'_> {
        Field::root(&self.0)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let Query(pairs) = Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri)
            .map_err(|_| Error::NotFound)?;
        let pairs = pairs
            .into_iter()
            .map(|(name, text)| (name, Value::String(text)));
        Ok(Self(Value::Object(pairs.collect())))
    }
}

/// The JSON body.
pub(super) struct Body(Value);

impl Body {
    /// Gives the body as a form.
    pub(super) fn form(&self) -> Field<'_> {
        Field::root(&self.0)
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let kind = request.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let message = "Expected \"Content-Type\" header to be one of {'application/json'}.";
            let errors = FormErrors::one("", "CONTENT_TYPE_INVALID", message);
            return Err(Error::InvalidForm(errors));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|_| Error::BodyTooLarge)?;
        let Json(value) = serde_json::from_slice(&bytes).map_err(|_| Error::InvalidJson)?;
        let mut errors = FormErrors::default();
        if !Field::root(&value).is_object(&mut errors) {
            return Err(Error::InvalidForm(errors));
        }
        Ok(Self(value))
    }
}
