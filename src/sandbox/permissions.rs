//! What a member may do in a guild and in a channel, by Discord's own rules.
//!
//! It must not know where roles and overwrites come from: it only adds them up. See
//! <https://discord.com/developers/docs/topics/permissions#permission-overwrites>.

use twilight_model::guild::Permissions;

/// What is left to a member who is timed out.
///
/// See <https://discord.com/developers/docs/topics/permissions#permissions-for-timed-out-members>.
const OF_TIMED_OUT: Permissions =
    Permissions::VIEW_CHANNEL.union(Permissions::READ_MESSAGE_HISTORY);
/// What cannot be had without sending messages.
///
/// See <https://discord.com/developers/docs/topics/permissions#implicit-permissions>.
const OF_SENDERS: Permissions = Permissions::ATTACH_FILES
    .union(Permissions::EMBED_LINKS)
    .union(Permissions::MENTION_EVERYONE)
    .union(Permissions::SEND_POLLS)
    .union(Permissions::SEND_TTS_MESSAGES)
    .union(Permissions::SEND_VOICE_MESSAGES);

/// One overwrite: what it gives and what it takes.
#[derive(Clone, Copy)]
pub(super) struct Overwrite {
    /// What it gives; this wins over what is taken at the same step.
    pub(super) allow: Permissions,
    /// What it takes.
    pub(super) deny: Permissions,
}

impl Overwrite {
    /// Takes and gives nothing.
    const NONE: Self = Self {
        allow: Permissions::empty(),
        deny: Permissions::empty(),
    };

    fn over(self, permissions: Permissions) -> Permissions {
        permissions.difference(self.deny).union(self.allow)
    }

    fn and(self, other: Self) -> Self {
        Self {
            allow: self.allow.union(other.allow),
            deny: self.deny.union(other.deny),
        }
    }
}

/// The overwrites of a channel that are about one member, in the order they count in.
pub(super) struct Steps {
    /// The one of `@everyone`.
    pub(super) everyone: Option<Overwrite>,
    /// Those of the member's roles, which count together.
    pub(super) roles: Vec<Overwrite>,
    /// The member's own.
    pub(super) member: Option<Overwrite>,
}

/// Adds up what a member may do in a guild.
pub(super) fn in_guild(
    is_owner: bool,
    is_timed_out: bool,
    roles: impl Iterator<Item = Permissions>,
) -> Permissions {
    let permissions = roles.fold(Permissions::empty(), Permissions::union);
    if is_owner || permissions.contains(Permissions::ADMINISTRATOR) {
        Permissions::all()
    } else if is_timed_out {
        permissions.intersection(OF_TIMED_OUT)
    } else {
        permissions
    }
}

/// Adds up what a member with these permissions in the guild may do in a channel of it.
pub(super) fn in_channel(
    guild: Permissions,
    is_timed_out: bool,
    is_spoken: bool,
    is_thread: bool,
    steps: Steps,
) -> Permissions {
    if guild.contains(Permissions::ADMINISTRATOR) {
        return Permissions::all();
    }
    let roles = steps
        .roles
        .into_iter()
        .fold(Overwrite::NONE, Overwrite::and);
    let mut permissions = steps.everyone.unwrap_or(Overwrite::NONE).over(guild);
    permissions = roles.over(permissions);
    permissions = steps.member.unwrap_or(Overwrite::NONE).over(permissions);
    if is_timed_out {
        permissions &= OF_TIMED_OUT;
    }
    if !permissions.contains(Permissions::VIEW_CHANNEL) {
        return Permissions::empty();
    }
    // Without it a voice or stage channel is seen in the list, and nothing else.
    if is_spoken && !permissions.contains(Permissions::CONNECT) {
        return Permissions::VIEW_CHANNEL;
    }
    let send = if is_thread {
        Permissions::SEND_MESSAGES_IN_THREADS
    } else {
        Permissions::SEND_MESSAGES
    };
    if !permissions.contains(send) {
        permissions = permissions.difference(OF_SENDERS);
    }
    permissions
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: Permissions = Permissions::VIEW_CHANNEL;
    const SEND: Permissions = Permissions::SEND_MESSAGES;
    const LINKS: Permissions = Permissions::EMBED_LINKS;

    fn allow(allow: Permissions) -> Overwrite {
        let deny = Permissions::empty();
        Overwrite { allow, deny }
    }

    fn deny(deny: Permissions) -> Overwrite {
        let allow = Permissions::empty();
        Overwrite { allow, deny }
    }

    fn steps(everyone: Option<Overwrite>, roles: &[Overwrite], member: Option<Overwrite>) -> Steps {
        let roles = roles.to_vec();
        Steps {
            everyone,
            roles,
            member,
        }
    }

    #[test]
    fn later_overwrite_wins_and_roles_count_together() {
        let base = VIEW | SEND;
        for (steps, sends) in [
            (steps(None, &[], None), true),
            (steps(Some(deny(SEND)), &[], None), false),
            (steps(Some(deny(SEND)), &[allow(SEND)], None), true),
            (
                steps(Some(deny(SEND)), &[allow(SEND), deny(SEND)], None),
                true,
            ),
            (
                steps(Some(deny(SEND)), &[deny(SEND), allow(SEND)], None),
                true,
            ),
            (steps(Some(allow(SEND)), &[deny(SEND)], None), false),
            (steps(None, &[allow(SEND)], Some(deny(SEND))), false),
            (steps(None, &[deny(SEND)], Some(allow(SEND))), true),
        ] {
            assert_eq!(
                in_channel(base, false, false, false, steps).contains(SEND),
                sends
            );
        }
    }

    #[test]
    fn what_is_missing_takes_the_rest_with_it() {
        let base = VIEW | SEND | LINKS | Permissions::READ_MESSAGE_HISTORY;
        let without = |denied| {
            in_channel(
                base,
                false,
                false,
                false,
                steps(Some(deny(denied)), &[], None),
            )
        };
        assert_eq!(without(VIEW), Permissions::empty());
        assert_eq!(without(SEND), VIEW | Permissions::READ_MESSAGE_HISTORY);
        assert_eq!(without(LINKS), base.difference(LINKS));
        let thread = in_channel(base, false, false, true, steps(None, &[], None));
        assert!(!thread.contains(LINKS));
    }

    #[test]
    fn voice_needs_connect() {
        let base = VIEW | SEND | Permissions::CONNECT;
        let no_connect = || steps(Some(deny(Permissions::CONNECT)), &[], None);
        assert_eq!(in_channel(base, false, true, false, no_connect()), VIEW);
        assert_eq!(
            in_channel(base, false, false, false, no_connect()),
            VIEW | SEND
        );
        assert_eq!(
            in_channel(base, false, true, false, steps(None, &[], None)),
            base
        );
    }

    #[test]
    fn owner_and_administrator_may_everything_and_the_timed_out_look_on() {
        let everyone = || [VIEW | SEND].into_iter();
        let admin = [Permissions::ADMINISTRATOR].into_iter();
        assert_eq!(in_guild(true, true, everyone()), Permissions::all());
        assert_eq!(in_guild(false, true, admin), Permissions::all());
        assert_eq!(in_guild(false, true, everyone()), VIEW);
        assert_eq!(in_guild(false, false, everyone()), VIEW | SEND);
        let denied = || steps(Some(deny(VIEW)), &[], Some(deny(SEND)));
        let all = Permissions::all();
        assert_eq!(in_channel(all, true, true, false, denied()), all);
        let allowed = steps(None, &[], Some(allow(SEND)));
        assert_eq!(in_channel(VIEW, true, false, false, allowed), VIEW);
    }
}
