//! The metadata file of a checkpoint.
//!
//! ```text
//!  0  magic "WEIRCKPT"
//!  8  format version                    u32, little-endian as all numbers
//! 12  header length in bytes            u32, 32 in this version
//! 16  body length in bytes              u64
//! 24  CRC32C of the body                u32
//!     (a later version may add fields here)
//!     CRC32C of the header before it    u32, the last 4 bytes of the header in every version
//!     body: weir.checkpoint.v1.CheckpointMetadata
//! ```
//!
//! Version 2 adds the uids of operators to the body, and is written only if there are any: a build that reads only version 1 would
//! match their state by position.
//!
//! Magic, header length and the header's checksum have the same position in every version, so that damage is never mistaken
//! for a newer version.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use weir_protocol::JobId;
use weir_protocol::checkpoint::{CheckpointMetadata, FileSegment, OperatorSnapshot, StateHandle, SubtaskSnapshot};
use weir_protocol::job_graph::validate::is_legal_uid;

use super::CheckpointError;
use crate::file_system::check_path;

/// The first bytes of every metadata file.
pub const MAGIC: &[u8; 8] = b"WEIRCKPT";

/// The newest format version: the newest that this build reads, and the one that it writes if an operator has a uid.
pub const FORMAT_VERSION: u32 = 2;

/// The format version of checkpoints whose operators have no uids.
const VERSION_WITHOUT_UIDS: u32 = 1;

/// Maximum size of a metadata file in bytes.
pub const METADATA_LIMIT: u64 = 64 * 1024 * 1024;

/// Length of this version's header in bytes.
const HEADER: usize = 32;

/// Maximum length of a header in bytes, in every version.
const LONGEST_HEADER: usize = 4096;

/// The first bytes of Flink's metadata files.
const FLINK_MAGIC: &[u8] = &[0x49, 0x60, 0x67, 0x2d];

/// Encodes the metadata file for `path`. Refuses metadata that [`decode`] would refuse.
pub fn encode(path: &str, metadata: &CheckpointMetadata) -> Result<Bytes, CheckpointError> {
    check(path, metadata)?;
    let body = metadata.encode_body();
    let length = (HEADER + body.len()) as u64;
    if length > METADATA_LIMIT {
        return Err(CheckpointError::TooLarge { path: path.to_owned(), found: length, limit: METADATA_LIMIT });
    }
    let mut file = BytesMut::with_capacity(HEADER + body.len());
    file.put_slice(MAGIC);
    file.put_u32_le(version_of(metadata));
    file.put_u32_le(HEADER as u32);
    file.put_u64_le(body.len() as u64);
    file.put_u32_le(crc32c::crc32c(&body));
    file.put_u32_le(crc32c::crc32c(&file));
    file.put_slice(&body);
    Ok(file.freeze())
}

/// The oldest version whose readers understand this checkpoint.
fn version_of(metadata: &CheckpointMetadata) -> u32 {
    let mut operators = metadata.subtasks.iter().flat_map(|subtask| &subtask.operators);
    if operators.any(|operator| operator.uid.is_some()) { FORMAT_VERSION } else { VERSION_WITHOUT_UIDS }
}

/// Decodes the metadata file that was read from `path`. If `job` is given, the file must belong to it.
pub fn decode(path: &str, job: Option<JobId>, file: &Bytes) -> Result<CheckpointMetadata, CheckpointError> {
    let body = body_of(path, file)?;
    let metadata =
        CheckpointMetadata::decode_body(body).map_err(|error| CheckpointError::Body { path: path.to_owned(), error })?;
    if let Some(expected) = job
        && metadata.job != expected
    {
        return Err(CheckpointError::ForeignJob { path: path.to_owned(), found: metadata.job, expected });
    }
    check(path, &metadata)?;
    Ok(metadata)
}

