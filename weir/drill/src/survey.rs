//! The state of the cluster before anything is broken.

use std::time::Duration;

use weir_client::{ClientError, ClusterClient};
use weir_protocol::drill::AgentInfo;
use weir_protocol::link::LeaderAddress;
use weir_protocol::rest::{DrillUnderWay, HaResponse, JobDescription, TaskManagerInfo};

use crate::bounds::Bounds;
use crate::probe::ProcessClient;
use crate::victim::{Role, Victim};

/// How long one process may take to answer.
const LOOK: Duration = Duration::from_secs(2);
/// How many jobs are watched at most. The others are not judged.
pub(super) const MAX_JOBS: usize = 64;

/// A JobManager with a known address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JobManagerSeen {
    /// Its REST address.
    pub(super) address: String,
    /// What it reported about itself; `None` if it did not answer.
    pub(super) agent: Option<AgentInfo>,
}

/// A TaskManager that the leader knows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TaskManagerSeen {
    /// What the leader reports about it.
    pub(super) info: TaskManagerInfo,
    /// What it reported about itself; `None` if it did not answer.
    pub(super) agent: Option<AgentInfo>,
}

/// Everything that preconditions and plans depend on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Survey {
    pub(super) leader: LeaderAddress,
    /// The group of JobManagers as the leader sees it.
    pub(super) ha: HaResponse,
    /// JobManagers with a known REST address.
    pub(super) jobmanagers: Vec<JobManagerSeen>,
    pub(super) taskmanagers: Vec<TaskManagerSeen>,
    /// Jobs that have not ended, at most [`MAX_JOBS`].
    pub(super) jobs: Vec<JobDescription>,
    /// Number of jobs beyond these.
    pub(super) jobs_left_out: usize,
    /// The running drill, if there is one.
    pub(super) drill: Option<DrillUnderWay>,
    /// What an outage is compared with, if the drill is an outage.
    pub(super) bounds: Option<Bounds>,
}

impl Survey {
    /// Asks all processes. Waits up to `patience` for a leader.
    pub(super) async fn take(http: &ProcessClient, addresses: &[String], patience: Duration) -> Result<Self, ClientError> {
        let client = ClusterClient::new(addresses.to_vec())?;
        let overview = client.list(patience).await?;
        let drill = client.drills(patience).await?.under_way;
        let answers = client.ha_status_of_each(LOOK).await;
        let seen: Vec<(String, HaResponse)> =
            answers.into_iter().filter_map(|(address, answer)| Some((address, answer.ok()?))).collect();
        let newest = seen.iter().filter_map(|(_, ha)| ha.leader.clone()).max_by_key(|leader| leader.epoch);
        let no_leader =
            || ClientError::NoLeader { waited_ms: patience.as_millis() as u64, last: "no JobManager knows a leader".into() };
        let leader = newest.ok_or_else(no_leader)?;
        let mut addresses: Vec<String> = addresses.to_vec();
        let ha = match seen.into_iter().find(|(_, ha)| ha.answered_by == leader.name) {
            Some((_, ha)) => ha,
            None => {
                // The leader was not among the given addresses, but it must be watched.
                addresses.push(leader.rest_address.clone());
                ClusterClient::new(vec![leader.rest_address.clone()])?.ha_status(patience).await?
            }
        };
        let live: Vec<_> = overview.jobs.into_iter().filter(|job| !job.state.is_globally_terminal()).collect();
        let jobs_left_out = live.len().saturating_sub(MAX_JOBS);
        let mut jobs = Vec::new();
        for job in live.into_iter().take(MAX_JOBS) {
            jobs.push(client.describe(job.jid, patience).await?);
        }
        jobs.retain(|job| !job.status.is_globally_terminal());
        let mut taskmanagers = Vec::new();
        for info in client.taskmanagers(patience).await?.taskmanagers {
            let agent = http.get(&info.path, AGENT, LOOK).await.ok();
            taskmanagers.push(TaskManagerSeen { info, agent });
        }
        let mut jobmanagers = Vec::new();
        for address in addresses {
            let agent = http.get(&address, AGENT, LOOK).await.ok();
            jobmanagers.push(JobManagerSeen { address, agent });
        }
        Ok(Self { leader, ha, jobmanagers, taskmanagers, jobs, jobs_left_out, drill, bounds: None })
    }

    /// Names of the JobManagers that answer, in the order of their addresses.
    pub(super) fn jobmanager_names(&self) -> Vec<String> {
        self.jobmanagers.iter().filter_map(|seen| seen.agent.as_ref()).map(|agent| agent.process.clone()).collect()
    }

    /// Name and address of every JobManager with a known address. If a JobManager does not answer, its address replaces its name.
    pub(super) fn watched(&self) -> Vec<(String, String)> {
        let name =
            |seen: &JobManagerSeen| seen.agent.as_ref().map_or_else(|| seen.address.clone(), |agent| agent.process.clone());
        self.jobmanagers.iter().map(|seen| (name(seen), seen.address.clone())).collect()
    }

    /// The JobManager of this name, as a victim.
    pub(super) fn jobmanager(&self, name: &str) -> Option<Victim> {
        self.jobmanagers.iter().find_map(|seen| {
            let agent = seen.agent.as_ref().filter(|agent| agent.process == name)?;
            Some(Victim {
                role: Role::JobManager,
                name: name.to_owned(),
                process: name.to_owned(),
                address: bare(&seen.address),
                pid: Some(agent.pid),
                agent_enabled: agent.enabled,
            })
        })
    }
}

const AGENT: &str = "/weir/v1/drill/agent";

impl TaskManagerSeen {
    /// This TaskManager as a victim.
    pub(super) fn victim(&self) -> Victim {
        Victim {
            role: Role::TaskManager,
            name: resource_id(&self.info.id.0).to_owned(),
            process: self.info.id.0.clone(),
            address: bare(&self.info.path),
            pid: self.agent.as_ref().map(|agent| agent.pid),
            agent_enabled: self.agent.as_ref().is_some_and(|agent| agent.enabled),
        }
    }

    /// Slots that are in use.
    pub(super) fn slots_in_use(&self) -> u32 {
        self.info.slots_number.saturating_sub(self.info.free_slots)
    }
}

/// `host:port` without a scheme before it and a slash after it.
fn bare(address: &str) -> String {
    address.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

/// The name that a TaskManager keeps over its incarnations: its id without the number of this incarnation.
pub(super) fn resource_id(id: &str) -> &str {
    const INCARNATION_DIGITS: usize = 16;
    match id.rsplit_once('-') {
        Some((name, number)) if number.len() == INCARNATION_DIGITS && number.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => id,
    }
}

/// Whether a task of the job runs on the TaskManager of this id.
pub(super) fn runs_on(job: &JobDescription, task_manager: &str) -> bool {
    let mut subtasks = job.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    subtasks
        .any(|subtask| !subtask.state.is_terminal() && subtask.task_manager.as_ref().is_some_and(|host| host.0 == task_manager))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_task_manager_outlives_its_incarnation() {
        assert_eq!(resource_id("tm-1-00ff00ff00ff00ff"), "tm-1");
        assert_eq!(resource_id("tm-1"), "tm-1");
    }
}
