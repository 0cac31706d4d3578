//! The state that all parts of the provider share: the connection to ZooKeeper, what is known of the cluster, and reads.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use metrics::gauge;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use weir_protocol::LeaderEpoch;
use weir_world::wall_clock_ms;
use zookeeper_client::{Acls, Client, Error, SessionId, Stat};

use super::commit_queue::CommitQueue;
use super::layout::{Layout, decode_value};
use super::options::ZooKeeperOptions;
use super::tethered::Tethered;
use crate::availability::{GRACE, StoreContact};
use crate::isolation::Isolation;
use crate::metrics as names;
use crate::watchers::Watchers;
use crate::{CommitOutcome, HaMember, HaStatus, LeaderRecord, ReadError, Versioned};

/// Deadline for one read or write, including the wait for a connection.
pub(super) const OPERATION_DEADLINE: Duration = Duration::from_secs(10);
/// Deadline for one request. An operation consists of several requests.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// Deadline for a list of keys, however many there are.
const LIST_DEADLINE: Duration = Duration::from_secs(60);
/// Maximum number of requests in flight for one operation.
pub(super) const PIPELINE: usize = 64;

/// Answers the caller whose commit is queued.
pub(super) type Answer = oneshot::Sender<CommitOutcome>;

/// The current state of the connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Link {
    /// The session's client, connected or not.
    pub client: Option<Tethered>,
    /// Whether the client is connected to a server.
    pub connected: bool,
    /// Whether the session is over for good, as far as its client knows.
    pub ended: bool,
    /// Number of connections made so far, which also reveals a short interruption.
    pub connections: u64,
    /// Number of the client. If a session is resumed, its new client has a new number.
    pub number: u64,
}

/// The leadership of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reign {
    pub epoch: LeaderEpoch,
    /// Path of the own candidate's znode.
    pub latch: String,
    /// The session that owns that znode.
    pub session: SessionId,
    /// The published record, if one was published.
    pub published: Option<LeaderRecord>,
}

/// The candidates in the order in which they lead, and the highest known epoch.
#[derive(Debug, Clone, Default)]
pub(super) struct Field {
    pub members: Vec<HaMember>,
    pub epoch: LeaderEpoch,
}

/// The state of one provider, shared by its tasks.
pub(super) struct Ensemble {
    pub name: String,
    pub layout: Layout,
    pub acls: Acls<'static>,
    pub max_request_bytes: usize,
    pub outage_tolerance: Duration,
    pub link: watch::Sender<Link>,
    pub contact: StoreContact,
    /// Whether a drill has cut this process off.
    pub isolation: Isolation,
    /// Why there is no session, as a text for people.
    pub trouble: Mutex<String>,
    pub published: watch::Sender<Option<LeaderRecord>>,
    reign: Mutex<Option<Reign>>,
    field: Mutex<Field>,
    watchers: Mutex<Watchers>,
    /// Number of the client that watches the store. The lock is held while a watch is set up.
    pub watched: tokio::sync::Mutex<Option<u64>>,
    /// Commits that wait for a transaction.
    pub commit_queue: Mutex<CommitQueue<Answer>>,
    /// Held while a transaction is prepared and in flight; see `fenced_write.rs`.
    pub writing: tokio::sync::Mutex<()>,
    /// Tells the runner to check whether this process still leads.
    pub doubted: Notify,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic under these locks can't leave the data half changed, so a poisoned lock is safe to use.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ensemble {
    pub(super) fn new(options: &ZooKeeperOptions) -> Self {
        Self {
            name: options.name.clone(),
            layout: options.layout(),
            acls: options.acls(),
            max_request_bytes: options.max_request_bytes,
            outage_tolerance: options.outage_tolerance,
            link: watch::Sender::new(Link::default()),
            contact: StoreContact::new("zookeeper"),
            isolation: Isolation::default(),
            trouble: Mutex::new("not connected yet".into()),
            published: watch::Sender::new(None),
            reign: Mutex::default(),
            field: Mutex::default(),
            watchers: Mutex::default(),
            watched: tokio::sync::Mutex::default(),
            commit_queue: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            doubted: Notify::new(),
        }
    }

    pub(super) fn reign(&self) -> Option<Reign> {
        locked(&self.reign).clone()
    }

    pub(super) fn set_reign(&self, reign: Option<Reign>) {
        gauge!(names::IS_LEADER).set(if reign.is_some() { 1.0 } else { 0.0 });
        *locked(&self.reign) = reign;
        // The source of the watchers' changes switches between this process's own commits and ZooKeeper's watch. Changes at the
        // time of the switch may be missed.
        self.watchers().notify_lagged();
    }

    /// Remembers the record that this leader has published, so that it is written again if it is lost.
    pub(super) fn note_published(&self, record: &LeaderRecord) {
        if let Some(reign) = locked(&self.reign).as_mut()
            && reign.epoch == record.epoch
        {
            reign.published = Some(record.clone());
        }
        self.observe_record(record);
    }

