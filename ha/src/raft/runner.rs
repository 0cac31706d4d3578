//! Runs the elector: feeds it raft's state and carries out its effects.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics::{counter, gauge};
use openraft::async_runtime::WatchReceiver;
use openraft::{RaftMetrics, ServerState};
use tokio::sync::{Notify, mpsc, watch};
use tracing::{info, warn};
use weir_protocol::LeaderEpoch;
use weir_world::{MonotonicClock, spawn, wall_clock_ms};

use super::compaction::{Compaction, Reached, Step};
use super::elector::{Effect, Elector, Event};
use super::group::{Group, WriteError};
use super::log::LogSizes;
use super::machine::Raft;
use super::removal::Removal;
use super::types::{LogId, TypeConfig};
use crate::Leadership;
use crate::campaign::Campaign;
use crate::fenced_store::{Applied, Command, FencedStore};
use crate::metrics as names;

/// What the provider tells the runner.
pub(crate) struct Inbox {
    pub campaign: watch::Receiver<Option<Campaign>>,
    pub doubted: Arc<Notify>,
}

struct Runner {
    group: Arc<Group>,
    raft: Raft,
    elector: Elector,
    clock: MonotonicClock,
    campaign: Option<Campaign>,
    results: mpsc::Sender<(u64, Option<LeaderEpoch>)>,
    awaits_quorum: bool,
    compaction: (Compaction, LogSizes),
    removal: Removal,
}

/// The interval between two checks for the first quorum of a new leader.
const FIRST_QUORUM_POLL: Duration = Duration::from_millis(1);

/// Runs until raft or the provider stops.
pub(crate) async fn run(group: Arc<Group>, raft: Raft, mut inbox: Inbox, compaction: (Compaction, LogSizes)) {
    let (results, mut answers) = mpsc::channel(16);
    let mut server = raft.server_metrics();
    let mut epoch = group.replica.epoch();
    let clock = MonotonicClock::start();
    let elector = Elector::default();
    let (me, founder) = group.identity.get().map_or((0, false), |identity| (identity.node_id, identity.founder));
    let removal = Removal::new(me, founder);
    let mut runner = Runner { group, raft, elector, clock, campaign: None, results, awaits_quorum: false, compaction, removal };
    inbox.campaign.mark_changed();
    loop {
        // A new leader waits for its first quorum, and no event reports it.
        let pause = if runner.awaits_quorum { FIRST_QUORUM_POLL } else { runner.group.timing.heartbeat / 2 };
        tokio::select! {
            biased;
            changed = inbox.campaign.changed() => {
                if changed.is_err() {
                    break;
                }
                let campaign = inbox.campaign.borrow_and_update().clone();
                runner.contend(campaign);
            }
            changed = server.changed() => {
                if changed.is_err() {
                    break;
                }
                runner.observe();
            }
            Some((number, epoch)) = answers.recv() => {
                runner.handle(epoch.map_or(Event::AcquireFailed(number), |epoch| Event::Acquired(number, epoch)));
            }
            Ok(()) = epoch.changed() => {
                let epoch = *epoch.borrow_and_update();
                runner.handle(Event::Epoch(epoch));
            }
            () = inbox.doubted.notified() => runner.handle(Event::Doubted),
            () = tokio::time::sleep(pause) => runner.observe(),
        }
    }
    // A contender learns of this when its election ends.
    runner.handle(Event::Raft { leads: None, quorum: false });
}

impl Runner {
    fn contend(&mut self, campaign: Option<Campaign>) {
        if self.campaign.as_ref().map(|campaign| campaign.number) == campaign.as_ref().map(|campaign| campaign.number) {
            return;
        }
        if self.campaign.is_some() {
            self.handle(Event::Candidate(false));
        }
        let contends = campaign.is_some();
        self.campaign = campaign;
        if contends {
            self.handle(Event::Candidate(true));
        }
    }