fn body_of(path: &str, file: &Bytes) -> Result<Bytes, CheckpointError> {
    let length = file.len() as u64;
    if length > METADATA_LIMIT {
        return Err(CheckpointError::TooLarge { path: path.to_owned(), found: length, limit: METADATA_LIMIT });
    }
    let truncated = |expected: u64| CheckpointError::Truncated { path: path.to_owned(), found: length, expected };
    if !MAGIC.starts_with(&file[..file.len().min(MAGIC.len())]) {
        let found =
            if file.starts_with(FLINK_MAGIC) { "it is an Apache Flink checkpoint" } else { "its first bytes are not WEIRCKPT" };
        return Err(CheckpointError::Magic { path: path.to_owned(), found });
    }
    if file.len() < HEADER {
        return Err(truncated(HEADER as u64));
    }
    let number = |at: usize| file[at..at + 4].iter().rev().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
    let header = number(12) as usize;
    let damaged = |found: u32, expected: u32, part: &'static str| CheckpointError::Checksum {
        path: path.to_owned(),
        part,
        found,
        expected,
    };
    if !(HEADER..=LONGEST_HEADER).contains(&header) {
        // No version has a header of this length, so these bytes are damaged. The position of the checksum is unknown.
        return Err(damaged(crc32c::crc32c(&file[..HEADER - 4]), number(HEADER - 4), "header"));
    }
    if file.len() < header {
        return Err(truncated(header as u64));
    }
    let (found, expected) = (crc32c::crc32c(&file[..header - 4]), number(header - 4));
    if found != expected {
        return Err(damaged(found, expected, "header"));
    }
    let version = number(8);
    if !(VERSION_WITHOUT_UIDS..=FORMAT_VERSION).contains(&version) || header != HEADER {
        return Err(CheckpointError::Version { path: path.to_owned(), found: version, supported: FORMAT_VERSION });
    }
    let body_length = u64::from(number(16)) | u64::from(number(20)) << 32;
    let expected = body_length.saturating_add(HEADER as u64);
    if length < expected {
        return Err(truncated(expected));
    }
    if length > expected {
        let reason = format!("{} bytes follow the body", length - expected);
        return Err(CheckpointError::Invalid { path: path.to_owned(), reason });
    }
    let body = file.slice(HEADER..);
    let (found, expected) = (crc32c::crc32c(&body), number(24));
    if found != expected {
        return Err(damaged(found, expected, "body"));
    }
    Ok(body)
}

/// Returns every file segment that a checkpoint refers to.
pub fn segments(metadata: &CheckpointMetadata) -> impl Iterator<Item = &FileSegment> {
    let operators = metadata.subtasks.iter().flat_map(|subtask| &subtask.operators);
    operators.flat_map(handles).filter_map(|handle| match handle {
        StateHandle::File(segment) => Some(segment),
        StateHandle::Inline(_) => None,
    })
}

fn handles(operator: &OperatorSnapshot) -> impl Iterator<Item = &StateHandle> {
    operator.operator_state.iter().chain(operator.key_groups.iter().map(|group| &group.state))
}

/// Checks the rules that every checkpoint keeps: legal paths, subtasks in order, the same chain in all subtasks of a vertex, every
/// uid in one place, every key group at most once per operator.
fn check(path: &str, metadata: &CheckpointMetadata) -> Result<(), CheckpointError> {
    let invalid = |reason: String| CheckpointError::Invalid { path: path.to_owned(), reason };
    for segment in segments(metadata) {
        if check_path(&segment.path).is_err() {
            let reference: String = segment.path.chars().take(200).collect();
            return Err(CheckpointError::IllegalReference { path: path.to_owned(), reference });
        }
        if segment.offset.checked_add(segment.length).is_none() {
            return Err(invalid(format!("the end of the segment of {} is out of range", segment.path)));
        }
    }
    if !metadata.subtasks.is_sorted_by(|one, next| one.execution_vertex < next.execution_vertex) {
        return Err(invalid("subtasks are out of order, or one appears twice".to_owned()));
    }
    check_chains(metadata).map_err(invalid)?;
    let mut seen = BTreeSet::new();
    for subtask in &metadata.subtasks {
        for (operator, snapshot) in subtask.operators.iter().enumerate() {
            for group in &snapshot.key_groups {
                if group.key_group >= metadata.max_parallelism {
                    let reason = format!("key group {} of {}", group.key_group, metadata.max_parallelism);
                    return Err(invalid(reason));
                }
                if !seen.insert((subtask.execution_vertex.vertex, operator, group.key_group)) {
                    return Err(invalid(format!(
                        "operator {operator} of vertex {} has key group {} twice",
                        subtask.execution_vertex.vertex, group.key_group
                    )));
                }
            }
        }
    }
    Ok(())
}

/// The uid and kind of each operator of a subtask's chain.
fn names(subtask: &SubtaskSnapshot) -> impl Iterator<Item = (Option<&str>, Option<&str>)> {
    subtask.operators.iter().map(|operator| (operator.uid.as_deref(), operator.kind.as_deref()))
}

/// Checks that all subtasks of a vertex have the same operators, and that each uid is legal and belongs to one operator. A restore
/// relies on it: it asks the first subtask of a vertex, and finds state by uid.
fn check_chains(metadata: &CheckpointMetadata) -> Result<(), String> {
    let mut uids = BTreeSet::new();
    let mut first: Option<&SubtaskSnapshot> = None;
    for subtask in &metadata.subtasks {
        let vertex = subtask.execution_vertex.vertex;
        if let Some(first) = first.filter(|first| first.execution_vertex.vertex == vertex) {
            if !names(first).eq(names(subtask)) {
                return Err(format!("the subtasks of vertex {vertex} have different operators"));
            }
            continue;
        }
        first = Some(subtask);
        for uid in subtask.operators.iter().filter_map(|operator| operator.uid.as_deref()) {
            if !is_legal_uid(uid) {
                let start: String = uid.chars().take(100).collect();
                return Err(format!("an operator of vertex {vertex} has an illegal uid: {start:?}"));
            }
            if !uids.insert(uid) {
                return Err(format!("two operators have the uid {uid:?}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
