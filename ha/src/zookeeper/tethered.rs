//! A client whose connection a drill can cut.
//!
//! `zookeeper_client` runs its connection in a task of its own, which its caller can't reach. But the caller decides how that
//! task is spawned. So this file can drop the task, and with it the connection, when a drill cuts the process off. ZooKeeper
//! then sees a broken connection, as after a pulled cable. The session is not closed and can be resumed.
//!
//! The client assumes that its task ends only after the task has reported the end of the session. If the task is dropped before,
//! a caller that waits for a watch panics, and a caller that waits for another state waits for ever. So all waits for a
//! watch go through this file.

use std::future::{Future, poll_fn};
use std::ops::Deref;

use futures::FutureExt;
use spawns_core::{Spawn, Task, enter};
use tokio::sync::watch;
use weir_world::spawn;
use zookeeper_client::{Client, Error, OneshotWatcher, PersistentWatcher, WatchedEvent};

use crate::isolation::Isolation;

/// A client, and whether its task has ended.
#[derive(Debug, Clone)]
pub(super) struct Tethered {
    client: Client,
    gone: watch::Receiver<bool>,
}

impl Deref for Tethered {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Tethered {
    /// Ends once the client's task has ended.
    pub(super) fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut gone = self.gone.clone();
        // An error means that the sender was dropped, and so that the task has ended too.
        async move { drop(gone.wait_for(|gone| *gone).await) }
    }

    /// Ends when the watch fires, or when it can't fire any more.
    pub(super) fn fired(&self, watcher: OneshotWatcher) -> impl Future<Output = ()> + Send + use<> {
        let gone = self.gone();
        async move {
            tokio::select! {
                biased;
                () = gone => {}
                _ = watcher.changed() => {}
            }
        }
    }

    /// The next event; `None` once the client's task has ended.
    pub(super) async fn next_event(&self, watcher: &mut PersistentWatcher) -> Option<WatchedEvent> {
        tokio::select! {
            biased;
            () = self.gone() => None,
            event = watcher.changed() => Some(event),
        }
    }
}

struct Spawner<'a> {
    isolation: &'a Isolation,
    gone: watch::Sender<bool>,
}

impl Spawn for Spawner<'_> {
    fn spawn(&self, task: Task) {
        let (isolated, gone) = (self.isolation.begins(), self.gone.clone());
        spawn("zookeeper-client", async move {
            let mut task = Box::into_pin(task.future);
            tokio::select! {
                biased;
                () = isolated => {}
                () = &mut task => {}
            }
            // This must come first, so that no caller polls a watch after its task was dropped.
            gone.send_replace(true);
            drop(task);
        });
    }
}

/// Connects, unless a drill has cut this process off. The connection lasts until a drill does so.
pub(super) async fn connect(
    isolation: &Isolation,
    connecting: impl Future<Output = Result<Client, Error>>,
) -> Result<Tethered, Error> {
    let spawner = Spawner { isolation, gone: watch::Sender::new(false) };
    let gone = spawner.gone.subscribe();
    let mut connecting = Box::pin(connecting);
    let connecting = poll_fn(|context| {
        let _ours = enter(&spawner);
        connecting.poll_unpin(context)
    });
    tokio::select! {
        biased;
        () = isolation.begins() => Err(Error::ConnectionLoss),
        connected = connecting => connected.map(|client| Tethered { client, gone }),
    }
}
