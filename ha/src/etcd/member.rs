//! What all parts of one member share.

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

/// Grants of this process that are remembered, so that what a former one of them sends is refused by its latch as well.
const REMEMBERED_GRANTS: usize = 8;

/// One process's place in the cluster.
pub(crate) struct Member {
    pub layout: Layout,
    pub connection: Connection,
    pub timing: Timing,
    /// Whether etcd answers.
    pub contact: StoreContact,
    /// What elections are about, as this process knows it.
    pub view: watch::Sender<View>,
    /// The newest record published, never to a lower epoch.
    pub published: watch::Sender<Option<LeaderRecord>>,
    /// Whether this process stands in elections.
    pub stands: watch::Sender<bool>,
    /// The lease of the session under way.
    pub lease: watch::Sender<Option<i64>>,
    /// The epoch whose leader is to resign.
    pub resign: watch::Sender<LeaderEpoch>,
    /// A commit found that the latch is not held any more.
    pub doubted: Notify,
    grants: Mutex<Grants>,
    /// The highest epoch ever seen by this process, wherever.
    highest: AtomicU64,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Of the lease, as asked for.
    pub lease: Duration,
    /// After so long without contact a leader is told that it leads no more.
    pub outage_tolerance: Duration,
}

#[derive(Default)]
struct Grants {
    /// Revision at which the latch of a granted epoch was created.
    latches: BTreeMap<LeaderEpoch, i64>,
    own: Option<Own>,
}

/// The leadership this process holds.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub leadership: Leadership,
    /// Revision at which its latch was created.
    pub latch: i64,
    /// Revision of its publication.
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
            highest: AtomicU64::new(0),
        }
    }

    fn grants(&self) -> MutexGuard<'_, Grants> {
        // Nothing under this lock can leave it half changed.
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

    /// Revision of the latch that this process was granted `epoch` by.
    pub(crate) fn latch_of(&self, epoch: LeaderEpoch) -> Option<i64> {
        self.grants().latches.get(&epoch).copied()
    }

    /// Remembers that there is this epoch.
    pub(crate) fn saw(&self, epoch: LeaderEpoch) {
        let before = self.highest.fetch_max(epoch.0, Ordering::Relaxed);
        if before < epoch.0 {
            gauge!(names::EPOCH).set(epoch.0 as f64);
        }
    }

    /// The highest epoch ever seen by this process.
    pub(crate) fn highest(&self) -> LeaderEpoch {
        LeaderEpoch(self.highest.load(Ordering::Relaxed))
    }

    /// Replaces what is known.
    pub(crate) fn look(&self, view: View) {
        self.saw(view.epoch);
        if let Some(record) = &view.published {
            self.saw(record.epoch);
            self.published.send_if_modified(|known| {
                // E8: an older one may come back after a restore, or be read late.
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
        }
    }
}
