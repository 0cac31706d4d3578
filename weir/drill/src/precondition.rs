//! The preconditions of a drill.

use weir_protocol::job_status::{ExecutionState, JobStatus};
use weir_protocol::rest::JobDescription;

use crate::finding::{Finding, finding};
use crate::step::{Disruption, Step};
use crate::survey::{Survey, runs_on};
use crate::victim::{Role, Victim};

/// A member that lags by more log entries than this is far behind.
const FAR_BEHIND: u64 = 1_000;

/// The precondition for breaking a single TaskManager.
pub(super) const A_JOB_RUNS_THERE: &str = "a task runs on the TaskManager";

/// How processes are reached, and what the operator says about restarts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Given {
    /// Whether a command template is given.
    pub(super) command: bool,
    /// Whether commands are given that cause and end an outage.
    pub(super) outage_commands: bool,
    /// Whether ended processes are restarted: by a supervisor, as the operator says, or by a restart command.
    pub(super) restarted: bool,
}

/// All preconditions of these steps.
pub(super) fn examine(survey: &Survey, steps: &[Step], given: Given) -> Vec<Finding> {
    let mut findings = vec![no_other_drill(survey), quorum(survey)];
    let outage = steps.iter().find(|step| step.disruption.outage().is_some());
    let hits_jobmanagers = steps.iter().any(|step| step.victim.role == Role::JobManager);
    if let Some(step) = outage {
        findings.extend(bearable(survey, step, given));
    } else if hits_jobmanagers {
        findings.extend([a_failure_to_spare(survey), nobody_far_behind(survey), another_answers(survey)]);
    }
    let task_managers: Vec<&Step> = steps.iter().filter(|step| step.victim.role == Role::TaskManager).collect();
    for step in &task_managers {
        findings.push(room_elsewhere(survey, &step.victim.process, &step.victim.name, given.restarted));
    }
    findings.push(if outage.is_some() { outage_reach(steps, given) } else { reach(steps, given) });
    if steps.len() > 1 {
        findings.push(started_again(given));
    }
    findings.extend(survey.jobs.iter().map(healthy));
    if steps.len() == 1
        && !task_managers.is_empty()
        && !survey.jobs.iter().any(|job| task_managers.iter().any(|step| runs_on(job, &step.victim.process)))
    {
        findings.push(finding(false, A_JOB_RUNS_THERE, "no task runs there, so nothing could be measured"));
    }
    findings
}

/// The preconditions of an outage.
fn bearable(survey: &Survey, step: &Step, given: Given) -> Vec<Finding> {
    let mut findings = vec![nobody_far_behind(survey)];
    if !given.outage_commands {
        findings.push(everybody_answers(survey));
    }
    match &survey.bounds {
        Some(bounds) => findings.extend(bounds.examine(step.disruption, &survey.ha.provider, survey.ha.members.len())),
        None => findings.push(finding(false, "the leader reports its configuration", "it does not")),
    }
    findings
}

/// An unknown JobManager gets no order, and would continue as if there were no outage.
fn everybody_answers(survey: &Survey) -> Finding {
    let known = survey.jobmanager_names();
    let members = survey.ha.members.iter().map(|member| member.name.as_str());
    let missing: Vec<&str> = members.filter(|name| !known.iter().any(|known| known == name)).collect();
    let condition = "every JobManager answers at the addresses given";
    match missing.as_slice() {
        [] => finding(true, condition, known.join(", ")),
        missing => {
            finding(false, condition, format!("no answer from {}: give the addresses with --jobmanager", missing.join(", ")))
        }
    }
}

fn no_other_drill(survey: &Survey) -> Finding {
    let condition = "no other drill is running";
    match &survey.drill {
        None => finding(true, condition, "none"),
        Some(other) => finding(false, condition, format!("{} ({}) is running", other.drill, other.id)),
    }
}

fn quorum(survey: &Survey) -> Finding {
    let found = if survey.ha.has_quorum { "it does" } else { "it does not" };
    finding(survey.ha.has_quorum && survey.ha.store_away_since_ms.is_none(), "the leader reaches the coordination store", found)
}

fn a_failure_to_spare(survey: &Survey) -> Finding {
    let spare = survey.ha.failures_tolerated;
    let found = format!("{spare} more JobManagers may fail, of {} in all", survey.ha.members.len());
    finding(spare >= 1, "a JobManager can fail and another can lead", found)
}

fn nobody_far_behind(survey: &Survey) -> Finding {
    let lags = |lag: Option<u64>| lag.is_some_and(|entries| entries > FAR_BEHIND);
    let members = survey.ha.members.iter().filter(|member| member.voter);
    let bad: Vec<String> = members
        .filter(|member| member.reachable == Some(false) || lags(member.lag_entries))
        .map(|member| match member.lag_entries.filter(|_| member.reachable != Some(false)) {
            Some(entries) => format!("{} is {entries} entries behind", member.name),
            None => format!("{} can't be reached", member.name),
        })
        .collect();
    let condition = "every JobManager follows closely";
    if bad.is_empty() { finding(true, condition, "they do") } else { finding(false, condition, bad.join(", ")) }
}

