//! Commits of the typed stores. Commits that wait at the same time share one transaction.
//!
//! The task that holds the `writing` lock takes the group at the head of the queue. It looks at every znode that the group
//! concerns, and sends the writes of all its commits behind one fence. Before that, each commit is judged by itself: if its
//! expectation does not hold, it is rejected and the others continue without it.
//!
//! Only ZooKeeper can detect a write that was made without the fence. It then refuses the transaction. The commit whose key was
//! written is retried alone, and the others of the group are retried without it. If the outcome of a transaction is unknown,
//! the outcome of every commit in it is unknown.

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

/// Maximum number of operations in one transaction. As many znodes are read, and those that nest them.
const GROUP_OPERATIONS: usize = 512;
/// Maximum size in bytes of the fence in a request, without its paths.
const FENCE_BYTES: usize = 256;
/// Number of attempts of a commit in a shared transaction. After that it has its own.
const IN_COMPANY: u32 = 2;

/// The result of one attempt for one commit of a group.
enum Verdict {
    Done(CommitOutcome),
    /// Not applied; a retry may succeed. Holds the outcome if there is no retry.
    Again(CommitOutcome),
    /// Not applied, and the group was refused because of this commit. Holds the outcome if there is no retry.
    Alone(CommitOutcome),
}

impl Ensemble {
    /// Commits operations of the typed stores under `epoch`.
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
                // Its transaction is in flight.
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

    /// Takes the group at the head of the queue and writes it. Afterwards every commit of the group is answered or waits again.
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
                    // This fails if the caller does not wait any more.
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

    /// Writes the group in one transaction. Returns a verdict for every commit, in order.
    async fn write_group(&self, client: &Client, reign: &Reign, group: &[Waiting<Answer>]) -> Vec<Verdict> {
        let (fence, nodes) = match self.look(client, reign, group).await {
            Ok((Some(fence), nodes)) => (fence, nodes),
            Ok((None, _)) => {
                let outcome = self.superseded(client, reign.epoch).await;
                return group.iter().map(|_| Verdict::Done(outcome.clone())).collect();
            }
            // Only the reads failed; nothing was sent.
            Err(error) => {
                let outcome = |waiting: &Waiting<_>| waiting.last.clone().unwrap_or_else(|| unsent(error.to_string()));
                return group.iter().map(|waiting| Verdict::Done(outcome(waiting))).collect();
            }
        };
        let mut tree = Tree::new(&self.layout, nodes.clone());
        // For each commit: the number of writes up to and including its own, or the key that is not as expected.
        let planned: Vec<Result<usize, String>> =
            group.iter().map(|waiting| tree.plan(&self.layout, &waiting.operations)).collect();
        let writes = tree.into_writes();
        let conflict = |key: &String| Verdict::Done(CommitOutcome::Rejected(Rejection::Conflict { key: key.clone() }));
        let each = |verdict: &dyn Fn(usize) -> Verdict| {
            let judge = |(at, plan): (usize, &Result<usize, String>)| plan.as_ref().map_or_else(conflict, |_| verdict(at));
            planned.iter().enumerate().map(judge).collect::<Vec<_>>()
        };
        if planned.iter().all(Result::is_err) {
            return each(&|_| Verdict::Done(unsent("no commit of the group is left")));
        }
        let bytes = FENCE_BYTES + self.layout.epoch().len() + reign.latch.len() + writes.iter().map(Write::weight).sum::<usize>();
        if bytes > self.max_request_bytes {
            let max = self.max_request_bytes;
            let reason = format!("a request to ZooKeeper of {bytes} bytes: at most {max} are allowed (jute.maxbuffer)");
            return each(&|_| over_limit(group, reason.clone()));
        }
        let sent = self.send(client, reign, fence, |writer| writes.iter().try_for_each(|write| self.add(writer, write))).await;
        match sent {
            Sent::Applied(version) => {
                let applied = group.iter().zip(&planned).filter(|(_, plan)| plan.is_ok());
                let operations = applied.flat_map(|(waiting, _)| &waiting.operations);
                let changed = operations.filter(|operation| self.changes(operation, &nodes));
                // Watchers are told in the order of the commits, because the `writing` lock is still held.
                self.watchers().notify(&changed.map(|operation| change(operation, version)).collect::<Vec<_>>());
                each(&|_| Verdict::Done(CommitOutcome::Committed { version }))
            }
            Sent::Refused(_, Error::QuotaExceeded) => each(&|_| over_limit(group, "a quota of ZooKeeper is exceeded".to_owned())),
            Sent::Refused(number, error @ (Error::NoNode | Error::NodeExists | Error::BadVersion | Error::NotEmpty)) => {
                let path = writes.get(number).map_or("", Write::path);
                let key = self.layout.key_of(path).unwrap_or_default();
                tracing::warn!(path, "the store was written to without the fence");
                let culprit = planned.iter().position(|plan| plan.as_ref().is_ok_and(|end| number < *end));
                each(&|at| {
                    if Some(at) == culprit {
                        return Verdict::Alone(CommitOutcome::Rejected(Rejection::Conflict { key: key.clone() }));
                    }
                    Verdict::Again(unsent(format!("another commit in the same transaction was refused: {error}")))
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

    /// The version of the epoch's znode if it holds the own epoch, and the znodes that the group's plan depends on.
    async fn look(
        &self,
        client: &Client,
        reign: &Reign,
        group: &[Waiting<Answer>],
    ) -> Result<(Option<i32>, BTreeMap<String, Node>), Error> {
        let paths: Vec<_> = concerned(&self.layout, group.iter().flat_map(|waiting| &waiting.operations)).into_iter().collect();
        // All requests are sent before the first answer, and ZooKeeper answers them in this order. So the state of the keys is
        // not older than the fence's version.
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

/// A commit alone is rejected. In a group the other commits may be the reason, so it is retried alone.
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
