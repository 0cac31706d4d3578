//! The steps of a JobManager in the specification.

use std::collections::BTreeSet;

use super::{Answer, Checkpoint, Cluster, Flaw, Generation, Message, Order, Specification, Step, Wanted};

/// One JobManager. It only believes that it leads; the store alone knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Leader {
    Standby,
    Leading(Box<Leading>),
}

/// What a JobManager knows as a leader.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Leading {
    epoch: u8,
    /// The newest checkpoint that this leader read from the store, or wrote since. `None`: it has not read the store yet.
    newest: Option<Option<Checkpoint>>,
    deployed: Option<Deployed>,
    attempts: u8,
    /// A pointer whose outcome is unknown.
    unknown: Option<Checkpoint>,
}

/// The newest attempt that this leader deployed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Deployed {
    generation: Generation,
    worker: usize,
    /// The id of the checkpoint in progress.
    pending: Option<u8>,
}

impl Leader {
    pub(super) fn epoch(&self) -> Option<u8> {
        match self {
            Self::Standby => None,
            Self::Leading(leading) => Some(leading.epoch),
        }
    }
}

impl Specification {
    pub(super) fn steps_of_leader(&self, cluster: &Cluster, number: usize, steps: &mut Vec<Step>) {
        let Leader::Leading(leading) = &cluster.leaders[number] else {
            if cluster.store.epoch < self.epochs {
                steps.push(Step::Acquire(number));
            }
            return;
        };
        steps.push(Step::LeaderDies(number));
        if leading.newest.is_none() {
            return steps.push(Step::Recover(number));
        }
        if leading.unknown.is_some() {
            return steps.push(Step::ReadBack(number));
        }
        if leading.attempts < self.attempts {
            steps.extend((0..cluster.workers.len()).map(|worker| Step::Deploy(number, worker)));
        }
        let Some(deployed) = &leading.deployed else { return };
        if deployed.pending.is_none() && cluster.store.ids < self.checkpoints {
            steps.push(Step::Trigger(number));
        }
        for message in &cluster.network {
            if let Message::Acknowledge(generation, checkpoint) = message {
                let counts = *generation == deployed.generation && deployed.pending == Some(checkpoint.id);
                // An acknowledgement is sent only to the leader that triggered the checkpoint.
                let any = self.flaw == Some(Flaw::AnyAcknowledgementCounts) && generation.epoch == leading.epoch;
                if counts || any {
                    let answers = [Answer::Heard, Answer::LostAnswer, Answer::LostRequest];
                    steps.extend(answers.map(|answer| Step::Complete(number, *generation, checkpoint.clone(), answer)));
                }
            }
        }
    }

    pub(super) fn acquire(&self, cluster: &mut Cluster, number: usize) {
        // E2: the epoch is durable before the leader reads anything.
        if self.flaw != Some(Flaw::EpochNotRaised) || cluster.store.epoch == 0 {
            cluster.store.epoch += 1;
        }
        let epoch = cluster.store.epoch;
        let leading = Leading { epoch, newest: None, deployed: None, attempts: 0, unknown: None };
        cluster.leaders[number] = Leader::Leading(Box::new(leading));
    }

    pub(super) fn recover(&self, cluster: &mut Cluster, number: usize) {
        let Leader::Leading(leading) = &mut cluster.leaders[number] else { return };
        let ignored = self.flaw == Some(Flaw::NewestIgnored);
        leading.newest = Some(cluster.store.newest.clone().filter(|_| !ignored));
    }

    pub(super) fn deploy(&self, cluster: &mut Cluster, number: usize, worker: usize) {
        let Leader::Leading(leading) = &mut cluster.leaders[number] else { return };
        let Some(restore) = leading.newest.clone() else { return };
        cluster.seen.older_restored |= leading.epoch == cluster.store.epoch && restore != cluster.store.newest;
        leading.attempts += 1;
        let generation = Generation { epoch: leading.epoch, number: leading.attempts };
        leading.deployed = Some(Deployed { generation, worker, pending: None });
        order(leading, &mut cluster.network, Wanted::Start(restore));
    }

