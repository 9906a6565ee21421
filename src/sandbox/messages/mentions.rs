//! Whom a message mentions: what its text names and `allowed_mentions` lets through.
//!
//! See <https://discord.com/developers/docs/resources/message#allowed-mentions-object>.

use twilight_model::guild::Permissions;
use twilight_model::id::Id;
use twilight_model::id::marker::{RoleMarker, UserMarker};

use super::super::error::FormErrors;
use super::super::form::Field;
use super::super::users::User;
use super::super::world::{Place, World};

/// Most users, and most roles, that can be named one by one.
const MAX_IDS: usize = 100;

/// What `allowed_mentions` permits; without it, everything.
pub(super) struct Allowed {
    everyone: bool,
    users: Which<UserMarker>,
    roles: Which<RoleMarker>,
    replied_user: bool,
}

/// Which of those that a text names may be mentioned.
enum Which<T> {
    Every,
    Only(Vec<Id<T>>),
}

impl<T> Which<T> {
    fn has(&self, id: Id<T>) -> bool {
        match self {
            Self::Every => true,
            Self::Only(ids) => ids.contains(&id),
        }
    }

    /// Tells whether it was named itself, and not with all the others.
    fn names(&self, id: Id<T>) -> bool {
        match self {
            Self::Every => false,
            Self::Only(ids) => ids.contains(&id),
        }
    }
}

fn which<T>(is_every: bool, ids: Vec<Id<T>>) -> Which<T> {
    if is_every {
        Which::Every
    } else {
        Which::Only(ids)
    }
}

impl Allowed {
    /// Reads the field `allowed_mentions`.
    pub(super) fn read(field: &Field<'_>, errors: &mut FormErrors) -> Self {
        if !field.is_object(errors) {
            return Self {
                everyone: true,
                users: Which::Every,
                roles: Which::Every,
                replied_user: true,
            };
        }
        let parse: Vec<String> = field
            .key("parse")
            .items(3, errors)
            .iter()
            .filter_map(|kind| read_kind(kind, errors))
            .collect();
        let users = field.key("users").items(MAX_IDS, errors);
        let users: Vec<_> = users.iter().filter_map(|id| id.snowflake(errors)).collect();
        let roles = field.key("roles").items(MAX_IDS, errors);
        let roles: Vec<Id<RoleMarker>> =
            roles.iter().filter_map(|id| id.snowflake(errors)).collect();
        let parses = |kind: &str| parse.iter().any(|parsed| parsed == kind);
        for (kind, is_listed) in [("users", !users.is_empty()), ("roles", !roles.is_empty())] {
            if is_listed && parses(kind) {
                let message =
                    format!("parse:[\"{kind}\"] and {kind}: [ids...] are mutually exclusive.");
                let code = "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE";
                field.refuse(code, &message, errors);
            }
        }
        Self {
            everyone: parses("everyone"),
            users: which(parses("users"), users),
            roles: which(parses("roles"), roles),
            replied_user: field.key("replied_user").boolean(errors).unwrap_or(false),
        }
    }

    /// Finds whom this text mentions. `replied` is the author of the message it answers.
    pub(super) fn resolve(
        self,
        content: &str,
        replied: Option<User>,
        place: &Place<'_>,
        world: &World,
    ) -> Mentions {
        let may_all = place.permissions.contains(Permissions::MENTION_EVERYONE);
        let names_all = content.contains("@everyone") || content.contains("@here");
        let everyone = self.everyone && may_all && names_all;
        let mut roles: Vec<Id<RoleMarker>> = Vec::new();
        for id in named_roles(content) {
            let mut known = place.guild.roles.iter();
            let is_pinged = known.any(|role| role.id == id && (may_all || role.mentionable));
            if is_pinged && self.roles.has(id) && !roles.contains(&id) {
                roles.push(id);
            }
        }
        let mut users: Vec<User> = replied
            .into_iter()
            .filter(|replied| self.replied_user || self.users.names(replied.id()))
            .collect();
        for id in named_users(content) {
            if !self.users.has(id) {
                continue;
            }
            let is_new = |user: &User| users.iter().all(|known| known.id() != user.id());
            if let Some(user) = world.user(id).filter(is_new) {
                users.push(user);
            }
        }
        Mentions {
            everyone,
            roles,
            users,
        }
    }
}

/// Whom a message mentions.
pub(super) struct Mentions {
    /// Whether it mentions everyone.
    pub(super) everyone: bool,
    /// The roles it mentions, each once.
    pub(super) roles: Vec<Id<RoleMarker>>,
    /// The users it mentions, each once.
    pub(super) users: Vec<User>,
}

fn read_kind(field: &Field<'_>, errors: &mut FormErrors) -> Option<String> {
    let kind = field.text(usize::MAX, errors)?;
    if !["everyone", "roles", "users"].contains(&kind.as_ref()) {
        let message = "Value must be one of ('users', 'roles', 'everyone').";
        field.refuse("BASE_TYPE_CHOICES", message, errors);
    }
    Some(kind.into_owned())
}

/// Gives the ids in `<@1>` and `<@!1>`.
fn named_users(content: &str) -> impl Iterator<Item = Id<UserMarker>> {
    content.split("<@").skip(1).filter_map(|rest| {
        let (id, _) = rest.split_once('>')?;
        id.strip_prefix('!').unwrap_or(id).parse().ok()
    })
}

/// Gives the ids in `<@&1>`.
fn named_roles(content: &str) -> impl Iterator<Item = Id<RoleMarker>> {
    content.split("<@&").skip(1).filter_map(|rest| {
        let (id, _) = rest.split_once('>')?;
        id.parse().ok()
    })
}
