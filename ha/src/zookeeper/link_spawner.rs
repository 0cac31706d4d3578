//! The client's own task, on a string.
//!
//! `zookeeper_client` has its connection in a task of its own that nobody can reach. But it leaves to its caller how that task is
//! spawned. So it can be dropped, and the connection with it, when a drill cuts this process off: ZooKeeper sees a connection
//! that broke, as it would if the cable were pulled. The session is not closed, and can be taken up again.

use std::future::{Future, poll_fn};

use futures::FutureExt;
use spawns_core::{Spawn, Task, enter};
use weir_protocol::world::spawn;
use zookeeper_client::{Client, Error};

use crate::isolation::Isolation;

struct LinkSpawner<'a>(&'a Isolation);

impl Spawn for LinkSpawner<'_> {
    fn spawn(&self, task: Task) {
        let isolated = self.0.begins();
        spawn("zookeeper-client", async move {
            tokio::select! {
                biased;
                () = isolated => {}
                () = Box::into_pin(task.future) => {}
            }
        });
    }
}

/// Connects, unless this process is cut off; the connection lasts until it is.
pub(super) async fn connect(
    isolation: &Isolation,
    connecting: impl Future<Output = Result<Client, Error>>,
) -> Result<Client, Error> {
    let spawner = LinkSpawner(isolation);
    let mut connecting = Box::pin(connecting);
    let connecting = poll_fn(|context| {
        let _ours = enter(&spawner);
        connecting.poll_unpin(context)
    });
    tokio::select! {
        biased;
        () = isolation.begins() => Err(Error::ConnectionLoss),
        connected = connecting => connected,
    }
}
