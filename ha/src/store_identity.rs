//! Notices that the coordination store is not the one that the files belong to: it was put back from a backup, it was emptied, or
//! another cluster uses the same directory.
//!
//! When a leader begins, and every [`BEAT`] after that, it first *announces* its epoch and a number in the store, and then leaves a
//! *marker* with both and the store's id in file storage. So no marker is newer than the newest announcement. A store without the
//! announcement of the newest marker has forgotten what it knew: its jobs may have ended, and its epochs were granted before (E1).
//! No leader may act on such a store until an operator accepts it. Then the next leader acts under an epoch above every one that
//! was ever announced.
//!
//! ```text
//! store key store-identity                                 the store's id and the newest announcement
//! file      store-identity/<20 digits>-<20 digits>-<id>    marker: this epoch and number were announced in the store with this id
//! file      store-identity/accepted-<20 digits>-<20 digits>
//!                                                          an operator has accepted that the store does not know markers up to this
//! ```

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_protocol::LeaderEpoch;
use weir_storage::file_system::{FileError, FileSystem};
use weir_world::flaw::{Flaw, is_planted};
use weir_world::random_id;

use crate::keys::STORE_IDENTITY;
use crate::resolved_commit::{Resolved, commit};
use crate::{CoordinationStore, Expect, Leadership, Operation, StoreError, record};

/// The time between two announcements of a leader. A store that was put back from a backup of the same leadership is noticed if
/// the backup is older than this.
pub const BEAT: Duration = Duration::from_secs(30);

/// The directory of the markers.
const DIRECTORY: &str = "store-identity";
const ACCEPTED: &str = "accepted-";
/// Number of markers that are kept; the newest would be enough.
const KEPT: usize = 5;

/// What a leader announces. Later announcements are greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Announcement {
    pub epoch: LeaderEpoch,
    /// Number of the announcement of this leader, counted from 0.
    pub number: u64,
}

/// The record in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreIdentity {
    /// Random; made by the first leader.
    pub id: String,
    /// The newest announcement of which a marker may exist.
    pub announced: Announcement,
}

/// What file storage knows of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Markers {
    /// The newest marker, and the id of its store.
    newest: Option<(Announcement, String)>,
    /// Markers up to this one were accepted by an operator.
    accepted: Announcement,
    /// The paths of all markers, oldest first.
    paths: Vec<String>,
}

/// Whether a leader may act on the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The store is the one that the files belong to.
    Known,
    /// An operator has accepted the store, but the leader must act under an epoch above this one.
    RaiseAbove(LeaderEpoch),
    /// No leader may act. Holds what is wrong and what to do.
    Refused(String),
}

impl Markers {
    /// Reads the markers.
    pub async fn read(files: &dyn FileSystem) -> Result<Self, FileError> {
        let names = files.list(DIRECTORY).await?;
        let mut markers = Self::default();
        for file in names {
            let Some(name) = file.path.strip_prefix(DIRECTORY).map(|name| name.trim_start_matches('/')) else { continue };
            if let Some((accepted, _)) = name.strip_prefix(ACCEPTED).and_then(announcement) {
                markers.accepted = markers.accepted.max(accepted);
            } else if let Some((announced, id)) = announcement(name) {
                markers.newest = markers.newest.max(Some((announced, id.to_owned())));
                markers.paths.push(file.path);
            }
        }
        Ok(markers)
    }

    /// Judges whether a leader under `epoch` may act on the store with this identity.
    pub fn judge(&self, store: Option<&StoreIdentity>, epoch: LeaderEpoch) -> Verdict {
        let Some((newest, id)) = &self.newest else { return Verdict::Known };
        if is_planted(Flaw::RestoreUnnoticed) || store.is_some_and(|store| store.id == *id && store.announced >= *newest) {
            return Verdict::Known;
        }
        if *newest <= self.accepted {
            return if epoch > newest.epoch { Verdict::Known } else { Verdict::RaiseAbove(newest.epoch) };
        }
        let what = match store {
            Some(store) if store.id == *id => format!(
                "HA-STORE-RESTORED: the coordination store is older than the files: it knows the announcements of leaders up to \
                 {}, the files know {newest}. It was probably put back from a backup, so jobs that have ended since would run again",
                store.announced
            ),
            Some(_) => format!(
                "HA-STORE-OTHER: the files belong to another coordination store, whose newest announcement is {newest}. \
                 Perhaps two clusters use the same high-availability.storageDir"
            ),
            None => format!(
                "HA-STORE-EMPTY: the coordination store is empty, but the files know the announcement {newest} of a leader. It was probably \
                 emptied, or high-availability.storageDir belongs to another cluster"
            ),
        };
        Verdict::Refused(format!(
            "{what}. Put the right store back or correct the configuration. To go on with the store as it is, run \
             `weir ha accept-restore`"
        ))
    }

    /// Makes the n-th announcement of this leadership in the store, whose identity is `store`, and then leaves its marker in file
    /// storage. Removes old markers. Idempotent.
    pub async fn announce(
        &self,
        ha: &dyn CoordinationStore,
        files: &dyn FileSystem,
        leadership: &Leadership,
        number: u64,
        store: Option<StoreIdentity>,
    ) -> Result<(), StoreError> {
        let id = store.map_or_else(|| format!("{:032x}", random_id()), |known| known.id);
        let identity = StoreIdentity { id, announced: Announcement { epoch: leadership.epoch(), number } };
        let value = record::encode(STORE_IDENTITY, &identity)?;
        let put = Operation::Put { key: STORE_IDENTITY.to_owned(), value, expect: Expect::Any };
        if let Resolved::Conflict { key } = commit(ha, leadership, vec![put]).await? {
            return Err(StoreError::Conflict { key, reason: "an unconditional write was refused".to_owned() });
        }
        write(files, &format!("{DIRECTORY}/{}-{}", name(identity.announced), identity.id)).await?;
        for old in self.paths.iter().take((self.paths.len() + 1).saturating_sub(KEPT)) {
            files.delete(old).await?;
        }
        Ok(())
    }

