//! Searches the TaskExecutor. Its surrounding is the tasks in its slots, and leaders. A former leader may not know that it is
//! one.

mod judge;

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::checkpoint::{OperatorSnapshot, SubtaskCheckpointStats, SubtaskSnapshot};
use weir_protocol::job_graph::JobVertex;
use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::{CheckpointAcknowledgement, Deployment, LeaderAddress, TaskDeployment, TaskStateUpdate};
use weir_protocol::{
    AllocationId, CheckpointId, ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch, TaskManagerId,
};
use weir_worker::task::report::TaskReport;
use weir_worker::task_executor::event::{Event, LinkNumber};
use weir_worker::task_executor::{Identity, TaskExecutor};

use super::{Surrounding, require};

const JOB: JobId = JobId(1);
const SLOTS: u32 = 2;
/// Maximum numbers of leaders, deployments, broken links, heartbeats, and long pauses.
const LEADERS: u64 = 2;
const DEPLOYMENTS: u32 = 3;
const BREAKS: u32 = 2;
const BEATS: u32 = 2;
const PAUSES: u32 = 2;
const HEARTBEAT_MS: u64 = 100;
const TIMEOUT_MS: u64 = 1_000;
/// Milliseconds of a long pause: longer than any wait of a TaskManager.
const LONG_MS: u64 = 2_000;

/// A task in its real state, which leaders may not know.
#[derive(Debug, Clone, Hash)]
struct Task {
    slot: u32,
    allocation: AllocationId,
    running: bool,
    canceling: bool,
    input_ended: bool,
}

/// The TaskExecutor and its surrounding.
#[derive(Debug, Clone, Hash)]
pub struct Executor {
    core: TaskExecutor,
    now: u64,
    /// The epoch of the leader at the end of each link, by the number of the link.
    links: BTreeMap<u64, u64>,
    /// The open link, if there is one, whether it is up, and whether the leader has accepted the registration.
    open: Option<u64>,
    up: bool,
    registered: bool,
    heard: u64,
    /// The highest epoch that the TaskExecutor obeyed, and the highest of which it was told.
    obeyed: u64,
    named: u64,
    tasks: BTreeMap<ExecutionAttemptId, Task>,
    deployed: u32,
    /// Attempts that have ended and whose end was not reported to a leader.
    untold: BTreeSet<ExecutionAttemptId>,
    /// Whether the present event comes from a former leader or a former link, so that it must have no effect.
    stale: bool,
    /// Messages that were sent in answer to the last event.
    sent: Vec<Sent>,
    connected: bool,
    breaks: u32,
    beats: u32,
    pauses: u32,
    stopped: bool,
}

/// The part of a message that is judged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Sent {
    State(ExecutionAttemptId, ExecutionState),
    InputEnded(ExecutionAttemptId),
    Decline(ExecutionAttemptId),
    Acknowledge(ExecutionAttemptId),
    Register,
    Heartbeat,
}

/// An event that may happen next.
#[derive(Debug, Clone)]
pub enum Step {
    /// A JobManager says that the leader has this epoch.
    Seen(u64),
    /// The open link comes up.
    Up,
    /// A link breaks. The TaskExecutor may have closed it long ago.
    Broken(u64),
    /// The leader at the end of this link sends an order under this epoch.
    Ordered(u64, u64, Command),
    /// A task starts to run.
    Runs(ExecutionAttemptId),
    /// A task's input has ended.
    InputEnded(ExecutionAttemptId),
    /// A task's part of a checkpoint is durable.
    Acknowledged(ExecutionAttemptId),
    /// A task ends in this state.
    Ends(ExecutionAttemptId, ExecutionState),
    /// This many milliseconds pass.
    Pass(u64),
    /// The process is told to stop.
    Stop,
}

/// An order of a leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The leader accepts the registration.
    Registered,
    /// The leader deploys a subtask into a slot.
    Deploy(u32, u32),
    /// The leader sends the same deployment once more.
    Again(ExecutionAttemptId),
    /// The leader cancels an attempt, which may not exist.
    Cancel(ExecutionAttemptId),
    /// The leader triggers a checkpoint.
    Trigger(ExecutionAttemptId),
    /// The leader says that a checkpoint is complete.
    Complete(ExecutionAttemptId),
}

/// Returns the states from which the search starts, by name.
pub(super) fn starts() -> Vec<(&'static str, Executor)> {
    let registered = Executor::alone().after([Step::Seen(1), Step::Up, Step::Ordered(1, 1, Command::Registered)]);
    let first = attempt(1, 1, 0);
    let busy = registered.clone().after([Step::Ordered(1, 1, Command::Deploy(0, 0)), Step::Runs(first)]);
    let between = busy.clone().after([Step::Ordered(1, 1, Command::Deploy(1, 1)), Step::Broken(1)]);
    vec![("alone", Executor::alone()), ("registered", registered), ("with a task", busy), ("between leaders", between)]
}

