//! Commits of the typed stores: those that wait at the same time are written by one transaction.
//!
//! Whoever has the turn takes the group at the head of the queue, looks at every znode that it concerns, and sends the writes of
//! all its commits behind one fence. Each commit is judged by itself before that: one whose expectation does not hold is rejected
//! and the others go without it. What only ZooKeeper can find out, that somebody wrote without the fence, is laid at the door of
//! the one commit concerned, which goes alone from then on; the others are not answered for it. An unknown outcome is every
//! commit's of the group.

use std::collections::BTreeMap;
use std::sync::MutexGuard;

use tokio::sync::oneshot;
use tokio::time::Instant;
use weir_protocol::LeaderEpoch;
use zookeeper_client::{Client, Error};

use super::commit_queue::{CommitQueue, Limits, Waiting};
use super::ensemble::{Answer, CALL_DEADLINE, Ensemble, OPERATION_DEADLINE, Reign, data, locked, pipelined, stat, within};
use super::fenced_write::{ATTEMPTS, Attempt, Sent, own_version, unsent};
use super::plan::{Node, Tree, Write, concerned};
use crate::fenced_store::Change;
use crate::{CommitOutcome, Operation, Rejection};

/// Operations of one transaction, at most: as many znodes are looked at, and as many more that nest them.
const GROUP_OPERATIONS: usize = 512;
/// Bytes of the fence in a request, at most, its paths apart.
const FENCE_BYTES: usize = 256;
/// Attempts of a commit in company; after that it goes alone.
const IN_COMPANY: u32 = 2;

/// What came of one commit of a group.
enum Verdict {
    Done(CommitOutcome),
    /// Not applied, and this is why another attempt may be.
    Again(CommitOutcome),
    /// The same, and it was this one that the group was refused for.
    Alone(CommitOutcome),
}

impl Ensemble {
    /// A commit of the typed stores.
    pub(super) async fn commit(&self, epoch: LeaderEpoch, operations: Vec<Operation>) -> CommitOutcome {
        let deadline = Instant::now() + OPERATION_DEADLINE;
        let (answer, mut answered) = oneshot::channel();
        let number = self.commits().push(epoch, operations, answer);
        let turn = tokio::select! {
            biased;
            outcome = &mut answered => return outcome.unwrap_or_else(|_| stopped()),
            turn = tokio::time::timeout_at(deadline, self.writing.lock()) => turn,
        };
        let Ok(_turn) = turn else {
            let given_up = self.commits().remove(number);
            return match given_up {
                Some(_) => unsent("other writes take too long"),
                // It is being written right now.
                None => answered.await.unwrap_or_else(|_| stopped()),
            };
        };
        loop {
            match answered.try_recv() {
                Ok(outcome) => return outcome,
                Err(oneshot::error::TryRecvError::Closed) => return stopped(),
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            match self.client(deadline).await {
                Ok(client) => self.write_next(&client).await,
                Err(reason) => {
                    let last = self.commits().remove(number).and_then(|waiting| waiting.last);
                    return last.unwrap_or_else(|| unsent(reason));
                }
            }
        }
    }

    fn commits(&self) -> MutexGuard<'_, CommitQueue<Answer>> {
        locked(&self.commit_queue)
    }

    /// Takes the group at the head of the queue and writes it. Every commit of it is answered, or waits again.
    async fn write_next(&self, client: &Client) {
        let limits = Limits { operations: GROUP_OPERATIONS, bytes: self.max_request_bytes.saturating_sub(2_048) };
        let group = self.commits().take(&self.layout, limits);
        let Some(first) = group.first() else { return };
        let verdicts = match self.reign().filter(|reign| reign.epoch == first.epoch && reign.session == client.session_id()) {
            Some(reign) => self.write_group(client, &reign, &group).await,
            None => {
                let outcome = self.superseded(client, first.epoch).await;
                group.iter().map(|_| Verdict::Done(outcome.clone())).collect()
            }
        };
        let mut again = Vec::new();
        for (waiting, verdict) in group.into_iter().zip(verdicts) {
            let (outcome, alone) = match verdict {
                Verdict::Done(outcome) => {
                    // Whoever waited may have gone.
                    let _ = waiting.answer.send(outcome);
                    continue;
                }
                Verdict::Again(outcome) => (outcome, waiting.alone || waiting.attempts + 1 >= IN_COMPANY),
                Verdict::Alone(outcome) => (outcome, true),
            };
            if waiting.attempts + 1 >= ATTEMPTS {
                let _ = waiting.answer.send(outcome);
            } else {
                again.push(Waiting { attempts: waiting.attempts + 1, last: Some(outcome), alone, ..waiting });
            }
        }
        let mut queue = self.commits();
        again.into_iter().rev().for_each(|waiting| queue.put_back(waiting));
    }

