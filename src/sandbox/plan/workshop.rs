//! The guild in which every kind of channel and every step of the permissions is found.
//!
//! It only lists. See <https://discord.com/developers/docs/topics/permissions>.

use twilight_model::guild::Permissions;
use twilight_model::id::Id;
use twilight_model::id::marker::{ChannelMarker, RoleMarker};

use super::super::channels::{Kind, Setup, Whom};
use super::super::guilds::{Guild, Member, Role};
use super::super::permissions::Overwrite;
use super::{EVERYONE, KEEPER, RANGER, SLEEPER, WARDEN, WORKSHOP, deny, everyone, plain, text};

/// The roles: of the ranger, of the ranger too, and of an administrator.
const CREW: u64 = WORKSHOP + 51;
const QUIET: u64 = WORKSHOP + 52;
const ADMIN: u64 = WORKSHOP + 53;

/// One channel: its id's distance from the guild's, name, kind, position, and the distance of
/// what it is in, if it is in anything.
type Row = (u64, &'static str, Kind, usize, u64);

/// The channels as Discord shows them: those of no category, then each category with its text
/// kinds before its voice kinds. Two categories have one position, so that their ids decide.
const SHOWN: [Row; 21] = [
    (1, "welcome", Kind::Text, 0, 0),
    (2, "notices", Kind::Announcement, 1, 0),
    (3, "lobby", Kind::Voice, 0, 0),
    (10, "Talk", Kind::Category, 0, 0),
    (11, "talk", Kind::Text, 0, 10),
    (12, "ideas", Kind::Forum, 1, 10),
    (13, "pictures", Kind::Media, 2, 10),
    (14, "table", Kind::Voice, 0, 10),
    (15, "podium", Kind::Stage, 1, 10),
    (20, "Back Room", Kind::Category, 1, 0),
    (21, "crew-only", Kind::Text, 0, 20),
    (22, "no-rangers", Kind::Text, 1, 20),
    (23, "crew-or-quiet", Kind::Text, 2, 20),
    (24, "plain", Kind::Text, 3, 20),
    (25, "no-history", Kind::Text, 4, 20),
    (26, "locked", Kind::Text, 5, 20),
    (27, "soundproof", Kind::Voice, 0, 20),
    (30, "Attic", Kind::Category, 1, 0),
    (31, "adults", Kind::Text, 0, 30),
    (41, "workbench", Kind::PublicThread, 0, 11),
    (42, "first-idea", Kind::PublicThread, 0, 12),
];

/// Makes the guild.
pub(super) fn guild(history: usize) -> Guild {
    // Discord lists channels in no order it promises; turned around, none of these is right.
    let channels = SHOWN.into_iter().rev().map(setup).collect();
    let mut guild = super::guild(WORKSHOP, "Workshop", channels, history);
    guild.owner_id = Id::new(KEEPER);
    guild.members = vec![
        with_roles(RANGER, &[CREW, QUIET]),
        with_roles(WARDEN, &[ADMIN]),
        plain(KEEPER),
        Member {
            is_timed_out: true,
            ..with_roles(SLEEPER, &[CREW])
        },
    ];
    guild.roles[0].permissions = EVERYONE.difference(Permissions::MENTION_EVERYONE);
    guild.roles.extend([
        role(CREW, "crew", Permissions::empty(), true),
        role(QUIET, "quiet", Permissions::empty(), false),
        role(ADMIN, "admin", Permissions::ADMINISTRATOR, false),
    ]);
    guild
}

fn setup((offset, name, kind, position, parent): Row) -> Setup {
    let is_thread = kind == Kind::PublicThread;
    let parent: Option<Id<ChannelMarker>> = (parent > 0).then(|| Id::new(WORKSHOP + parent));
    Setup {
        kind,
        position,
        parent_id: parent,
        topic: (name == "talk").then_some("What is being made, and how."),
        nsfw: name == "adults",
        owner_id: is_thread.then(|| Id::new(KEEPER)),
        overwrites: overwrites(name),
        ..text(WORKSHOP + offset, name)
    }
}

fn overwrites(name: &str) -> Vec<(Whom, Overwrite)> {
    const VIEW: Permissions = Permissions::VIEW_CHANNEL;
    const SEND: Permissions = Permissions::SEND_MESSAGES;
    const EXTRAS: Permissions = Permissions::EMBED_LINKS
        .union(Permissions::SEND_POLLS)
        .union(Permissions::SEND_TTS_MESSAGES);
    let everyone = everyone(Id::new(WORKSHOP));
    let crew = Whom::Role(Id::new(CREW));
    let quiet = Whom::Role(Id::new(QUIET));
    let ranger = Whom::Member(Id::new(RANGER));
    match name {
        "notices" => vec![(everyone, deny(SEND)), (ranger, allow(SEND))],
        "crew-only" => vec![(everyone, deny(VIEW)), (crew, allow(VIEW))],
        "no-rangers" => vec![(crew, allow(VIEW)), (ranger, deny(VIEW))],
        "crew-or-quiet" => vec![
            (everyone, deny(SEND)),
            (crew, allow(SEND.union(Permissions::MENTION_EVERYONE))),
            (quiet, deny(SEND)),
        ],
        "plain" => vec![(everyone, deny(EXTRAS))],
        "no-history" => vec![(everyone, deny(Permissions::READ_MESSAGE_HISTORY))],
        "locked" => vec![(everyone, deny(VIEW))],
        "soundproof" => vec![(everyone, deny(Permissions::CONNECT))],
        _ => Vec::new(),
    }
}

fn role(id: u64, name: &'static str, permissions: Permissions, mentionable: bool) -> Role {
    Role {
        id: Id::new(id),
        name,
        permissions,
        mentionable,
    }
}

fn with_roles(id: u64, roles: &[u64]) -> Member {
    let roles: Vec<Id<RoleMarker>> = roles.iter().map(|&id| Id::new(id)).collect();
    Member { roles, ..plain(id) }
}

fn allow(allow: Permissions) -> Overwrite {
    let deny = Permissions::empty();
    Overwrite { allow, deny }
}
