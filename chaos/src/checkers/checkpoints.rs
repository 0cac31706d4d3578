//! Checks the checkpoints that leaders reported, and the files of these checkpoints.

use std::collections::BTreeMap;

use weir_protocol::JobId;

use super::{Judgement, cut_short, judgement};
use crate::history::{History, JobSeen, What};

/// Ordered by epoch and then by time, ids of completed checkpoints increase, and a restore uses the newest completed one.
pub(super) fn ids(history: &History) -> Judgement {
    // A former leader may report late what it completed before. Therefore the epoch comes before the time.
    let mut by_job: BTreeMap<JobId, Vec<(u64, &JobSeen)>> = BTreeMap::new();
    for (at, seen) in history.jobs() {
        by_job.entry(seen.job).or_default().push((at, seen));
    }
    let (mut problems, mut newest_of_all) = (Vec::new(), 0);
    for (job, mut looks) in by_job {
        looks.sort_by_key(|(at, seen)| (seen.epoch, *at));
        let (mut newest, mut restored) = (0, None);
        for (at, seen) in looks {
            let place = format!("job {job}, epoch {}, after {at} ms", seen.epoch);
            if let Some(restore) = seen.restored.filter(|_| seen.restored != restored) {
                if restore.0 < newest {
                    problems.push(format!("{place}: checkpoint {} was restored, although {newest} was complete", restore.0));
                }
                restored = seen.restored;
            }
            if let Some(checkpoint) = seen.checkpoint {
                if checkpoint < newest {
                    problems.push(format!("{place}: the newest checkpoint is {checkpoint}, although {newest} was complete"));
                }
                newest = newest.max(checkpoint);
            }
        }
        newest_of_all = newest_of_all.max(newest);
    }
    if newest_of_all == 0 {
        return Judgement::NotJudged { why: "no completed checkpoint was seen".to_owned() };
    }
    judgement(problems, format!("up to checkpoint {newest_of_all}"))
}

/// Every file that a completed checkpoint references existed each time the run looked.
pub(super) fn files_are_there(history: &History) -> Judgement {
    let (mut looks, mut files, mut problems) = (0, 0, Vec::new());
    for event in &history.events {
        let What::Files { referenced, missing, .. } = &event.what else { continue };
        looks += u64::from(*referenced > 0);
        files += referenced;
        problems.extend(missing.iter().map(|file| format!("after {} ms: {file} is referenced but missing", event.at_ms)));
    }
    if looks == 0 { cut_short() } else { judgement(problems, format!("{files} files in {looks} looks")) }
}

/// Whether this is the temporary file of an unfinished write, as a killed process leaves it. The leader that cleans up after a job
/// removes such files, so one can only be left by a process that was still writing after that.
pub fn is_half_written(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with(".tmp-"))
}

/// When all jobs have ended, no checkpoint files are left, except temporary files of killed processes.
pub(super) fn leftovers(history: &History) -> Judgement {
    let last = history.last(|what| match what {
        What::Files { unreferenced: Some(files), .. } => Some(files),
        _ => None,
    });
    let Some(files) = last else { return cut_short() };
    let (half_written, left): (Vec<_>, Vec<_>) = files.iter().partition(|file| is_half_written(file));
    let seen = match half_written.len() {
        0 => "nothing is left".to_owned(),
        count => format!("nothing is left except {count} half-written files of killed processes"),
    };
    judgement(left.into_iter().map(|file| format!("{file} is left")).collect(), seen)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{at_the_end, changed, condemned, job, judged};
    use super::*;

    #[test]
    fn an_id_that_goes_back_and_an_old_restore_are_found() {
        assert!(condemned("checkpoint-ids", &at_the_end(job(2, 3, Some((3, 100))))).contains("newest checkpoint is 3"));
        assert!(condemned("checkpoint-ids", &at_the_end(job(3, 5, Some((2, 200))))).contains("2 was restored"));
    }

    #[test]
    fn a_late_report_of_a_former_leader_is_not_a_step_back() {
        assert!(matches!(judged("checkpoint-ids", &at_the_end(job(1, 3, None))), Judgement::Held { .. }));
    }

    #[test]
    fn a_missing_file_and_a_leftover_file_are_found() {
        let missing = changed(|what| {
            if let What::Files { missing, .. } = what {
                missing.push("chk-4/_metadata".into());
            }
        });
        assert!(condemned("checkpoint-files", &missing).contains("chk-4"));
        let left = changed(|what| {
            if let What::Files { unreferenced: Some(files), .. } = what {
                files.push("chk-2/state".into());
            }
        });
        assert!(condemned("leftovers", &left).contains("chk-2"));
        let half_written = changed(|what| {
            if let What::Files { unreferenced: Some(files), .. } = what {
                files.push("chk-2/.tmp-1".into());
            }
        });
        assert!(matches!(judged("leftovers", &half_written), Judgement::Held { .. }));
    }
}
