//! The messages of one channel, the last so many of them, and pages out of them.
//!
//! See <https://discord.com/developers/docs/resources/message#get-channel-messages>.

use std::collections::VecDeque;
use std::sync::Arc;

use twilight_model::id::Id;
use twilight_model::id::marker::MessageMarker;

use super::Message;

/// Which part of the history a page is from.
#[derive(Clone, Copy)]
pub(super) enum Span {
    /// The next ones after this id.
    After(Id<MessageMarker>),
    /// This one and those on both sides of it.
    Around(Id<MessageMarker>),
    /// The last ones before this id.
    Before(Id<MessageMarker>),
    /// The last ones.
    Latest,
}

/// The messages, oldest first, ids rising.
pub(in crate::sandbox) struct History {
    messages: VecDeque<Arc<Message>>,
    limit: usize,
    last_id: Option<Id<MessageMarker>>,
    total: u64,
}

impl History {
    /// Makes one that keeps at most `limit` messages and drops the oldest.
    pub(in crate::sandbox) fn new(limit: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            limit,
            last_id: None,
            total: 0,
        }
    }

    /// Gives the id of the last message, whether or not it was kept.
    pub(in crate::sandbox) fn last_id(&self) -> Option<Id<MessageMarker>> {
        self.last_id
    }

    /// Gives how many messages there ever were.
    pub(in crate::sandbox) fn total(&self) -> u64 {
        self.total
    }

    /// Adds a message newer than all that are here.
    pub(super) fn push(&mut self, message: Arc<Message>) {
        self.last_id = Some(message.id);
        self.total += 1;
        self.messages.push_back(message);
        if self.messages.len() > self.limit {
            self.messages.pop_front();
        }
    }

    /// Finds a message by its id.
    pub(super) fn find(&self, id: Id<MessageMarker>) -> Option<&Arc<Message>> {
        let index = self
            .messages
            .binary_search_by_key(&id, |message| message.id);
        index.ok().map(|index| &self.messages[index])
    }

    /// Gives at most `limit` messages, newest first.
    pub(super) fn page(&self, span: Span, limit: usize) -> impl Iterator<Item = &Arc<Message>> {
        let older_than = |id| self.messages.partition_point(|message| message.id < id);
        let (start, end) = match span {
            Span::After(id) => {
                let start = self.messages.partition_point(|message| message.id <= id);
                (start, start.saturating_add(limit))
            }
            Span::Around(id) => {
                let start = older_than(id).saturating_sub(limit / 2);
                (start, start.saturating_add(limit))
            }
            Span::Before(id) => (older_than(id).saturating_sub(limit), older_than(id)),
            Span::Latest => {
                let end = self.messages.len();
                (end.saturating_sub(limit), end)
            }
        };
        let end = end.min(self.messages.len());
        self.messages.range(start.min(end)..end).rev()
    }
}
