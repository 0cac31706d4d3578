use super::sample::{TM_1, TM_2, job, restored_from, survey};
use super::*;
use crate::Drill;
use crate::plan::steps;

fn timeline(drill: Drill) -> Timeline {
    let survey = survey();
    let steps = steps(drill, &survey, 10_000, None).unwrap();
    Timeline::new(&survey, &steps[0], true)
}

fn health(timeline: &mut Timeline, at: u64, from: &str, leads: Option<u64>, known: (u64, Option<&str>)) {
    let answer = Health {
        status: "ok".to_owned(),
        name: from.to_owned(),
        leading: leads.is_some(),
        epoch: LeaderEpoch(leads.unwrap_or(known.0)),
        leader: known.1.map(str::to_owned),
        store_away: false,
        instance: String::new(),
    };
    timeline.take(Sample { at, seen: Seen::Health { from: from.to_owned(), answer: Some(answer) } });
}

fn silence(timeline: &mut Timeline, at: u64, from: &str) {
    timeline.take(Sample { at, seen: Seen::Health { from: from.to_owned(), answer: None } });
}

fn described(timeline: &mut Timeline, at: u64, job: JobDescription) {
    timeline.take(Sample { at, seen: Seen::Job(Box::new(job)) });
}

fn registered(timeline: &mut Timeline, at: u64, ids: &[&str]) {
    timeline.take(Sample { at, seen: Seen::TaskManagers(ids.iter().map(|id| (*id).to_owned()).collect()) });
}

/// Half a second without any problem, and then the fault at 600.
fn all_well(timeline: &mut Timeline) {
    for at in [100, 200, 300, 400, 500] {
        health(timeline, at, "jm-1", Some(4), (4, Some("jm-1")));
        described(timeline, at, job(4, "4-1", TM_1, 10 + at, 3 + at / 500));
        registered(timeline, at, &[TM_1, TM_2]);
    }
    timeline.inject(600);
}

#[test]
fn a_killed_leader_is_measured_from_the_fault_to_the_first_checkpoint_of_the_next() {
    let mut timeline = timeline(Drill::LeaderKill);
    all_well(&mut timeline);
    silence(&mut timeline, 610, "jm-1");
    health(&mut timeline, 650, "jm-2", None, (4, Some("jm-1")));
    assert_eq!(timeline.measures().detection_ms, None, "it still reports the killed leader");
    health(&mut timeline, 700, "jm-2", None, (5, Some("jm-2")));
    health(&mut timeline, 900, "jm-2", Some(5), (5, Some("jm-2")));
    // The new leader knows the job, but its tasks do not run yet. Later they do.
    let mut waiting = job(5, "4-1", TM_1, 510, 4);
    waiting.status = JobStatus::Created;
    described(&mut timeline, 910, waiting);
    assert!(!timeline.has_recovered());
    described(&mut timeline, 1_000, restored_from(job(5, "5-1", TM_1, 0, 4), 4));
    assert!(timeline.has_recovered() && !timeline.is_over());
    described(&mut timeline, 1_200, restored_from(job(5, "5-1", TM_1, 50, 4), 4));
    described(&mut timeline, 1_400, restored_from(job(5, "5-1", TM_1, 90, 5), 4));
    assert_eq!(timeline.waits_for(), ["jm-1 does not take part again"]);
    health(&mut timeline, 2_000, "jm-1", None, (5, Some("jm-2")));
    assert!(timeline.is_over());
    let expected = DrillMeasures {
        detection_ms: Some(100),
        control_plane_outage_ms: Some(400),
        output_gap_ms: Some(700),
        usual_gap_ms: Some(100),
        recovery_ms: Some(400),
        first_checkpoint_ms: Some(800),
        back_ms: Some(1_400),
        records_lost: Some(0),
        records_reprocessed: None,
        ..DrillMeasures::default()
    };
    assert_eq!(timeline.measures(), expected, "the outage and the gap count from 500, the last answer before the fault");
    assert_eq!(timeline.take_news().len(), 5);
}

#[test]
fn a_killed_leader_that_is_restarted_and_elected_again_is_a_new_leader() {
    let mut timeline = timeline(Drill::LeaderKill);
    all_well(&mut timeline);
    silence(&mut timeline, 610, "jm-1");
    health(&mut timeline, 640, "jm-1", None, (4, Some("jm-1")));
    health(&mut timeline, 700, "jm-2", None, (4, Some("jm-1")));
    assert_eq!(timeline.measures().detection_ms, None, "its lease has not expired, so no JobManager knows yet");
    health(&mut timeline, 2_600, "jm-1", Some(5), (5, Some("jm-1")));
    let measures = timeline.measures();
    assert_eq!((measures.detection_ms, measures.control_plane_outage_ms), (Some(2_000), Some(2_100)));
    assert_eq!(measures.back_ms, Some(40));
}