fn attempt(epoch: u64, number: u32, subtask: u32) -> ExecutionAttemptId {
    ExecutionAttemptId {
        job: JOB,
        execution_vertex: ExecutionVertexId { vertex: JobVertexId(1), subtask },
        generation: Generation { epoch: LeaderEpoch(epoch), attempt: number },
    }
}

fn address(epoch: u64) -> LeaderAddress {
    let text = String::new;
    LeaderAddress { epoch: LeaderEpoch(epoch), name: text(), rpc_address: text(), rest_address: text() }
}

/// Returns the id of the allocation by which a leader grants a slot.
fn allocation(epoch: u64, slot: u32) -> AllocationId {
    AllocationId(u128::from(epoch) << 64 | u128::from(slot))
}

fn deployment(attempt: ExecutionAttemptId, slot: u32) -> Deployment {
    let (operators, output_schema, input_schemas) = (Vec::new(), Vec::new(), Vec::new());
    let (uid, name) = (String::new(), String::new());
    let vertex = JobVertex { uid, name, parallelism: 2, operators, output_schema, input_schemas };
    let allocation = allocation(attempt.generation.epoch.0, slot);
    let (restore, inputs, outputs) = (Vec::new(), Vec::new(), Vec::new());
    Deployment {
        job: JOB,
        job_name: String::new(),
        max_parallelism: 8,
        checkpoint_dir: String::new(),
        restore_checkpoint: None,
        tasks: vec![TaskDeployment { attempt, slot, allocation, vertex, restore, inputs, outputs }],
    }
}

impl Executor {
    /// A TaskExecutor that knows no leader and holds no tasks.
    pub fn alone() -> Self {
        let text = String::new;
        let identity = Identity {
            task_manager: TaskManagerId("tm".to_owned()),
            data_address: text(),
            http_address: text(),
            slots: SLOTS,
            memory_bytes: 1,
            heartbeat_interval_ms: HEARTBEAT_MS,
            heartbeat_timeout_ms: TIMEOUT_MS,
            seed: 1,
        };
        Self {
            core: TaskExecutor::new(identity),
            now: 0,
            links: BTreeMap::new(),
            open: None,
            up: false,
            registered: false,
            heard: 0,
            obeyed: 0,
            named: 0,
            tasks: BTreeMap::new(),
            deployed: 0,
            untold: BTreeSet::new(),
            stale: false,
            sent: Vec::new(),
            connected: false,
            breaks: 0,
            beats: 0,
            pauses: 0,
            stopped: false,
        }
    }

    fn after<const N: usize>(mut self, steps: [Step; N]) -> Self {
        for step in steps {
            self.take(&step).expect("the way to the start breaks no invariant");
        }
        (self.breaks, self.pauses) = (0, 0);
        self
    }

    fn reported(&mut self, report: TaskReport) -> Result<(), String> {
        self.handle(Event::FromTask(report))
    }

    fn ends(&mut self, attempt: ExecutionAttemptId, state: ExecutionState) -> Result<(), String> {
        self.tasks.remove(&attempt);
        self.untold.insert(attempt);
        self.reported(TaskReport::State(TaskStateUpdate { attempt, state, failure: None, counters: None }))?;
        require(!self.registered || !self.untold.contains(&attempt), "S4: the leader is not told how a task ended")
    }

    fn pass(&mut self, milliseconds: u64) -> Result<(), String> {
        self.now += milliseconds;
        self.pauses += u32::from(milliseconds == LONG_MS);
        self.beats += u32::from(milliseconds == HEARTBEAT_MS);
        let (open, silent) = (self.open, self.now - self.heard >= TIMEOUT_MS);
        let beats = self.registered && !silent;
        self.handle(Event::Tick)?;
        require(!beats || self.sent.contains(&Sent::Heartbeat), "H1: no heartbeat when one is due")?;
        require(
            !silent || open.is_none() || self.open != open,
            "H1: the link to a silent leader is not closed after the timeout",
        )?;
        let waits = open.is_none() && milliseconds == LONG_MS && self.named >= self.obeyed.max(1);
        require(!waits || self.connected, "S4: a TaskManager without a leader does not look for one")
    }

