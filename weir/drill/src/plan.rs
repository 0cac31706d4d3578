//! The steps of a drill on a given cluster.

use crate::Drill;
use crate::step::{Disruption, Step};
use crate::survey::{Survey, runs_on};
use crate::victim::Victim;

/// The steps of a drill on this cluster; `Err` if there is no process to break. `for_ms` is how long a pause or an outage lasts,
/// and `wanted` is the name of the TaskManager to kill.
pub(super) fn steps(drill: Drill, survey: &Survey, for_ms: u64, wanted: Option<&str>) -> Result<Vec<Step>, String> {
    let leader = |disruption| -> Result<Step, String> {
        let victim = survey.jobmanager(&survey.leader.name).ok_or_else(|| format!("{} does not answer", survey.leader.name))?;
        Ok(Step::of_one(disruption, victim, true))
    };
    let standbys = || {
        let names = survey.jobmanager_names().into_iter().filter(move |name| *name != survey.leader.name);
        names.filter_map(move |name| survey.jobmanager(&name))
    };
    let task_managers = || survey.taskmanagers.iter().map(|seen| seen.victim());
    match drill {
        Drill::LeaderTransfer => Ok(vec![leader(Disruption::TransferLeadership)?]),
        Drill::LeaderKill => Ok(vec![leader(Disruption::Kill)?]),
        Drill::LeaderPause => Ok(vec![leader(Disruption::Pause { for_ms })?]),
        Drill::TaskManagerKill => Ok(vec![Step::of_one(Disruption::Kill, busy_task_manager(survey, wanted)?, false)]),
        Drill::RollingRestart => {
            let stop = |victim| Step::of_one(Disruption::Terminate, victim, false);
            let mut steps: Vec<Step> = standbys().map(stop).collect();
            steps.push(leader(Disruption::Terminate)?);
            steps.extend(task_managers().map(stop));
            Ok(steps)
        }
        Drill::StoreOutage => {
            let leader = leader(Disruption::StoreOutage { for_ms })?;
            Ok(vec![Step { others: standbys().collect(), ..leader }])
        }
        Drill::CheckpointStorageOutage => {
            let leader = leader(Disruption::CheckpointStorageOutage { for_ms })?;
            Ok(vec![Step { others: standbys().chain(task_managers()).collect(), ..leader }])
        }
    }
}

/// The TaskManager of this name, or the first one that runs tasks.
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
