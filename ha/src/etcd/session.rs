//! A lease, and what hangs on it: the candidate's key, and the latch of a leader.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{LeaseGrantOptions, LeaseKeepAliveStream, LeaseKeeper, PutOptions};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info};
use weir_world::{random_id, spawn};

use super::connection::{ATTEMPT_DEADLINE, CallError, Fault, OPERATION_DEADLINE};
use super::member::Member;
use crate::Candidate;

/// A lease nobody needs any more is revoked so many times before it is left to run out.
const REVOCATIONS: u32 = 10;
/// Between two attempts to renew or revoke.
const PAUSE: Duration = Duration::from_millis(100);

/// What is known of the lease.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contact {
    /// When it was last certainly there.
    pub at: Instant,
    /// Times etcd said that it was not.
    pub missing: u64,
}

/// A lease with the candidate's key.
pub(crate) struct Session {
    pub lease: i64,
    pub contact: watch::Sender<Contact>,
    /// Between two renewals, and for one answer: a third of the lease.
    interval: Duration,
}

impl Session {
    /// Gets a lease and registers the candidate. Its number is known to `member.lease` before etcd knows it, so that it can
    /// be revoked whatever the answer.
    pub(crate) async fn open(member: &Member, candidate: &Candidate) -> Result<Self, CallError> {
        let lease = new_lease();
        member.lease.send_replace(Some(lease));
        let at = Instant::now();
        let seconds = member.timing.lease.as_secs().cast_signed();
        let options = LeaseGrantOptions::new().with_id(lease);
        let grant = async |client: etcd_client::Client| client.lease_client().grant(seconds, Some(options)).await;
        let granted = member.connection.call(OPERATION_DEADLINE, grant).await?.ttl().max(1).cast_unsigned();
        if granted != seconds.cast_unsigned() {
            info!(granted, asked = seconds, "etcd's shortest lease is longer (1.5 times its election timeout)");
        }
        let key = member.layout.candidate(&candidate.name);
        let value = serde_json::to_vec(candidate).unwrap_or_default();
        let register = async |client: etcd_client::Client| {
            client.kv_client().put(key, value, Some(PutOptions::new().with_lease(lease))).await
        };
        member.connection.call(OPERATION_DEADLINE, register).await?;
        let (contact, _) = watch::channel(Contact { at, missing: 0 });
        Ok(Self { lease, contact, interval: Duration::from_secs(granted) / 3 })
    }

    /// Renews the lease for ever. When an endpoint does not answer, the next is asked at once: two thirds of the lease
    /// have passed then.
    pub(crate) async fn keep(&self, member: &Member) {
        loop {
            let error = tokio::select! {
                biased;
                // With the renewal goes the connection that it holds.
                () = member.connection.isolation.begins() => CallError::cut_off(),
                error = self.renew(member) => error,
            };
            match error {
                CallError { fault: Fault::LeaseGone, .. } => {
                    self.contact.send_modify(|contact| contact.missing += 1);
                    sleep(self.interval).await;
                }
                error => {
                    debug!(%error, "the lease was not renewed");
                    sleep(PAUSE.min(self.interval)).await;
                }
            }
        }
    }

    /// Renews until that fails.
    async fn renew(&self, member: &Member) -> CallError {
        let late = || CallError { fault: Fault::Unanswered, reason: "a renewal was not answered".to_owned() };
        let (generation, client) = match timeout(self.interval, member.connection.client()).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return error,
            Err(_) => return late(),
        };
        let mut at = Instant::now();
        let opened = timeout(self.interval, client.lease_client().keep_alive(self.lease)).await;
        let mut renewals: (LeaseKeeper, LeaseKeepAliveStream) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                let error = CallError::of(&error);
                if error.fault == Fault::Unanswered {
                    member.connection.give_up(generation).await;
                }
                return error;
            }
            Err(_) => {
                member.connection.give_up(generation).await;
                return late();
            }
        };
        loop {
            self.contact.send_modify(|contact| contact.at = contact.at.max(at));
            sleep(self.interval).await;
            at = Instant::now();
            let answer = timeout(self.interval, async {
                renewals.0.keep_alive().await?;
                renewals.1.message().await
            });
            let error = match answer.await {
                Ok(Ok(Some(answer))) if answer.ttl() > 0 => continue,
                Ok(Ok(Some(_))) => return CallError { fault: Fault::LeaseGone, reason: "the lease is gone".to_owned() },
                Ok(Ok(None)) | Err(_) => late(),
                Ok(Err(error)) => CallError::of(&error),
            };
            member.connection.give_up(generation).await;
            return error;
        }
    }
}

/// A number for a lease that no other has.
pub(crate) fn new_lease() -> i64 {
    ((random_id() as u64) >> 1).max(1).cast_signed()
}

/// Ends the session under way, and with it candidacy and leadership. Waits for etcd once, then goes on in the background.
pub(crate) async fn close(member: &Arc<Member>) {
    let Some(lease) = member.lease.send_replace(None) else { return };
    if revoke(member, lease).await {
        return;
    }
    let member = Arc::clone(member);
    spawn("etcd-lease-revocation", async move {
        for _ in 0..REVOCATIONS {
            sleep(PAUSE).await;
            if revoke(&member, lease).await {
                return;
            }
        }
    });
}

/// Whether the lease is certainly gone.
async fn revoke(member: &Member, lease: i64) -> bool {
    let revoke = async |client: etcd_client::Client| client.lease_client().revoke(lease).await;
    match member.connection.call(ATTEMPT_DEADLINE, revoke).await {
        Ok(_) => true,
        Err(error) => error.fault == Fault::LeaseGone,
    }
}