    /// Takes over a published record, unless a record with a higher epoch is already known (E8).
    pub(super) fn observe_record(&self, record: &LeaderRecord) {
        self.published.send_if_modified(|published| {
            let newer = published.as_ref().is_none_or(|published| {
                published.epoch < record.epoch || (published.epoch == record.epoch && published != record)
            });
            if newer {
                *published = Some(record.clone());
            }
            newer
        });
    }

    pub(super) fn watchers(&self) -> MutexGuard<'_, Watchers> {
        locked(&self.watchers)
    }

    pub(super) fn observe_epoch(&self, epoch: LeaderEpoch) {
        let mut field = locked(&self.field);
        if epoch > field.epoch {
            field.epoch = epoch;
            gauge!(names::EPOCH).set(epoch.0 as f64);
        }
    }

    pub(super) fn observe_members(&self, members: Vec<HaMember>) {
        locked(&self.field).members = members;
    }

    pub(super) fn set_trouble(&self, trouble: String) {
        *locked(&self.trouble) = trouble;
    }

    pub(super) fn status(&self) -> HaStatus {
        let Field { members, epoch } = locked(&self.field).clone();
        HaStatus {
            provider: "zookeeper".into(),
            epoch,
            leader: members.first().map(|member| member.name.clone()),
            has_quorum: self.link.borrow().connected,
            // Any one of the others can lead. This does not count the servers of ZooKeeper.
            failures_tolerated: members.len().saturating_sub(1) as u32,
            members,
            removed: false,
        }
    }

    /// Runs for ever. Updates `contact` when ZooKeeper becomes unavailable and when it is available again.
    pub(super) async fn watch_contact(&self) {
        let mut link = self.link.subscribe();
        // The waits never fail, because the sender is part of `self`.
        while link.wait_for(|link| !link.connected).await.is_ok() {
            let since_ms = wall_clock_ms();
            let back = async { link.wait_for(|link| link.connected).await.is_ok() };
            if tokio::time::timeout(GRACE, back).await.is_err() {
                self.contact.lost(since_ms);
                if link.wait_for(|link| link.connected).await.is_ok() {
                    self.contact.regained();
                }
            }
        }
    }

    /// Waits until the session is connected. If it is not before the deadline, the error says why.
    pub(super) async fn client(&self, deadline: Instant) -> Result<Tethered, String> {
        let mut link = self.link.subscribe();
        let connected = link.wait_for(|link| link.connected && link.client.is_some());
        match tokio::time::timeout_at(deadline, connected).await {
            Ok(Ok(link)) => link.client.clone().ok_or_else(|| "no session".into()),
            Ok(Err(_)) => Err("the provider has stopped".into()),
            Err(_) => Err(format!("no connection to ZooKeeper: {}", locked(&self.trouble))),
        }
    }

    /// A linearizable read of one key.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Versioned>, ReadError> {
        let client = self.client(Instant::now() + OPERATION_DEADLINE).await.map_err(ReadError::Unavailable)?;
        let path = self.layout.key_path(key);
        let (_, found) = within(CALL_DEADLINE, async {
            // Both requests are sent before the first answer. ZooKeeper keeps the order of a session's requests.
            futures::future::try_join(barrier(&client), data(&client, &path)).await
        })
        .await
        .map_err(unavailable)?;
        Ok(found.and_then(|(data, stat)| versioned(data, &stat)))
    }

    /// A linearizable read of all keys that start with `prefix`, at one moment.
    ///
    /// ZooKeeper reads several znodes at one moment only in a single answer, and that must stay small. But every fenced write
    /// changes the epoch's znode, and reads in one session never go back in time. So if that znode is unchanged after the
    /// reads, nothing was written in between and all of them show the same moment. If it has changed, everything is read
    /// again. A leader delays its own writes during the second attempt, and no other process can write.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<(String, Versioned)>, ReadError> {
        let deadline = Instant::now() + LIST_DEADLINE;
        let mut turn = None;
        loop {
            let client = self.client(deadline.min(Instant::now() + OPERATION_DEADLINE)).await.map_err(ReadError::Unavailable)?;
            let attempt = tokio::time::timeout_at(deadline, self.list_once(&client, prefix)).await;
            match attempt {
                Ok(Ok(Some(found))) => return Ok(found),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => return Err(unavailable(error)),
                Err(_) => return Err(ReadError::Unavailable("the keys changed during every attempt to list them".into())),
            }
            if turn.is_none() && self.reign().is_some() {
                turn = Some(self.writing.lock().await);
            }
        }
    }

    /// One attempt at a list. `None` if a key was written meanwhile.
    async fn list_once(&self, client: &Client, prefix: &str) -> Result<Option<Vec<(String, Versioned)>>, Error> {
        let epoch = self.layout.epoch();
        let (_, before) = within(CALL_DEADLINE, futures::future::try_join(barrier(client), stat(client, &epoch))).await?;
        let top = prefix.rfind('/').map_or_else(|| self.layout.store(), |at| self.layout.key_path(&prefix[..at]));
        let mut found = Vec::new();
        let mut nesting = VecDeque::from([top]);
        while !nesting.is_empty() {
            let level: Vec<_> = nesting.drain(..).map(|path| children(client, path)).collect();
            let paths = pipelined(level).await?.into_iter().flatten();
            let read: Vec<_> = paths.filter(|path| self.may_hold(path, prefix)).map(|path| node(client, path)).collect();
            for (path, found_there) in pipelined(read).await? {
                let Some((data, stat)) = found_there else { continue };
                if stat.num_children > 0 {
                    nesting.push_back(path.clone());
                }
                if let Some(value) = versioned(data, &stat)
                    && let Some(key) = self.layout.key_of(&path)
                    && key.starts_with(prefix)
                {
                    found.push((key, value));
                }
            }
        }
        let after = within(CALL_DEADLINE, stat(client, &epoch)).await?;
        if before.map(|stat| stat.mzxid) != after.map(|stat| stat.mzxid) {
            return Ok(None);
        }
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Some(found))
    }

    /// Whether a znode is a key with this prefix or may nest one.
    fn may_hold(&self, path: &str, prefix: &str) -> bool {
        self.layout.key_of(path).is_some_and(|key| key.starts_with(prefix) || prefix.starts_with(&format!("{key}/")))
    }
}

