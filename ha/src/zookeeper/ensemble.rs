//! What every part of the provider shares: the way to ZooKeeper, what is known of it, and reads.

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

/// For one read or write, waiting for a connection included.
pub(super) const OPERATION_DEADLINE: Duration = Duration::from_secs(10);
/// For one request of those that an operation is made of.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// For a list of all keys, however many.
const LIST_DEADLINE: Duration = Duration::from_secs(60);
/// Requests under way at once for one operation.
pub(super) const PIPELINE: usize = 64;

/// What a caller waits for while its commit is queued.
pub(super) type Answer = oneshot::Sender<CommitOutcome>;

/// The connection as it is now.
#[derive(Debug, Clone, Default)]
pub(super) struct Link {
    /// The session, connected or not.
    pub client: Option<Tethered>,
    /// Whether a server answers.
    pub connected: bool,
    /// Whether the session is over for good, as far as its client knows.
    pub ended: bool,
    /// How often a connection was made: a short interruption shows here.
    pub connections: u64,
    /// Number of the client: a session that is taken up again has another.
    pub number: u64,
}

/// The leadership of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reign {
    pub epoch: LeaderEpoch,
    /// Path of the own candidate's znode.
    pub latch: String,
    /// The session that holds it.
    pub session: SessionId,
    /// What was published, if anything was.
    pub published: Option<LeaderRecord>,
}

/// Who contends, in the order in which they lead.
#[derive(Debug, Clone, Default)]
pub(super) struct Field {
    pub members: Vec<HaMember>,
    pub epoch: LeaderEpoch,
}

/// See the module.
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
    /// Why there is no session, for people.
    pub trouble: Mutex<String>,
    pub published: watch::Sender<Option<LeaderRecord>>,
    reign: Mutex<Option<Reign>>,
    field: Mutex<Field>,
    watchers: Mutex<Watchers>,
    /// Number of the client that watches the store; held while that is arranged.
    pub watched: tokio::sync::Mutex<Option<u64>>,
    /// Commits that wait for their turn.
    pub commit_queue: Mutex<CommitQueue<Answer>>,
    /// One transaction at a time, see `fenced_write.rs`.
    pub writing: tokio::sync::Mutex<()>,
    /// Whether this process leads should be looked at again.
    pub doubted: Notify,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can leave them half changed.
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
        // Changes were told by this process itself, or will be from now on: in between some may have been missed.
        self.watchers().notify_lagged();
    }

    /// What was published under `epoch` is what is to be found.
    pub(super) fn note_published(&self, record: &LeaderRecord) {
        if let Some(reign) = locked(&self.reign).as_mut()
            && reign.epoch == record.epoch
        {
            reign.published = Some(record.clone());
        }
        self.observe_record(record);
    }

    /// E8: never back to a lower epoch.
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
            // Any of the others can lead. How many servers of ZooKeeper may fail is for ZooKeeper to tell.
            failures_tolerated: members.len().saturating_sub(1) as u32,
            members,
        }
    }

    /// Runs for ever, and says when ZooKeeper can't be reached and when it can again.
    pub(super) async fn watch_contact(&self) {
        let mut link = self.link.subscribe();
        // The sender is part of the ensemble: the waits fail never.
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

    /// The session, once it is connected. The reason if it isn't before the deadline.
    pub(super) async fn client(&self, deadline: Instant) -> Result<Tethered, String> {
        let mut link = self.link.subscribe();
        let connected = link.wait_for(|link| link.connected && link.client.is_some());
        match tokio::time::timeout_at(deadline, connected).await {
            Ok(Ok(link)) => link.client.clone().ok_or_else(|| "no session".into()),
            Ok(Err(_)) => Err("the provider has stopped".into()),
            Err(_) => Err(format!("no connection to ZooKeeper: {}", locked(&self.trouble))),
        }
    }

    /// Linearizable read of one key.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Versioned>, ReadError> {
        let client = self.client(Instant::now() + OPERATION_DEADLINE).await.map_err(ReadError::Unavailable)?;
        let path = self.layout.key_path(key);
        let (_, found) = within(CALL_DEADLINE, async {
            // Both are on their way before either is answered; ZooKeeper keeps the order of a session's requests.
            futures::future::try_join(barrier(&client), data(&client, &path)).await
        })
        .await
        .map_err(unavailable)?;
        Ok(found.and_then(|(data, stat)| versioned(data, &stat)))
    }

    /// Linearizable read of all keys that start with `prefix`, as of one moment.
    ///
    /// ZooKeeper reads several znodes as of one moment only in one answer, and that must stay small. But every fenced write
    /// changes the epoch's znode, and reads in one session never go back in time. So if that znode is the same before and
    /// after, nothing was written in between and all that was read is of one moment; if not, it is read again. A leader
    /// holds its own writes back for the second attempt, and nobody else's succeed.
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
                Err(_) => return Err(ReadError::Unavailable("the store changed all the time while it was listed".into())),
            }
            if turn.is_none() && self.reign().is_some() {
                turn = Some(self.writing.lock().await);
            }
        }
    }

    /// `None` if something was written meanwhile.
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

    /// Whether a znode is, or may nest, a key with this prefix.
    fn may_hold(&self, path: &str, prefix: &str) -> bool {
        self.layout.key_of(path).is_some_and(|key| key.starts_with(prefix) || prefix.starts_with(&format!("{key}/")))
    }
}