fn another_answers(survey: &Survey) -> Finding {
    let others: Vec<String> = survey.jobmanager_names().into_iter().filter(|name| *name != survey.leader.name).collect();
    let condition = "another JobManager can be watched";
    match others.as_slice() {
        [] => {
            finding(false, condition, "no other JobManager answers at a known REST address: give the addresses with --jobmanager")
        }
        others => finding(true, condition, others.join(", ")),
    }
}

fn room_elsewhere(survey: &Survey, process: &str, name: &str, restarted: bool) -> Finding {
    let (here, others): (Vec<_>, Vec<_>) = survey.taskmanagers.iter().partition(|seen| seen.info.id.0 == process);
    let needed: u32 = here.iter().map(|seen| seen.slots_in_use()).sum();
    let free: u32 = others.iter().map(|seen| seen.info.free_slots).sum();
    let condition = format!("the slots of {name} are free elsewhere, or it is restarted (--supervised, --restart-command)");
    let found = format!("{needed} in use, {free} free elsewhere{}", if restarted { ", and it is restarted" } else { "" });
    finding(free >= needed || restarted, &condition, found)
}

fn reach(steps: &[Step], given: Given) -> Finding {
    if given.outage_commands {
        return finding(false, REACHED, "--break-command and --mend-command are only for outages: give --command");
    }
    if given.command {
        return finding(true, REACHED, "by the given command");
    }
    let broken = steps.iter().filter(|step| step.disruption != Disruption::TransferLeadership);
    by_agents(broken.map(|step| &step.victim), "--command")
}

fn outage_reach(steps: &[Step], given: Given) -> Finding {
    if given.outage_commands {
        return finding(true, REACHED, "by the given commands");
    }
    if given.command {
        return finding(false, REACHED, "--command is only for single processes: give --break-command and --mend-command");
    }
    by_agents(steps.iter().flat_map(Step::everybody), "--break-command and --mend-command")
}

const REACHED: &str = "every process concerned can be reached";

fn by_agents<'a>(victims: impl Iterator<Item = &'a Victim>, instead: &str) -> Finding {
    let off: Vec<&str> = victims.filter(|victim| !victim.agent_enabled).map(|victim| victim.name.as_str()).collect();
    match off.as_slice() {
        [] => finding(true, REACHED, "by its agent"),
        names => {
            let names = names.join(", ");
            let found = format!(
                "DRILL-AGENT-OFF: the agent is off in {names}: set drill.agent.enabled: true in the configuration, or give {instead}"
            );
            finding(false, REACHED, found)
        }
    }
}

fn started_again(given: Given) -> Finding {
    let found = if given.restarted { "they are" } else { "give --supervised or --restart-command" };
    finding(given.restarted, "stopped processes are restarted", found)
}

fn healthy(job: &JobDescription) -> Finding {
    let condition = format!("job {} ({}) runs and has completed a checkpoint", job.name, job.job_id);
    let checkpoint = job.checkpoints.latest_completed.as_ref().map(|checkpoint| checkpoint.facts().id);
    let found = match checkpoint {
        Some(id) => format!("{}, checkpoint {id}", job.status.as_str()),
        None => format!("{}, no checkpoint, so it would start from the beginning", job.status.as_str()),
    };
    finding(all_running(job) && checkpoint.is_some(), &condition, found)
}

/// Whether the job and all its tasks are RUNNING.
pub(super) fn all_running(job: &JobDescription) -> bool {
    let mut subtasks = job.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    job.status == JobStatus::Running && subtasks.all(|subtask| subtask.state == ExecutionState::Running)
}

#[cfg(test)]
mod tests {
    use weir_protocol::rest::DrillUnderWay;

    use super::*;
    use crate::Drill;
    use crate::plan::steps;
    use crate::timeline::sample;

    fn refused(survey: &Survey, drill: Drill, given: Given) -> Vec<String> {
        let steps = steps(drill, survey, 10_000, None).unwrap();
        assert_eq!(drill.is_outage(), steps[0].disruption.outage().is_some());
        examine(survey, &steps, given).into_iter().filter(|finding| !finding.holds).map(|finding| finding.condition).collect()
    }

    const NOTHING_GIVEN: Given = Given { command: false, outage_commands: false, restarted: false };

    #[test]
    fn a_healthy_cluster_with_agents_allows_every_drill() {
        let survey = sample::survey();
        for drill in [Drill::LeaderTransfer, Drill::LeaderKill, Drill::LeaderPause, Drill::TaskManagerKill] {
            assert_eq!(refused(&survey, drill, NOTHING_GIVEN), Vec::<String>::new(), "{drill:?}");
        }
    }