fn follower(timeline: &mut Timeline, at: u64, instance: &str, known: (u64, &str)) {
    let answer = Health {
        status: "ok".to_owned(),
        name: "jm-1".to_owned(),
        leading: false,
        epoch: LeaderEpoch(known.0),
        leader: Some(known.1.to_owned()),
        store_away: false,
        instance: instance.to_owned(),
    };
    timeline.take(Sample { at, seen: Seen::Health { from: "jm-1".to_owned(), answer: Some(answer) } });
}

/// A supervisor restarts the killed leader so soon that no request finds it silent after the fault.
#[test]
fn a_process_that_was_restarted_between_two_looks_is_back() {
    let back_after = |before: &str, answers_early: bool, afterwards: &str| {
        let mut timeline = timeline(Drill::LeaderKill);
        follower(&mut timeline, 500, before, (4, "jm-1"));
        if answers_early {
            follower(&mut timeline, 590, afterwards, (4, "jm-1"));
        }
        timeline.inject(600);
        follower(&mut timeline, 900, afterwards, (5, "jm-2"));
        timeline.measures().back_ms
    };
    assert_eq!(back_after("a", false, "b"), Some(300));
    assert_eq!(back_after("a", true, "b"), Some(300), "the fault came sooner than the agent had said");
    assert_eq!(back_after("a", false, "a"), None, "it was never away");
    assert_eq!(back_after("", false, ""), None, "a process of an older version does not say");
}

#[test]
fn a_former_leader_that_wakes_up_does_not_count_as_a_leader() {
    let mut timeline = timeline(Drill::LeaderPause);
    all_well(&mut timeline);
    silence(&mut timeline, 850, "jm-1");
    health(&mut timeline, 1_000, "jm-2", None, (5, Some("jm-2")));
    health(&mut timeline, 1_100, "jm-1", Some(4), (4, Some("jm-1")));
    assert!(timeline.waits_for().contains(&"no leader answers".to_owned()));
    assert!(timeline.waits_for().contains(&"jm-1 does not take part again".to_owned()));
    health(&mut timeline, 1_300, "jm-2", Some(5), (5, Some("jm-2")));
    assert_eq!(timeline.measures().control_plane_outage_ms, Some(800));
}

#[test]
fn a_killed_task_manager_is_detected_when_it_is_not_listed_and_recovered_when_no_task_runs_there() {
    let mut timeline = timeline(Drill::TaskManagerKill);
    all_well(&mut timeline);
    health(&mut timeline, 610, "jm-1", Some(4), (4, Some("jm-1")));
    described(&mut timeline, 650, job(4, "4-1", TM_1, 600, 4));
    assert!(!timeline.has_recovered(), "the leader does not know yet");
    registered(&mut timeline, 680, &[TM_2]);
    described(&mut timeline, 1_000, restored_from(job(4, "4-2", TM_2, 5, 4), 4));
    described(&mut timeline, 1_300, restored_from(job(4, "4-2", TM_2, 50, 5), 4));
    registered(&mut timeline, 1_500, &[TM_2, "tm-1-00000000000000cc"]);
    assert!(timeline.is_over(), "{:?}", timeline.waits_for());
    let measures = timeline.measures();
    assert_eq!((measures.detection_ms, measures.recovery_ms, measures.back_ms), (Some(80), Some(400), Some(900)));
    assert_eq!((measures.records_lost, measures.records_reprocessed), (Some(0), None));
}

#[test]
fn continuing_from_an_older_checkpoint_is_not_lossless() {
    let mut timeline = timeline(Drill::TaskManagerKill);
    all_well(&mut timeline);
    described(&mut timeline, 1_000, restored_from(job(4, "4-2", TM_2, 5, 3), 3));
    assert_eq!(timeline.measures().records_lost, None, "checkpoint 4 had been completed");
}

