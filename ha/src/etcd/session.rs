//! A lease, and the keys that live as long as it does: the candidate's key, and a leader's latch.

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

/// Number of retries to revoke a lease that is not needed any more. After that it is left to expire.
const REVOCATIONS: u32 = 10;
/// Pause between two attempts to renew or revoke a lease.
const PAUSE: Duration = Duration::from_millis(100);

/// A lease with the candidate's key.
pub(crate) struct Session {
    pub lease: i64,
    /// When the lease last certainly existed.
    pub contact: watch::Sender<Instant>,
    /// Time between two renewals, and the deadline for the answer to one: a third of the lease.
    interval: Duration,
}

impl Session {
    /// Gets a lease and registers the candidate. The lease's number is in `member.lease` before etcd learns it, so that the
    /// lease can be revoked even if the answer is lost.
    pub(crate) async fn open(member: &Member, candidate: &Candidate) -> Result<Self, CallError> {
        let lease = new_lease();
        member.lease.send_replace(Some(lease));
        let at = Instant::now();
        let seconds = member.timing.lease.as_secs().cast_signed();
        let options = LeaseGrantOptions::new().with_id(lease);
        let grant = async |client: etcd_client::Client| client.lease_client().grant(seconds, Some(options)).await;
        let granted = member.connection.call(OPERATION_DEADLINE, grant).await?.ttl().max(1).cast_unsigned();
        if granted != seconds.cast_unsigned() {
            info!(granted, asked = seconds, "etcd granted a longer lease; its minimum is 1.5 times its election timeout");
        }
        let granted = Duration::from_secs(granted);
        member.set_granted_lease(granted);
        let key = member.layout.candidate(&candidate.name);
        let value = serde_json::to_vec(candidate).unwrap_or_default();
        let register = async |client: etcd_client::Client| {
            client.kv_client().put(key, value, Some(PutOptions::new().with_lease(lease))).await
        };
        member.connection.call(OPERATION_DEADLINE, register).await?;
        let (contact, _) = watch::channel(at);
        Ok(Self { lease, contact, interval: granted / 3 })
    }

    /// Renews the lease until etcd says that it does not exist any more. If an endpoint does not answer, the next one is asked
    /// at once, because two thirds of the lease have passed by then.
    pub(crate) async fn keep(&self, member: &Member) {
        loop {
            let error = tokio::select! {
                biased;
                // This drops the renewal, and with it the connection that it holds.
                () = member.connection.isolation.begins() => CallError::cut_off(),
                error = self.renew(member) => error,
            };
            match error {
                CallError { fault: Fault::LeaseGone, .. } => return,
                error => {
                    debug!(%error, "the lease was not renewed");
                    sleep(PAUSE.min(self.interval)).await;
                }
            }
        }
    }

    /// Renews the lease until a renewal fails; returns why.
    async fn renew(&self, member: &Member) -> CallError {
        let late = || CallError { fault: Fault::Unanswered, reason: "a renewal of the lease had no answer".to_owned() };
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
            self.contact.send_modify(|contact| *contact = at.max(*contact));
            sleep(self.interval).await;
            at = Instant::now();
            let answer = timeout(self.interval, async {
                renewals.0.keep_alive().await?;
                renewals.1.message().await
            });
            let error = match answer.await {
                Ok(Ok(Some(answer))) if answer.ttl() > 0 => continue,
                Ok(Ok(Some(_))) => return CallError { fault: Fault::LeaseGone, reason: "the lease has expired".to_owned() },
                Ok(Ok(None)) | Err(_) => late(),
                Ok(Err(error)) => CallError::of(&error),
            };
            member.connection.give_up(generation).await;
            return error;
        }
    }
}

/// A random number for a lease, which no other lease has.
pub(crate) fn new_lease() -> i64 {
    ((random_id() as u64) >> 1).max(1).cast_signed()
}

/// Ends the current session, and with it candidacy and leadership. Waits for one attempt; further ones run in the background.
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

/// Revokes the lease. `true` if it certainly does not exist any more.
async fn revoke(member: &Member, lease: i64) -> bool {
    let revoke = async |client: etcd_client::Client| client.lease_client().revoke(lease).await;
    match member.connection.call(ATTEMPT_DEADLINE, revoke).await {
        Ok(_) => true,
        Err(error) => error.fault == Fault::LeaseGone,
    }
}
