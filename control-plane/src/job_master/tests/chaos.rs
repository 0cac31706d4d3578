//! Random interleavings of all events. The model checks the invariants at every step.

use weir_protocol::job_graph::RestartStrategyConfig;
use weir_protocol::job_status::{ExecutionState, JobStatus};
use weir_protocol::link::TaskFailure;

use super::model::Model;
use super::{end_all_input, joined, parallel, with};
use crate::checkpoint::event::CheckpointEvent;
use crate::checkpoint::pending::CheckpointRequest;
use crate::job_master::event::JobMasterEvent;

/// The splitmix64 random generator.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % sides
    }

    fn pick<T>(&mut self, from: Vec<T>) -> Option<T> {
        if from.is_empty() {
            return None;
        }
        let index = self.roll(from.len() as u64) as usize;
        from.into_iter().nth(index)
    }
}

struct Chaos {
    model: Model,
    dice: Dice,
    born: u32,
    requests: u64,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let graph = if dice.roll(2) == 0 { joined() } else { parallel() };
        let concurrent = 1 + dice.roll(2) as u32;
        let graph = with(&graph, |graph| {
            graph.restart_strategy = Some(RestartStrategyConfig::FixedDelay { attempts: u32::MAX, delay_ms: 50 });
            graph.checkpointing.get_or_insert_default().tolerable_failures = 2;
            graph.checkpointing.get_or_insert_default().max_concurrent = concurrent;
            graph.checkpointing.get_or_insert_default().interval_ms = 100;
            graph.checkpointing.get_or_insert_default().timeout_ms = 2_000;
        });
        let mut chaos = Self { model: Model::new(graph, seed), dice, born: 0, requests: 0 };
        for _ in 0..3 {
            chaos.birth();
        }
        chaos
    }

    fn birth(&mut self) {
        self.born += 1;
        let name = format!("tm-{:03}", self.born);
        self.model.add_task_manager(&name);
    }

    fn step(&mut self) {
        let ids: Vec<_> = self.model.task_managers.keys().cloned().collect();
        match self.dice.roll(100) {
            0..30 => {
                self.model.deliver();
            }
            30..50 => {
                if let Some(id) = self.dice.pick(ids) {
                    self.model.obey(&id);
                }
            }
            50..65 => {
                let (applied, answered) = (self.dice.roll(6) > 0, self.dice.roll(4) > 0);
                self.model.call(applied, answered);
            }
            65..75 => {
                let up = self.model.tasks(|task| task.state == ExecutionState::Deploying);
                if let Some((id, attempt)) = self.dice.pick(up) {
                    self.model.report_state(&id, attempt, ExecutionState::Running, None);
                }
            }
            75..85 => {
                let asked = self.model.tasks(|task| task.state == ExecutionState::Running && !task.barriers.is_empty());
                if let Some((id, attempt)) = self.dice.pick(asked) {
                    self.model.acknowledge(&id, attempt);
                }
            }
            85..93 => {
                let limit = self.model.now.after(1 + self.dice.roll(300));
                self.model.pass_time(limit);
                self.model.grant();
            }
            93..96 => {
                let running = self.model.tasks(|task| task.state == ExecutionState::Running && !task.input_ended);
                if let Some((id, attempt)) = self.dice.pick(running) {
                    self.model.end_input(&id, attempt);
                }
            }
            _ => self.mishap(ids),
        }
    }

    fn mishap(&mut self, ids: Vec<weir_protocol::TaskManagerId>) {
        match self.dice.roll(8) {
            0 => {
                if let Some(id) = self.dice.pick(ids) {
                    self.model.kill(&id);
                    self.birth();
                }
            }
            1 => {
                let live = self.model.tasks(|task| !task.state.is_terminal());
                if let Some((id, attempt)) = self.dice.pick(live) {
                    let failure = TaskFailure { code: "X".to_string(), message: "x".to_string(), retryable: true };
                    self.model.report_state(&id, attempt, ExecutionState::Failed, Some(failure));
                }
            }
            2 => {
                self.requests += 1;
                let stop = self.dice.roll(10) == 0;
                let request = self.requests;
                self.model.inbox.push_back(JobMasterEvent::Checkpoint(CheckpointEvent::Requested(CheckpointRequest {
                    request,
                    savepoint: true,
                    target_directory: None,
                    stop,
                })));
            }
            3 if self.dice.roll(20) == 0 => self.model.inbox.push_back(JobMasterEvent::MessagesLost),
            4 if self.dice.roll(60) == 0 => self.model.inbox.push_back(JobMasterEvent::Cancel),
            _ => {}
        }
    }
}

#[test]
fn in_random_interleavings_the_invariants_hold_and_the_job_ends_after_the_last_failure() {
    let mut ends = [0; 2];
    let (mut checkpoints, mut restarts) = (0, 0);
    for seed in 0..250 {
        let mut chaos = Chaos::new(seed);
        for _ in 0..1_500 {
            if chaos.model.ended.is_some() {
                break;
            }
            chaos.step();
        }
        let model = &mut chaos.model;
        let mut rounds = 0;
        while model.ended.is_none() {
            model.run_for(5_000);
            end_all_input(model);
            rounds += 1;
            assert!(rounds < 100, "seed {seed}: stuck: {:?}", model.core.view(model.now).reason);
        }
        let ended = model.ended.take().expect("just seen");
        match ended.status {
            JobStatus::Finished => ends[0] += 1,
            JobStatus::Canceled => ends[1] += 1,
            other => panic!("seed {seed}: {other:?}: {:?}", ended.failure),
        }
        let unread =
            model.inbox.iter().filter(|event| matches!(event, JobMasterEvent::Checkpoint(CheckpointEvent::Requested(_)))).count();
        assert_eq!(model.answers.len() + unread, chaos.requests as usize, "seed {seed}: V1: every request is answered");
        checkpoints += model.kinds.len();
        restarts += model.core.view(model.now).restarts;
    }
    assert!(ends[0] > 150 && ends[1] > 0, "both ends are frequent enough: {ends:?}");
    assert!(checkpoints > 500 && restarts > 500, "enough happened: {checkpoints} checkpoints, {restarts} restarts");
}
