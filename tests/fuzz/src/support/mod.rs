//! What the checks share.

pub(crate) mod calls;
pub(crate) mod indoors;
pub(crate) mod reads;
pub(crate) mod schema;
pub(crate) mod upstream;

/// A token that no bot has; nothing that is said of a failure may hold it. The dictionaries have it
/// too, and so it is no longer than a word of libFuzzer's.
pub(crate) const TOKEN: &str = "MTE4NDAyOTMwMTI4NDkyMTM0NA.Gabcde.abcdefghijklmnopqrstuvwxyz0";