/// A transaction that writes nothing, but needs a quorum of servers. Later reads in this session see every write that was
/// acknowledged to any client before the barrier began. ZooKeeper's `sync` promises less: a former leader among the servers
/// that has not noticed its loss answers it too (ZOOKEEPER-1675, ZOOKEEPER-2136).
pub(super) fn barrier(client: &Client) -> impl Future<Output = Result<(), Error>> + Send + '_ {
    let mut writer = client.new_multi_writer();
    // The request is sent here; its answer is awaited later.
    let answer = writer.add_check_version("/", -1).map(|()| writer.commit());
    async move { answer?.await.map(drop).map_err(Error::from) }
}

/// The data and state of a znode; `None` if it does not exist. The request is sent at once.
pub(super) fn data(client: &Client, path: &str) -> impl Future<Output = Result<Option<(Vec<u8>, Stat)>, Error>> + Send + use<> {
    let answer = client.get_data(path);
    async move {
        match answer.await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The state of a znode; `None` if it does not exist. The request is sent at once.
pub(super) fn stat(client: &Client, path: &str) -> impl Future<Output = Result<Option<Stat>, Error>> + Send + use<> {
    client.check_stat(path)
}

async fn node(client: &Client, path: String) -> Result<(String, Option<(Vec<u8>, Stat)>), Error> {
    let found = data(client, &path).await?;
    Ok((path, found))
}

/// The paths of a znode's children. Empty if the znode does not exist.
async fn children(client: &Client, path: String) -> Result<Vec<String>, Error> {
    match client.list_children(&path).await {
        Ok(names) => Ok(names.into_iter().map(|name| format!("{path}/{name}")).collect()),
        Err(Error::NoNode) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Awaits all requests, at most [`PIPELINE`] at the same time and each within [`CALL_DEADLINE`]. Returns the answers in order.
pub(super) async fn pipelined<T>(requests: Vec<impl Future<Output = Result<T, Error>> + Send>) -> Result<Vec<T>, Error> {
    let limited = requests.into_iter().map(|request| within(CALL_DEADLINE, request));
    let mut answers = futures::stream::iter(limited).buffered(PIPELINE);
    let mut all = Vec::new();
    while let Some(answer) = answers.next().await {
        all.push(answer?);
    }
    Ok(all)
}

/// Fails with [`Error::Timeout`] if there is no answer in time. ZooKeeper may still carry out the request.
pub(super) async fn within<T, E: From<Error>>(time: Duration, answer: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    tokio::time::timeout(time, answer).await.unwrap_or_else(|_| Err(E::from(Error::Timeout)))
}

pub(super) fn versioned(data: Vec<u8>, stat: &Stat) -> Option<Versioned> {
    let value = decode_value(data)?.into();
    Some(Versioned { value, version: stat.mzxid.cast_unsigned() })
}

fn unavailable(error: Error) -> ReadError {
    match error {
        Error::NoAuth => ReadError::Unavailable("ZooKeeper does not permit this user to read the key".into()),
        Error::Timeout => ReadError::Unavailable(format!("ZooKeeper did not answer within {} s", CALL_DEADLINE.as_secs())),
        error => ReadError::Unavailable(format!("ZooKeeper: {error}")),
    }
}
