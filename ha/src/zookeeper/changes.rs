//! Follows what other processes write: the published leader, and the keys that are watched.

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

/// Pause after a read that failed although there is a connection.
const PAUSE: Duration = Duration::from_millis(200);
/// Number of versions that are remembered, so that watchers are not told of a change twice.
const REMEMBERED: usize = 4_096;

/// Keeps the published leader up to date while the session lasts. Reads it again after every interruption, because a watch
/// alone can miss changes during the interruption (FLINK-19557).
pub(super) async fn follow_leader(ensemble: Arc<Ensemble>, client: Tethered, number: u64) {
    let mut link = ensemble.link.subscribe();
    let path = ensemble.layout.leader_record();
    loop {
        let connections = {
            // This fails only if the provider has stopped.
            let Ok(link) = link.wait_for(|link| link.connected || link.number != number || link.ended).await else { return };
            if link.number != number || link.ended {
                return;
            }
            link.connections
        };
        let watcher = match within(CALL_DEADLINE, client.check_and_watch_stat(&path)).await {
            Ok((found, watcher)) => {
                if found.is_some() {
                    if let Err(error) = read_leader(&ensemble, &client, &path).await {
                        // The watch tells only of the next change, so this record must be read again.
                        tracing::debug!(%error, "can't read the published leader");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                } else if ensemble.reign().is_some_and(|reign| reign.published.is_some()) {
                    // The record was removed by hand, so this leader must write it again.
                    ensemble.doubted.notify_one();
                }
                watcher
            }
            Err(error) => {
                tracing::debug!(%error, "can't read the published leader");
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

async fn read_leader(ensemble: &Ensemble, client: &Client, path: &str) -> Result<(), Error> {
    // If it was removed meanwhile, the watch fires.
    let Some((json, _)) = within(CALL_DEADLINE, data(client, path)).await? else { return Ok(()) };
    match serde_json::from_slice::<LeaderRecord>(&json) {
        Ok(record) => {
            ensemble.observe_epoch(record.epoch);
            ensemble.observe_record(&record);
        }
        Err(error) => tracing::error!(path, %error, "HA-CORRUPT: the published leader can't be read"),
    }
    Ok(())
}

/// Starts to tell watchers of changes, unless that was already done in this session.
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

/// Tells watchers of changes that other processes commit. Changes that this process commits as the leader are told in
/// `commits.rs`, with every version. Here watchers may be told only of the newest version of a key. A removed key has the
/// version of the last commit before its absence was seen: the commit that removed it, or a later one. Watchers may be told
/// of the removal of a key that was never written.
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
        // The next session starts a new watch, which does not report the changes in between.
        self.ensemble.watchers().notify_lagged();
    }

    /// Handles one event. `false` if no more events follow.
    async fn hear(&mut self, event: WatchedEvent) -> bool {
        if event.event_type == EventType::Session {
            // ZooKeeper does not report changes that were made while there was no connection (ZOOKEEPER-4698).
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
                tracing::debug!(%error, path = event.path, "can't read a changed key");
                self.ensemble.watchers().notify_lagged();
            }
        }
        true
    }

    /// The current state of the key, read together with the version of the last commit.
    async fn look(&self, path: &str) -> Result<Option<Change>, Error> {
        let Some(key) = self.ensemble.layout.key_of(path) else { return Ok(None) };
        let mut reader = self.client.new_multi_reader();
        reader.add_get_data(path)?;
        reader.add_get_data(&self.ensemble.layout.epoch())?;
        let mut answers = reader.commit().await?.into_iter();
        let (Some(found), Some(MultiReadResult::Data { stat: epoch, .. })) = (answers.next(), answers.next()) else {
            return Err(Error::UnexpectedError("the answer to a read is of the wrong kind".into()));
        };
        let gone = Change { key: key.clone(), version: epoch.mzxid.cast_unsigned(), value: None };
        match found {
            MultiReadResult::Data { data, stat } => Ok(Some(match versioned(data, &stat) {
                Some(found) => Change { key, version: found.version, value: Some(found.value) },
                None => gone,
            })),
            MultiReadResult::Error { err: Error::NoNode } => Ok(Some(gone)),
            _ => Err(Error::UnexpectedError("the answer to a read is of the wrong kind".into())),
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

/// Continues the watchers of a former session in a new one. If that fails, the next call of [`ensure_watched`] does it.
pub(super) async fn resume_watching(ensemble: Arc<Ensemble>) {
    let ever = ensemble.watched.lock().await.is_some();
    if ever {
        if let Err(error) = ensure_watched(&ensemble).await {
            tracing::warn!(%error, "can't watch the store");
        }
        ensemble.watchers().notify_lagged();
    }
}