    pub(super) fn trigger(&self, cluster: &mut Cluster, number: usize) {
        let Leader::Leading(leading) = &mut cluster.leaders[number] else { return };
        // Reserving an id is a fenced write.
        if cluster.store.epoch != leading.epoch {
            return cluster.refuse(number);
        }
        let id = if self.flaw == Some(Flaw::IdsCountedInMemory) {
            leading.newest.iter().flatten().map(|newest| newest.id).next().unwrap_or(0) + 1
        } else {
            cluster.store.ids + 1
        };
        cluster.seen.id_reused |= id <= cluster.store.ids;
        cluster.store.ids = cluster.store.ids.max(id);
        let Some(deployed) = &mut leading.deployed else { return };
        deployed.pending = Some(id);
        order(leading, &mut cluster.network, Wanted::Snapshot(id));
    }

    pub(super) fn complete(&self, cluster: &mut Cluster, number: usize, checkpoint: Checkpoint, answer: Answer) {
        let Leader::Leading(leading) = &mut cluster.leaders[number] else { return };
        if let Some(deployed) = &mut leading.deployed {
            deployed.pending = None;
        }
        if self.flaw == Some(Flaw::ToldBeforeWritten) {
            order(leading, &mut cluster.network, Wanted::Commit(checkpoint.id));
        }
        if answer == Answer::LostRequest {
            return self.doubt(cluster, number, checkpoint);
        }
        // E3: the same atomic operation compares the epoch. The pointer must also still be the one that this leader knows.
        let known = leading.newest.iter().flatten().map(|newest| newest.id).next().unwrap_or(0);
        let fenced = cluster.store.epoch == leading.epoch && cluster.store.newest_id() == known;
        if !fenced && self.flaw != Some(Flaw::FenceForgotten) {
            return match answer {
                Answer::Heard => cluster.refuse(number),
                _ => self.doubt(cluster, number, checkpoint),
            };
        }
        cluster.seen.pointer_went_back |= checkpoint.id <= cluster.store.newest_id();
        cluster.store.newest = Some(checkpoint.clone());
        if answer == Answer::Heard {
            completed(leading, &mut cluster.network, checkpoint);
        } else {
            cluster.seen.unknown_but_done = true;
            self.doubt(cluster, number, checkpoint);
        }
    }

    fn doubt(&self, cluster: &mut Cluster, number: usize, checkpoint: Checkpoint) {
        let Leader::Leading(leading) = &mut cluster.leaders[number] else { return };
        if self.flaw == Some(Flaw::UnknownDeleted) {
            cluster.store.deleted.insert(checkpoint.id);
            return;
        }
        leading.unknown = Some(checkpoint);
    }

    /// G3: the leader resolves an unknown outcome by reading, under the same epoch.
    pub(super) fn read_back(&self, cluster: &mut Cluster, number: usize) {
        let Leader::Leading(leading) = &mut cluster.leaders[number] else { return };
        let Some(checkpoint) = leading.unknown.take() else { return };
        if cluster.store.epoch != leading.epoch {
            return cluster.refuse(number);
        }
        if cluster.store.newest.as_ref() == Some(&checkpoint) {
            completed(leading, &mut cluster.network, checkpoint);
        }
    }
}

/// C3: the leader tells the task only now that the checkpoint is complete.
fn completed(leading: &mut Leading, network: &mut BTreeSet<Message>, checkpoint: Checkpoint) {
    order(leading, network, Wanted::Commit(checkpoint.id));
    leading.newest = Some(Some(checkpoint));
}

/// Sends an order to the newest attempt that this leader deployed.
fn order(leading: &Leading, network: &mut BTreeSet<Message>, what: Wanted) {
    let Some(deployed) = &leading.deployed else { return };
    let (worker, generation, epoch) = (deployed.worker, deployed.generation, leading.epoch);
    network.insert(Message::Order(Order { worker, epoch, generation, what }));
}

impl Cluster {
    /// The store knows a newer leader, so this one stops leading.
    fn refuse(&mut self, number: usize) {
        self.seen.refused = true;
        self.leaders[number] = Leader::Standby;
    }
}
