//! What watchers of the typed stores' keys are told.

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

/// Between two attempts to watch.
const PAUSE: Duration = Duration::from_millis(50);

/// Changes under `prefix` from now on. A broken connection loses none of them: the watch goes on after the last revision it
/// saw, and the reader is told that it lagged only where etcd has compacted that away or has gone back to a backup.
pub(crate) async fn watch(member: Arc<Member>, prefix: String) -> Result<mpsc::Receiver<WatchEvent>, ReadError> {
    let mut changes = Changes { first: member.layout.store(&prefix), member, seen: 0, watchers: Watchers::default() };
    changes.seen = changes.revision().await?;
    let receiver = changes.watchers.watch(&prefix);
    spawn("etcd-watch", changes.run());
    Ok(receiver)
}

struct Changes {
    member: Arc<Member>,
    /// The prefix as etcd knows it.
    first: String,
    /// Everything up to this revision was told.
    seen: i64,
    watchers: Watchers,
}

/// Why a watch ended.
enum End {
    /// Go on after what was seen.
    Broken,
    /// What comes next can't be had.
    Gap,
}

impl Changes {
    /// etcd's revision now.
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
        let options = WatchOptions::new()
            .with_range(prefix_end(&self.first))
            .with_start_revision(self.seen + 1)
            // Else a watch without events stays so far behind that compaction overtakes it.
            .with_progress_notify();
        let Ok(mut stream) = open(&self.member, &self.first, options).await else { return End::Broken };
        loop {
            let message = tokio::select! {
                message = stream.message() => message,
                // The connection it hangs on does not answer.
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

    /// Tells what a message says; `false` if the store has gone back to before what was told.
    fn take(&mut self, message: &WatchResponse) -> bool {
        let now = message.header().map_or(self.seen, etcd_client::ResponseHeader::revision);
        if message.created() {
            return now >= self.seen;
        }
        let mut changes = Vec::with_capacity(message.events().len());
        for event in message.events() {
            let Some(pair) = event.kv() else { continue };
            self.seen = self.seen.max(pair.mod_revision());
            // A key that is not text is not ours.
            let Ok(Place::Store(key)) = pair.key_str().map(|key| self.member.layout.place(key)) else { continue };
            let value = match event.event_type() {
                EventType::Put => Some(Bytes::copy_from_slice(pair.value())),
                EventType::Delete => None,
            };
            changes.push(Change { key: key.to_owned(), version: pair.mod_revision().cast_unsigned(), value });
        }
        if message.events().is_empty() {
            self.seen = self.seen.max(now);
        }
        self.watchers.notify(&changes);
        true
    }
}
