//! Named tasks and blocking work.

use std::future::Future;

use tokio::task::JoinHandle;

use crate::simulation;

/// Starts a named task. If it panics, the log names it. Dropping the handle does not stop it.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let named = async move {
        let guard = PanicReport(name);
        let output = future.await;
        std::mem::forget(guard);
        output
    };
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    tokio::spawn(named)
}

/// Runs blocking or long work outside the async threads. In a simulation it takes no time.
pub fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    if simulation::current().is_some() {
        return spawn("blocking", async move { work() });
    }
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    tokio::task::spawn_blocking(work)
}

struct PanicReport(&'static str);

impl Drop for PanicReport {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.0, "task panicked");
        }
    }
}