    /// The newest marker, if no operator has accepted it yet.
    pub fn to_accept(&self) -> Option<Announcement> {
        self.newest.as_ref().map(|(newest, _)| *newest).filter(|newest| *newest > self.accepted)
    }
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of epoch {}", self.number, self.epoch)
    }
}

fn name(announcement: Announcement) -> String {
    format!("{:020}-{:020}", announcement.epoch.0, announcement.number)
}

/// The announcement in the name of a file, and the rest of the name.
fn announcement(name: &str) -> Option<(Announcement, &str)> {
    let (epoch, rest) = name.split_once('-')?;
    let (number, id) = rest.split_once('-').unwrap_or((rest, ""));
    Some((Announcement { epoch: LeaderEpoch(epoch.parse().ok()?), number: number.parse().ok()? }, id))
}

/// Records that an operator accepts a store that does not know the markers up to this one.
pub async fn accept(files: &dyn FileSystem, newest: Announcement) -> Result<(), FileError> {
    write(files, &format!("{DIRECTORY}/{ACCEPTED}{}", name(newest))).await
}

/// The store's identity, as the store holds it.
pub async fn look(ha: &dyn CoordinationStore) -> Result<Option<StoreIdentity>, StoreError> {
    let found = ha.get(STORE_IDENTITY).await?;
    found.map(|found| record::decode(STORE_IDENTITY, &found.value)).transpose()
}

async fn write(files: &dyn FileSystem, path: &str) -> Result<(), FileError> {
    match files.write_new(path, Bytes::new()).await {
        Ok(()) | Err(FileError::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_storage::file_system::MemoryFileSystem;

    use super::*;
    use crate::contest::Contest;

    fn first_of(epoch: u64) -> Announcement {
        Announcement { epoch: LeaderEpoch(epoch), number: 0 }
    }

    fn known(id: &str, announced: u64) -> StoreIdentity {
        StoreIdentity { id: id.to_owned(), announced: first_of(announced) }
    }

    fn markers(newest: u64, accepted: u64) -> Markers {
        Markers { newest: Some((first_of(newest), "a".to_owned())), accepted: first_of(accepted), paths: Vec::new() }
    }

    fn refusal(verdict: Verdict) -> String {
        match verdict {
            Verdict::Refused(reason) => reason.split(':').next().unwrap_or_default().to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_store_that_forgot_or_never_knew_the_newest_marker_is_refused_until_it_is_accepted() {
        let judge =
            |markers: Markers, store: Option<StoreIdentity>, epoch| refusal(markers.judge(store.as_ref(), LeaderEpoch(epoch)));
        assert_eq!(judge(Markers::default(), None, 1), "Known");
        assert_eq!(judge(markers(9, 0), Some(known("a", 9)), 10), "Known");
        assert_eq!(judge(markers(9, 0), Some(known("a", 11)), 12), "Known", "a leader died before it left its marker");
        assert_eq!(judge(markers(9, 0), Some(known("a", 8)), 10), "HA-STORE-RESTORED", "even under a higher epoch");
        assert_eq!(judge(markers(9, 0), Some(known("b", 20)), 21), "HA-STORE-OTHER");
        assert_eq!(judge(markers(9, 0), None, 10), "HA-STORE-EMPTY");
        assert_eq!(judge(markers(9, 9), Some(known("a", 8)), 9), "RaiseAbove(LeaderEpoch(9))");
        assert_eq!(judge(markers(9, 9), None, 10), "Known");
        assert_eq!(judge(markers(10, 9), Some(known("a", 8)), 9), "HA-STORE-RESTORED", "an acceptance holds for one restore");
    }

    #[tokio::test]
    async fn e1_a_store_from_a_backup_is_refused_and_accepted_once() {
        let contest = Contest::start().await;
        let files = Arc::new(MemoryFileSystem::new());
        let (ha, leadership) = (contest.ha(), &contest.leadership);
        assert_eq!(Markers::read(&*files).await.unwrap().judge(None, leadership.epoch()), Verdict::Known);
        let announce = async |number| {
            let store = look(&*ha).await.unwrap();
            let markers = Markers::read(&*files).await.unwrap();
            markers.announce(&*ha, &*files, leadership, number, store).await.unwrap();
        };
        announce(0).await;
        announce(0).await;
        let backup = look(&*ha).await.unwrap().expect("is there");
        announce(1).await;
        let store = look(&*ha).await.unwrap().expect("is there");
        let markers = Markers::read(&*files).await.unwrap();
        assert_eq!(markers.judge(Some(&store), leadership.epoch()), Verdict::Known);
        assert_eq!(refusal(markers.judge(Some(&backup), leadership.epoch())), "HA-STORE-RESTORED");
        accept(&*files, markers.to_accept().expect("the newest marker")).await.unwrap();
        let markers = Markers::read(&*files).await.unwrap();
        assert_eq!(markers.to_accept(), None);
        assert_eq!(markers.judge(Some(&backup), leadership.epoch()), Verdict::RaiseAbove(leadership.epoch()));
        for number in 2..20 {
            announce(number).await;
        }
        let markers = Markers::read(&*files).await.unwrap();
        assert_eq!(markers.paths.len(), KEPT, "old markers are removed");
        assert_eq!(markers.newest.map(|(newest, _)| newest.number), Some(19));
    }
}
