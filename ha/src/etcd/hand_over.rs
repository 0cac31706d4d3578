//! Hands leadership over to another candidate.

use std::time::Duration;

use etcd_client::{Compare, CompareOp, GetOptions, LeaseGrantOptions, PutOptions, Txn, TxnOp};
use tokio::time::{Instant, sleep, timeout};

use super::connection::{ATTEMPT_DEADLINE, CallError};
use super::layout::Place;
use super::member::{Member, Own};
use super::session::new_lease;
use crate::TransferError;

/// Interval at which a candidate that may be about to register is looked for.
const PAUSE: Duration = Duration::from_millis(50);
/// The other candidate must lead after two leases and this time.
const PATIENCE: Duration = Duration::from_secs(3);
/// Seconds for which the others let the named candidate contend first. etcd raises this to its shortest lease.
const PRECEDENCE_SECONDS: i64 = 1;

/// Names `to` (or any other candidate) as the one to contend first, resigns, and waits until another candidate leads.
pub(crate) async fn hand_over(member: &Member, to: Option<&str>) -> Result<(), TransferError> {
    let Some(own) = member.own() else { return Err(TransferError::NotLeader) };
    let successor = successor(member, &own, to).await?;
    let named = give_precedence(member, &own, &successor).await.map_err(|_| TransferError::TimedOut)?;
    if !named {
        return Err(TransferError::NotLeader);
    }
    let epoch = own.leadership.epoch();
    member.resign.send_replace(epoch);
    let mut view = member.view.subscribe();
    let followed = view.wait_for(|view| view.epoch > epoch && view.latch.is_some());
    match timeout(member.granted_lease() * 2 + PATIENCE, followed).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(TransferError::TimedOut),
    }
}

/// A candidate other than this leader. If there is none, waits for one for up to a lease, the longest silence of a live one.
async fn successor(member: &Member, own: &Own, to: Option<&str>) -> Result<String, TransferError> {
    let me = own.leadership.record().leader.name;
    if to == Some(&me) {
        return Err(TransferError::NoTarget(format!("{me} leads already")));
    }
    let started = Instant::now();
    loop {
        let others = candidates(member).await.map_err(|error| TransferError::NoTarget(error.reason))?;
        let mut others = others.into_iter().filter(|name| *name != me);
        if let Some(found) = others.find(|name| to.is_none_or(|to| to == name)) {
            return Ok(found);
        }
        if started.elapsed() > member.granted_lease() {
            return Err(TransferError::NoTarget(to.unwrap_or("no other member contends").to_owned()));
        }
        sleep(PAUSE).await;
    }
}

async fn candidates(member: &Member) -> Result<Vec<String>, CallError> {
    let found = member.range(member.layout.candidates(), GetOptions::new().with_prefix().with_keys_only()).await?;
    let name = |pair: &etcd_client::KeyValue| match member.layout.place(pair.key_str().ok()?) {
        Place::Candidate(name) => Some(name.to_owned()),
        _ => None,
    };
    Ok(found.kvs().iter().filter_map(name).collect())
}

/// Stores which candidate is to contend first, on a lease of its own so that the key expires. `false` if this process does
/// not lead any more.
async fn give_precedence(member: &Member, own: &Own, successor: &str) -> Result<bool, CallError> {
    let lease = new_lease();
    let options = LeaseGrantOptions::new().with_id(lease);
    let grant = async |client: etcd_client::Client| client.lease_client().grant(PRECEDENCE_SECONDS, Some(options)).await;
    member.connection.call(ATTEMPT_DEADLINE, grant).await?;
    let held = Compare::create_revision(member.layout.latch(), CompareOp::Equal, own.latch);
    let name = TxnOp::put(member.layout.hand_over(), successor, Some(PutOptions::new().with_lease(lease)));
    Ok(member.transact(Txn::new().when([held]).and_then([name])).await?.succeeded())
}
