//! Exports savepoints from a job's directory, and imports checkpoints into it.
//!
//! A savepoint is first written to the job's directory like any checkpoint, so that recovery needs no other directory. Then it is
//! copied whole to the directory that the user chose; the system never changes that copy. A job that starts from a savepoint or a
//! retained checkpoint imports it as its own checkpoint 0. So it never depends on files of others, and never deletes them.

use bytes::{Bytes, BytesMut};
use weir_protocol::checkpoint::{
    CheckpointKind, CheckpointMetadata, FileSegment, KeyGroupHandle, OperatorSnapshot, StateHandle, SubtaskSnapshot,
};
use weir_protocol::{CheckpointId, JobId};

use super::metadata::decode;
use super::storage::{read_limited, read_state_from, write_metadata_at, write_once};
use super::{CheckpointError, CheckpointStorage, MetadataHandle, layout};
use crate::file_system::{FileSystemRef, OpenError, StorageOptions, open};

/// The id of an imported checkpoint in the job that imports it. Ids of checkpoints that the job takes start at 1.
pub const CHECKPOINT_OF_IMPORT: CheckpointId = CheckpointId(0);

/// The location of an exported savepoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavepointLocation {
    /// URI of the savepoint's directory. The user gets it, and starts jobs from it.
    pub uri: String,
    /// The metadata file; its path is relative to the target directory.
    pub metadata: MetadataHandle,
}

/// A savepoint or retained checkpoint that a user chose to start from.
#[derive(Clone)]
pub struct ExternalCheckpoint {
    /// The directory that the paths in state handles are relative to.
    files: FileSystemRef,
    metadata_path: String,
}

impl ExternalCheckpoint {
    /// Opens a checkpoint. `uri` is that of its directory or of its metadata file. Accesses neither disk nor network.
    pub fn open(uri: &str, options: &StorageOptions) -> Result<Self, OpenError> {
        let directory = uri.trim_end_matches('/');
        let directory = directory.strip_suffix(&format!("/{}", layout::METADATA_FILE)).unwrap_or(directory);
        // State paths of a job's checkpoint are relative to the job's directory. Those of a savepoint are relative to its own
        // directory.
        if let Some((parent, name)) = directory.rsplit_once('/')
            && layout::checkpoint_of(&format!("{name}/{}", layout::METADATA_FILE)).is_some()
        {
            let metadata_path = format!("{name}/{}", layout::METADATA_FILE);
            return Ok(Self { files: open(parent, options)?, metadata_path });
        }
        Ok(Self { files: open(directory, options)?, metadata_path: layout::METADATA_FILE.to_owned() })
    }

    /// Reads the metadata of the checkpoint.
    pub async fn metadata(&self) -> Result<CheckpointMetadata, CheckpointError> {
        let file = read_limited(&self.files, &self.metadata_path).await?;
        decode(&self.metadata_path, None, &file)
    }
}

impl CheckpointStorage {
    /// Copies a checkpoint of this storage to a new savepoint directory in `target`. The copy refers to no file outside the
    /// directory. `random` makes the directory's name unique. The call can be repeated with the same `random`.
    pub async fn export_savepoint(
        &self,
        metadata: &CheckpointMetadata,
        target: &FileSystemRef,
        random: u128,
    ) -> Result<SavepointLocation, CheckpointError> {
        let directory = layout::savepoint_directory(metadata.job, random);
        let source = Place { files: self.files(), directory: &layout::job_directory(metadata.job) };
        let place = Place { files: target, directory: &directory };
        let subtasks = copy_state(metadata, &source, &place, layout::savepoint_state_path).await?;
        let savepoint = CheckpointMetadata { kind: CheckpointKind::Savepoint, subtasks, ..metadata.clone() };
        let path = format!("{directory}/{}", layout::METADATA_FILE);
        let handle = write_metadata_at(target, path, &savepoint).await?;
        let uri = format!("{}/{directory}", target.uri().trim_end_matches('/'));
        Ok(SavepointLocation { uri, metadata: handle })
    }

    /// Copies an external checkpoint into `job`'s directory as its checkpoint 0. The caller sets epoch and generation in the
    /// result and passes it to `write_metadata`. The call can be repeated.
    pub async fn import(&self, job: JobId, external: &ExternalCheckpoint) -> Result<CheckpointMetadata, CheckpointError> {
        let found = external.metadata().await?;
        let source = Place { files: &external.files, directory: "" };
        let place = Place { files: self.files(), directory: &layout::job_directory(job) };
        let name = |number| format!("{}/{number}.state", layout::checkpoint_directory(CHECKPOINT_OF_IMPORT));
        let subtasks = copy_state(&found, &source, &place, name).await?;
        Ok(CheckpointMetadata { job, id: CHECKPOINT_OF_IMPORT, kind: CheckpointKind::Checkpoint, subtasks, ..found })
    }
}

/// The directory that the paths in state handles are relative to. If `directory` is empty, it is the root of the file system.
struct Place<'a> {
    files: &'a FileSystemRef,
    directory: &'a str,
}

/// Copies all state that is in files to one new file per subtask. Returns the subtasks with handles to the copies. Inline state
/// stays inline. Only one subtask's state is in memory at a time.
async fn copy_state(
    metadata: &CheckpointMetadata,
    source: &Place<'_>,
    target: &Place<'_>,
    name: impl Fn(usize) -> String,
) -> Result<Vec<SubtaskSnapshot>, CheckpointError> {
    let mut copies = Vec::with_capacity(metadata.subtasks.len());
    for (number, subtask) in metadata.subtasks.iter().enumerate() {
        let mut file = StateFile { path: name(number), bytes: BytesMut::new() };
        let mut operators = Vec::with_capacity(subtask.operators.len());
        for operator in &subtask.operators {
            let operator_state = match &operator.operator_state {
                Some(state) => Some(file.take_over(state, source).await?),
                None => None,
            };
            let mut key_groups = Vec::with_capacity(operator.key_groups.len());
            for group in &operator.key_groups {
                let state = file.take_over(&group.state, source).await?;
                key_groups.push(KeyGroupHandle { key_group: group.key_group, state });
            }
            operators.push(OperatorSnapshot {
                uid: operator.uid.clone(),
                kind: operator.kind.clone(),
                operator_state,
                key_groups,
            });
        }
        copies.push(SubtaskSnapshot { execution_vertex: subtask.execution_vertex, operators });
        if !file.bytes.is_empty() {
            let path = format!("{}/{}", target.directory, file.path);
            write_once(target.files, &path, file.bytes.freeze()).await?;
        }
    }
    Ok(copies)
}

/// A state file that is being built in memory.
struct StateFile {
    path: String,
    bytes: BytesMut,
}

impl StateFile {
    async fn take_over(&mut self, state: &StateHandle, source: &Place<'_>) -> Result<StateHandle, CheckpointError> {
        let StateHandle::File(segment) = state else { return Ok(state.clone()) };
        let bytes: Bytes = read_state_from(source.files, source.directory, state).await?;
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(&bytes);
        Ok(StateHandle::File(FileSegment { path: self.path.clone(), offset, length: segment.length, crc32c: segment.crc32c }))
    }
}

#[cfg(test)]
mod tests;
