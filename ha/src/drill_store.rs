//! The drill in progress, so that a new leader knows of it, and the results of the newest drills.

use weir_protocol::rest::{DrillResult, DrillUnderWay};

use crate::resolved_commit::{self, Resolved};
use crate::{Expect, HaServices, Leadership, Operation, StoreError, Versioned, keys, record};

/// How many results are kept.
const KEPT: usize = 50;

/// The outcome of [`DrillStore::begin`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The drill has begun, by this call or by an earlier one with the same id. The value is the record in the store.
    Begun(DrillUnderWay),
    /// Another drill is in progress.
    Other(DrillUnderWay),
}

/// The drills of a cluster.
#[derive(Clone)]
pub struct DrillStore {
    ha: HaServices,
}

impl DrillStore {
    /// The drills in this store.
    pub fn new(ha: HaServices) -> Self {
        Self { ha }
    }

    /// The drill that began last, whether it has ended or not. `None` also if its record can't be read.
    pub async fn newest(&self) -> Result<Option<DrillUnderWay>, StoreError> {
        Ok(self.ha.get(keys::DRILL).await?.as_ref().and_then(decode))
    }

    /// Records that a drill begins, unless another one is in progress at `now_ms` (wall clock). Safe to repeat.
    ///
    /// A recorded drill that can't be read, or whose time is over, does not prevent a new one.
    pub async fn begin(&self, leadership: &Leadership, drill: &DrillUnderWay, now_ms: u64) -> Result<Begun, StoreError> {
        let found = self.ha.get(keys::DRILL).await?;
        if let Some(known) = found.as_ref().and_then(decode) {
            if known.id == drill.id {
                return Ok(Begun::Begun(known));
            }
            if !known.ended && now_ms < known.restarts_free_until_ms {
                return Ok(Begun::Other(known));
            }
        }
        let expect = found.map_or(Expect::Absent, |found| Expect::Version(found.version));
        let put = Operation::Put { key: keys::DRILL.to_owned(), value: record::encode(keys::DRILL, drill)?, expect };
        match resolved_commit::commit(&*self.ha, leadership, vec![put]).await? {
            Resolved::Applied => Ok(Begun::Begun(drill.clone())),
            Resolved::Conflict { key } => match self.newest().await? {
                Some(known) if known.id == drill.id => Ok(Begun::Begun(known)),
                Some(known) => Ok(Begun::Other(known)),
                None => Err(StoreError::Conflict { key, reason: "a drill was there and has been removed".to_owned() }),
            },
        }
    }

    /// Records how a drill ended, and that restarts of tasks are free only until `free_until_ms` (wall clock). Safe to repeat.
    /// If the drill is no longer the newest one, only the history changes.
    pub async fn end(&self, leadership: &Leadership, result: &DrillResult, free_until_ms: u64) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(result).map_or(usize::MAX, |bytes| bytes.len());
        if bytes > DrillResult::MAX_BYTES {
            let reason = format!("the result of drill {} has {bytes} bytes, the limit is {}", result.id, DrillResult::MAX_BYTES);
            return Err(StoreError::Refused { reason });
        }
        let mut operations = Vec::new();
        let newest = self.ha.get(keys::DRILL).await?.and_then(|found| Some((decode(&found)?, found.version)));
        if let Some((known, version)) = newest.filter(|(known, _)| known.id == result.id && !known.ended) {
            let restarts_free_until_ms = known.restarts_free_until_ms.min(free_until_ms);
            let ended = DrillUnderWay { ended: true, restarts_free_until_ms, ..known };
            let value = record::encode(keys::DRILL, &ended)?;
            operations.push(Operation::Put { key: keys::DRILL.to_owned(), value, expect: Expect::Version(version) });
        }
        let found = self.ha.get(keys::DRILL_HISTORY).await?;
        let mut results = found.as_ref().map(read_history).unwrap_or_default();
        if !results.iter().any(|known| known.id == result.id) {
            results.insert(0, result.clone());
            results.truncate(KEPT);
            let expect = found.map_or(Expect::Absent, |found| Expect::Version(found.version));
            let value = record::encode(keys::DRILL_HISTORY, &results)?;
            operations.push(Operation::Put { key: keys::DRILL_HISTORY.to_owned(), value, expect });
        }
        if operations.is_empty() {
            return Ok(());
        }
        match resolved_commit::commit(&*self.ha, leadership, operations).await? {
            Resolved::Applied => Ok(()),
            Resolved::Conflict { key } => {
                Err(StoreError::Conflict { key, reason: "another drill was recorded at the same time".to_owned() })
            }
        }
    }

    /// The results of the newest drills, newest first. A damaged history is returned as empty, because nothing depends on it.
    pub async fn history(&self) -> Result<Vec<DrillResult>, StoreError> {
        Ok(self.ha.get(keys::DRILL_HISTORY).await?.as_ref().map(read_history).unwrap_or_default())
    }
}

