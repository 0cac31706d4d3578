//! The client and its own task, on a string.
//!
//! `zookeeper_client` has its connection in a task of its own that nobody can reach. But it leaves to its caller how that task is
//! spawned. So it can be dropped, and the connection with it, when a drill cuts this process off: ZooKeeper sees a connection
//! that broke, as it would if the cable were pulled. The session is not closed, and can be taken up again.
//!
//! The client itself takes it for certain that its task ends only after it has told the session's end: whoever waits for a watch
//! of one that was dropped panics, and whoever waits for another state waits for ever. So waiting goes through here.

use std::future::{Future, poll_fn};
use std::ops::Deref;

use futures::FutureExt;
use spawns_core::{Spawn, Task, enter};
use tokio::sync::watch;
use weir_world::spawn;
use zookeeper_client::{Client, Error, OneshotWatcher, PersistentWatcher, WatchedEvent};

use crate::isolation::Isolation;

/// A client, and whether its task is gone.
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
    /// Ends once the task is gone.
    pub(super) fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut gone = self.gone.clone();
        // An error: with it went whoever could have told.
        async move { drop(gone.wait_for(|gone| *gone).await) }
    }

    /// Ends when the watch fires or can't any more.
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

    /// The next event; `None` once there are no more.
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
            // First this, so that nobody asks a watch that goes with the task.
            gone.send_replace(true);
            drop(task);
        });
    }
}

/// Connects, unless this process is cut off; the connection lasts until it is.
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