    fn commands(&self, epoch: u64) -> Vec<Command> {
        let mut commands = vec![Command::Registered];
        if self.deployed < DEPLOYMENTS {
            commands.extend([(0, 0), (1, 0), (1, 1)].map(|(subtask, slot)| Command::Deploy(subtask, slot)));
        }
        for attempt in self.tasks.keys() {
            commands.push(Command::Cancel(*attempt));
            if attempt.generation.epoch.0 == epoch {
                commands.extend([Command::Again(*attempt), Command::Trigger(*attempt), Command::Complete(*attempt)]);
            }
        }
        let unknown = attempt(epoch, 9, 0);
        commands.extend([Command::Cancel(unknown), Command::Trigger(unknown)]);
        commands
    }
}

impl Surrounding for Executor {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<_> = (1..=LEADERS).map(Step::Seen).collect();
        if self.open.is_some() && !self.up {
            steps.push(Step::Up);
        }
        for (link, leader) in &self.links {
            if self.breaks < BREAKS {
                steps.push(Step::Broken(*link));
            }
            let present = self.open == Some(*link);
            if present && !self.up {
                continue;
            }
            // Over a former link all orders have the same effect: none. Over the open link orders may also name the epoch of a
            // former leader.
            let commands = if present { self.commands(*leader) } else { vec![Command::Deploy(0, 0)] };
            steps.extend(commands.into_iter().map(|command| Step::Ordered(*link, *leader, command)));
            if present && *leader > 1 {
                steps.extend(
                    [Command::Deploy(0, 1), Command::Registered].map(|command| Step::Ordered(*link, leader - 1, command)),
                );
                steps.extend(self.tasks.keys().map(|attempt| Step::Ordered(*link, leader - 1, Command::Cancel(*attempt))));
            }
        }
        for (attempt, task) in &self.tasks {
            if !task.running {
                steps.push(Step::Runs(*attempt));
            } else {
                if !task.input_ended {
                    steps.push(Step::InputEnded(*attempt));
                }
                steps.extend([Step::Acknowledged(*attempt), Step::Ends(*attempt, ExecutionState::Finished)]);
            }
            let end = if task.canceling { ExecutionState::Canceled } else { ExecutionState::Failed };
            steps.push(Step::Ends(*attempt, end));
        }
        if self.beats < BEATS {
            steps.push(Step::Pass(HEARTBEAT_MS));
        }
        if self.pauses < PAUSES {
            steps.push(Step::Pass(LONG_MS));
        }
        if !self.stopped {
            steps.push(Step::Stop);
        }
        steps
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        self.happen(step)?;
        (self.sent, self.connected) = (Vec::new(), false);
        Ok(())
    }
}

impl Executor {
    fn happen(&mut self, step: &Step) -> Result<(), String> {
        match step.clone() {
            Step::Seen(epoch) => {
                self.named = self.named.max(epoch);
                self.handle(Event::LeaderSeen(address(epoch)))
            }
            Step::Up => match self.open {
                Some(link) => {
                    (self.up, self.heard) = (true, self.now);
                    self.handle(Event::LinkUp(LinkNumber(link)))
                }
                None => Ok(()),
            },
            Step::Broken(link) => {
                self.breaks += 1;
                self.stale = self.open != Some(link);
                let broken = self.handle(Event::LinkLost { link: LinkNumber(link), reason: String::new() });
                self.stale = false;
                broken
            }
            Step::Ordered(link, epoch, command) => self.ordered(link, epoch, &command),
            Step::Runs(attempt) => {
                if let Some(task) = self.tasks.get_mut(&attempt) {
                    task.running = true;
                }
                self.reported(TaskReport::State(TaskStateUpdate {
                    attempt,
                    state: ExecutionState::Running,
                    failure: None,
                    counters: None,
                }))
            }
            Step::InputEnded(attempt) => {
                if let Some(task) = self.tasks.get_mut(&attempt) {
                    task.input_ended = true;
                }
                self.reported(TaskReport::InputEnded(attempt))
            }
            Step::Acknowledged(attempt) => {
                let operators = vec![OperatorSnapshot::default()];
                let snapshot = SubtaskSnapshot { execution_vertex: attempt.execution_vertex, operators };
                let (checkpoint, stats) = (CheckpointId(1), SubtaskCheckpointStats::default());
                self.reported(TaskReport::Acknowledged(CheckpointAcknowledgement { attempt, checkpoint, snapshot, stats }))
            }
            Step::Ends(attempt, state) => self.ends(attempt, state),
            Step::Pass(milliseconds) => self.pass(milliseconds),
            Step::Stop => {
                self.stopped = true;
                self.handle(Event::Stop)?;
                require(self.tasks.values().all(|task| task.canceling), "a task is not canceled in a process that stops")
            }
        }
    }
}
