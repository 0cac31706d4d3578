//! What others write: the published leader, and changes of keys for those who watch them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_world::spawn;
use zookeeper_client::{AddWatchMode, Client, Error, EventType, MultiReadResult, PersistentWatcher, WatchedEvent};

use super::ensemble::{CALL_DEADLINE, Ensemble, OPERATION_DEADLINE, data, versioned, within};
use super::tethered::Tethered;
use crate::fenced_store::Change;
use crate::{LeaderRecord, ReadError};

/// After a read that failed for another reason than the connection.
const PAUSE: Duration = Duration::from_millis(200);
/// Versions remembered, so that a change is not told twice.
const REMEMBERED: usize = 4_096;

/// Keeps the published leader up to date while the session lasts. It is read again after every interruption: a watch
/// alone can miss what happened meanwhile (FLINK-19557).
pub(super) async fn follow_leader(ensemble: Arc<Ensemble>, client: Tethered, number: u64) {
    let mut link = ensemble.link.subscribe();
    let path = ensemble.layout.leader_record();
    loop {
        let connections = {
            // Fails only if the provider is gone.
            let Ok(link) = link.wait_for(|link| link.connected || link.number != number || link.ended).await else { return };
            if link.number != number || link.ended {
                return;
            }
            link.connections
        };
        let watcher = match within(CALL_DEADLINE, client.check_and_watch_stat(&path)).await {
            Ok((found, watcher)) => {
                if found.is_some() {
                    read_leader(&ensemble, &client, &path).await;
                } else if ensemble.reign().is_some_and(|reign| reign.published.is_some()) {
                    // Somebody removed it: the leader writes it again.
                    ensemble.doubted.notify_one();
                }
                watcher
            }
            Err(error) => {
                tracing::debug!(%error, "can't read who leads");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let interrupted = link.wait_for(|link| link.connections != connections || link.number != number || link.ended);
        tokio::select! {
            () = client.fired(watcher) => {}
            _ = interrupted => {}
        }
    }
}

async fn read_leader(ensemble: &Ensemble, client: &Client, path: &str) {
    let json = match within(CALL_DEADLINE, data(client, path)).await {
        Ok(Some((json, _))) => json,
        Ok(None) => return,
        Err(error) => return tracing::debug!(%error, "can't read who leads"),
    };
    match serde_json::from_slice::<LeaderRecord>(&json) {
        Ok(record) => {
            ensemble.observe_epoch(record.epoch);
            ensemble.observe_record(&record);
        }
        Err(error) => tracing::error!(path, %error, "HA-CORRUPT: the published leader can't be read"),
    }
}

/// Sees to it that changes of keys are told from now on, once per session.
pub(super) async fn ensure_watched(ensemble: &Arc<Ensemble>) -> Result<(), ReadError> {
    let mut watched = ensemble.watched.lock().await;
    let client = ensemble.client(Instant::now() + OPERATION_DEADLINE).await.map_err(ReadError::Unavailable)?;
    let number = {
        let link = ensemble.link.borrow();
        let same = link.client.as_ref().is_some_and(|current| current.session_id() == client.session_id());
        if !same {
            return Err(ReadError::Unavailable("the session has ended".into()));
        }
        link.number
    };
    if *watched == Some(number) {
        return Ok(());
    }
    let store = ensemble.layout.store();
    let watching = within(CALL_DEADLINE, client.watch(&store, AddWatchMode::PersistentRecursive)).await;
    let watcher = watching.map_err(|error| match error {
        Error::Unimplemented => ReadError::Unavailable("watching keys needs ZooKeeper 3.6 or newer".into()),
        error => ReadError::Unavailable(format!("ZooKeeper: {error}")),
    })?;
    *watched = Some(number);
    let follower = Follower { ensemble: Arc::clone(ensemble), client, told: HashMap::new() };
    spawn("zookeeper-changes", follower.run(watcher, number));
    Ok(())
}

/// Tells changes that others commit. What this process commits as the leader is told where it is committed, with every
/// version; from here one is told of the newest, and a key that is gone has the version of the last commit before it was
/// seen to be: that of its removal, or a later one. A removal may be told of a key that nobody had written.
struct Follower {
    ensemble: Arc<Ensemble>,
    client: Tethered,
    told: HashMap<String, u64>,
}

impl Follower {
    async fn run(mut self, mut watcher: PersistentWatcher, number: u64) {
        let mut link = self.ensemble.link.subscribe();
        loop {
            let over = link.wait_for(|link| link.number != number || link.ended);
            let event = tokio::select! {
                event = self.client.next_event(&mut watcher) => event,
                _ = over => break,
            };
            let Some(event) = event else { break };
            if !self.hear(event).await {
                break;
            }
        }
        // In the next session it begins anew.
        self.ensemble.watchers().notify_lagged();
    }

    /// `false` once there are no more events.
    async fn hear(&mut self, event: WatchedEvent) -> bool {
        if event.event_type == EventType::Session {
            // What changed while there was no connection is not told by ZooKeeper (ZOOKEEPER-4698).
            self.ensemble.watchers().notify_lagged();
            return !event.session_state.is_terminated();
        }
        if self.ensemble.reign().is_some() {
            return true;
        }
        match within(CALL_DEADLINE, self.look(&event.path)).await {
            Ok(Some(change)) => self.tell(event.path, change),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, path = event.path, "can't read what changed");
                self.ensemble.watchers().notify_lagged();
            }
        }
        true
    }

    /// The key as it is now, as of one moment with the last commit.
    async fn look(&self, path: &str) -> Result<Option<Change>, Error> {
        let Some(key) = self.ensemble.layout.key_of(path) else { return Ok(None) };
        let mut reader = self.client.new_multi_reader();
        reader.add_get_data(path)?;
        reader.add_get_data(&self.ensemble.layout.epoch())?;
        let mut answers = reader.commit().await?.into_iter();
        let (Some(found), Some(MultiReadResult::Data { stat: epoch, .. })) = (answers.next(), answers.next()) else {
            return Err(Error::UnexpectedError("a read was answered with something else".into()));
        };
        let gone = Change { key: key.clone(), version: epoch.mzxid.cast_unsigned(), value: None };
        match found {
            MultiReadResult::Data { data, stat } => Ok(Some(match versioned(data, &stat) {
                Some(found) => Change { key, version: found.version, value: Some(found.value) },
                None => gone,
            })),
            MultiReadResult::Error { err: Error::NoNode } => Ok(Some(gone)),
            _ => Err(Error::UnexpectedError("a read was answered with something else".into())),
        }
    }

    fn tell(&mut self, path: String, change: Change) {
        if self.told.len() >= REMEMBERED {
            self.told.clear();
        }
        if self.told.insert(path, change.version) != Some(change.version) {
            self.ensemble.watchers().notify(&[change]);
        }
    }
}

/// A new session begins: whoever watched goes on watching. At once if it can be, else with the next look.
pub(super) async fn resume_watching(ensemble: Arc<Ensemble>) {
    let ever = ensemble.watched.lock().await.is_some();
    if ever {
        if let Err(error) = ensure_watched(&ensemble).await {
            tracing::warn!(%error, "can't watch the store");
        }
        ensemble.watchers().notify_lagged();
    }
}
