//! Messages that could not be sent because there was no leader. The outbox is bounded and drops the oldest message first. Pure.

use std::collections::VecDeque;

use weir_protocol::link::ToJobManager;

/// Most messages that are kept.
const LIMIT: usize = 4096;

/// The messages for the next leader.
#[derive(Debug, Clone, Hash, Default)]
pub struct Outbox {
    messages: VecDeque<ToJobManager>,
}

impl Outbox {
    /// Keeps a message. Returns whether an older one was dropped for it.
    pub fn keep(&mut self, message: ToJobManager) -> bool {
        let full = self.messages.len() >= LIMIT;
        if full {
            self.messages.pop_front();
        }
        self.messages.push_back(message);
        full
    }

    /// Takes all messages, oldest first.
    pub fn take(&mut self) -> impl Iterator<Item = ToJobManager> + use<> {
        std::mem::take(&mut self.messages).into_iter()
    }
}