#[test]
fn after_a_transfer_no_process_must_come_back_and_a_job_without_restart_reads_nothing_twice() {
    let mut timeline = timeline(Drill::LeaderTransfer);
    all_well(&mut timeline);
    health(&mut timeline, 700, "jm-1", None, (5, Some("jm-3")));
    health(&mut timeline, 800, "jm-3", Some(5), (5, Some("jm-3")));
    described(&mut timeline, 810, job(5, "4-1", TM_1, 600, 4));
    described(&mut timeline, 900, job(5, "4-1", TM_1, 700, 5));
    assert!(timeline.is_over(), "{:?}", timeline.waits_for());
    let measures = timeline.measures();
    assert_eq!((measures.records_lost, measures.records_reprocessed, measures.back_ms), (Some(0), Some(0), None));
}

#[test]
fn a_failed_job_is_reported_and_a_missing_measure_is_not_zero() {
    let mut timeline = timeline(Drill::LeaderKill);
    all_well(&mut timeline);
    silence(&mut timeline, 5_000, "jm-2");
    let measures = timeline.measures();
    assert_eq!((measures.detection_ms, measures.recovery_ms, measures.first_checkpoint_ms), (None, None, None));
    assert_eq!(measures.control_plane_outage_ms, Some(4_500), "the outage has not ended");
    let mut failed = job(5, "4-1", TM_1, 1, 4);
    failed.status = JobStatus::Failed;
    described(&mut timeline, 5_100, failed);
    assert_eq!(timeline.failed_jobs(), ["counting"]);
    assert_eq!(timeline.measures().records_lost, None);
}

/// An answer of the leader that does not reach its store.
fn without_store(timeline: &mut Timeline, at: u64) {
    let answer = Health {
        status: "ok".to_owned(),
        name: "jm-1".to_owned(),
        leading: true,
        epoch: LeaderEpoch(4),
        leader: Some("jm-1".to_owned()),
        store_away: true,
        instance: String::new(),
    };
    timeline.take(Sample { at, seen: Seen::Health { from: "jm-1".to_owned(), answer: Some(answer) } });
}

/// An outage of ten seconds on etcd, with a lease of this length.
fn outage_on_etcd(lease_ms: u64) -> Timeline {
    let mut survey = survey();
    survey.bounds.as_mut().unwrap().lease_ms = Some(lease_ms);
    let steps = steps(Drill::StoreOutage, &survey, 10_000, None).unwrap();
    let mut timeline = Timeline::new(&survey, &steps[0], true);
    all_well(&mut timeline);
    timeline.ends(10_600);
    timeline
}

#[test]
fn a_store_outage_with_the_same_leader_costs_nothing() {
    let mut timeline = outage_on_etcd(30_000);
    health(&mut timeline, 700, "jm-1", Some(4), (4, Some("jm-1")));
    assert_eq!(timeline.measures().detection_ms, None);
    without_store(&mut timeline, 1_600);
    described(&mut timeline, 5_000, job(4, "4-1", TM_1, 5_000, 4));
    assert!(!timeline.has_recovered(), "the outage is not over");
    without_store(&mut timeline, 10_700);
    assert!(!timeline.has_recovered(), "the store is not known to be available again");
    health(&mut timeline, 11_000, "jm-1", Some(4), (4, Some("jm-1")));
    described(&mut timeline, 11_100, job(4, "4-1", TM_1, 9_000, 5));
    assert!(timeline.has_recovered() && !timeline.is_over());
    described(&mut timeline, 11_400, job(4, "4-1", TM_1, 9_100, 6));
    assert!(timeline.is_over(), "{:?}", timeline.waits_for());
    let measures = timeline.measures();
    assert_eq!((measures.detection_ms, measures.store_away_ms), (Some(1_000), Some(9_400)));
    assert_eq!(
        (measures.recovery_ms, measures.first_checkpoint_ms),
        (Some(500), Some(800)),
        "counted from the end of the outage"
    );
    assert_eq!((measures.records_lost, measures.records_reprocessed, measures.checkpoints_failed), (Some(0), Some(0), None));
    assert_eq!(timeline.unexpected(), Vec::<String>::new());
}

