//! Contends for the latch, leads while it holds the latch, and tells the contender of grants and revocations.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};
use weir_protocol::LeaderEpoch;
use weir_world::{Backoff, spawn, wall_clock_ms};

use super::connection::CallError;
use super::member::{Member, Own};
use super::session::{self, Session};
use super::view::{Latch, Turn, View, parse_epoch};
use crate::campaign::Campaign;
use crate::{Candidate, Leadership};

/// Pause before a retry.
const PAUSE: Duration = Duration::from_millis(200);

/// The longest pause before a retry while etcd does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Why a leadership ends that has had no contact to etcd for too long.
const INTOLERABLE: &str = "etcd was unavailable for longer than the outage tolerance";

/// Why a session or a leadership is over.
enum End {
    /// The latch or the lease is lost, for this reason.
    Lost(&'static str),
    /// etcd did not answer.
    Unavailable(CallError),
    /// Leadership was handed over, or the epoch was raised.
    Resigned,
}

impl From<CallError> for End {
    fn from(error: CallError) -> Self {
        Self::Unavailable(error)
    }
}

/// Runs until the provider is dropped.
pub(crate) async fn run(member: Arc<Member>, mut campaigns: watch::Receiver<Option<Campaign>>) {
    loop {
        let campaign = campaigns.borrow_and_update().clone();
        if let Some(campaign) = campaign {
            member.stands.send_replace(true);
            let number = campaign.number;
            let stays = |other: &Option<Campaign>| other.as_ref().is_some_and(|other| other.number == number);
            let dropped = tokio::select! {
                biased;
                changed = campaigns.wait_for(|other| !stays(other)) => changed.is_err(),
                () = stand(&member, &campaign) => false,
            };
            // The campaign was withdrawn. Revoke before the lease ends, so that this leader does not act beside the next one.
            member.end();
            campaign.contender.revoke();
            drop(campaign);
            session::close(&member).await;
            member.stands.send_replace(false);
            if dropped {
                return;
            }
        } else if campaigns.changed().await.is_err() {
            return;
        }
    }
}

/// Waits until this process has left its election.
pub(crate) async fn idle(member: &Member) {
    // This can't fail: the sender is part of the member.
    let _ = member.stands.subscribe().wait_for(|stands| !stands).await;
}

/// Contends for ever, in one session after the other.
async fn stand(member: &Arc<Member>, campaign: &Campaign) {
    let mut backoff = Backoff::new(PAUSE, LONGEST_PAUSE);
    loop {
        let end = Box::pin(in_session(member, campaign)).await;
        if member.own().is_some() {
            info!("leadership revoked");
        }
        member.end();
        campaign.contender.revoke();
        match end {
            Ok(never) => match never {},
            Err(End::Lost(reason)) => info!(reason, "contends again"),
            Err(End::Resigned) => info!("resigned"),
            Err(End::Unavailable(error)) => {
                // Log once per outage, not once per attempt.
                if backoff.failures() == 0 {
                    warn!(%error, "HA-UNAVAILABLE: etcd does not answer; retries until it does");
                }
                session::close(member).await;
                backoff.wait().await;
                continue;
            }
        }
        session::close(member).await;
        backoff.reset();
        sleep(PAUSE).await;
    }
}

enum Never {}

/// Contends and leads on one lease.
async fn in_session(member: &Arc<Member>, campaign: &Campaign) -> Result<Never, End> {
    let session = Session::open(member, &campaign.candidate).await?;
    tokio::select! {
        () = session.keep(member) => Err(End::Lost("the lease does not exist any more")),
        end = async {
            let latch = contend(member, campaign, &session).await?;
            let epoch = raise_epoch(member, latch).await?;
            lead(member, campaign, &session, latch, epoch).await
        } => end,
    }
}

/// Waits until this candidate holds the latch. Returns the latch's create revision.
async fn contend(member: &Member, campaign: &Campaign, session: &Session) -> Result<i64, End> {
    let mut view = member.view.subscribe();
    loop {
        let turn = view.borrow_and_update().turn(&campaign.candidate.name, session.lease);
        match turn {
            Turn::Holds(latch) => return Ok(latch),
            Turn::Contend => match acquire(member, &campaign.candidate, session.lease).await {
                Ok(Some(latch)) => return Ok(latch),
                // Another candidate was faster; the view will show the latch.
                Ok(None) => {}
                Err(error) => warn!(%error, "the outcome of an election is unknown"),
            },
            Turn::Wait => {}
        }
        tokio::select! {
            _ = view.changed() => {}
            () = sleep(PAUSE), if turn == Turn::Contend => {}
        }
    }
}

/// Creates the latch if there is none.
async fn acquire(member: &Member, candidate: &Candidate, lease: i64) -> Result<Option<i64>, CallError> {
    let key = member.layout.latch();
    let value = serde_json::to_vec(candidate).unwrap_or_default();
    let free = Compare::create_revision(key.clone(), CompareOp::Equal, 0);
    let create = TxnOp::put(key, value, Some(PutOptions::new().with_lease(lease)));
    let answer = member.transact(Txn::new().when([free]).and_then([create])).await?;
    let revision = answer.header().map(etcd_client::ResponseHeader::revision);
    Ok(revision.filter(|_| answer.succeeded()))
}

/// As the holder of the latch, stores an epoch above every other one (E1, E2). The latch's create revision is above every
/// epoch that this etcd has granted. The stored number may come from another etcd or another provider.
async fn raise_epoch(member: &Member, latch: i64) -> Result<LeaderEpoch, End> {
    loop {
        let key = member.layout.epoch();
        let found = member.range(key.as_str(), GetOptions::new()).await?;
        let (stored, modified) = match found.kvs().first() {
            None => (LeaderEpoch::default(), 0),
            Some(pair) => {
                let Some(stored) = parse_epoch(pair.value()) else {
                    warn!(key, "HA-CORRUPT: the stored epoch is not a number: no JobManager can lead until it is one again");
                    return Err(End::Lost("the stored epoch is damaged"));
                };
                (stored, pair.mod_revision())
            }
        };
        let epoch = LeaderEpoch((stored.max(member.highest()).0 + 1).max(latch.cast_unsigned()));
        let held = Compare::create_revision(member.layout.latch(), CompareOp::Equal, latch);
        let unchanged = Compare::mod_revision(key.clone(), CompareOp::Equal, modified);
        let changes = [TxnOp::put(key, epoch.to_string(), None), TxnOp::delete(member.layout.hand_over(), None)];
        let txn = Txn::new().when([held, unchanged]).and_then(changes);
        match member.transact(txn).await {
            Ok(answer) if answer.succeeded() => return Ok(epoch),
            // Either the latch is lost, or an earlier attempt with an unknown outcome has succeeded.
            Ok(_) if !holds(member, latch).await? => return Err(End::Lost("the latch is lost")),
            Ok(_) => {}
            Err(error) => {
                warn!(%error, "the outcome of raising the epoch is unknown");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Whether the latch that was created at this revision still exists.
async fn holds(member: &Member, latch: i64) -> Result<bool, CallError> {
    let found = member.range(member.layout.latch(), GetOptions::new().with_keys_only()).await?;
    Ok(found.kvs().first().is_some_and(|pair| pair.create_revision() == latch))
}

/// Leads until the latch is certainly lost, leadership is handed over, or etcd has not answered for the outage tolerance. A
/// shorter silence ends nothing: safety depends on the fence, not on a clock.
async fn lead(
    member: &Arc<Member>,
    campaign: &Campaign,
    session: &Session,
    latch: i64,
    epoch: LeaderEpoch,
) -> Result<Never, End> {
    let leadership = Leadership::grant(epoch, campaign.candidate.clone(), wall_clock_ms());
    info!(%epoch, "granted leadership");
    member.begin(&leadership, latch);
    campaign.contender.grant(leadership);
    let mut view = member.view.subscribe();
    let mut contact = session.contact.subscribe();
    let mut resign = member.resign.subscribe();
    loop {
        let tolerated: Instant = *contact.borrow_and_update() + member.timing.outage_tolerance;
        tokio::select! {
            biased;
            _ = resign.wait_for(|resigned| *resigned == epoch) => return Err(End::Resigned),
            _ = view.changed() => {
                let view = view.borrow_and_update().clone();
                if lost(&view, latch) {
                    return Err(End::Lost("the latch is lost"));
                }
                republish(member, &view);
            }
            _ = contact.changed() => {}
            () = member.doubted.notified() => match holds(member, latch).await {
                Ok(true) => {}
                Ok(false) => return Err(End::Lost("the latch is lost")),
                Err(error) => {
                    warn!(%error, "can't tell whether the latch is still held");
                    sleep(PAUSE).await;
                    if Instant::now() >= tolerated {
                        return Err(End::Lost(INTOLERABLE));
                    }
                    member.doubted.notify_one();
                }
            },
            () = sleep_until(tolerated) => return Err(End::Lost(INTOLERABLE)),
        }
    }
}

/// Whether the view shows that this process does not hold the latch. A view older than the latch shows nothing.
fn lost(view: &View, latch: i64) -> bool {
    let ours = |held: &Latch| held.created == latch;
    view.revision >= latch && !view.latch.as_ref().is_some_and(ours)
}

/// Writes the published record again if it was removed or replaced (E8).
fn republish(member: &Arc<Member>, view: &View) {
    let Some(Own { leadership, published: Some(version), .. }) = member.own() else { return };
    let shown = view.published.as_ref().is_some_and(|record| record.epoch == leadership.epoch());
    if shown || view.revision.cast_unsigned() <= version {
        return;
    }
    warn!("the published leader record was removed or replaced; writes it again");
    let member = Arc::clone(member);
    spawn("etcd-publication", async move {
        // If this fails, the next change of the view leads to another attempt.
        let _ = member.publish(&leadership).await;
    });
}
