//! What a caller is refused, and what can be done about it.

use twilight_model::id::{
    Id,
    marker::{ChannelMarker, GuildMarker},
};

use crate::metrics::Refusal;

/// What a caller at a door may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Look at or post in a channel.
    #[error("this door is not for channel {0}")]
    Channel(Id<ChannelMarker>),
    /// Call at all, because of the group.
    #[error("this door is not for callers of group {0}")]
    Gid(u32),
    /// Look at or post in a guild.
    #[error("this door is not for guild {0}")]
    Guild(Id<GuildMarker>),
    /// Call a method.
    #[error("{0} may not be called at this door")]
    Method(&'static str),
    /// Call a method that changes something.
    #[error("nothing may be changed through this door, and {0} would")]
    ReadOnly(&'static str),
    /// Call without the secret.
    #[error("this door takes no calls without its secret")]
    SecretMissing,
    /// Call with a wrong secret.
    #[error("the secret is not this door's")]
    SecretWrong,
    /// Call without TLS.
    #[error("this door takes TLS only")]
    Tls,
    /// Call at all.
    #[error("this door is not for user {0}")]
    Uid(u32),
}

impl Denied {
    /// What was refused, in a word.
    #[must_use]
    pub fn reason(self) -> Refusal {
        match self {
            Self::Channel(_) => Refusal::Channel,
            Self::Gid(_) => Refusal::Gid,
            Self::Guild(_) => Refusal::Guild,
            Self::Method(_) => Refusal::Method,
            Self::ReadOnly(_) => Refusal::ReadOnly,
            Self::SecretMissing | Self::SecretWrong => Refusal::Secret,
            Self::Tls => Refusal::Tls,
            Self::Uid(_) => Refusal::Uid,
        }
    }

    /// What to do, in one sentence.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Channel(_) => {
                "take a channel of the door's channels or guilds, or have it added there"
            }
            Self::Gid(_) => "call as a user whose primary group is in the door's gids",
            Self::Guild(_) => "take a guild of the door's guilds, or have it added there",
            Self::Method(_) => "take another door, or have the method added to the door's methods",
            Self::ReadOnly(_) => "take another door, or have the door's read_only taken away",
            Self::SecretMissing | Self::SecretWrong => {
                "send the secret in the header discordd-secret, or on a raw connection as the first \
                 text: {\"secret\":\"...\"}"
            }
            Self::Tls => "connect with TLS, over HTTP by https://",
            Self::Uid(_) => "call as a user of the door's uids",
        }
    }
}