#[test]
fn answers_of_a_former_leader_do_not_count_as_recovered() {
    let mut timeline = outage_on_etcd(3_000);
    without_store(&mut timeline, 1_600);
    health(&mut timeline, 10_700, "jm-1", Some(4), (4, Some("jm-1")));
    described(&mut timeline, 10_710, job(4, "4-1", TM_1, 9_000, 4));
    assert!(timeline.has_recovered(), "as far as is known");
    health(&mut timeline, 10_800, "jm-2", None, (5, Some("jm-2")));
    assert!(!timeline.has_recovered(), "its lease had expired");
    described(&mut timeline, 10_810, job(4, "4-1", TM_1, 9_000, 5));
    assert!(!timeline.has_recovered(), "the description is from the former leader");
    health(&mut timeline, 11_000, "jm-2", Some(5), (5, Some("jm-2")));
    described(&mut timeline, 11_600, restored_from(job(5, "5-1", TM_1, 3, 4), 4));
    described(&mut timeline, 11_900, restored_from(job(5, "5-1", TM_1, 9, 5), 4));
    assert!(timeline.is_over(), "{:?}", timeline.waits_for());
    let measures = timeline.measures();
    assert_eq!((measures.recovery_ms, measures.records_lost, measures.records_reprocessed), (Some(1_000), Some(0), None));
    assert_eq!(timeline.unexpected(), Vec::<String>::new(), "this was expected");
}

#[test]
fn tasks_that_restart_although_the_lease_survived_are_reported() {
    let mut timeline = outage_on_etcd(30_000);
    without_store(&mut timeline, 1_600);
    health(&mut timeline, 11_000, "jm-2", Some(5), (5, Some("jm-2")));
    described(&mut timeline, 11_600, restored_from(job(5, "5-1", TM_1, 3, 4), 4));
    assert_eq!(timeline.unexpected().len(), 2, "{:?}", timeline.unexpected());
}

#[test]
fn an_outage_that_was_not_seen_had_no_effect_and_is_not_waited_for() {
    let mut timeline = outage_on_etcd(30_000);
    health(&mut timeline, 10_700, "jm-1", Some(4), (4, Some("jm-1")));
    described(&mut timeline, 10_800, job(4, "4-1", TM_1, 9_000, 5));
    assert!(!timeline.is_over());
    health(&mut timeline, 15_700, "jm-1", Some(4), (4, Some("jm-1")));
    assert!(timeline.is_over());
    assert!(timeline.unexpected()[0].contains("had no effect"), "{:?}", timeline.unexpected());
}

#[test]
fn on_raft_the_leader_steps_down_while_the_outage_lasts() {
    let mut timeline = timeline(Drill::StoreOutage);
    all_well(&mut timeline);
    timeline.ends(10_600);
    health(&mut timeline, 900, "jm-1", None, (4, None));
    health(&mut timeline, 5_000, "jm-2", None, (4, None));
    health(&mut timeline, 11_000, "jm-2", Some(5), (5, Some("jm-2")));
    described(&mut timeline, 11_500, restored_from(job(5, "5-1", TM_1, 3, 4), 4));
    described(&mut timeline, 11_900, restored_from(job(5, "5-1", TM_1, 9, 5), 4));
    assert!(timeline.is_over(), "{:?}", timeline.waits_for());
    let measures = timeline.measures();
    assert_eq!((measures.detection_ms, measures.store_away_ms, measures.recovery_ms), (Some(300), Some(10_100), Some(900)));
    assert_eq!(measures.control_plane_outage_ms, Some(10_500), "from its last answer as the leader");
    assert_eq!(timeline.unexpected(), Vec::<String>::new());
}

#[test]
fn checkpoints_fail_while_their_storage_is_unavailable_and_no_task_may_restart() {
    let failed = |checkpoint: u64, failed: u64, generation: &str| {
        let mut job = job(4, generation, TM_1, 9_000 + checkpoint, checkpoint);
        job.checkpoints.counts.failed = failed;
        job
    };
    let mut timeline = timeline(Drill::CheckpointStorageOutage);
    all_well(&mut timeline);
    described(&mut timeline, 590, failed(4, 2, "4-1"));
    timeline.ends(10_600);
    assert!(timeline.unexpected()[0].contains("no checkpoint failed"));
    described(&mut timeline, 1_600, failed(4, 3, "4-1"));
    described(&mut timeline, 9_600, failed(4, 9, "4-1"));
    assert!(timeline.unexpected().is_empty() && !timeline.has_recovered());
    health(&mut timeline, 10_700, "jm-1", Some(4), (4, Some("jm-1")));
    described(&mut timeline, 10_800, failed(4, 10, "4-1"));
    described(&mut timeline, 11_800, failed(12, 10, "4-1"));
    assert!(timeline.is_over(), "{:?}", timeline.waits_for());
    let measures = timeline.measures();
    assert_eq!((measures.detection_ms, measures.checkpoints_failed), (Some(1_000), Some(8)), "two had failed before");
    assert_eq!((measures.first_checkpoint_ms, measures.store_away_ms), (Some(1_200), None));
    assert_eq!(timeline.unexpected(), Vec::<String>::new());
}
