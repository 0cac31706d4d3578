//! Opens a session: a new one, or the former one again.
//!
//! The client treats a session as expired when it has not reached ZooKeeper for longer than the session timeout. But only
//! ZooKeeper decides whether it has expired. If all servers were down, the session is still alive when they are back. So a
//! session that owns a candidate is resumed until ZooKeeper says that it has expired, or until the outage has lasted longer
//! than the outage tolerance.

use std::sync::Arc;

use weir_world::spawn;
use zookeeper_client::{Client, CreateMode, Error, SessionState, StateWatcher};

use super::changes::{follow_leader, resume_watching};
use super::ensemble::{CALL_DEADLINE, Ensemble, Link, pipelined, stat, within};
use super::tethered::Tethered;

/// Creates the znodes that must exist before anything else is done.
pub(super) async fn lay_foundation(ensemble: &Ensemble, client: &Client) -> Result<(), Error> {
    let options = CreateMode::Persistent.with_acls(ensemble.acls);
    if client.path() != "/" {
        let path = client.path().to_owned();
        let root = client.clone().chroot("/").map_err(|_| Error::UnexpectedError("the client rejects `/` as a path".into()))?;
        match within(CALL_DEADLINE, root.check_stat(&path)).await? {
            Some(_) => {}
            None => within(CALL_DEADLINE, root.mkdir(&path, &options)).await?,
        }
    }
    let foundation = ensemble.layout.foundation();
    let found = pipelined(foundation.iter().map(|(path, _)| stat(client, path)).collect()).await?;
    for ((path, value), found) in foundation.into_iter().zip(found) {
        if found.is_none() {
            match within(CALL_DEADLINE, client.create(&path, value.as_bytes(), &options)).await {
                Ok(_) | Err(Error::NodeExists) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Makes this the client that all tasks of the provider use.
pub(super) fn open(ensemble: &Arc<Ensemble>, client: &Tethered) {
    let mut number = 0;
    let watcher = client.state_watcher();
    ensemble.link.send_modify(|link| {
        number = link.number + 1;
        let connections = link.connections + 1;
        let connected = client.state() == SessionState::SyncConnected;
        *link = Link { client: Some(client.clone()), connected, ended: client.state().is_terminated(), connections, number };
    });
    ensemble.set_trouble("connected before".into());
    spawn("zookeeper-link", follow_state(Arc::clone(ensemble), watcher, number));
    spawn("zookeeper-leader", follow_leader(Arc::clone(ensemble), client.clone(), number));
    spawn("zookeeper-watch", resume_watching(Arc::clone(ensemble)));
}

/// Ends the use of the current session by all tasks of the provider.
pub(super) fn close(ensemble: &Ensemble) {
    ensemble.link.send_modify(|link| {
        link.client = None;
        link.connected = false;
        link.ended = true;
    });
}

async fn follow_state(ensemble: Arc<Ensemble>, mut watcher: StateWatcher, number: u64) {
    let mut link = ensemble.link.subscribe();
    loop {
        let state = tokio::select! {
            state = watcher.changed() => state,
            _ = link.wait_for(|link| link.number != number || link.ended) => return,
        };
        tracing::info!(%state, "ZooKeeper session");
        ensemble.link.send_modify(|link| {
            if link.number == number {
                link.connected = state == SessionState::SyncConnected;
                link.connections += u64::from(link.connected);
                link.ended = state.is_terminated();
            }
        });
        if state.is_terminated() {
            return;
        }
    }
}

/// Explains why there is no session and what to do, as a text for people.
pub(super) fn explain(error: &Error) -> String {
    match error {
        Error::AuthFailed => "HA-ZOOKEEPER-AUTH: ZooKeeper refuses this user or password".into(),
        Error::NoAuth => "HA-ZOOKEEPER-AUTH: ZooKeeper does not permit this user to read or write below the root".into(),
        Error::Timeout | Error::ConnectionLoss | Error::NoHosts => {
            "no ZooKeeper server answers, or it refuses this user: look at its log".into()
        }
        error => error.to_string(),
    }
}
