//! The stores of a job's checkpoints, with the requests that they have not answered yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_control_plane::checkpoint::completed::RestorePoint;
use weir_control_plane::checkpoint::event::CheckpointEvent;
use weir_control_plane::checkpoint::{AppendOutcome, WrittenMetadata};
use weir_control_plane::job_master::event::JobMasterEvent;
use weir_ha::CompletedCheckpoint;
use weir_protocol::CheckpointId;
use weir_protocol::checkpoint::{CheckpointKind, CheckpointMetadata};
use weir_storage::checkpoint::MetadataHandle;

use super::Step;
use crate::search::require;

/// Number of ids in one reservation. There are few, so that the JobMaster needs another one.
const RESERVED: u64 = 3;

/// Pointers, files, and the requests in flight.
#[derive(Debug, Clone, Hash, Default)]
pub(super) struct Store {
    pointers: BTreeMap<CheckpointId, CompletedCheckpoint>,
    files: BTreeMap<CheckpointId, Arc<CheckpointMetadata>>,
    /// Every checkpoint whose pointer was ever stored.
    appended: BTreeSet<CheckpointId>,
    handed_out: u64,
    reserving: bool,
    /// The number of the last question about the newest checkpoint. Then the questions that are not answered, with the checkpoint
    /// that was the newest when they were asked.
    asked: u64,
    reading: BTreeMap<u64, Option<CheckpointId>>,
    writing: BTreeMap<CheckpointId, Arc<CheckpointMetadata>>,
    /// Pointers that are being appended, with the checkpoints that they subsume.
    appending: BTreeMap<CheckpointId, (CompletedCheckpoint, Vec<CheckpointId>)>,
}

impl Store {
    /// Returns the newest completed checkpoint.
    pub(super) fn newest(&self) -> Option<CheckpointId> {
        self.pointers.last_key_value().map(|(id, _)| *id)
    }

    pub(super) fn was_appended(&self, checkpoint: CheckpointId) -> bool {
        self.appended.contains(&checkpoint)
    }

    pub(super) fn is_appending(&self) -> bool {
        !self.appending.is_empty()
    }

    /// Returns whether the newest checkpoint is one after which tasks finish.
    pub(super) fn ends_with_a_last_one(&self) -> bool {
        let newest = self.pointers.values().next_back();
        newest.is_some_and(|newest| matches!(newest.kind, CheckpointKind::Final | CheckpointKind::Stop))
    }

    /// Returns whether a question is not answered yet.
    pub(super) fn asks(&self) -> bool {
        !self.reading.is_empty()
    }

    /// Returns the newest question, if it is not answered yet.
    pub(super) fn last_question(&self) -> Option<u64> {
        self.reading.contains_key(&self.asked).then_some(self.asked)
    }

    pub(super) fn ask(&mut self, question: u64) {
        self.asked = question;
        self.reading.insert(question, self.newest());
    }

    pub(super) fn reserve(&mut self) -> Result<(), String> {
        require(!std::mem::replace(&mut self.reserving, true), "two reservations of ids at the same time")
    }

    pub(super) fn write(&mut self, metadata: CheckpointMetadata) -> Result<(), String> {
        require(
            self.writing.insert(metadata.id, Arc::new(metadata)).is_none(),
            "the same metadata is written twice at the same time",
        )
    }

    pub(super) fn append(&mut self, pointer: CompletedCheckpoint, subsumed: Vec<CheckpointId>) -> Result<(), String> {
        require(self.files.contains_key(&pointer.id), "C1: a pointer is appended before its metadata is written")?;
        require(subsumed.iter().all(|id| *id < pointer.id), "C6: the newest pointer is to be removed")?;
        let append = self.appending.insert(pointer.id, (pointer, subsumed));
        require(append.is_none(), "a pointer is appended twice at the same time")
    }

