//! A provider's own thread and runtime, so that its lease, session or leadership stays alive however busy the process is.

use std::future::Future;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tracing::error;
use weir_world::{Ended, OwnRuntime, spawn};

/// How long the thread may take to end after it was told to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// A running thread. It ends when this value is dropped.
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
                // The thread was told to stop, or its handle was dropped.
                _ = stopped.wait_for(|stop| *stop) => {}
                () = work() => {}
            }
        };
        let ended = own.drive(name, None, main, clean_up)?;
        Ok(Self { name, runtime, stop, ended: Mutex::new(Some(ended)) })
    }

    /// Runs `work` on the thread's runtime, whatever runtime the caller uses. `None` if the thread has stopped.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (sender, result) = oneshot::channel();
        {
            let _own = self.runtime.enter();
            spawn("provider-operation", async move {
                // The caller may have stopped waiting.
                let _ = sender.send(work.await);
            });
        }
        result.await.ok()
    }

    /// Stops the thread and waits for its end. Returns at once if it was stopped before.
    pub(crate) async fn stop(&self) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(ended) = ended else { return };
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_DEADLINE, ended).await.is_err() {
            error!(thread = self.name, "a provider's thread does not end; restart this process");
        }
    }
}
