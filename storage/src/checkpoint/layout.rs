//! The paths of all files of a checkpoint. Only this module builds such paths.
//!
//! ```text
//! <root>/<job>/chk-7/_metadata                                     the metadata file of checkpoint 7
//! <root>/<job>/chk-7/<vertex>-<subtask>-<epoch>-<attempt>.state    what one subtask wrote for checkpoint 7
//! <root>/<job>/shared/...                                          state that several checkpoints share
//! <root>/<job>/chk-0/<vertex>.splits                               the splits with which a source of the job began
//! <target>/savepoint-<first 6 of job>-<12 hex>/_metadata           the metadata file of a savepoint
//! <target>/savepoint-<first 6 of job>-<12 hex>/<n>.state           the state files of a savepoint
//! ```
//!
//! A state file has the name of the one attempt and checkpoint that may write it. So names are unique for ever, and can be
//! enumerated even if they were never recorded.

use weir_protocol::{CheckpointId, ExecutionVertexId, Generation, JobId, JobVertexId};

/// Name of the metadata file in a checkpoint's or savepoint's directory.
pub const METADATA_FILE: &str = "_metadata";

/// A job's checkpoint directory, relative to the checkpoint root.
pub fn job_directory(job: JobId) -> String {
    job.to_string()
}

/// A checkpoint's own directory, relative to the job's directory.
pub fn checkpoint_directory(id: CheckpointId) -> String {
    format!("chk-{id}")
}

/// A checkpoint's metadata file, relative to the checkpoint root.
pub fn metadata_path(job: JobId, id: CheckpointId) -> String {
    format!("{job}/chk-{id}/{METADATA_FILE}")
}

/// The state file that one attempt of a subtask writes for one checkpoint, relative to the job's directory.
pub fn state_path(subtask: ExecutionVertexId, generation: Generation, id: CheckpointId) -> String {
    format!("chk-{id}/{}-{}-{generation}.state", subtask.vertex, subtask.subtask)
}

/// The splits with which a source vertex of the job began, relative to the job's directory.
///
/// They are needed only until the job has completed a checkpoint, and ids of checkpoints begin at 1. So the file is named like
/// one of a checkpoint 0, and is deleted like one: when a checkpoint is complete, or when the job has ended.
pub fn splits_path(vertex: JobVertexId) -> String {
    format!("chk-0/{vertex}.splits")
}

/// Whether the file at `path` holds the splits of a source. `path` is relative to the job's directory.
pub fn is_splits(path: &str) -> bool {
    path.starts_with("chk-0/") && path.ends_with(".splits")
}

/// A state file that several checkpoints share, relative to the job's directory. One attempt of a subtask first wrote it for
/// checkpoint `id`. `number` counts that attempt's shared files of that checkpoint.
pub fn shared_path(subtask: ExecutionVertexId, generation: Generation, id: CheckpointId, number: u32) -> String {
    format!("shared/chk-{id}/{}-{}-{generation}-{number}.state", subtask.vertex, subtask.subtask)
}

/// A savepoint's directory, relative to its target. `random` must be a new random number for each savepoint.
pub fn savepoint_directory(job: JobId, random: u128) -> String {
    format!("savepoint-{}-{:012x}", &job.to_string()[..6], random & 0xffff_ffff_ffff)
}

/// The path of state file number `number` of a savepoint, relative to the savepoint's directory.
pub fn savepoint_state_path(number: usize) -> String {
    format!("{number}.state")
}

/// The checkpoint for which the file at `path` was first written. `path` is relative to the job's directory. `None` if no
/// function of this module builds such a path.
pub fn checkpoint_of(path: &str) -> Option<CheckpointId> {
    let own = path.strip_prefix("shared/").unwrap_or(path);
    let (directory, _) = own.split_once('/')?;
    let number = directory.strip_prefix("chk-")?;
    let canonical = number == "0" || !number.starts_with('0');
    (canonical && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.parse().ok().map(CheckpointId))?
}

#[cfg(test)]
mod tests {
    use weir_protocol::LeaderEpoch;

    use super::*;

    const JOB: JobId = JobId(0xabcdef12_00000000_00000000_00000000);
    const SUBTASK: ExecutionVertexId = ExecutionVertexId { vertex: JobVertexId(0x11), subtask: 3 };
    const GENERATION: Generation = Generation { epoch: LeaderEpoch(9), attempt: 2 };

    #[test]
    fn paths_are_as_documented_and_legal() {
        let state = state_path(SUBTASK, GENERATION, CheckpointId(7));
        assert_eq!(state, "chk-7/00000000000000000000000000000011-3-9-2.state");
        assert_eq!(metadata_path(JOB, CheckpointId(7)), "abcdef12000000000000000000000000/chk-7/_metadata");
        assert_eq!(savepoint_directory(JOB, 0x1234_5678_9abc_def0), "savepoint-abcdef-56789abcdef0");
        let longest = Generation { epoch: LeaderEpoch(u64::MAX), attempt: u32::MAX };
        let subtask = ExecutionVertexId { vertex: JobVertexId(u128::MAX), subtask: u32::MAX };
        let path = format!("{}/{}", job_directory(JOB), shared_path(subtask, longest, CheckpointId(u64::MAX), u32::MAX));
        assert_eq!(crate::file_system::check_path(&path), Ok(()));
    }

    #[test]
    fn the_checkpoint_of_a_path_is_found() {
        assert_eq!(checkpoint_of(&state_path(SUBTASK, GENERATION, CheckpointId(7))), Some(CheckpointId(7)));
        assert_eq!(checkpoint_of(&shared_path(SUBTASK, GENERATION, CheckpointId(8), 0)), Some(CheckpointId(8)));
        assert!(is_splits(&splits_path(SUBTASK.vertex)) && !is_splits(&state_path(SUBTASK, GENERATION, CheckpointId(7))));
        assert_eq!(checkpoint_of("chk-9/_metadata"), Some(CheckpointId(9)));
        assert_eq!(checkpoint_of(&splits_path(SUBTASK.vertex)), Some(CheckpointId(0)));
        for foreign in ["", "chk-9", "chk-/x", "chk-07/x", "chk-+7/x", "notes/x", "shared/x", "chk-99999999999999999999/x"] {
            assert_eq!(checkpoint_of(foreign), None, "{foreign:?}");
        }
    }
}
