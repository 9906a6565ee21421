//! The world as every sandbox starts with it: its bots, its guilds and what is in them.
//!
//! It only lists. Its ids are made up, and made as Discord makes them: from a time in the years
//! 2021 to 2024.

mod workshop;

use twilight_model::guild::Permissions;
use twilight_model::id::Id;
use twilight_model::id::marker::GuildMarker;

use super::Bot;
use super::channels::{Channel, Kind, Setup, Whom};
use super::guilds::{Guild, Member, Role};
use super::permissions::Overwrite;
use super::token;

/// The two bots of the guild called home.
const SCOUT: u64 = 1_184_029_301_284_921_344;
const SCRIBE: u64 = 1_184_029_615_832_522_752;
/// A member of the workshop with two roles.
const RANGER: u64 = 1_201_468_011_413_929_984;
/// A member of the workshop who is an administrator.
const WARDEN: u64 = 1_201_468_137_800_892_416;
/// The owner of the workshop.
const KEEPER: u64 = 1_201_468_264_187_854_848;
/// A member of the workshop who is timed out.
const SLEEPER: u64 = 1_201_468_390_574_817_280;
/// A member of [`DRIFTER_GUILDS`] guilds.
const DRIFTER: u64 = 1_201_468_516_961_779_712;
/// A member of none.
const HERMIT: u64 = 1_201_468_643_348_742_144;
/// The bots, those of the guild called home first.
const BOTS: [(u64, &str); 8] = [
    (SCOUT, "scout"),
    (SCRIBE, "scribe"),
    (RANGER, "ranger"),
    (WARDEN, "warden"),
    (KEEPER, "keeper"),
    (SLEEPER, "sleeper"),
    (DRIFTER, "drifter"),
    (HERMIT, "hermit"),
];
/// How many of the bots are in the guild called home.
pub(super) const HOME_BOTS: usize = 2;

/// The user who owns what no bot owns.
const OWNER: u64 = 823_904_127_664_439_296;
/// The guild called home.
pub(super) const HOME: u64 = 1_184_031_022_407_147_520;
/// A guild with nobody in it.
pub(super) const ABROAD: u64 = 907_313_446_881_345_536;
/// The guild with roles, overwrites and a channel of each kind.
pub(super) const WORKSHOP: u64 = 1_201_470_412_686_295_040;
/// How many guilds the drifter is in: one more than a page of them holds.
const DRIFTER_GUILDS: u64 = 201;
/// The first of them, and how far each is from the one before.
const FIRST_DRIFT: u64 = 1_230_000_000_000_000_000;
const DRIFT_STEP: u64 = 1 << 32;

/// What everyone may do: what a new guild of Discord permits, as far as it matters here.
const EVERYONE: Permissions = Permissions::VIEW_CHANNEL
    .union(Permissions::SEND_MESSAGES)
    .union(Permissions::SEND_MESSAGES_IN_THREADS)
    .union(Permissions::SEND_TTS_MESSAGES)
    .union(Permissions::SEND_POLLS)
    .union(Permissions::EMBED_LINKS)
    .union(Permissions::ATTACH_FILES)
    .union(Permissions::READ_MESSAGE_HISTORY)
    .union(Permissions::MENTION_EVERYONE)
    .union(Permissions::USE_EXTERNAL_EMOJIS)
    .union(Permissions::ADD_REACTIONS)
    .union(Permissions::CONNECT)
    .union(Permissions::SPEAK);

/// Makes the bots, each with a new token.
///
/// # Errors
///
/// When the system gives no random bytes.
pub(super) fn bots() -> anyhow::Result<Vec<Bot>> {
    let bot = |(id, name): (u64, &str)| {
        let id = Id::new(id);
        anyhow::Ok(Bot {
            id,
            name: name.to_owned(),
            token: token::mint(id)?,
        })
    };
    BOTS.into_iter().map(bot).collect()
}

/// Makes the guilds, each of whose channels keeps `history` messages.
pub(super) fn guilds(history: usize) -> Vec<Guild> {
    let mut guilds = vec![home(history), abroad(history), workshop::guild(history)];
    guilds.extend((0..DRIFTER_GUILDS).map(|number| drift(number, history)));
    guilds
}

fn home(history: usize) -> Guild {
    let id = Id::new(HOME);
    let channel = |id, name, position| Setup {
        position,
        ..text(id, name)
    };
    let channels = vec![
        channel(HOME + 3, "general", 0),
        channel(1_184_032_418_774_786_048, "random", 1),
        Setup {
            overwrites: vec![(everyone(id), deny(Permissions::SEND_MESSAGES))],
            ..channel(1_184_032_530_179_686_400, "read-only", 2)
        },
    ];
    Guild {
        is_open: true,
        members: [SCOUT, SCRIBE].map(plain).to_vec(),
        ..guild(HOME, "Sandbox", channels, history)
    }
}

fn abroad(history: usize) -> Guild {
    let channels = vec![text(ABROAD + 3, "elsewhere")];
    guild(ABROAD, "Abroad", channels, history)
}

/// A guild of the drifter: a voice channel, a text channel in a category, and one beside it.
fn drift(number: u64, history: usize) -> Guild {
    let id = FIRST_DRIFT + number * DRIFT_STEP;
    let category = Setup {
        kind: Kind::Category,
        ..text(id + 2, "places")
    };
    let inside = Setup {
        parent_id: Some(Id::new(id + 2)),
        ..text(id + 3, "harbour")
    };
    let voice = Setup {
        kind: Kind::Voice,
        ..text(id + 1, "radio")
    };
    let channels = vec![voice, category, inside, text(id + 4, "shore")];
    Guild {
        members: vec![plain(DRIFTER)],
        ..guild(id, &format!("Drift {number:03}"), channels, history)
    }
}

fn guild(id: u64, name: &str, channels: Vec<Setup>, history: usize) -> Guild {
    let id: Id<GuildMarker> = Id::new(id);
    let channels = channels.into_iter();
    let channels = channels.map(|setup| Channel::new(id, setup, history));
    Guild {
        id,
        name: name.to_owned(),
        owner_id: Id::new(OWNER),
        is_open: false,
        members: Vec::new(),
        roles: vec![Role {
            // The role of everyone has the guild's own id.
            id: id.cast(),
            name: "@everyone",
            permissions: EVERYONE,
            mentionable: false,
        }],
        channels: channels.collect(),
    }
}

fn plain(id: u64) -> Member {
    Member::plain(Id::new(id))
}

/// A text channel of no category, to be made into what is wanted.
fn text(id: u64, name: &'static str) -> Setup {
    Setup {
        id: Id::new(id),
        name,
        kind: Kind::Text,
        position: 0,
        parent_id: None,
        topic: None,
        nsfw: false,
        owner_id: None,
        overwrites: Vec::new(),
    }
}

fn everyone(guild: Id<GuildMarker>) -> Whom {
    Whom::Role(guild.cast())
}

fn deny(deny: Permissions) -> Overwrite {
    let allow = Permissions::empty();
    Overwrite { allow, deny }
}
