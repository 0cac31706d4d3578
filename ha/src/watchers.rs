//! Sends changes to the watchers of a prefix. Queues are bounded: nothing waits for a slow watcher, which gets `Lagged` instead.

use tokio::sync::mpsc;

use crate::WatchEvent;
use crate::fenced_store::Change;

/// How many events a watcher may be behind before it must list the keys again.
pub(crate) const WATCH_CAPACITY: usize = 1024;

/// All watchers of one store.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    watchers: Vec<Watcher>,
}

#[derive(Debug)]
struct Watcher {
    prefix: String,
    events: mpsc::Sender<WatchEvent>,
    lagged: bool,
}

impl Watchers {
    /// Adds a watcher, which receives the changes under `prefix` from now on.
    pub(crate) fn watch(&mut self, prefix: &str) -> mpsc::Receiver<WatchEvent> {
        // One place more, so that `Lagged` always has room.
        let (events, receiver) = mpsc::channel(WATCH_CAPACITY + 1);
        self.watchers.retain(|watcher| !watcher.events.is_closed());
        self.watchers.push(Watcher { prefix: prefix.to_owned(), events, lagged: false });
        receiver
    }

    /// Sends each change to the watchers of its prefix.
    pub(crate) fn notify(&mut self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        self.watchers.retain_mut(|watcher| {
            for change in changes {
                if change.key.starts_with(&watcher.prefix) {
                    watcher.send(change.event());
                }
            }
            !watcher.events.is_closed()
        });
    }

    /// Completes when all current watchers have dropped their receivers.
    pub(crate) fn abandoned(&self) -> impl Future<Output = ()> + Send + 'static {
        let events: Vec<_> = self.watchers.iter().map(|watcher| watcher.events.clone()).collect();
        async move {
            for events in events {
                events.closed().await;
            }
        }
    }

    /// Sends `Lagged` to every watcher. Everything may have changed at once, because a snapshot was installed.
    pub(crate) fn notify_lagged(&mut self) {
        for watcher in &mut self.watchers {
            watcher.lag();
        }
    }
}

impl Watcher {
    fn send(&mut self, event: WatchEvent) {
        if self.events.capacity() <= 1 {
            self.lag();
        } else if self.events.try_send(event).is_ok() {
            self.lagged = false;
        }
    }

    /// While a `Lagged` is still unread in the queue, no second one is needed: the reader lists the keys after it.
    fn lag(&mut self) {
        if !self.lagged || self.events.capacity() > 1 {
            self.lagged = self.events.try_send(WatchEvent::Lagged).is_ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::Versioned;

    fn change(key: &str, version: u64) -> Change {
        Change { key: key.into(), version, value: Some(Bytes::from_static(b"v")) }
    }

    #[tokio::test]
    async fn a_watcher_sees_its_prefix_only() {
        let mut watchers = Watchers::default();
        let mut receiver = watchers.watch("a/");
        watchers.notify(&[change("a/1", 1), change("b/1", 1)]);
        watchers.notify(&[Change { key: "a/1".into(), version: 2, value: None }]);
        let value = Versioned { value: Bytes::from_static(b"v"), version: 1 };
        assert_eq!(receiver.recv().await, Some(WatchEvent::Put { key: "a/1".into(), value }));
        assert_eq!(receiver.recv().await, Some(WatchEvent::Deleted { key: "a/1".into(), version: 2 }));
        assert!(receiver.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_slow_watcher_gets_lagged_and_then_continues() {
        let mut watchers = Watchers::default();
        let mut receiver = watchers.watch("");
        for version in 0..(WATCH_CAPACITY as u64 * 2) {
            watchers.notify(&[change("k", version)]);
        }
        let mut seen = 0;
        let mut lagged = 0;
        while let Ok(event) = receiver.try_recv() {
            match event {
                WatchEvent::Lagged => lagged += 1,
                _ => seen += 1,
            }
        }
        assert_eq!((seen, lagged), (WATCH_CAPACITY, 1));
        watchers.notify(&[change("k", 9_999)]);
        assert!(matches!(receiver.try_recv(), Ok(WatchEvent::Put { .. })));
    }

    #[tokio::test]
    async fn a_dropped_watcher_is_removed() {
        let mut watchers = Watchers::default();
        drop(watchers.watch(""));
        watchers.notify(&[change("k", 1)]);
        assert!(watchers.watchers.is_empty());
    }
}
