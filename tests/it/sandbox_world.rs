//! The sandbox's other guilds: a channel of each kind, roles, members, and more guilds than a page.

use serde_json::{Value, json};
use twilight_model::channel::{Channel, ChannelType};
use twilight_model::guild::{Guild, Member, Permissions, Role};
use twilight_model::user::CurrentUserGuild;

use crate::support::sandbox::SandboxProcess;

/// The channels of the workshop as Discord shows them.
const SHOWN: [&str; 19] = [
    "welcome",
    "notices",
    "lobby",
    "Talk",
    "talk",
    "ideas",
    "pictures",
    "table",
    "podium",
    "Back Room",
    "crew-only",
    "no-rangers",
    "crew-or-quiet",
    "plain",
    "no-history",
    "locked",
    "soundproof",
    "Attic",
    "adults",
];

/// Puts voice and stage channels behind the others, and otherwise goes by position, then id.
fn place(channel: &Channel) -> (bool, i32, u64) {
    let voice = [ChannelType::GuildVoice, ChannelType::GuildStageVoice];
    let is_voice = voice.contains(&channel.kind);
    (is_voice, channel.position.unwrap(), channel.id.get())
}

fn workshop(sandbox: &SandboxProcess, bot: &str, path: &str) -> Value {
    let path = format!("/guilds/{}{path}", sandbox.line.workshop.guild_id);
    sandbox.get(&sandbox.bot(bot).token, &path).json()
}

#[test]
fn every_kind_of_channel_is_listed_unsorted_and_threads_are_not() {
    let sandbox = SandboxProcess::start(&[]);
    let listed = workshop(&sandbox, "ranger", "/channels");
    let channels: Vec<Channel> = serde_json::from_value(listed).unwrap();
    let mut tops: Vec<&Channel> = channels
        .iter()
        .filter(|channel| channel.parent_id.is_none())
        .collect();
    tops.sort_by_key(|top| (top.kind == ChannelType::GuildCategory, place(top)));
    let mut shown: Vec<&str> = Vec::new();
    for top in tops {
        let mut inside: Vec<&Channel> = channels
            .iter()
            .filter(|channel| channel.parent_id == Some(top.id))
            .collect();
        inside.sort_by_key(|channel| place(channel));
        let all = std::iter::once(top).chain(inside);
        shown.extend(all.filter_map(|channel| channel.name.as_deref()));
    }
    assert_eq!(shown, SHOWN);
    let listed = channels
        .iter()
        .filter_map(|channel| channel.name.as_deref());
    assert!(!listed.eq(SHOWN));
    for kind in [
        ChannelType::GuildAnnouncement,
        ChannelType::GuildCategory,
        ChannelType::GuildForum,
        ChannelType::GuildMedia,
        ChannelType::GuildStageVoice,
        ChannelType::GuildText,
        ChannelType::GuildVoice,
    ] {
        assert!(
            channels.iter().any(|channel| channel.kind == kind),
            "{kind:?}"
        );
    }
    let named = |name: &str| {
        let mut channels = channels.iter();
        channels
            .find(|channel| channel.name.as_deref() == Some(name))
            .unwrap()
    };
    assert_eq!(named("adults").nsfw, Some(true));
    assert!(named("talk").topic.is_some() && named("plain").topic.is_none());
}

#[test]
fn thread_is_found_by_its_id() {
    let sandbox = SandboxProcess::start(&[]);
    for (thread, parent) in [("workbench", "talk"), ("first-idea", "ideas")] {
        let path = format!("/channels/{}", sandbox.channel(thread));
        let token = &sandbox.bot("ranger").token;
        let channel: Channel = sandbox.get(token, &path).parse();
        assert_eq!(channel.kind, ChannelType::PublicThread);
        assert_eq!(
            channel.parent_id.unwrap().to_string(),
            sandbox.channel(parent)
        );
        assert!(!channel.thread_metadata.unwrap().archived);
    }
}

