//! The thread and the runtime that talk to ZooKeeper: however busy the process is otherwise, its session stays alive.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};

use super::StartError;
use super::ensemble::Ensemble;
use super::options::Connection;
use super::runner::{self, Inbox};

/// For the thread to end once it was told to.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// The running thread. It ends when this is dropped: connections are cut, and the session is left to expire.
pub(super) struct ZooKeeperThread {
    runtime: Handle,
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
}

impl ZooKeeperThread {
    pub(super) fn runtime(&self) -> Handle {
        self.runtime.clone()
    }

    /// Stops it and waits for its end.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_DEADLINE, self.ended).await.is_err() {
            tracing::error!("the ZooKeeper thread does not end; the process should be ended");
        }
    }
}

pub(super) fn start(ensemble: Arc<Ensemble>, connection: Connection, inbox: Inbox) -> Result<ZooKeeperThread, StartError> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Resources)?;
    let (stop, mut stopped) = watch::channel(false);
    let (end, ended) = oneshot::channel();
    let thread = ZooKeeperThread { runtime: runtime.handle().clone(), stop, ended };
    let body = move || {
        runtime.block_on(async {
            let running = async {
                runner::run(Arc::clone(&ensemble), connection, inbox).await;
                // Reads are refused, but answered, until it is stopped.
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                // Told to stop, or forgotten.
                _ = stopped.wait_for(|stop| *stop) => {}
                () = running => {}
            }
        });
        // Ends every task and connection.
        drop(runtime);
        // Nobody may be waiting.
        let _ = end.send(());
    };
    std::thread::Builder::new().name("zookeeper".into()).spawn(body).map_err(StartError::Resources)?;
    Ok(thread)
}
