//! The state that all parts of one member share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::{Notify, watch};
use weir_protocol::LeaderEpoch;

use super::connection::Connection;
use super::layout::Layout;
use super::view::View;
use crate::availability::StoreContact;
use crate::metrics as names;
use crate::{HaMember, HaStatus, LeaderRecord, Leadership};

/// Number of grants whose latches are remembered, so that the latch also fences the late writes of a former grant.
const REMEMBERED_GRANTS: usize = 8;

/// One process's place in the cluster.
pub(crate) struct Member {
    pub layout: Layout,
    pub connection: Connection,
    pub timing: Timing,
    /// Whether etcd answers.
    pub contact: StoreContact,
    /// The election's keys, as this process knows them.
    pub view: watch::Sender<View>,
    /// The newest published record; its epoch never decreases.
    pub published: watch::Sender<Option<LeaderRecord>>,
    /// Whether this process is a candidate.
    pub stands: watch::Sender<bool>,
    /// The lease of the current session.
    pub lease: watch::Sender<Option<i64>>,
    /// The epoch whose leader is to resign.
    pub resign: watch::Sender<LeaderEpoch>,
    /// Notified when a commit finds that the latch is not held any more.
    pub doubted: Notify,
    grants: Mutex<Grants>,
    /// The lease that etcd granted last, in milliseconds.
    granted_lease: AtomicU64,
    /// The highest epoch that this process has seen in any record.
    highest: AtomicU64,
}

/// The configured times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// The lease that etcd is asked for; etcd may grant a longer one.
    pub lease: Duration,
    /// A leader without contact to etcd for this long is revoked.
    pub outage_tolerance: Duration,
}

#[derive(Default)]
struct Grants {
    /// The revision at which the latch of each granted epoch was created.
    latches: BTreeMap<LeaderEpoch, i64>,
    own: Option<Own>,
}

/// The leadership this process holds.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub leadership: Leadership,
    /// The revision at which its latch was created.
    pub latch: i64,
    /// The revision at which its record was published, if it was.
    pub published: Option<u64>,
}

impl Member {
    pub(crate) fn new(layout: Layout, connection: Connection, timing: Timing) -> Self {
        Self {
            layout,
            connection,
            timing,
            contact: StoreContact::new("etcd"),
            view: watch::Sender::default(),
            published: watch::Sender::default(),
            stands: watch::Sender::default(),
            lease: watch::Sender::default(),
            resign: watch::Sender::default(),
            doubted: Notify::new(),
            grants: Mutex::default(),
            granted_lease: AtomicU64::new(timing.lease.as_millis() as u64),
            highest: AtomicU64::new(0),
        }
    }

    fn grants(&self) -> MutexGuard<'_, Grants> {
        // A panic under this lock can't leave the data half changed, so a poisoned lock is safe to use.
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This process leads from now on.
    pub(crate) fn begin(&self, leadership: &Leadership, latch: i64) {
        self.saw(leadership.epoch());
        let mut grants = self.grants();
        grants.latches.insert(leadership.epoch(), latch);
        if grants.latches.len() > REMEMBERED_GRANTS {
            grants.latches.pop_first();
        }
        grants.own = Some(Own { leadership: leadership.clone(), latch, published: None });
        counter!(names::GRANTS).increment(1);
        gauge!(names::IS_LEADER).set(1.0);
    }

    /// This process does not lead any more.
    pub(crate) fn end(&self) {
        if self.grants().own.take().is_some() {
            gauge!(names::IS_LEADER).set(0.0);
        }
    }

    /// The leadership this process holds.
    pub(crate) fn own(&self) -> Option<Own> {
        self.grants().own.clone()
    }

    /// Remembers that the leadership this process holds was published.
    pub(crate) fn set_published(&self, epoch: LeaderEpoch, version: u64) {
        if let Some(own) = self.grants().own.as_mut().filter(|own| own.leadership.epoch() == epoch) {
            own.published = Some(version);
        }
    }

    /// The create revision of the latch with which this process was granted `epoch`; `None` if it was not, or long ago.
    pub(crate) fn latch_of(&self, epoch: LeaderEpoch) -> Option<i64> {
        self.grants().latches.get(&epoch).copied()
    }

    /// Remembers the lease that etcd has granted.
    pub(crate) fn set_granted_lease(&self, lease: Duration) {
        self.granted_lease.store(lease.as_millis() as u64, Ordering::Relaxed);
    }

    /// The lease that etcd granted last, or the one to ask for: how long a silent candidate counts as alive.
    pub(crate) fn granted_lease(&self) -> Duration {
        Duration::from_millis(self.granted_lease.load(Ordering::Relaxed))
    }

    /// Remembers that this epoch exists.
    pub(crate) fn saw(&self, epoch: LeaderEpoch) {
        let before = self.highest.fetch_max(epoch.0, Ordering::Relaxed);
        if before < epoch.0 {
            gauge!(names::EPOCH).set(epoch.0 as f64);
        }
    }

    /// The highest epoch that this process has seen.
    pub(crate) fn highest(&self) -> LeaderEpoch {
        LeaderEpoch(self.highest.load(Ordering::Relaxed))
    }

    /// Replaces the known view.
    pub(crate) fn look(&self, view: View) {
        self.saw(view.epoch);
        if let Some(record) = &view.published {
            self.saw(record.epoch);
            self.published.send_if_modified(|known| {
                // E8: an older record may return after a restore, or a read may be late.
                let newer = known.as_ref().is_none_or(|known| known.epoch < record.epoch);
                if newer {
                    *known = Some(record.clone());
                }
                newer
            });
        }
        let created = |view: &View| view.latch.as_ref().map(|latch| latch.created);
        let new_leader = created(&view).is_some_and(|latch| created(&self.view.borrow()) != Some(latch));
        if new_leader {
            counter!(names::LEADER_CHANGES).increment(1);
        }
        self.view.send_replace(view);
    }

    pub(crate) fn status(&self) -> HaStatus {
        let view = self.view.borrow();
        let members = view.candidates.values().map(|candidate| HaMember {
            name: candidate.name.clone(),
            address: candidate.rpc_address.clone(),
            voter: true,
            reachable: Some(true),
            lag_entries: None,
        });
        HaStatus {
            provider: "etcd".into(),
            epoch: self.highest(),
            leader: view.latch.as_ref().map(|latch| latch.holder.clone()),
            has_quorum: self.connection.silence().is_some_and(|silence| silence < self.timing.lease),
            failures_tolerated: view.candidates.len().saturating_sub(1) as u32,
            members: members.collect(),
            removed: false,
        }
    }
}
