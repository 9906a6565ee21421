//! What the bot may do in a channel, from roles and overwrites.
//! See <https://discord.com/developers/docs/topics/permissions#permission-overwrites>.

use std::{collections::HashMap, time::SystemTime};

use twilight_model::{
    guild::Permissions,
    id::{Id, marker::UserMarker},
};
use twilight_util::permission_calculator::PermissionCalculator;

use super::{Channel, Guild, Member};

/// Whether the bot may view a channel and post in it.
pub(in crate::operation) fn may_post(
    guild: &Guild,
    member: &Member,
    bot: Id<UserMarker>,
    channel: &Channel,
) -> bool {
    let needed = Permissions::VIEW_CHANNEL | Permissions::SEND_MESSAGES;
    let all: HashMap<_, _> = guild
        .roles
        .iter()
        .map(|role| (role.id, role.permissions))
        .collect();
    let everyone = all.get(&guild.id.cast()).copied();
    let everyone = everyone.unwrap_or_else(Permissions::empty);
    let roles: Vec<_> = member
        .roles
        .iter()
        .filter_map(|id| Some((*id, *all.get(id)?)))
        .collect();
    let permissions = PermissionCalculator::new(guild.id, bot, everyone, &roles)
        .owner_id(guild.owner_id)
        .in_channel(channel.kind, &channel.permission_overwrites);
    let exempt = permissions.contains(Permissions::ADMINISTRATOR);
    permissions.contains(needed) && (exempt || !member.is_timed_out())
}

impl Member {
    /// Whether a moderator has silenced the bot for now.
    fn is_timed_out(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX));
        self.communication_disabled_until
            .is_some_and(|until| until.as_secs() > now)
    }
}
