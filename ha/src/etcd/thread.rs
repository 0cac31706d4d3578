//! The provider's own thread: everything that talks to etcd runs here, so that no load elsewhere in the process costs the
//! lease.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};
use tracing::error;

/// For the thread to end once it was told to.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// The running thread; it ends when this is dropped.
pub(crate) struct EtcdThread {
    runtime: Handle,
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
}

impl EtcdThread {
    /// Runs `work` until it ends or the thread is stopped; then everything spawned on its runtime ends as well.
    pub(crate) fn start<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, mut stopped) = watch::channel(false);
        let (end, ended) = oneshot::channel();
        let thread = Self { runtime: runtime.handle().clone(), stop, ended };
        let body = move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    // Told to stop, or forgotten.
                    _ = stopped.wait_for(|stop| *stop) => {}
                    () = work() => {}
                }
            });
            drop(runtime);
            // Nobody may be waiting.
            let _ = end.send(());
        };
        std::thread::Builder::new().name("etcd".into()).spawn(body)?;
        Ok(thread)
    }

    pub(crate) fn runtime(&self) -> Handle {
        self.runtime.clone()
    }

    /// Stops it and waits for its end.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_DEADLINE, self.ended).await.is_err() {
            error!("the etcd thread does not end; the process should be ended");
        }
    }
}