#[test]
fn roles_and_members_are_told() {
    let sandbox = SandboxProcess::start(&[]);
    let guild: Guild = serde_json::from_value(workshop(&sandbox, "ranger", "")).unwrap();
    assert_eq!(guild.owner_id.to_string(), sandbox.bot("keeper").id);
    let roles: Vec<Role> = serde_json::from_value(workshop(&sandbox, "ranger", "/roles")).unwrap();
    assert_eq!(roles, guild.roles);
    let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    assert_eq!(names, ["@everyone", "crew", "quiet", "admin"]);
    assert!(roles[3].permissions.contains(Permissions::ADMINISTRATOR));

    let member = |bot: &str| {
        let path = format!("/members/{}", sandbox.bot(bot).id);
        workshop(&sandbox, "warden", &path)
    };
    let ranger: Member = serde_json::from_value(member("ranger")).unwrap();
    assert_eq!(ranger.user.name, "ranger");
    let of: Vec<String> = ranger.roles.iter().map(ToString::to_string).collect();
    assert_eq!(of, [sandbox.role("crew"), sandbox.role("quiet")]);
    assert!(member("sleeper")["communication_disabled_until"].is_string());
    let expected = json!({ "code": 10007, "message": "Unknown Member" });
    assert_eq!(member("hermit"), expected);
    let expected = json!({ "code": 10013, "message": "Unknown User" });
    assert_eq!(workshop(&sandbox, "warden", "/members/7"), expected);
    for path in ["", "/roles", "/channels", "/members/7"] {
        assert_eq!(workshop(&sandbox, "scout", path)["code"], 50001, "{path}");
    }
}

#[test]
fn guilds_are_told_with_what_the_bot_may_there() {
    let sandbox = SandboxProcess::start(&[]);
    let guilds = |bot: &str| -> Vec<CurrentUserGuild> {
        let token = &sandbox.bot(bot).token;
        sandbox.get(token, "/users/@me/guilds").parse()
    };
    let all = Permissions::all();
    let looking = Permissions::VIEW_CHANNEL | Permissions::READ_MESSAGE_HISTORY;
    for (bot, is_owner, permissions) in [
        ("keeper", true, Some(all)),
        ("warden", false, Some(all)),
        ("sleeper", false, Some(looking)),
        ("ranger", false, None),
    ] {
        let [guild] = guilds(bot).try_into().unwrap();
        assert_eq!(guild.owner, is_owner, "{bot}");
        let everyone = guild.permissions == permissions.unwrap_or(guild.permissions);
        assert!(everyone, "{bot}");
        let may_send = guild.permissions.contains(Permissions::SEND_MESSAGES);
        assert_eq!(may_send, bot != "sleeper", "{bot}");
    }
    assert_eq!(guilds("hermit"), []);
}

#[test]
fn drifters_guilds_need_a_second_page() {
    let sandbox = SandboxProcess::start(&[]);
    let token = &sandbox.bot("drifter").token;
    let page = |query: &str| -> Vec<CurrentUserGuild> {
        let path = format!("/users/@me/guilds{query}");
        sandbox.get(token, &path).parse()
    };
    let first = page("");
    assert_eq!(first.len(), 200);
    let last = first[199].id;
    let second = page(&format!("?after={last}"));
    assert_eq!(second.len(), 1);
    assert!(second[0].id > last);
    assert_eq!(page(&format!("?after={}", second[0].id)), []);
    for guild in [&first[0], &second[0]] {
        let path = format!("/guilds/{}/channels", guild.id);
        let channels: Vec<Channel> = sandbox.get(token, &path).parse();
        assert_eq!(channels.len(), 4);
    }
}

#[test]
fn text_and_line_of_the_command_name_the_same_bots() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_discordd"))
        .args(["sandbox", "--http", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let lines = lines
        .map(Result::unwrap)
        .take_while(|line| line != "Post a message:");
    let bots: Vec<String> = lines
        .filter_map(|line| {
            line.strip_prefix("bot ")?
                .split_whitespace()
                .next()
                .map(str::to_owned)
        })
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let sandbox = SandboxProcess::start(&[]);
    let line = &sandbox.line;
    assert_eq!(line.bots.len(), 2);
    let named = line.bots.iter().chain(&line.more_bots).map(|bot| &bot.name);
    assert!(named.eq(&bots), "{bots:?}");
}
