//! Savepoints and checkpoints that users triggered, for later polls. They end with the leadership: after a leader change a poll
//! gets 404, as in Flink.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_protocol::JobId;
use weir_world::random_id;

use crate::checkpoint::effect::SavepointOutcome;

/// Maximum number of operations that are remembered. If there are more, the oldest one that has ended is removed.
const MAX_OPERATIONS: usize = 1_000;

/// The operations by job and trigger id. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operations {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    started: u64,
    by_trigger: BTreeMap<(JobId, String), Operation>,
}

#[derive(Debug)]
struct Operation {
    number: u64,
    outcome: Option<Result<SavepointOutcome, String>>,
}

/// The result of [`Operations::begin`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begun {
    /// The operation is new. The caller must carry it out and call [`Operations::end`].
    New(String),
    /// An operation with this trigger id exists already.
    Known(String),
    /// Too many operations are in progress.
    TooMany,
}

/// The progress of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    InProgress,
    /// The operation has ended. `Err` if its job ended or moved to another JobManager before.
    Ended(Result<SavepointOutcome, String>),
}

impl Operations {
    /// Registers an operation under the client's trigger id. If there is none, a new id is created.
    pub(crate) fn begin(&self, job: JobId, trigger: Option<String>) -> Begun {
        let trigger = trigger.unwrap_or_else(|| format!("{:032x}", random_id()));
        let mut known = self.lock();
        let key = (job, trigger.clone());
        if known.by_trigger.contains_key(&key) {
            return Begun::Known(trigger);
        }
        if known.by_trigger.len() >= MAX_OPERATIONS {
            let ended = known.by_trigger.iter().filter(|(_, operation)| operation.outcome.is_some());
            let Some(oldest) = ended.min_by_key(|(_, operation)| operation.number).map(|(key, _)| key.clone()) else {
                return Begun::TooMany;
            };
            known.by_trigger.remove(&oldest);
        }
        known.started += 1;
        let number = known.started;
        known.by_trigger.insert(key, Operation { number, outcome: None });
        Begun::New(trigger)
    }

    /// Records how an operation ended.
    pub(crate) fn end(&self, job: JobId, trigger: &str, outcome: Result<SavepointOutcome, String>) {
        if let Some(operation) = self.lock().by_trigger.get_mut(&(job, trigger.to_string())) {
            operation.outcome = Some(outcome);
        }
    }

    /// The progress of an operation; `None` if it is not known.
    pub(crate) fn progress(&self, job: JobId, trigger: &str) -> Option<Progress> {
        let known = self.lock();
        let operation = known.by_trigger.get(&(job, trigger.to_string()))?;
        Some(operation.outcome.clone().map_or(Progress::InProgress, Progress::Ended))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Result<SavepointOutcome, String> {
        Err("gone".to_string())
    }

    #[test]
    fn a_repeated_trigger_starts_no_new_operation() {
        let operations = Operations::default();
        let job = JobId(1);
        assert_eq!(operations.begin(job, Some("t".to_string())), Begun::New("t".to_string()));
        assert_eq!(operations.begin(job, Some("t".to_string())), Begun::Known("t".to_string()));
        assert_eq!(operations.progress(job, "t"), Some(Progress::InProgress));
        operations.end(job, "t", failed());
        assert_eq!(operations.progress(job, "t"), Some(Progress::Ended(failed())));
        assert_eq!(operations.progress(JobId(2), "t"), None);
    }

    #[test]
    fn ended_operations_are_removed_to_make_room_and_those_in_progress_are_not() {
        let operations = Operations::default();
        let job = JobId(1);
        for index in 0..MAX_OPERATIONS {
            assert!(matches!(operations.begin(job, Some(index.to_string())), Begun::New(_)));
        }
        assert_eq!(operations.begin(job, None), Begun::TooMany);
        operations.end(job, "7", failed());
        assert!(matches!(operations.begin(job, None), Begun::New(_)));
        assert_eq!(operations.progress(job, "7"), None);
    }
}