    #[test]
    fn a_drill_is_refused_for_each_lack_of_redundancy() {
        let refuses = |change: fn(&mut Survey), drill: Drill, part: &str| {
            let mut survey = sample::survey();
            change(&mut survey);
            let refused = refused(&survey, drill, NOTHING_GIVEN);
            assert!(refused.iter().any(|condition| condition.contains(part)), "{part}: {refused:?}");
        };
        refuses(|survey| survey.ha.failures_tolerated = 0, Drill::LeaderKill, "another can lead");
        refuses(|survey| survey.ha.has_quorum = false, Drill::TaskManagerKill, "coordination store");
        refuses(|survey| survey.ha.members[1].reachable = Some(false), Drill::LeaderPause, "follows closely");
        refuses(|survey| survey.ha.members[2].lag_entries = Some(5_000), Drill::LeaderTransfer, "follows closely");
        refuses(|survey| survey.jobmanagers.truncate(1), Drill::LeaderTransfer, "can be watched");
        refuses(|survey| survey.drill = Some(DrillUnderWay::default()), Drill::LeaderKill, "no other drill");
        refuses(|survey| survey.jobs[0].checkpoints.latest_completed = None, Drill::LeaderKill, "checkpoint");
        refuses(|survey| survey.jobs[0].status = JobStatus::Restarting, Drill::LeaderKill, "runs");
        refuses(|survey| survey.taskmanagers[1].info.free_slots = 0, Drill::TaskManagerKill, "slots of tm-1");
    }

    #[test]
    fn a_drill_is_refused_if_an_agent_is_off_unless_there_is_a_command_or_nothing_to_break() {
        let mut survey = sample::survey();
        for seen in &mut survey.jobmanagers {
            seen.agent.as_mut().unwrap().enabled = false;
        }
        assert_eq!(refused(&survey, Drill::LeaderKill, NOTHING_GIVEN), ["every process concerned can be reached"]);
        assert_eq!(refused(&survey, Drill::LeaderKill, Given { command: true, ..NOTHING_GIVEN }), Vec::<String>::new());
        assert_eq!(refused(&survey, Drill::LeaderTransfer, NOTHING_GIVEN), Vec::<String>::new());
    }

    #[test]
    fn an_outage_needs_all_agents_or_two_commands() {
        let mut survey = sample::survey();
        assert_eq!(refused(&survey, Drill::StoreOutage, NOTHING_GIVEN), Vec::<String>::new());
        let by_commands = Given { outage_commands: true, ..NOTHING_GIVEN };
        let by_command = Given { command: true, ..NOTHING_GIVEN };
        assert_eq!(refused(&survey, Drill::StoreOutage, by_command), [REACHED], "a command reaches single processes");
        assert_eq!(refused(&survey, Drill::LeaderKill, by_commands), [REACHED], "these commands cause outages");
        survey.taskmanagers[1].agent.as_mut().unwrap().enabled = false;
        assert_eq!(refused(&survey, Drill::StoreOutage, NOTHING_GIVEN), Vec::<String>::new(), "TaskManagers have no store");
        assert_eq!(refused(&survey, Drill::CheckpointStorageOutage, NOTHING_GIVEN), [REACHED]);
        assert_eq!(refused(&survey, Drill::CheckpointStorageOutage, by_commands), Vec::<String>::new());
        survey.jobmanagers.truncate(2);
        assert_eq!(
            refused(&survey, Drill::StoreOutage, NOTHING_GIVEN),
            ["every JobManager answers at the addresses given"],
            "jm-3 would continue"
        );
        survey.bounds = None;
        assert_eq!(refused(&survey, Drill::StoreOutage, by_commands), ["the leader reports its configuration"]);
    }

    #[test]
    fn a_rolling_restart_needs_stopped_processes_to_be_restarted() {
        let survey = sample::survey();
        assert_eq!(refused(&survey, Drill::RollingRestart, NOTHING_GIVEN), ["stopped processes are restarted"]);
        let restarted = Given { restarted: true, ..NOTHING_GIVEN };
        assert_eq!(refused(&survey, Drill::RollingRestart, restarted), Vec::<String>::new());
        let order: Vec<String> =
            steps(Drill::RollingRestart, &survey, 0, None).unwrap().into_iter().map(|step| step.victim.name).collect();
        assert_eq!(order, ["jm-2", "jm-3", "jm-1", "tm-1", "tm-2"], "the leader after the standbys");
    }

    #[test]
    fn without_free_slots_elsewhere_the_task_manager_must_be_restarted() {
        let mut survey = sample::survey();
        survey.taskmanagers.truncate(1);
        assert_eq!(refused(&survey, Drill::TaskManagerKill, NOTHING_GIVEN).len(), 1);
        assert_eq!(refused(&survey, Drill::TaskManagerKill, Given { restarted: true, ..NOTHING_GIVEN }), Vec::<String>::new());
    }
}
