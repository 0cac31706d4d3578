//! Threads that run an async runtime of their own, or one piece of work.
//!
//! A simulated process has one thread. A runtime is a task there, and its tasks live until the simulated process ends, even if
//! its main has ended.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::simulation;

/// Resolves once a thread has ended. The result is an error, because nothing is ever sent.
pub type Ended = oneshot::Receiver<()>;

/// An async runtime of its own, so that load elsewhere in the process does not delay its tasks.
#[derive(Debug)]
pub struct OwnRuntime {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Real(Runtime),
    Simulated(Handle),
}

impl OwnRuntime {
    /// A runtime for the one thread that will drive it.
    pub fn single_threaded() -> io::Result<Self> {
        if simulation::current().is_some() {
            return Ok(Self { kind: Kind::Simulated(Handle::current()) });
        }
        Ok(Self { kind: Kind::Real(Builder::new_current_thread().enable_all().build()?) })
    }

    /// A runtime with `workers` threads called `name`, and up to `blocking` more threads for blocking work.
    pub fn multi_threaded(name: &str, workers: usize, blocking: usize) -> io::Result<Self> {
        if simulation::current().is_some() {
            return Ok(Self { kind: Kind::Simulated(Handle::current()) });
        }
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(workers).max_blocking_threads(blocking).thread_name(name).enable_all();
        Ok(Self { kind: Kind::Real(builder.build()?) })
    }

    /// A handle that spawns tasks on this runtime.
    pub fn handle(&self) -> Handle {
        match &self.kind {
            Kind::Real(runtime) => runtime.handle().clone(),
            Kind::Simulated(handle) => handle.clone(),
        }
    }

    /// Runs `main` on a new thread called `name`, which alone polls it. When `main` ends, the runtime drops its tasks and waits
    /// for blocking work, at most `grace` if it is given. Then `after` runs and the thread ends.
    pub fn drive<F>(
        self,
        name: &'static str,
        grace: Option<Duration>,
        main: impl FnOnce() -> F + Send + 'static,
        after: impl FnOnce() + Send + 'static,
    ) -> io::Result<Ended>
    where
        F: Future<Output = ()> + 'static,
    {
        let (end, ended) = oneshot::channel::<()>();
        let Kind::Real(runtime) = self.kind else {
            tokio::task::spawn_local(async move {
                main().await;
                after();
                drop(end);
            });
            return Ok(ended);
        };
        on_thread(name, move || {
            runtime.block_on(main());
            match grace {
                Some(grace) => runtime.shutdown_timeout(grace),
                None => drop(runtime),
            }
            after();
            drop(end);
        })?;
        Ok(ended)
    }
}

/// Runs `work` on a new thread called `name`. In a simulation `work` runs before this function returns.
pub fn on_thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    if simulation::current().is_some() {
        work();
        return Ok(());
    }
    std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_runtime_ends_with_its_main_and_drops_its_tasks() {
        for runtime in [OwnRuntime::single_threaded().unwrap(), OwnRuntime::multi_threaded("test", 1, 1).unwrap()] {
            let alive = Arc::new(());
            let (task, watched) = (alive.clone(), Arc::downgrade(&alive));
            drop(alive);
            let left = Arc::new(AtomicUsize::new(usize::MAX));
            let seen = left.clone();
            let main = move || async move {
                crate::spawn("test", async move {
                    let _kept = task;
                    std::future::pending::<()>().await;
                });
            };
            let after = move || seen.store(watched.strong_count(), Ordering::SeqCst);
            assert!(runtime.drive("test", None, main, after).unwrap().await.is_err());
            assert_eq!(left.load(Ordering::SeqCst), 0);
        }
    }
}
