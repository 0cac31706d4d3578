//! How a job restores: it starts from its newest completed checkpoint or does not start (C6).

use weir_protocol::job_status::JobStatus;
use weir_world::Millis;
use weir_world::flaw::{Flaw, is_planted};

use super::effect::JobMasterEffect;
use super::restore;
use super::{JobMaster, Stage};
use crate::checkpoint::completed::RestorePoint;
use crate::checkpoint::event::CheckpointEvent;

/// Wait before an unreadable checkpoint is read again, milliseconds.
const READ_AGAIN_MS: u64 = 2_000;

impl JobMaster {
    /// Asks for the newest checkpoint. Only the answer to the newest question counts.
    pub(super) fn ask_for_checkpoint(&mut self, out: &mut Vec<JobMasterEffect>) {
        self.questions += 1;
        self.stage = Stage::Reading { question: self.questions, again_at: None };
        out.push(JobMasterEffect::ReadNewestCheckpoint { question: self.questions });
    }

    pub(super) fn checkpoint_read(&mut self, answered: u64, point: RestorePoint, now: Millis, out: &mut Vec<JobMasterEffect>) {
        let Stage::Reading { question, .. } = self.stage else { return };
        if question != answered && !is_planted(Flaw::LateAnswerTaken) {
            return;
        }
        if let Some(checkpoint) = &point.newest
            && let Err(mismatch) = restore::check(checkpoint, &self.what.graph)
        {
            self.end(JobStatus::Failed, Some(mismatch.to_string()), now, out);
            return;
        }
        self.trouble = None;
        let restored = point.newest.as_ref().map(|checkpoint| checkpoint.id);
        self.coordinate(CheckpointEvent::Loaded { completed: point.completed, restored }, now, out);
        self.restore = point.newest;
        self.stage = Stage::WaitingForSlots { since: now };
        if self.status == JobStatus::Initializing {
            self.set_status(JobStatus::Created, now);
        }
    }

    pub(super) fn checkpoint_unreadable(
        &mut self,
        answered: u64,
        reason: String,
        retryable: bool,
        now: Millis,
        out: &mut Vec<JobMasterEffect>,
    ) {
        let Stage::Reading { question, again_at } = &mut self.stage else { return };
        if *question != answered {
            return;
        }
        if !retryable {
            self.end(JobStatus::Failed, Some(reason), now, out);
            return;
        }
        *again_at = Some(now.after(READ_AGAIN_MS));
        if self.trouble.as_ref() != Some(&reason) {
            tracing::error!(job = %self.what.job, reason, "the job can't start: its newest checkpoint can't be read");
        }
        self.trouble = Some(reason);
    }
}
