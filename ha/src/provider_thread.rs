//! A provider's own thread and runtime: however busy the process is otherwise, its lease, session or leadership stays alive.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};
use tracing::error;

/// For the thread to end once it was told to.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// The running thread; it ends when this is dropped.
pub(crate) struct ProviderThread {
    name: &'static str,
    runtime: Handle,
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
}

impl ProviderThread {
    /// Runs `work` until it ends or the thread is stopped. Then every task and connection on its runtime ends, and after that
    /// `clean_up` runs.
    pub(crate) fn start<F: Future<Output = ()>>(
        name: &'static str,
        work: impl FnOnce() -> F + Send + 'static,
        clean_up: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, mut stopped) = watch::channel(false);
        let (end, ended) = oneshot::channel();
        let thread = Self { name, runtime: runtime.handle().clone(), stop, ended };
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
            clean_up();
            // Nobody may be waiting.
            let _ = end.send(());
        };
        std::thread::Builder::new().name(name.into()).spawn(body)?;
        Ok(thread)
    }

    pub(crate) fn runtime(&self) -> Handle {
        self.runtime.clone()
    }

    /// Stops it and waits for its end.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_DEADLINE, self.ended).await.is_err() {
            error!(thread = self.name, "a provider's thread does not end; the process should be ended");
        }
    }
}
