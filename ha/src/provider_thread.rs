//! A provider's own thread and runtime: however busy the process is otherwise, its lease, session or leadership stays alive.

use std::future::Future;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tracing::error;
use weir_world::{Ended, OwnRuntime, spawn};

/// For the thread to end once it was told to.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// The running thread; it ends when this is dropped.
pub(crate) struct ProviderThread {
    name: &'static str,
    runtime: Handle,
    stop: watch::Sender<bool>,
    ended: Mutex<Option<Ended>>,
}

impl ProviderThread {
    /// Runs `work` until it ends or the thread is stopped. Then every task and connection on its runtime ends, and after that
    /// `clean_up` runs.
    pub(crate) fn start<F: Future<Output = ()> + 'static>(
        name: &'static str,
        work: impl FnOnce() -> F + Send + 'static,
        clean_up: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let own = OwnRuntime::single_threaded()?;
        let (stop, mut stopped) = watch::channel(false);
        let runtime = own.handle();
        let main = move || async move {
            tokio::select! {
                biased;
                // Told to stop, or forgotten.
                _ = stopped.wait_for(|stop| *stop) => {}
                () = work() => {}
            }
        };
        let ended = own.drive(name, None, main, clean_up)?;
        Ok(Self { name, runtime, stop, ended: Mutex::new(Some(ended)) })
    }

    /// Runs on the thread's runtime, whatever the caller's; `None` once that has stopped.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (sender, result) = oneshot::channel();
        {
            let _own = self.runtime.enter();
            spawn("provider-operation", async move {
                // The caller may have gone.
                let _ = sender.send(work.await);
            });
        }
        result.await.ok()
    }

    /// Stops it and waits for its end; returns at once if somebody did that before.
    pub(crate) async fn stop(&self) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(ended) = ended else { return };
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_DEADLINE, ended).await.is_err() {
            error!(thread = self.name, "a provider's thread does not end; the process should be ended");
        }
    }
}
