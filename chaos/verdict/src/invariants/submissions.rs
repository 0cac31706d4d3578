//! G2 and R2: an acknowledged submission is never lost or duplicated, and the terminal status of a job never changes.

use std::collections::BTreeMap;

use weir_protocol::JobId;
use weir_protocol::job_status::JobStatus;

use super::Invariant;
use crate::fact::Fact;

/// What clients were told: the job of each token, and the terminal status of each acknowledged job that has ended.
#[derive(Debug, Default)]
pub(super) struct Submissions {
    tokens: BTreeMap<String, JobId>,
    acknowledged: BTreeMap<JobId, Option<JobStatus>>,
}

impl Invariant for Submissions {
    fn id(&self) -> &'static str {
        "G2"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Submitted { token, job } => {
                let known = self.tokens.entry(token.clone()).or_insert(*job);
                if known != job {
                    return Err(format!("submission {token} was acknowledged as job {known} and as job {job}"));
                }
                self.acknowledged.entry(*job).or_default();
            }
            Fact::StatusSeen { job, status } => {
                let Some(ended) = self.acknowledged.get_mut(job) else { return Ok(()) };
                let Some(status) = status else {
                    return Err(format!("job {job} was acknowledged, but the leader does not know it"));
                };
                if ended.is_some_and(|ended| ended != *status) {
                    return Err(format!("R2: job {job} ended as {ended:?} and is now {status:?}"));
                }
                if status.is_globally_terminal() {
                    *ended = Some(*status);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(status: Option<JobStatus>) -> Fact {
        Fact::StatusSeen { job: JobId(1), status }
    }

    fn acknowledged() -> Submissions {
        let mut submissions = Submissions::default();
        assert!(submissions.observe(&Fact::Submitted { token: "t".into(), job: JobId(1) }).is_ok());
        submissions
    }

    #[test]
    fn an_acknowledged_job_stays() {
        assert!(Submissions::default().observe(&seen(None)).is_ok());
        assert!(acknowledged().observe(&seen(None)).is_err());
        assert!(acknowledged().observe(&Fact::Submitted { token: "t".into(), job: JobId(2) }).is_err());
    }

    #[test]
    fn canceled_stays_canceled() {
        let mut submissions = acknowledged();
        assert!(submissions.observe(&seen(Some(JobStatus::Running))).is_ok());
        assert!(submissions.observe(&seen(Some(JobStatus::Canceled))).is_ok());
        assert!(submissions.observe(&seen(Some(JobStatus::Canceled))).is_ok());
        assert!(submissions.observe(&seen(Some(JobStatus::Running))).is_err());
    }
}
