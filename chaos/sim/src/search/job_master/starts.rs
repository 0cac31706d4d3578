//! The states from which the search starts: places in the life of a job.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, LazyLock};

use serde_json::json;
use weir_control_plane::job_master::event::JobMasterEvent;
use weir_control_plane::job_master::{JobMaster, JobMasterOptions, JobToRun};
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_status::JobStatus;
use weir_protocol::{CheckpointId, LeaderEpoch};

use super::cluster::{End, Slots, TaskManager};
use super::store::Store;
use super::{JOB, Job, Limits, Shape, Step, TASK_MANAGERS};
use crate::search::Surrounding;

fn graph(shape: Shape) -> Arc<JobGraph> {
    static APART: LazyLock<Arc<JobGraph>> = LazyLock::new(|| parse(&[("a", 2)], &[]));
    static JOINED: LazyLock<Arc<JobGraph>> = LazyLock::new(|| parse(&[("a", 1), ("b", 1)], &[("a", "b")]));
    Arc::clone(match shape {
        Shape::Apart => &APART,
        Shape::Joined => &JOINED,
    })
}

fn parse(vertices: &[(&str, u32)], edges: &[(&str, &str)]) -> Arc<JobGraph> {
    let vertex = |(id, parallelism): &(&str, u32)| json!({"id": id, "parallelism": parallelism, "operators": [{"kind": "x.y"}]});
    let edge = |(from, to): &(&str, &str)| json!({"from": from, "to": to, "partitioning": {"type": "rebalance"}});
    let graph = json!({
        "version": JobGraph::VERSION, "name": "job", "job_id": JOB.to_string(),
        "vertices": vertices.iter().map(vertex).collect::<Vec<_>>(),
        "edges": edges.iter().map(edge).collect::<Vec<_>>(),
        "checkpointing": {"interval_ms": 1_000, "timeout_ms": 5_000, "tolerable_failures": 1},
        "restart_strategy": {"type": "fixed-delay", "attempts": 3, "delay_ms": 100},
    });
    Arc::new(serde_json::from_value(graph).expect("the JSON is a job graph"))
}

/// Returns a new JobMaster under the leader of `epoch`.
pub(super) fn core(shape: Shape, epoch: u64) -> JobMaster {
    let what = JobToRun {
        job: JOB,
        graph: graph(shape),
        graph_crc32c: 7,
        submitted_at_ms: 1,
        epoch: LeaderEpoch(epoch),
        checkpoint_dir: String::new(),
        wall_at_zero_ms: 0,
        seed: 1,
    };
    let options = JobMasterOptions { checkpoint_history: 1, exception_history: 1, ..JobMasterOptions::default() };
    JobMaster::new(what, options).expect("the edges of the graph end at vertices")
}

/// Returns the states from which the search starts, by name.
pub(in crate::search) fn starts() -> Vec<(&'static str, Job)> {
    let some = Limits { failures: 2, losses: 1, repetitions: 1, cancellations: 1, ..Limits::default() };
    let mut starts = Vec::new();
    for shape in [Shape::Apart, Shape::Joined] {
        let name = |apart, joined| if shape == Shape::Apart { apart } else { joined };
        let submitted = Job::submitted(shape);
        let running = submitted.clone().until(Job::runs);
        let complete = running.clone().until(|job| job.store.newest() == Some(CheckpointId(1)) && job.runs());
        let stopping = complete.clone().after(Step::Savepoint(true)).until(|job| job.store.is_appending());
        let failed = complete.clone().failed();
        let led_anew = complete.clone().after(Step::LeaderChanged(true));
        starts.extend([
            (name("submitted, apart", "submitted, joined"), submitted.with(some)),
            (
                name("running, apart", "running, joined"),
                running.with(Limits { ends_of_input: 2, troubles: 2, savepoints: 1, ..some }),
            ),
            (name("complete, apart", "complete, joined"), complete.clone().with(Limits { leaders: 1, overruns: 1, ..some })),
            (name("stopping, apart", "stopping, joined"), stopping.with(Limits { leaders: 1, ..some })),
            (name("failed, apart", "failed, joined"), failed.with(Limits { savepoints: 1, overruns: 1, ..some })),
            (name("led anew, apart", "led anew, joined"), led_anew.with(Limits { leaders: 1, ..some })),
        ]);
        if shape == Shape::Apart {
            let late = complete.with_a_late_answer().with(Limits { failures: 1, ..Limits::default() });
            starts.push(("late answer, apart", late));
        }
    }
    starts
}

impl Job {
    /// A job that was just submitted, with two TaskManagers.
    fn submitted(shape: Shape) -> Self {
        let slots = if shape == Shape::Apart { 2 } else { 1 };
        let mut start = Self {
            core: core(shape, 1),
            subtasks: 2,
            shape,
            now: 0,
            epoch: 1,
            left: Limits { losses: 9, savepoints: 9, leaders: 9, failures: 9, ..Limits::default() },
            task_managers: vec![TaskManager::default(); TASK_MANAGERS],
            slots: Slots::new(slots),
            store: Store::default(),
            mail: VecDeque::new(),
            last_report: None,
            held: BTreeMap::new(),
            live: BTreeMap::new(),
            newest: BTreeMap::new(),
            ran: BTreeSet::new(),
            asked: Vec::new(),
            canceled: false,
            overrun: false,
            over: false,
            unreached: Vec::new(),
        };
        start.handle(JobMasterEvent::Start).expect("the start breaks no invariant");
        for task_manager in 0..TASK_MANAGERS {
            start = start.after(Step::Return(task_manager));
        }
        start
    }

    fn with(mut self, left: Limits) -> Self {
        self.left = left;
        self
    }

    fn after(mut self, step: Step) -> Self {
        self.take(&step).expect("the way to the start breaks no invariant");
        self
    }

    /// Takes the steps that happen by themselves until `done` holds.
    fn until(mut self, done: impl Fn(&Self) -> bool) -> Self {
        for _ in 0..200 {
            if done(&self) {
                return self;
            }
            let next = self.onward().or_else(|| self.core.next_deadline().map(|_| Step::Tick));
            self = self.after(next.expect("a step can be taken"));
        }
        panic!("200 steps do not lead to the start: {self:?}")
    }

    /// One task has failed, and the others that restart with it are being stopped.
    fn failed(self) -> Self {
        let attempt = *self.live.keys().next().expect("a task is deployed");
        self.after(Step::Ends(attempt, End::Failed)).after(Step::Hear)
    }

    /// The job runs and has completed checkpoint 2, while an older answer to a question about the newest checkpoint is still in
    /// flight. This is because another task failed after the first question, and the JobMaster asked again.
    fn with_a_late_answer(self) -> Self {
        let mut asked = self.failed().until(|job| job.store.asks());
        let other = *asked.live.keys().next().expect("the other task is deployed");
        asked = asked.after(Step::Ends(other, End::Failed)).after(Step::Hear).after(Step::Tick);
        asked.until(|job| job.store.newest() == Some(CheckpointId(2)) && job.runs())
    }

    fn runs(&self) -> bool {
        let settled = self.mail.is_empty() && self.onward().is_none();
        settled && self.core.status() == JobStatus::Running && self.live.len() == self.subtasks
    }
}
