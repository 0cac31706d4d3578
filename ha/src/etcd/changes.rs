//! Watches on the typed stores' keys.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcd_client::{EventType, GetOptions, WatchOptions, WatchResponse};
use tokio::sync::mpsc;
use tokio::time::sleep;
use weir_world::spawn;

use super::connection::{CallError, Fault};
use super::layout::Place;
use super::member::Member;
use super::observer::open;
use super::store::prefix_end;
use crate::fenced_store::Change;
use crate::watchers::Watchers;
use crate::{ReadError, WatchEvent};

/// Pause between two attempts to watch.
const PAUSE: Duration = Duration::from_millis(50);

/// Changes under `prefix` from now on. A broken connection loses none of them: the watch continues after the last revision
/// it saw. The reader is told that it lagged only if etcd has compacted that revision or was restored from a backup.
pub(crate) async fn watch(member: Arc<Member>, prefix: String) -> Result<mpsc::Receiver<WatchEvent>, ReadError> {
    let mut changes = Changes { first: member.layout.store(&prefix), member, seen: 0, watchers: Watchers::default() };
    changes.seen = changes.revision().await?;
    let receiver = changes.watchers.watch(&prefix);
    spawn("etcd-watch", changes.run());
    Ok(receiver)
}

struct Changes {
    member: Arc<Member>,
    /// The prefix as a key of etcd.
    first: String,
    /// The watchers have been told of all changes up to this revision. Only events advance it: a notification of progress can
    /// overtake events (etcd before 3.4.25 and 3.5.8). So on a quiet watch a compaction can overtake it, and the watchers are
    /// told that they lagged although they missed nothing.
    seen: i64,
    watchers: Watchers,
}

/// Why a watch ended.
enum End {
    /// The connection failed; a new watch can continue after `seen`.
    Broken,
    /// etcd can't deliver the changes after `seen`.
    Gap,
}

impl Changes {
    /// etcd's current revision.
    async fn revision(&self) -> Result<i64, CallError> {
        let found = self.member.range(self.first.as_str(), GetOptions::new().with_count_only()).await?;
        Ok(found.header().map_or(0, etcd_client::ResponseHeader::revision))
    }

    async fn run(mut self) {
        let abandoned = self.watchers.abandoned();
        tokio::pin!(abandoned);
        loop {
            let end = tokio::select! {
                end = self.follow() => end,
                () = &mut abandoned => return,
            };
            if matches!(end, End::Gap)
                && let Ok(revision) = self.revision().await
            {
                self.seen = revision;
                self.watchers.notify_lagged();
            }
            sleep(PAUSE).await;
        }
    }

    async fn follow(&mut self) -> End {
        let mut generation = self.member.connection.generation();
        generation.mark_unchanged();
        let options = WatchOptions::new().with_range(prefix_end(&self.first)).with_start_revision(self.seen + 1);
        let Ok(mut stream) = open(&self.member, &self.first, options).await else { return End::Broken };
        loop {
            let message = tokio::select! {
                message = stream.message() => message,
                // The watch's connection does not answer.
                _ = generation.changed() => return End::Broken,
            };
            match message {
                Ok(Some(message)) if message.canceled() && message.compact_revision() == 0 => return End::Broken,
                Ok(Some(message)) if message.canceled() || !self.take(&message) => return End::Gap,
                Ok(Some(_)) => {}
                Ok(None) => return End::Broken,
                Err(error) => {
                    let gap = matches!(CallError::of(&error).fault, Fault::Compacted | Fault::TooMuch);
                    return if gap { End::Gap } else { End::Broken };
                }
            }
        }
    }

    /// Passes a message's changes to the watchers. `false` if the store is at an earlier revision than they were told of.
    fn take(&mut self, message: &WatchResponse) -> bool {
        let now = message.header().map_or(self.seen, etcd_client::ResponseHeader::revision);
        if message.created() {
            return now >= self.seen;
        }
        let mut changes = Vec::with_capacity(message.events().len());
        for event in message.events() {
            let Some(pair) = event.kv() else { continue };
            self.seen = self.seen.max(pair.mod_revision());
            // Weir writes no keys that are not text.
            let Ok(Place::Store(key)) = pair.key_str().map(|key| self.member.layout.place(key)) else { continue };
            let value = match event.event_type() {
                EventType::Put => Some(Bytes::copy_from_slice(pair.value())),
                EventType::Delete => None,
            };
            changes.push(Change { key: key.to_owned(), version: pair.mod_revision().cast_unsigned(), value });
        }
        self.watchers.notify(&changes);
        true
    }
}
