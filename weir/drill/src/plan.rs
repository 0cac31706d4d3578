//! What a drill does, to whom.

use serde::Serialize;
use weir_protocol::drill::Fault;
use weir_protocol::rest::JobDescription;

use crate::Drill;
use crate::command_template::Action;
use crate::survey::Survey;

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    JobManager,
    TaskManager,
}

impl Role {
    /// As `weir` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::JobManager => "jobmanager",
            Self::TaskManager => "taskmanager",
        }
    }
}

/// Who is to be broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Victim {
    pub(crate) role: Role,
    /// A JobManager's name, or a TaskManager's resource id.
    pub(crate) name: String,
    /// A JobManager's name, or a TaskManager's id, which no other incarnation of it has.
    pub(crate) process: String,
    /// `host:port` of its HTTP service.
    pub(crate) address: String,
    /// Its process id on its machine, if it says so.
    pub(crate) pid: Option<u32>,
    /// Whether it takes faults.
    pub(crate) agent_enabled: bool,
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Blow {
    /// Its leadership is handed to another.
    TransferLeadership,
    Kill,
    Terminate,
    Pause {
        for_ms: u64,
    },
    /// No JobManager reaches the coordination store.
    StoreOutage {
        for_ms: u64,
    },
    /// No process writes or reads checkpoints.
    CheckpointStorageOutage {
        for_ms: u64,
    },
}

impl Blow {
    /// As a fault for an agent, if it is one.
    pub(super) fn fault(self) -> Option<Fault> {
        match self {
            Self::TransferLeadership => None,
            Self::Kill => Some(Fault::Kill),
            Self::Terminate => Some(Fault::Terminate),
            Self::Pause { for_ms } => Some(Fault::Pause { for_ms }),
            Self::StoreOutage { for_ms } => Some(Fault::StoreOutage { for_ms }),
            Self::CheckpointStorageOutage { for_ms } => Some(Fault::CheckpointStorageOutage { for_ms }),
        }
    }

    /// As the action of a command, if it is one.
    pub(super) fn action(self) -> Option<Action> {
        match self {
            Self::TransferLeadership | Self::StoreOutage { .. } | Self::CheckpointStorageOutage { .. } => None,
            Self::Kill => Some(Action::Kill),
            Self::Terminate => Some(Action::Terminate),
            Self::Pause { .. } => Some(Action::Pause),
        }
    }

    /// Whether the process ends of it.
    pub(super) fn ends_the_process(self) -> bool {
        matches!(self, Self::Kill | Self::Terminate)
    }

    /// What is taken away and for how many milliseconds, if that is what it does.
    pub(super) fn outage(self) -> Option<(&'static str, u64)> {
        match self {
            Self::StoreOutage { for_ms } => Some(("the coordination store", for_ms)),
            Self::CheckpointStorageOutage { for_ms } => Some(("checkpoint storage", for_ms)),
            _ => None,
        }
    }
}

/// Who is hit, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    pub(super) blow: Blow,
    pub(super) victim: Victim,
    /// Whether the victim leads.
    pub(super) leads: bool,
    /// Who is hit at the same moment: of an outage everybody else whom it concerns.
    pub(super) others: Vec<Victim>,
}

impl Step {
    fn of_one(blow: Blow, victim: Victim, leads: bool) -> Self {
        Self { blow, victim, leads, others: Vec::new() }
    }

    /// Everybody who is hit.
    pub(super) fn everybody(&self) -> impl Iterator<Item = &Victim> {
        std::iter::once(&self.victim).chain(&self.others)
    }

    /// What is broken, for people: a process, or what is out of reach.
    pub(super) fn struck(&self) -> &str {
        self.blow.outage().map_or(self.victim.name.as_str(), |(what, _)| what)
    }

