//! Handlers of `/jobs/:jobid/checkpoints`.

use axum::{Extension, Json};
use weir_protocol::checkpoint::CheckpointKind;
use weir_protocol::rest::{
    CheckpointConfigResponse, CheckpointCounts, CheckpointEntry, CheckpointFacts, CheckpointStatistics, CheckpointSummary,
    LatestCheckpoints, RestoredCheckpoint, StatsSummary,
};
use weir_world::wall_clock_ms;

use super::error::RestError;
use super::job_path::{JobPath, find, view_of};
use crate::job_master::view::{CheckpointStatus, CheckpointView, CheckpointsView};
use crate::leading::Leading;

pub(super) async fn statistics(
    Extension(leading): Extension<Leading>,
    JobPath(job): JobPath,
) -> Result<Json<CheckpointStatistics>, RestError> {
    let snapshot = find(&leading, job)?;
    let checkpoints = snapshot.view.map(|view| view.checkpoints.clone()).unwrap_or_default();
    Ok(Json(statistics_of(&checkpoints, wall_clock_ms())))
}

pub(super) async fn config(
    Extension(leading): Extension<Leading>,
    JobPath(job): JobPath,
) -> Result<Json<CheckpointConfigResponse>, RestError> {
    let view = view_of(find(&leading, job)?)?;
    Ok(Json(CheckpointConfigResponse::of(&view.graph.checkpoint_config())))
}

pub(super) fn counts(checkpoints: &CheckpointsView) -> CheckpointCounts {
    CheckpointCounts {
        restored: checkpoints.restored,
        total: checkpoints.total,
        in_progress: checkpoints.in_progress,
        completed: checkpoints.completed,
        failed: checkpoints.failed,
    }
}

pub(super) fn restored(checkpoints: &CheckpointsView) -> Option<RestoredCheckpoint> {
    let id = checkpoints.latest_restored?;
    let known = checkpoints.history.iter().find(|checkpoint| checkpoint.id == id);
    Some(RestoredCheckpoint {
        id: id.0,
        restore_timestamp: checkpoints.latest_restored_at.map_or(-1, |at| at as i64),
        is_savepoint: known.is_some_and(|checkpoint| checkpoint.kind.is_savepoint()),
        external_path: known.and_then(|checkpoint| checkpoint.external_path.clone()),
    })
}

/// The newest completed checkpoint, if there is one in the history.
pub(super) fn latest_completed(checkpoints: &CheckpointsView, now_ms: u64) -> Option<CheckpointEntry> {
    let completed = |checkpoint: &&CheckpointView| checkpoint.status == CheckpointStatus::Completed;
    checkpoints.history.iter().find(completed).map(|checkpoint| entry(checkpoint, now_ms))
}

fn statistics_of(checkpoints: &CheckpointsView, now_ms: u64) -> CheckpointStatistics {
    let history = &checkpoints.history;
    let newest = |wanted: &dyn Fn(&CheckpointView) -> bool| {
        history.iter().find(|checkpoint| wanted(checkpoint)).map(|checkpoint| entry(checkpoint, now_ms))
    };
    let is_completed = |checkpoint: &CheckpointView| checkpoint.status == CheckpointStatus::Completed;
    let is_savepoint = |checkpoint: &CheckpointView| checkpoint.kind.is_savepoint();
    let completed: Vec<_> = history.iter().filter(|checkpoint| is_completed(checkpoint)).collect();
    let summary = |value: &dyn Fn(&CheckpointView) -> u64| StatsSummary::of(completed.iter().map(|checkpoint| value(checkpoint)));
    CheckpointStatistics {
        counts: counts(checkpoints),
        summary: CheckpointSummary {
            checkpointed_size: summary(&|checkpoint| checkpoint.checkpointed_bytes),
            state_size: summary(&|checkpoint| checkpoint.state_bytes),
            end_to_end_duration: summary(&|checkpoint| duration(checkpoint, now_ms)),
            ..CheckpointSummary::default()
        },
        latest: LatestCheckpoints {
            completed: newest(&|checkpoint| is_completed(checkpoint) && !is_savepoint(checkpoint)),
            savepoint: newest(&|checkpoint| is_completed(checkpoint) && is_savepoint(checkpoint)),
            failed: newest(&|checkpoint| checkpoint.status == CheckpointStatus::Failed),
            restored: restored(checkpoints),
        },
        history: history.iter().map(|checkpoint| entry(checkpoint, now_ms)).collect(),
    }
}

fn duration(checkpoint: &CheckpointView, now_ms: u64) -> u64 {
    checkpoint.ended_at.unwrap_or(now_ms).saturating_sub(checkpoint.triggered_at)
}

fn entry(checkpoint: &CheckpointView, now_ms: u64) -> CheckpointEntry {
    let is_savepoint = checkpoint.kind.is_savepoint();
    let checkpoint_type = match checkpoint.kind {
        CheckpointKind::Checkpoint => "CHECKPOINT",
        CheckpointKind::Savepoint | CheckpointKind::Stop => "SAVEPOINT",
        CheckpointKind::Final => "FINAL",
    };
    let status = match checkpoint.status {
        CheckpointStatus::InProgress => "IN_PROGRESS",
        CheckpointStatus::Completed => "COMPLETED",
        CheckpointStatus::Failed => "FAILED",
    };
    let facts = CheckpointFacts {
        id: checkpoint.id.0,
        status: status.to_string(),
        is_savepoint,
        savepoint_format: is_savepoint.then(|| "CANONICAL".to_string()),
        trigger_timestamp: checkpoint.triggered_at as i64,
        latest_ack_timestamp: checkpoint.latest_ack_at.map_or(-1, |at| at as i64),
        checkpointed_size: checkpoint.checkpointed_bytes,
        state_size: checkpoint.state_bytes,
        end_to_end_duration: duration(checkpoint, now_ms) as i64,
        num_subtasks: checkpoint.subtasks,
        num_acknowledged_subtasks: checkpoint.acknowledged,
        checkpoint_type: checkpoint_type.to_string(),
        ..CheckpointFacts::default()
    };
    match checkpoint.status {
        CheckpointStatus::InProgress => CheckpointEntry::InProgress { facts },
        CheckpointStatus::Completed => {
            CheckpointEntry::Completed { facts, external_path: checkpoint.external_path.clone(), discarded: false }
        }
        CheckpointStatus::Failed => CheckpointEntry::Failed {
            facts,
            failure_timestamp: checkpoint.ended_at.map_or(-1, |at| at as i64),
            failure_message: checkpoint.failure.clone(),
        },
    }
}
