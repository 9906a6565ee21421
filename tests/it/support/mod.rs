//! What tests are made of.

pub(crate) mod http;
pub(crate) mod sandbox;