    /// One transaction. A verdict for every commit of the group, in order.
    async fn write_group(&self, client: &Client, reign: &Reign, group: &[Waiting<Answer>]) -> Vec<Verdict> {
        let (fence, nodes) = match self.look(client, reign, group).await {
            Ok((Some(fence), nodes)) => (fence, nodes),
            Ok((None, _)) => {
                let outcome = self.superseded(client, reign.epoch).await;
                return group.iter().map(|_| Verdict::Done(outcome.clone())).collect();
            }
            // Only looking has failed.
            Err(error) => {
                let outcome = |waiting: &Waiting<_>| waiting.last.clone().unwrap_or_else(|| unsent(error.to_string()));
                return group.iter().map(|waiting| Verdict::Done(outcome(waiting))).collect();
            }
        };
        let mut tree = Tree::new(&self.layout, nodes.clone());
        // How many writes there are after each commit's; or which of its keys was not as expected.
        let planned: Vec<Result<usize, String>> =
            group.iter().map(|waiting| tree.plan(&self.layout, &waiting.operations)).collect();
        let writes = tree.into_writes();
        let conflict = |key: &String| Verdict::Done(CommitOutcome::Rejected(Rejection::Conflict { key: key.clone() }));
        let each = |verdict: &dyn Fn(usize) -> Verdict| {
            let judge = |(at, plan): (usize, &Result<usize, String>)| plan.as_ref().map_or_else(conflict, |_| verdict(at));
            planned.iter().enumerate().map(judge).collect::<Vec<_>>()
        };
        if planned.iter().all(Result::is_err) {
            return each(&|_| Verdict::Done(unsent("nothing is left of it")));
        }
        let bytes = FENCE_BYTES + self.layout.epoch().len() + reign.latch.len() + writes.iter().map(Write::weight).sum::<usize>();
        if bytes > self.max_request_bytes {
            let max = self.max_request_bytes;
            let reason = format!("{bytes} bytes in one request to ZooKeeper, at most {max} are allowed (jute.maxbuffer)");
            return each(&|_| over_limit(group, reason.clone()));
        }
        let sent = self.send(client, reign, fence, |writer| writes.iter().try_for_each(|write| self.add(writer, write))).await;
        match sent {
            Sent::Applied(version) => {
                let applied = group.iter().zip(&planned).filter(|(_, plan)| plan.is_ok());
                let operations = applied.flat_map(|(waiting, _)| &waiting.operations);
                let changed = operations.filter(|operation| self.changes(operation, &nodes));
                // In the order of the commits: the turn is still taken.
                self.watchers().notify(&changed.map(|operation| change(operation, version)).collect::<Vec<_>>());
                each(&|_| Verdict::Done(CommitOutcome::Committed { version }))
            }
            Sent::Refused(_, Error::QuotaExceeded) => each(&|_| over_limit(group, "a quota of ZooKeeper is exceeded".to_owned())),
            Sent::Refused(number, error @ (Error::NoNode | Error::NodeExists | Error::BadVersion | Error::NotEmpty)) => {
                let path = writes.get(number).map_or("", Write::path);
                let key = self.layout.key_of(path).unwrap_or_default();
                tracing::warn!(path, "somebody else wrote to the store, without the fence");
                let culprit = planned.iter().position(|plan| plan.as_ref().is_ok_and(|end| number < *end));
                each(&|at| {
                    if Some(at) == culprit {
                        return Verdict::Alone(CommitOutcome::Rejected(Rejection::Conflict { key: key.clone() }));
                    }
                    Verdict::Again(unsent(format!("a commit that it was to go with was refused: {error}")))
                })
            }
            other => {
                let attempt = self.undone(client, reign, other).await;
                each(&|_| match &attempt {
                    Attempt::Done(outcome) => Verdict::Done(outcome.clone()),
                    Attempt::Again(outcome) => Verdict::Again(outcome.clone()),
                })
            }
        }
    }

    /// The fence's version, if it is the own one, and everything that the group's plan depends on.
    async fn look(
        &self,
        client: &Client,
        reign: &Reign,
        group: &[Waiting<Answer>],
    ) -> Result<(Option<i32>, BTreeMap<String, Node>), Error> {
        let paths: Vec<_> = concerned(&self.layout, group.iter().flat_map(|waiting| &waiting.operations)).into_iter().collect();
        // All are sent before the first is answered, and answered in this order: what is read of the keys is not older than the
        // fence's version.
        let fence = within(CALL_DEADLINE, data(client, &self.layout.epoch()));
        let stats = pipelined(paths.iter().map(|path| stat(client, path)).collect());
        let (fence, stats) = futures::try_join!(fence, stats)?;
        let found = paths.into_iter().zip(stats).filter_map(|(path, stat)| {
            let stat = stat?;
            let (written, has_value) = (stat.mzxid.cast_unsigned(), stat.data_length > 0);
            Some((path, Node { written, data_version: stat.version, has_value, children: stat.num_children.into() }))
        });
        Ok((own_version(fence, reign), found.collect()))
    }

    fn changes(&self, operation: &Operation, nodes: &BTreeMap<String, Node>) -> bool {
        match operation {
            Operation::Put { .. } => true,
            Operation::Delete { key, .. } => nodes.get(&self.layout.key_path(key)).is_some_and(|node| node.has_value),
        }
    }
}

fn stopped() -> CommitOutcome {
    CommitOutcome::Unknown { reason: "the provider has stopped".into() }
}

/// A commit on its own is refused; in company it may be the others that are too much.
fn over_limit(group: &[Waiting<Answer>], reason: String) -> Verdict {
    let outcome = CommitOutcome::Rejected(Rejection::OverLimit(reason));
    if group.len() == 1 { Verdict::Done(outcome) } else { Verdict::Alone(outcome) }
}

fn change(operation: &Operation, version: u64) -> Change {
    match operation {
        Operation::Put { key, value, .. } => Change { key: key.clone(), version, value: Some(value.clone()) },
        Operation::Delete { key, .. } => Change { key: key.clone(), version, value: None },
    }
}
