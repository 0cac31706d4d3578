//! A slot's thread. It steps its tasks in turn and sleeps if none of them can continue.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::TaskFailure;
use weir_world::{Ended, SteadyClock, simulation};

use super::report::{self, failure};
use super::{Progress, Task};
use crate::metrics::TimeSpent;
use crate::network::channel::{Closure, SlotWaker};
use crate::network::registry::ChannelRegistry;

/// Longest sleep, in milliseconds.
const MAX_SLEEP_MS: u64 = 100;
/// Duration of a turn in a simulation.
const SIMULATED_TURN: Duration = Duration::from_millis(1);

/// A handle to a slot's thread.
#[derive(Clone)]
pub struct Slot {
    shared: Arc<SlotShared>,
}

struct SlotShared {
    inbox: Mutex<Vec<Task>>,
    stopping: AtomicBool,
    waker: SlotWaker,
    registry: Arc<ChannelRegistry>,
    clock: SteadyClock,
}

impl Slot {
    /// Starts the thread `slot-<index>`. In a simulation it is a task.
    pub fn start(index: u32, registry: Arc<ChannelRegistry>) -> std::io::Result<(Self, Ended)> {
        let waker = SlotWaker::default();
        let shared = SlotShared {
            inbox: Mutex::new(Vec::new()),
            stopping: AtomicBool::new(false),
            waker,
            registry,
            clock: SteadyClock::start(),
        };
        let shared = Arc::new(shared);
        let (end, ended) = oneshot::channel();
        let slot = Self { shared: shared.clone() };
        if simulation::current().is_some() {
            weir_world::spawn("slot", async move {
                shared.run_simulated().await;
                drop(end);
            });
        } else {
            weir_world::on_thread(&format!("slot-{index}"), move || {
                shared.run();
                drop(end);
            })?;
        }
        Ok((slot, ended))
    }

    /// The waker of the slot's thread.
    pub fn waker(&self) -> &SlotWaker {
        &self.shared.waker
    }

    /// Hands over a task that is ready to run.
    pub fn add(&self, task: Task) {
        self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        self.shared.waker.wake();
    }

    /// Ends the thread. Its tasks end as if they were canceled.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.waker.wake();
    }
}

/// A task on its slot, and how its last step ended.
struct Stepping {
    task: Task,
    last: TimeSpent,
    since: Instant,
}

/// What a slot does after a turn.
enum Next {
    /// Begin the next turn at once.
    Turn,
    /// Sleep until a wake-up, but not longer than this.
    Sleep(Duration),
    /// The slot ends.
    End,
}

impl SlotShared {
    fn run(&self) {
        self.waker.bind_current_thread();
        let mut tasks: Vec<Stepping> = Vec::new();
        loop {
            match self.turn(&mut tasks) {
                Next::Turn => {}
                Next::Sleep(time) => std::thread::park_timeout(time),
                Next::End => return,
            }
        }
    }

    /// Like [`Self::run`], but each turn takes simulated time.
    async fn run_simulated(&self) {
        let news = self.waker.bind_task();
        let mut tasks: Vec<Stepping> = Vec::new();
        loop {
            match self.turn(&mut tasks) {
                Next::Turn => tokio::time::sleep(SIMULATED_TURN).await,
                Next::Sleep(time) => drop(tokio::time::timeout(time, news.notified()).await),
                Next::End => return,
            }
        }
    }