    /// For people: `kill jm-1 (the leading JobManager, 127.0.0.1:8081)`.
    pub(super) fn text(&self) -> String {
        let Victim { name, address, .. } = &self.victim;
        let what = match (self.victim.role, self.leads) {
            (Role::JobManager, true) => "the leading JobManager",
            (Role::JobManager, false) => "a standing-by JobManager",
            (Role::TaskManager, _) => "a TaskManager",
        };
        match self.blow {
            Blow::TransferLeadership => format!("hand leadership from {name} ({what}, {address}) to another"),
            Blow::Kill => format!("kill {name} ({what}, {address})"),
            Blow::Terminate => format!("stop {name} in order ({what}, {address})"),
            Blow::Pause { for_ms } => format!("freeze {name} for {for_ms} ms ({what}, {address})"),
            Blow::StoreOutage { for_ms } => format!("take the coordination store away from every JobManager for {for_ms} ms"),
            Blow::CheckpointStorageOutage { for_ms } => {
                format!("take checkpoint storage away from every JobManager and TaskManager for {for_ms} ms")
            }
        }
    }
}

/// The steps of a drill on this cluster; `Err` if there is nobody to do it to. `for_ms`: how long a pause or an outage lasts; `wanted`
/// names the TaskManager.
pub(super) fn steps(drill: Drill, survey: &Survey, for_ms: u64, wanted: Option<&str>) -> Result<Vec<Step>, String> {
    let leader = |blow| -> Result<Step, String> {
        let victim = survey.jobmanager(&survey.leader.name).ok_or_else(|| format!("{} does not answer", survey.leader.name))?;
        Ok(Step::of_one(blow, victim, true))
    };
    let standbys = || {
        let names = survey.jobmanager_names().into_iter().filter(move |name| *name != survey.leader.name);
        names.filter_map(move |name| survey.jobmanager(&name))
    };
    let task_managers = || survey.taskmanagers.iter().map(|seen| seen.victim());
    match drill {
        Drill::LeaderTransfer => Ok(vec![leader(Blow::TransferLeadership)?]),
        Drill::LeaderKill => Ok(vec![leader(Blow::Kill)?]),
        Drill::LeaderPause => Ok(vec![leader(Blow::Pause { for_ms })?]),
        Drill::TaskManagerKill => Ok(vec![Step::of_one(Blow::Kill, busy_task_manager(survey, wanted)?, false)]),
        Drill::RollingRestart => {
            let stop = |victim| Step::of_one(Blow::Terminate, victim, false);
            let mut steps: Vec<Step> = standbys().map(stop).collect();
            steps.push(leader(Blow::Terminate)?);
            steps.extend(task_managers().map(stop));
            Ok(steps)
        }
        Drill::StoreOutage => {
            let leader = leader(Blow::StoreOutage { for_ms })?;
            Ok(vec![Step { others: standbys().collect(), ..leader }])
        }
        Drill::CheckpointStorageOutage => {
            let leader = leader(Blow::CheckpointStorageOutage { for_ms })?;
            Ok(vec![Step { others: standbys().chain(task_managers()).collect(), ..leader }])
        }
    }
}

/// The TaskManager of that name, or the first one that runs tasks.
fn busy_task_manager(survey: &Survey, wanted: Option<&str>) -> Result<Victim, String> {
    let is_meant = |victim: &Victim| match wanted {
        Some(name) => victim.name == name || victim.process == name,
        None => survey.jobs.iter().any(|job| runs_on(job, &victim.process)),
    };
    survey.taskmanagers.iter().map(|seen| seen.victim()).find(is_meant).ok_or_else(|| match wanted {
        Some(name) => format!("there is no TaskManager {name}"),
        None => "no TaskManager runs a task".to_owned(),
    })
}

/// Whether a task of the job runs on the TaskManager of this id.
pub(super) fn runs_on(job: &JobDescription, task_manager: &str) -> bool {
    let mut subtasks = job.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    subtasks
        .any(|subtask| !subtask.state.is_terminal() && subtask.task_manager.as_ref().is_some_and(|host| host.0 == task_manager))
}
