//! The order in which Discord shows a guild's channels.
//!
//! Those in no category come first, then each category with what is in it. Among neighbors, text
//! comes before voice, then the position decides, then the id.
//! See <https://discord.com/developers/docs/resources/channel#channel-object>.

use std::collections::HashMap;

use twilight_model::{
    channel::ChannelType,
    id::{Id, marker::ChannelMarker},
};

use super::Channel;

/// Where a channel stands: its category, whether it is one, and its place there.
type Place = (
    Option<(i32, Id<ChannelMarker>)>,
    bool,
    bool,
    i32,
    Id<ChannelMarker>,
);

/// Sorts channels as Discord shows them.
pub(in crate::operation) fn as_shown(mut channels: Vec<Channel>) -> Vec<Channel> {
    let categories: HashMap<_, _> = channels
        .iter()
        .filter(|channel| channel.kind == ChannelType::GuildCategory)
        .map(|channel| (channel.id, channel.position))
        .collect();
    let place = |channel: &Channel| -> Place {
        let is_category = channel.kind == ChannelType::GuildCategory;
        let category = if is_category {
            Some(channel.id)
        } else {
            channel.parent_id
        };
        let category = category.and_then(|id| Some((*categories.get(&id)?, id)));
        let voice = matches!(
            channel.kind,
            ChannelType::GuildVoice | ChannelType::GuildStageVoice
        );
        (category, !is_category, voice, channel.position, channel.id)
    };
    channels.sort_by_key(place);
    channels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(id: u64, kind: u8, position: i32, parent: Option<u64>) -> Channel {
        let json = serde_json::json!({"id": id.to_string(), "type": kind, "position": position,
            "parent_id": parent.map(|id| id.to_string())});
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn categories_follow_what_is_in_none_and_voice_follows_text() {
        let channels = vec![
            channel(30, 4, 2, None),
            channel(31, 2, 0, Some(30)),
            channel(32, 0, 9, Some(30)),
            channel(20, 4, 1, None),
            channel(22, 0, 3, Some(20)),
            channel(21, 5, 3, Some(20)),
            channel(23, 15, 1, Some(20)),
            channel(11, 13, 0, None),
            channel(10, 0, 5, None),
            channel(40, 0, 0, Some(99)),
        ];
        let shown: Vec<u64> = as_shown(channels).iter().map(|it| it.id.get()).collect();
        // The category of 40 cannot be seen: it stands among those in none.
        assert_eq!(shown, [40, 10, 11, 20, 23, 21, 22, 30, 32, 31]);
    }
}
