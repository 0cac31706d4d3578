//! Writes that only the newest leader can make.
//!
//! Each of them is a single ZooKeeper transaction that begins with the fence. The fence has two conditions. The own candidate's
//! znode must exist (it ends with the session). The epoch's znode must have the version that was just read together with the
//! own epoch. The transaction sets that znode to the same epoch again, which changes its version. This has four consequences:
//! - A new leader writes its own epoch there, which fences every earlier leader (E3).
//! - Of two transactions prepared at the same version, only one succeeds. Every change of a key changes this version in the
//!   same transaction. So what was read before a transaction (which keys exist, and which transaction wrote them) still holds
//!   when it is applied. That is why this process can compare the versions of keys.
//! - Once a later transaction has succeeded, an earlier one with an unknown outcome can't be applied any more.
//! - The answer always has a transaction id, even if the commit only deletes, because the transaction wrote the epoch's znode.
//!
//! ZooKeeper's versions are i32s that wrap around, and as a condition, -1 means "any version". At that version the fence would
//! let everything pass, so the epoch's znode never stays at it: see [`fence_versions`].
//!
//! This process prepares and sends one transaction at a time, because two would only fence each other. Commits that wait
//! meanwhile share the next one; see `commits.rs`.

use std::fmt;

use tokio::time::Instant;
use weir_protocol::LeaderEpoch;
use zookeeper_client::{Client, CreateMode, Error, MultiWriteError, MultiWriteResult, MultiWriter, Stat};

use super::connection_info;
use super::ensemble::{CALL_DEADLINE, Ensemble, OPERATION_DEADLINE, Reign, barrier, data, pipelined, stat, within};
use super::plan::Write;
use crate::{CommitOutcome, LeaderRecord, Rejection};

/// Maximum number of attempts at a write. A retry follows if another write came in between: an earlier transaction of this
/// process that was given up, or a write by hand.
pub(super) const ATTEMPTS: u32 = 5;

/// The result of sending a fenced transaction.
pub(super) enum Sent {
    /// Applied, with this transaction id.
    Applied(u64),
    /// Not applied: a condition of the fence does not hold.
    Overtaken,
    /// Not applied: ZooKeeper refuses the operation with this index after the fence.
    Refused(usize, Error),
    /// The transaction may have been applied, or may be applied later.
    Unknown(Error),
}

/// A fenced write other than a commit.
#[derive(Clone, Copy)]
enum Work<'a> {
    Publish(&'a LeaderRecord),
    RaiseEpoch(LeaderEpoch),
}

/// The result of one attempt at a fenced write.
pub(super) enum Attempt {
    Done(CommitOutcome),
    /// Not applied; a retry may succeed. Holds the outcome if there is no retry.
    Again(CommitOutcome),
}

impl Ensemble {
    /// Publishes the leader's addresses for the other members and for Flink's command line.
    pub(super) async fn publish(&self, record: &LeaderRecord) -> CommitOutcome {
        self.fenced(record.epoch, Work::Publish(record)).await
    }

    /// Makes every later epoch exceed `floor`.
    pub(super) async fn raise_epoch(&self, epoch: LeaderEpoch, floor: LeaderEpoch) -> CommitOutcome {
        let outcome = self.fenced(epoch, Work::RaiseEpoch(floor)).await;
        // The runner then finds that this leader is superseded.
        self.doubted.notify_one();
        outcome
    }