/// `None` if the drill can't be read: nothing may depend on it.
fn decode(found: &Versioned) -> Option<DrillUnderWay> {
    record::decode(keys::DRILL, &found.value).inspect_err(|error| tracing::warn!(%error, "the newest drill can't be read")).ok()
}

fn read_history(found: &Versioned) -> Vec<DrillResult> {
    record::decode(keys::DRILL_HISTORY, &found.value).unwrap_or_else(|error| {
        tracing::warn!(%error, "the history of drills can't be read");
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::Contest;

    fn drill(id: &str, free_until_ms: u64) -> DrillUnderWay {
        DrillUnderWay {
            id: id.to_owned(),
            drill: "leader-kill".to_owned(),
            began_at_ms: 1_000,
            restarts_free_until_ms: free_until_ms,
            ended: false,
        }
    }

    fn result(id: &str) -> DrillResult {
        DrillResult { id: id.to_owned(), drill: "leader-kill".to_owned(), passed: true, ..DrillResult::default() }
    }

    #[tokio::test]
    async fn one_drill_at_a_time_until_it_ends_or_its_time_is_over() {
        let contest = Contest::start().await;
        let (store, leadership) = (DrillStore::new(contest.ha()), &contest.leadership);
        assert_eq!(store.newest().await, Ok(None));
        let first = drill("a", 5_000);
        for _ in 0..2 {
            assert_eq!(store.begin(leadership, &first, 1_000).await, Ok(Begun::Begun(first.clone())), "a repetition is fine");
        }
        let second = drill("b", 9_000);
        assert_eq!(store.begin(leadership, &second, 4_999).await, Ok(Begun::Other(first.clone())));
        store.end(leadership, &result("a"), 3_000).await.unwrap();
        let ended = store.newest().await.unwrap().unwrap();
        assert_eq!((ended.ended, ended.restarts_free_until_ms), (true, 3_000));
        assert_eq!(
            store.begin(leadership, &second, 2_000).await,
            Ok(Begun::Begun(second.clone())),
            "a drill that has ended does not prevent another"
        );
        assert_eq!(
            store.begin(leadership, &drill("c", 9_500), 9_000).await,
            Ok(Begun::Begun(drill("c", 9_500))),
            "nor does a drill whose time is over"
        );
    }

    #[tokio::test]
    async fn results_are_kept_once_each_newest_first_up_to_a_number_and_a_size() {
        let contest = Contest::start().await;
        let (store, leadership) = (DrillStore::new(contest.ha()), &contest.leadership);
        let begun = drill("d0", 5_000);
        assert_eq!(store.begin(leadership, &begun, 0).await, Ok(Begun::Begun(begun.clone())));
        for number in 0..KEPT + 3 {
            for _ in 0..2 {
                store.end(leadership, &result(&format!("d{number}")), 7_000).await.unwrap();
            }
        }
        let history = store.history().await.unwrap();
        assert_eq!((history.len(), history[0].id.as_str()), (KEPT, "d52"));
        let newest = store.newest().await.unwrap().unwrap();
        assert_eq!(
            (newest.id.as_str(), newest.restarts_free_until_ms),
            ("d0", 5_000),
            "the end of a drill does not extend its time"
        );
        let long = DrillResult { notes: vec!["x".repeat(DrillResult::MAX_BYTES)], ..result("long") };
        assert!(matches!(store.end(leadership, &long, 0).await, Err(StoreError::Refused { .. })));
    }

    #[tokio::test]
    async fn a_former_leader_neither_begins_nor_ends_a_drill() {
        let mut contest = Contest::start().await;
        let store = DrillStore::new(contest.ha());
        let former = contest.leadership.clone();
        contest.depose().await;
        assert!(matches!(store.begin(&former, &drill("a", 5_000), 0).await, Err(StoreError::Superseded { .. })));
        assert!(matches!(store.end(&former, &result("a"), 0).await, Err(StoreError::Superseded { .. })));
        assert_eq!((store.newest().await, store.history().await), (Ok(None), Ok(Vec::new())));
    }
}