/// A write of nothing, which a quorum of servers has to agree on. Whatever any client was told to be written before
/// this began is seen by reads in this session after it. ZooKeeper's `sync` does not promise as much: a server that
/// leads no more and has not noticed answers it too (ZOOKEEPER-1675, ZOOKEEPER-2136).
pub(super) fn barrier(client: &Client) -> impl Future<Output = Result<(), Error>> + Send + '_ {
    let mut writer = client.new_multi_writer();
    // The request is sent here, and its answer awaited later.
    let answer = writer.add_check_version("/", -1).map(|()| writer.commit());
    async move { answer?.await.map(drop).map_err(Error::from) }
}

/// What a znode holds; `None` if it is not there. The request is sent at once.
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

/// A znode's state; `None` if it is not there. The request is sent at once.
pub(super) fn stat(client: &Client, path: &str) -> impl Future<Output = Result<Option<Stat>, Error>> + Send + use<> {
    client.check_stat(path)
}

async fn node(client: &Client, path: String) -> Result<(String, Option<(Vec<u8>, Stat)>), Error> {
    let found = data(client, &path).await?;
    Ok((path, found))
}

/// The paths of a znode's children; none if it is not there.
async fn children(client: &Client, path: String) -> Result<Vec<String>, Error> {
    match client.list_children(&path).await {
        Ok(names) => Ok(names.into_iter().map(|name| format!("{path}/{name}")).collect()),
        Err(Error::NoNode) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Awaits all, a limited number of them at once, each within [`CALL_DEADLINE`]; in order.
pub(super) async fn pipelined<T>(requests: Vec<impl Future<Output = Result<T, Error>> + Send>) -> Result<Vec<T>, Error> {
    let limited = requests.into_iter().map(|request| within(CALL_DEADLINE, request));
    let mut answers = futures::stream::iter(limited).buffered(PIPELINE);
    let mut all = Vec::new();
    while let Some(answer) = answers.next().await {
        all.push(answer?);
    }
    Ok(all)
}

/// [`Error::Timeout`] if there is no answer in time; the request may still be carried out.
pub(super) async fn within<T, E: From<Error>>(time: Duration, answer: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    tokio::time::timeout(time, answer).await.unwrap_or_else(|_| Err(E::from(Error::Timeout)))
}

pub(super) fn versioned(data: Vec<u8>, stat: &Stat) -> Option<Versioned> {
    let value = decode_value(data)?.into();
    Some(Versioned { value, version: stat.mzxid.cast_unsigned() })
}

fn unavailable(error: Error) -> ReadError {
    match error {
        Error::NoAuth => ReadError::Unavailable("ZooKeeper does not let this user read here".into()),
        Error::Timeout => ReadError::Unavailable(format!("ZooKeeper did not answer within {} s", CALL_DEADLINE.as_secs())),
        error => ReadError::Unavailable(format!("ZooKeeper: {error}")),
    }
}