    async fn fenced(&self, epoch: LeaderEpoch, work: Work<'_>) -> CommitOutcome {
        let deadline = Instant::now() + OPERATION_DEADLINE;
        let Ok(_turn) = tokio::time::timeout_at(deadline, self.writing.lock()).await else {
            return unsent("other writes take too long");
        };
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let client = match self.client(deadline).await {
                Ok(client) => client,
                Err(reason) => return last.unwrap_or_else(|| unsent(reason)),
            };
            let session = client.session_id();
            let Some(reign) = self.reign().filter(|reign| reign.epoch == epoch && reign.session == session) else {
                return self.superseded(&client, epoch).await;
            };
            let attempt = match work {
                Work::Publish(record) => self.publish_once(&client, &reign, record).await,
                Work::RaiseEpoch(floor) => self.raise_once(&client, &reign, floor).await,
            };
            match attempt {
                Ok(Attempt::Done(outcome)) => return outcome,
                Ok(Attempt::Again(outcome)) => last = Some(outcome),
                // Only the reads failed; nothing was sent.
                Err(error) => return last.unwrap_or_else(|| unsent(error)),
            }
        }
        last.unwrap_or_else(|| unsent("too many attempts"))
    }

    /// The rejection of a write under an epoch that this process does not lead under, or not any more.
    pub(super) async fn superseded(&self, client: &Client, epoch: LeaderEpoch) -> CommitOutcome {
        self.doubted.notify_one();
        let looking = futures::future::try_join(barrier(client), data(client, &self.layout.epoch()));
        let stored = match within(CALL_DEADLINE, looking).await {
            Ok((_, stored)) => stored.and_then(|(text, _)| parse_epoch(&text)),
            Err(error) => {
                tracing::debug!(%error, "can't read the newest epoch");
                None
            }
        };
        // If there is no later leader yet, `current` is the given epoch: this process does not lead any more.
        let current = stored.unwrap_or(epoch).max(epoch);
        self.observe_epoch(current);
        CommitOutcome::Rejected(Rejection::StaleEpoch { epoch, current })
    }

    async fn publish_once(&self, client: &Client, reign: &Reign, record: &LeaderRecord) -> Result<Attempt, Error> {
        let Some(fence) = self.fence_version(client, reign).await? else {
            return Ok(Attempt::Done(self.superseded(client, reign.epoch).await));
        };
        let (record_path, info_path) = (self.layout.leader_record(), self.layout.connection_info());
        let stats = pipelined(vec![stat(client, &record_path), stat(client, &info_path)]).await?;
        let json = serde_json::to_vec(record).expect("a record of texts and numbers becomes JSON");
        let info = connection_info::encode(&record.leader.rest_address, record.epoch);
        let sent = self.send(client, reign, fence, |writer| {
            match &stats[0] {
                Some(stat) => writer.add_set_data(&record_path, &json, Some(stat.version))?,
                None => writer.add_create(&record_path, &json, &CreateMode::Persistent.with_acls(self.acls))?,
            }
            // The address is ephemeral: it ends with the leader's session. The address of another session is replaced.
            match &stats[1] {
                Some(stat) if stat.ephemeral_owner == client.session_id().0 && info.is_some() => {
                    return writer.add_set_data(&info_path, info.as_deref().unwrap_or_default(), Some(stat.version));
                }
                Some(stat) => writer.add_delete(&info_path, Some(stat.version))?,
                None => {}
            }
            match &info {
                Some(info) => writer.add_create(&info_path, info, &CreateMode::Ephemeral.with_acls(self.acls)),
                None => Ok(()),
            }
        });
        Ok(match sent.await {
            Sent::Applied(version) => {
                self.note_published(record);
                Attempt::Done(CommitOutcome::Committed { version })
            }
            // A former leader's session ended in between, or the parent znode was removed by hand.
            Sent::Refused(_, error @ (Error::NoNode | Error::NodeExists | Error::BadVersion)) => {
                Attempt::Again(CommitOutcome::Unknown { reason: format!("the leader's address was not published: {error}") })
            }
            other => self.undone(client, reign, other).await,
        })
    }

    async fn raise_once(&self, client: &Client, reign: &Reign, floor: LeaderEpoch) -> Result<Attempt, Error> {
        let Some(fence) = self.fence_version(client, reign).await? else {
            return Ok(Attempt::Done(self.superseded(client, reign.epoch).await));
        };
        let (path, epoch) = (self.layout.epoch(), floor.max(reign.epoch));
        let sent = transaction(client, &reign.latch, &path, epoch, fence, |_| Ok(())).await;
        Ok(self.undone(client, reign, sent).await)
    }

    /// The result of a transaction that was not applied, or perhaps not. It is the same for every kind of write.
    pub(super) async fn undone(&self, client: &Client, reign: &Reign, sent: Sent) -> Attempt {
        match sent {
            // Either this leader is superseded, or an earlier write was applied late. `holds` finds out which.
            Sent::Overtaken if self.holds(client, reign).await => {
                Attempt::Again(CommitOutcome::Unknown { reason: "earlier writes of unknown outcome were applied late".into() })
            }
            Sent::Overtaken => Attempt::Done(self.superseded(client, reign.epoch).await),
            Sent::Applied(version) => Attempt::Done(CommitOutcome::Committed { version }),
            Sent::Refused(_, error) => {
                Attempt::Done(CommitOutcome::Unknown { reason: format!("ZooKeeper refuses the write: {error}") })
            }
            Sent::Unknown(error) => {
                self.watchers().notify_lagged();
                Attempt::Done(CommitOutcome::Unknown { reason: format!("ZooKeeper: {error}") })
            }
        }
    }

    /// Whether this process still owns the latch and the epoch.
    async fn holds(&self, client: &Client, reign: &Reign) -> bool {
        let (latch, epoch) = (stat(client, &reign.latch), data(client, &self.layout.epoch()));
        let looking = futures::future::try_join(latch, epoch);
        match within(CALL_DEADLINE, looking).await {
            Ok((latch, epoch)) => latch.is_some() && epoch.is_some_and(|(text, _)| parse_epoch(&text) == Some(reign.epoch)),
            // The next attempt finds out.
            Err(_) => true,
        }
    }

    /// Reads the version of the epoch's znode. `None` if the znode holds another epoch than the own one.
    async fn fence_version(&self, client: &Client, reign: &Reign) -> Result<Option<i32>, Error> {
        let found = within(CALL_DEADLINE, data(client, &self.layout.epoch())).await?;
        Ok(own_version(found, reign))
    }

    pub(super) async fn send(
        &self,
        client: &Client,
        reign: &Reign,
        fence: i32,
        add: impl FnOnce(&mut MultiWriter<'_>) -> Result<(), Error>,
    ) -> Sent {
        transaction(client, &reign.latch, &self.layout.epoch(), reign.epoch, fence, add).await
    }

    pub(super) fn add(&self, writer: &mut MultiWriter<'_>, write: &Write) -> Result<(), Error> {
        match write {
            Write::Create { path, data } => writer.add_create(path, data, &CreateMode::Persistent.with_acls(self.acls)),
            Write::Set { path, data, version } => writer.add_set_data(path, data, Some(*version)),
            Write::Delete { path, version } => writer.add_delete(path, Some(*version)),
        }
    }

    /// Writes a new epoch for the candidate at `latch`. It is above every earlier epoch, and not below `created`, the id of the
    /// transaction that created the candidate's znode. This also holds after a restore or a migration (E1). `None` if the
    /// candidate's znode does not exist any more.
    pub(super) async fn acquire(&self, client: &Client, latch: &str, created: u64) -> Result<Option<LeaderEpoch>, Error> {
        let path = self.layout.epoch();
        for _ in 0..ATTEMPTS {
            let Some((text, stat)) = within(CALL_DEADLINE, data(client, &path)).await? else { return Err(Error::NoNode) };
            let Some(stored) = parse_epoch(&text) else {
                tracing::error!(
                    path,
                    "HA-CORRUPT: the stored epoch is not a number: no JobManager can lead until it is one again"
                );
                return Err(Error::BadVersion);
            };
            let epoch = LeaderEpoch(created.max(stored.0.saturating_add(1)));
            match transaction(client, latch, &path, epoch, stat.version, |_| Ok(())).await {
                Sent::Applied(_) => return Ok(Some(epoch)),
                Sent::Overtaken => {}
                Sent::Refused(_, error) | Sent::Unknown(error) => return Err(error),
            }
            if within(CALL_DEADLINE, super::ensemble::stat(client, latch)).await?.is_none() {
                return Ok(None);
            }
        }
        Err(Error::BadVersion)
    }

    /// Removes the candidate at `latch` and the address that Flink's command line reads. If a `successor` is given, the same
    /// transaction names it as the next leader.
    pub(super) async fn resign(&self, client: &Client, latch: &str, successor: Option<&str>) -> Result<(), Error> {
        let info_path = self.layout.connection_info();
        for _ in 0..ATTEMPTS {
            let info = within(CALL_DEADLINE, stat(client, &info_path)).await?;
            let mut writer = client.new_multi_writer();
            writer.add_delete(latch, None)?;
            if let Some(successor) = successor {
                writer.add_set_data(&self.layout.successor(), successor.as_bytes(), None)?;
            }
            if let Some(info) = info.filter(|info| info.ephemeral_owner == client.session_id().0) {
                writer.add_delete(&info_path, Some(info.version))?;
            }
            match within(CALL_DEADLINE, writer.commit()).await {
                Ok(_) | Err(MultiWriteError::OperationFailed { index: 0, source: Error::NoNode }) => return Ok(()),
                Err(MultiWriteError::OperationFailed { source: Error::NoNode | Error::BadVersion, .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::BadVersion)
    }
}

/// As a condition, ZooKeeper takes this version for any version.
pub(super) const ANY_VERSION: i32 = -1;

/// The fence's writes of the epoch's znode, which has this version: the condition of each, in order. At -2 there are two, which
/// skip -1. The second needs no condition, because it is in the same transaction as the first. None at -1 itself: no condition
/// could tell this version from another. Only a write by hand can leave the znode there.
fn fence_versions(version: i32) -> &'static [Condition] {
    match version {
        ANY_VERSION => &[],
        version if version.wrapping_add(1) == ANY_VERSION => &[Condition::Unchanged, Condition::None],
        _ => &[Condition::Unchanged],
    }
}

/// The condition of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// The znode still has the version that was read.
    Unchanged,
    None,
}

async fn transaction(
    client: &Client,
    latch: &str,
    epoch_path: &str,
    epoch: LeaderEpoch,
    version: i32,
    add: impl FnOnce(&mut MultiWriter<'_>) -> Result<(), Error>,
) -> Sent {
    let mut writer = client.new_multi_writer();
    let text = epoch.0.to_string();
    let fence = fence_versions(version);
    if fence.is_empty() {
        let reason = format!(
            "HA-FENCE-VERSION: {epoch_path} has the data version -1, which fences nothing: write its value once more by hand \
             (`set {epoch_path} {text}`)"
        );
        tracing::error!("{reason}");
        return Sent::Refused(0, Error::UnexpectedError(reason));
    }
    let bump = |writer: &mut MultiWriter<'_>, condition: &Condition| {
        let version = (*condition == Condition::Unchanged).then_some(version);
        writer.add_set_data(epoch_path, text.as_bytes(), version)
    };
    let bumps = fence.len();
    let fence = writer
        .add_check_version(latch, 0)
        .and_then(|()| fence.iter().try_for_each(|condition| bump(&mut writer, condition)))
        .and_then(|()| add(&mut writer));
    if let Err(error) = fence {
        return Sent::Refused(0, error);
    }
    match within(CALL_DEADLINE, writer.commit()).await {
        Ok(results) => match results.get(1) {
            Some(MultiWriteResult::SetData { stat }) => Sent::Applied(stat.mzxid.cast_unsigned()),
            _ => Sent::Unknown(Error::UnexpectedError("the answer to a transaction is of the wrong kind".into())),
        },
        Err(MultiWriteError::OperationFailed { index, source: Error::NoNode | Error::BadVersion }) if index <= bumps => {
            Sent::Overtaken
        }
        Err(MultiWriteError::OperationFailed { index, source }) => Sent::Refused(index.saturating_sub(1 + bumps), source),
        Err(MultiWriteError::RequestFailed { source }) => Sent::Unknown(source),
    }
}

/// The outcome of a write that never left this process.
pub(super) fn unsent(reason: impl fmt::Display) -> CommitOutcome {
    CommitOutcome::Unknown { reason: format!("nothing was sent: {reason}") }
}

/// The version of the epoch's znode in `found`, if the znode holds the own epoch.
pub(super) fn own_version(found: Option<(Vec<u8>, Stat)>, reign: &Reign) -> Option<i32> {
    found.and_then(|(text, stat)| (parse_epoch(&text) == Some(reign.epoch)).then_some(stat.version))
}

pub(super) fn parse_epoch(text: &[u8]) -> Option<LeaderEpoch> {
    std::str::from_utf8(text).ok()?.trim().parse().ok().map(LeaderEpoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The znode's version after the fence's writes, and whether they were applied, if the writer had read the version `read`.
    /// Conditions are those of ZooKeeper.
    fn write(now: i32, read: i32) -> (i32, bool) {
        let conditions = fence_versions(read).iter().map(|condition| match condition {
            Condition::Unchanged => read,
            Condition::None => ANY_VERSION,
        });
        let mut version = now;
        for expected in conditions {
            if expected != ANY_VERSION && expected != version {
                return (now, false);
            }
            version = version.wrapping_add(1);
        }
        (version, version != now)
    }

    #[test]
    fn the_fence_never_stays_at_the_version_that_matches_any() {
        let steps = [(0, 1), (i32::MAX - 1, i32::MAX), (i32::MAX, i32::MIN), (i32::MIN, i32::MIN + 1), (-3, -2), (-2, 0)];
        for (before, after) in steps {
            assert_eq!(write(before, before), (after, true), "from {before}");
            // Another leader has written meanwhile: whatever this one read, it is refused.
            assert_eq!(write(after, before), (after, false), "from {before}");
        }
    }

    #[test]
    fn nothing_is_written_from_the_version_that_matches_any() {
        assert_eq!(write(ANY_VERSION, ANY_VERSION), (ANY_VERSION, false));
        assert_eq!(write(7, ANY_VERSION), (7, false));
    }
}