    /// Steps every task once.
    fn turn(&self, tasks: &mut Vec<Stepping>) -> Next {
        self.waker.take_pending();
        let arrived = std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner));
        for task in arrived {
            if !task.control().is_canceled() {
                task.report_state(ExecutionState::Running);
            }
            tasks.push(Stepping { task, last: TimeSpent::Idle, since: Instant::now() });
        }
        let stopping = self.stopping.load(Ordering::Acquire);
        let mut worked = false;
        let mut wake_at = u64::MAX;
        let mut index = 0;
        while index < tasks.len() {
            match self.step(&mut tasks[index], stopping) {
                Stepped::On(Progress::Worked) => worked = true,
                Stepped::On(Progress::Idle { until_ms } | Progress::Backpressured { until_ms }) => {
                    wake_at = wake_at.min(until_ms)
                }
                Stepped::On(_) => {}
                Stepped::Ended(end) => {
                    self.bury(tasks.remove(index).task, end);
                    continue;
                }
            }
            index += 1;
        }
        if stopping && tasks.is_empty() {
            return Next::End;
        }
        if worked || self.waker.take_pending() {
            return Next::Turn;
        }
        match wake_at.saturating_sub(self.clock.now_ms()).min(MAX_SLEEP_MS) {
            0 => Next::Turn,
            sleep => Next::Sleep(Duration::from_millis(sleep)),
        }
    }

    fn step(&self, stepping: &mut Stepping, stopping: bool) -> Stepped {
        if stopping || stepping.task.control().is_canceled() {
            return Stepped::Ended(End::Canceled);
        }
        let start = Instant::now();
        let task = &mut stepping.task;
        let stepped = catch_unwind(AssertUnwindSafe(|| task.step(self.clock.now_ms())));
        let spent = match &stepped {
            Ok(Ok(Progress::Backpressured { .. })) => TimeSpent::Backpressured,
            Ok(Ok(Progress::Idle { .. })) => TimeSpent::Idle,
            _ => TimeSpent::Busy,
        };
        let now = Instant::now();
        // The last step tells how the task spent the time since then. After a busy step, the task only waited for its turn.
        let waited = start.duration_since(stepping.since).as_nanos() as u64;
        let waiting = if stepping.last == TimeSpent::Busy { TimeSpent::Idle } else { stepping.last };
        stepping.task.spent(waiting, waited);
        stepping.task.spent(spent, now.duration_since(start).as_nanos() as u64);
        stepping.last = spent;
        stepping.since = now;
        match stepped {
            Ok(Ok(Progress::Finished)) => Stepped::Ended(End::Finished),
            Ok(Ok(progress)) => Stepped::On(progress),
            Ok(Err(failure)) => Stepped::Ended(End::Failed(failure)),
            Err(panic) => Stepped::Ended(End::Failed(panic_failure(panic.as_ref()))),
        }
    }

    /// Drops a task, then reports its end.
    fn bury(&self, mut task: Task, end: End) {
        let (attempt, reports, control) = (task.attempt(), task.reports().clone(), task.control().clone());
        self.registry.withdraw(&attempt);
        task.close_outputs(&match &end {
            End::Finished => Closure::Finished,
            End::Canceled => Closure::ProducerStopped("the producer was canceled".into()),
            End::Failed(failure) => Closure::ProducerStopped(format!("the producer failed: {}", failure.code)),
        });
        let close = || {
            task.hear_aborted();
            drop(task);
        };
        if catch_unwind(AssertUnwindSafe(close)).is_err() {
            tracing::warn!(%attempt, "an operator panicked while it was dropped");
        }
        let (state, failure) = match end {
            End::Finished => (ExecutionState::Finished, None),
            End::Canceled => (ExecutionState::Canceled, None),
            End::Failed(failure) => (ExecutionState::Failed, Some(failure)),
        };
        // Heartbeats read the counters only now and then, and this attempt has its last one behind it.
        reports.tell_blocking(report::ended(state, failure, control.counters().read(attempt)));
    }
}

enum Stepped {
    On(Progress),
    Ended(End),
}

enum End {
    Finished,
    Canceled,
    Failed(TaskFailure),
}

/// The failure of a task whose operator panicked, with the panic's message.
pub fn panic_failure(panic: &(dyn Any + Send)) -> TaskFailure {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    let message = format!("an operator panicked: {text}; this is a bug in the operator, please report it with the log");
    failure("TASK-PANIC", message, true)
}