    fn observe(&mut self) {
        let Some(metrics) = self.group.metrics() else { return };
        self.group.watch_followers(&metrics, self.clock.now());
        self.compact(&metrics);
        self.watch_removal(&metrics);
        let running = metrics.running_state.is_ok();
        let leads = (running && metrics.state == ServerState::Leader).then_some(metrics.current_term);
        let quorum = self.group.leads_with_quorum(&metrics);
        let awaits_quorum = leads.is_some() && metrics.last_quorum_acked.is_none() && !quorum;
        if awaits_quorum && !self.awaits_quorum {
            // Sends a heartbeat at once instead of at raft's next tick, because its answers are the quorum.
            let raft = self.raft.clone();
            spawn("raft-first-heartbeat", async move {
                if let Err(error) = raft.trigger().heartbeat().await {
                    warn!(%error, "could not send the first heartbeat");
                }
            });
        }
        self.awaits_quorum = awaits_quorum;
        self.handle(Event::Raft { leads, quorum });
    }

    /// Learns that this member was removed from the group, or is a member again.
    fn watch_removal(&mut self, metrics: &RaftMetrics<TypeConfig>) {
        let (newest, committed) = (&metrics.membership_config, &metrics.committed_membership_config);
        let Some(removed) = self.removal.observe(newest, committed, self.group.wire.excluded()) else { return };
        self.group.removed.store(removed, Ordering::Relaxed);
        let member = &self.group.me.name;
        if removed {
            warn!(
                member,
                "HA-RAFT-REMOVED: this JobManager was removed from the coordination group and can't lead any more. Stop it; to take it back, empty its raft directory, start it and add it with `weir ha add-member`"
            );
        } else {
            info!(member, "this JobManager is a member of the coordination group again");
        }
        self.handle(Event::Removed(removed));
    }

    /// Bounds the bytes of the log. openraft bounds the number of its entries.
    fn compact(&mut self, metrics: &RaftMetrics<TypeConfig>) {
        let index = |log_id: Option<LogId>| log_id.map(|log_id| log_id.index);
        let store_bytes = self.group.replica.read(FencedStore::bytes);
        let reached = Reached { applied: index(metrics.last_applied), snapshot: index(metrics.snapshot), store_bytes };
        let (compaction, sizes) = &mut self.compaction;
        let Some(step) = sizes.read(|log| compaction.next(log, reached)) else { return };
        let raft = self.raft.clone();
        spawn("raft-compaction", async move {
            let trigger = raft.trigger();
            let triggered = match step {
                Step::Snapshot => trigger.snapshot().await,
                Step::PurgeTo(last) => trigger.purge_log(last).await,
            };
            if let Err(error) = triggered {
                warn!(%error, "could not shorten the log");
            }
        });
    }

    fn handle(&mut self, event: Event) {
        for effect in self.elector.handle(event, self.clock.now()) {
            self.perform(effect);
        }
    }

    fn perform(&self, effect: Effect) {
        match effect {
            Effect::Acquire(number) => self.acquire(number),
            Effect::Grant(epoch) => {
                let Some(campaign) = &self.campaign else { return };
                info!(%epoch, "granted leadership");
                counter!(names::GRANTS).increment(1);
                gauge!(names::IS_LEADER).set(1.0);
                campaign.contender.grant(Leadership::grant(epoch, campaign.candidate.clone(), wall_clock_ms()));
            }
            Effect::Revoke => {
                info!("leadership revoked");
                gauge!(names::IS_LEADER).set(0.0);
                if let Some(campaign) = &self.campaign {
                    campaign.contender.revoke();
                }
            }
            Effect::StandInElections(stand) => {
                self.group.standing.store(stand, Ordering::Relaxed);
                self.raft.runtime_config().elect(stand);
            }
            Effect::HandOver => {
                let (raft, group) = (self.raft.clone(), Arc::clone(&self.group));
                spawn("raft-hand-over", async move {
                    // Errors mean that there is no successor, or that raft has stopped. Both are visible elsewhere.
                    if let Ok(to) = group.successor(None).await {
                        let _ = raft.trigger().transfer_leader(to).await;
                    }
                });
            }
        }
    }

    fn acquire(&self, number: u64) {
        let Some(campaign) = &self.campaign else { return };
        let command = Command::Acquire { candidate: campaign.candidate.clone() };
        let (group, results) = (Arc::clone(&self.group), self.results.clone());
        spawn("raft-acquire", async move {
            let epoch = match group.write(command).await {
                Ok(Applied::Acquired(epoch)) => Some(epoch),
                Ok(_) | Err(WriteError::NotLeader) => None,
                Err(WriteError::Unknown(reason)) => {
                    warn!(reason, "could not acquire an epoch");
                    None
                }
            };
            // The runner may have ended meanwhile.
            let _ = results.send((number, epoch)).await;
        });
    }
}
