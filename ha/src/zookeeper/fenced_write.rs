//! Writes that only the newest leader can make.
//!
//! Every one is a single ZooKeeper transaction that begins with the fence: the own candidate's znode must be there (it goes
//! with the session), and the epoch's znode must be at the version that was just read, when it held the own epoch. The
//! transaction sets that znode to the same epoch again, which gives it another version. So
//! - a new leader, which writes its epoch there, fences every earlier one (E3);
//! - of two transactions prepared at the same version only one succeeds: what was looked at before a transaction (which
//!   keys exist, and which transaction wrote them) still holds when it is applied, exactly, because whoever changes a key
//!   changes this version in the same transaction. That is why versions of keys can be compared here;
//! - a transaction of unknown outcome is dead once a later one has succeeded;
//! - the answer always has a transaction id, also if all that was done is to delete: the epoch's znode was written by it.
//!
//! One transaction at a time is prepared and sent by this process; two would only fence each other. Commits that wait meanwhile go
//! into the next one together: `commits.rs`.

use std::fmt;

use tokio::time::Instant;
use weir_protocol::LeaderEpoch;
use zookeeper_client::{Client, CreateMode, Error, MultiWriteError, MultiWriteResult, MultiWriter, Stat};

use super::connection_info;
use super::ensemble::{CALL_DEADLINE, Ensemble, OPERATION_DEADLINE, Reign, barrier, data, pipelined, stat, within};
use super::plan::Write;
use crate::{CommitOutcome, LeaderRecord, Rejection};

/// Attempts after an answer that says that something was written meanwhile: by a transaction of this process that had been
/// given up, or by hand.
pub(super) const ATTEMPTS: u32 = 5;

/// What became of a fenced transaction.
pub(super) enum Sent {
    /// Applied, with this id.
    Applied(u64),
    /// Not applied: the fence holds no more, or not at this version.
    Overtaken,
    /// Not applied: the operation with this number after the fence can't be.
    Refused(usize, Error),
    /// Perhaps applied, perhaps later.
    Unknown(Error),
}

/// What is written behind the fence, besides commits.
#[derive(Clone, Copy)]
enum Work<'a> {
    Publish(&'a LeaderRecord),
    RaiseEpoch(LeaderEpoch),
}

/// What an attempt came to.
pub(super) enum Attempt {
    Done(CommitOutcome),
    /// Not applied, and this is why another attempt may be.
    Again(CommitOutcome),
}

impl Ensemble {
    /// Makes the leader findable: by other members, and by Flink's command line.
    pub(super) async fn publish(&self, record: &LeaderRecord) -> CommitOutcome {
        self.fenced(record.epoch, Work::Publish(record)).await
    }

    /// Makes every later epoch exceed `floor`.
    pub(super) async fn raise_epoch(&self, epoch: LeaderEpoch, floor: LeaderEpoch) -> CommitOutcome {
        let outcome = self.fenced(epoch, Work::RaiseEpoch(floor)).await;
        // It finds itself superseded.
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
                // Only looking has failed.
                Err(error) => return last.unwrap_or_else(|| unsent(error)),
            }
        }
        last.unwrap_or_else(|| unsent("too many attempts"))
    }

    /// The rejection of a write under an epoch that this process does not, or no longer, lead under.
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
        // The own epoch if nobody followed yet: then it is this process that no longer leads.
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
            // It goes with the session, so that a dead leader is not looked for; another's is replaced.
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
            // A former leader's session ended in between, or somebody removed its parent.
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

    /// What is the same for all transactions that were not applied.
    pub(super) async fn undone(&self, client: &Client, reign: &Reign, sent: Sent) -> Attempt {
        match sent {
            // Either it is superseded, or an earlier write was applied late: looking again tells.
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

    /// Whether latch and epoch are still the own ones.
    async fn holds(&self, client: &Client, reign: &Reign) -> bool {
        let (latch, epoch) = (stat(client, &reign.latch), data(client, &self.layout.epoch()));
        let looking = futures::future::try_join(latch, epoch);
        match within(CALL_DEADLINE, looking).await {
            Ok((latch, epoch)) => latch.is_some() && epoch.is_some_and(|(text, _)| parse_epoch(&text) == Some(reign.epoch)),
            // The next attempt meets the same.
            Err(_) => true,
        }
    }

    /// The version of the epoch's znode while it holds the own epoch; `None` if it holds another.
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

    /// Writes a new epoch for the candidate at `latch`: above every earlier one, and never below the transaction that made
    /// the candidate's znode, whatever was restored or moved here (E1). `None` if the candidate is gone.
    pub(super) async fn acquire(&self, client: &Client, latch: &str, created: u64) -> Result<Option<LeaderEpoch>, Error> {
        let path = self.layout.epoch();
        for _ in 0..ATTEMPTS {
            let Some((text, stat)) = within(CALL_DEADLINE, data(client, &path)).await? else { return Err(Error::NoNode) };
            let Some(stored) = parse_epoch(&text) else {
                tracing::error!(path, "HA-CORRUPT: the newest epoch can't be read: nobody can lead until it is a number again");
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

    /// Takes the candidate at `latch` out of the election, and with it the address that Flink's command line reads. In the
    /// same transaction names who comes next, if that is to be somebody special.
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
    let fence = writer
        .add_check_version(latch, 0)
        .and_then(|()| writer.add_set_data(epoch_path, text.as_bytes(), Some(version)))
        .and_then(|()| add(&mut writer));
    if let Err(error) = fence {
        return Sent::Refused(0, error);
    }
    match within(CALL_DEADLINE, writer.commit()).await {
        Ok(results) => match results.get(1) {
            Some(MultiWriteResult::SetData { stat }) => Sent::Applied(stat.mzxid.cast_unsigned()),
            _ => Sent::Unknown(Error::UnexpectedError("a transaction was answered with something else".into())),
        },
        Err(MultiWriteError::OperationFailed { index: 0 | 1, source: Error::NoNode | Error::BadVersion }) => Sent::Overtaken,
        Err(MultiWriteError::OperationFailed { index, source }) => Sent::Refused(index.saturating_sub(2), source),
        Err(MultiWriteError::RequestFailed { source }) => Sent::Unknown(source),
    }
}

/// The outcome of a write that never left this process.
pub(super) fn unsent(reason: impl fmt::Display) -> CommitOutcome {
    CommitOutcome::Unknown { reason: format!("nothing was sent: {reason}") }
}

/// The version of the epoch's znode, if it holds the own epoch.
pub(super) fn own_version(found: Option<(Vec<u8>, Stat)>, reign: &Reign) -> Option<i32> {
    found.and_then(|(text, stat)| (parse_epoch(&text) == Some(reign.epoch)).then_some(stat.version))
}

pub(super) fn parse_epoch(text: &[u8]) -> Option<LeaderEpoch> {
    std::str::from_utf8(text).ok()?.trim().parse().ok().map(LeaderEpoch)
}