    /// Answers a question with the checkpoint that was the newest when it was asked.
    pub(super) fn read(&mut self, question: u64, well: bool) -> Option<JobMasterEvent> {
        let newest = self.reading.remove(&question)?;
        if !well {
            return Some(JobMasterEvent::CheckpointUnreadable { question, reason: String::new(), retryable: true });
        }
        let completed = self.pointers.values().filter(|pointer| Some(pointer.id) <= newest).cloned().collect();
        let newest = newest.and_then(|id| self.files.get(&id)).cloned();
        Some(JobMasterEvent::CheckpointRead { question, restore: RestorePoint { completed, newest } })
    }

    pub(super) fn reserved(&mut self, well: bool) -> JobMasterEvent {
        self.reserving = false;
        if !well {
            return JobMasterEvent::Checkpoint(CheckpointEvent::IdsNotReserved);
        }
        let first = self.handed_out + 1;
        self.handed_out += RESERVED;
        JobMasterEvent::Checkpoint(CheckpointEvent::IdsReserved(first..first + RESERVED))
    }

    pub(super) fn written(&mut self, checkpoint: CheckpointId, well: bool) -> Option<JobMasterEvent> {
        let metadata = self.writing.remove(&checkpoint)?;
        let result = if well {
            self.files.insert(checkpoint, metadata);
            let handle = MetadataHandle { path: String::new(), length: 1, crc32c: 1 };
            Ok(WrittenMetadata { handle, external_path: String::new() })
        } else {
            Err("the disk is full".to_owned())
        };
        Some(JobMasterEvent::Checkpoint(CheckpointEvent::MetadataWritten { checkpoint, result }))
    }

    /// Ends the append of a pointer, whose write reaches the store or not, and returns the outcome.
    pub(super) fn appended(&mut self, checkpoint: CheckpointId, reaches: bool) -> AppendOutcome {
        let Some((pointer, subsumed)) = self.appending.remove(&checkpoint) else { return AppendOutcome::Committed };
        let there = self.pointers.contains_key(&checkpoint);
        if !there && (!reaches || self.appended.last().is_some_and(|newest| *newest >= checkpoint)) {
            return AppendOutcome::Refused("not the newest".to_owned());
        }
        self.pointers.retain(|id, _| !subsumed.contains(id));
        self.pointers.insert(checkpoint, pointer);
        self.appended.insert(checkpoint);
        AppendOutcome::Committed
    }

    /// Another leader takes over. Pointers that the former leader was appending have reached the store, or never will.
    pub(super) fn change_leader(&mut self, reaches: bool) {
        for checkpoint in self.appending.keys().copied().collect::<Vec<_>>() {
            self.appended(checkpoint, reaches);
        }
        self.reading.clear();
        self.writing.clear();
        self.reserving = false;
    }

    /// Adds the steps that the stores may take next. With `trouble` they may also fail.
    pub(super) fn steps(&self, trouble: bool, steps: &mut Vec<Step>) {
        let both = || [true, false].into_iter().filter(move |well| *well || trouble);
        steps.extend(self.reading.keys().flat_map(|question| both().map(|well| Step::Read(*question, well))));
        if self.reserving {
            steps.extend(both().map(Step::Reserved));
        }
        steps.extend(self.writing.keys().flat_map(|id| both().map(|well| Step::Written(*id, well))));
        for id in self.appending.keys() {
            steps.push(Step::Appended(*id, true, true));
            if trouble {
                steps.extend([true, false].map(|reaches| Step::Appended(*id, reaches, false)));
            }
        }
    }

    /// Returns the next step if nothing fails. Old questions stay unanswered.
    pub(super) fn onward(&self) -> Option<Step> {
        if self.reserving {
            return Some(Step::Reserved(true));
        }
        let written = self.writing.keys().next().map(|id| Step::Written(*id, true));
        written.or_else(|| self.appending.keys().next().map(|id| Step::Appended(*id, true, true)))
    }
}
