//! Threads: with an async runtime of their own, or for one piece of work.
//!
//! A simulated process has one thread. What would have a runtime of its own is a task there, and lives until the simulated
//! process ends, however it was told to stop.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::simulation;

/// Yields (an error, as nothing is sent) once a thread has ended.
pub type Ended = oneshot::Receiver<()>;

/// An async runtime apart from all others, so that no load elsewhere in the process delays what runs on it.
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

    /// A runtime with `workers` threads called `name`, and as many as `blocking` more for work that blocks.
    pub fn multi_threaded(name: &str, workers: usize, blocking: usize) -> io::Result<Self> {
        if simulation::current().is_some() {
            return Ok(Self { kind: Kind::Simulated(Handle::current()) });
        }
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(workers).max_blocking_threads(blocking).thread_name(name).enable_all();
        Ok(Self { kind: Kind::Real(builder.build()?) })
    }

    /// To spawn on it.
    pub fn handle(&self) -> Handle {
        match &self.kind {
            Kind::Real(runtime) => runtime.handle().clone(),
            Kind::Simulated(handle) => handle.clone(),
        }
    }

    /// Runs `main` on a thread called `name`, the only one that polls it. When it has ended, so does every task on the runtime; work that blocks is
    /// waited for, no longer than `grace` if there is one. Then `after` runs, and then the thread ends.
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

/// Runs `work` on a thread of its own called `name`; in a simulation at once, before this returns.
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
    async fn a_runtime_of_its_own_ends_with_its_main_and_cleans_up_after_its_tasks() {
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
