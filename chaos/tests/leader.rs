//! The leading JobManager is killed, is paused, or loses its disk. The job is not affected.

#![allow(clippy::print_stdout, reason = "a test harness captures only what the macro prints")]

use std::time::Duration;

use weir_chaos::cluster::{ClusterUnderTest, newest_checkpoint};
use weir_chaos::workload::CountingJob;
use weir_local::Coordination;

fn leaders_killed_in_a_row(coordination: Coordination, kills: u64) {
    let mut test = ClusterUnderTest::start_on(coordination);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let (mut leader, mut epoch) = test.await_leader_after(0);
    let mut epochs = vec![epoch];
    for _ in 0..kills {
        let before = test.describe(id).map_or(0, |job| newest_checkpoint(&job));
        test.cluster.kill(&leader).expect("the leader runs");
        let dead = leader;
        (leader, epoch) = test.await_leader_after(epoch);
        assert_ne!(leader, dead, "a killed JobManager can't lead");
        epochs.push(epoch);
        test.cluster.restart(&dead).expect("it starts again");
        let after = test.await_progress(id, before);
        assert!(!after.status.is_globally_terminal(), "{:?}", after.status);
    }
    assert!(epochs.is_sorted_by(|one, next| one < next), "E1: {epochs:?}");
    println!("epochs: {epochs:?}");
    println!("{:?}", test.finish(id, &job));
}

#[test]
fn twenty_leaders_killed_in_a_row_under_load_lose_and_duplicate_nothing() {
    leaders_killed_in_a_row(Coordination::Raft, 20);
}

#[test]
fn leaders_killed_in_a_row_on_etcd_lose_and_duplicate_nothing() {
    leaders_killed_in_a_row(Coordination::Etcd, 3);
}

#[test]
fn leaders_killed_in_a_row_on_zookeeper_lose_and_duplicate_nothing() {
    leaders_killed_in_a_row(Coordination::ZooKeeper, 3);
}

#[test]
fn all_jobmanagers_killed_at_once_come_back_and_the_job_continues() {
    let mut test = ClusterUnderTest::start(&[]);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let (_, epoch) = test.await_leader_after(0);
    let before = test.describe(id).map_or(0, |job| newest_checkpoint(&job));
    for name in test.cluster.jobmanager_names() {
        test.cluster.kill(&name).unwrap();
    }
    assert_eq!(test.describe(id), None, "the fault took effect: no JobManager answers");
    for name in test.cluster.jobmanager_names() {
        test.cluster.restart(&name).unwrap();
    }
    let (_, later) = test.await_leader_after(epoch);
    assert!(later > epoch, "E1 holds across a restart of the whole group");
    test.await_progress(id, before);
    test.finish(id, &job);
}

fn a_paused_leader_wakes_up(coordination: Coordination) {
    let mut test = ClusterUnderTest::start_on(coordination);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let (leader, epoch) = test.await_leader_after(0);
    let before = test.describe(id).map_or(0, |job| newest_checkpoint(&job));
    test.cluster.pause(&leader).expect("the leader runs");
    let (successor, later) = test.await_leader_after(epoch);
    assert_ne!(successor, leader);
    test.await_progress(id, before);
    test.cluster.resume(&leader).expect("it still exists");
    // The store refuses what the woken leader still tries to write, and the leader logs this. Then it knows that it is
    // superseded.
    let refusal = test.until("a write of the woken leader is refused, or it steps down", || {
        let log = test.log_of(&leader);
        let told = log.lines().find(|line| line.contains("superseded") || line.contains("leadership revoked"));
        told.map(str::to_owned)
    });
    println!("the woken leader logged: {refusal}");
    test.until("the woken leader follows its successor", || test.ha_as_seen_by(&leader).filter(|ha| ha.epoch.0 >= later));
    let (still, same) = test.leader().expect("a leader");
    assert_eq!((still, same), (successor, later), "waking up changes no leader");
    test.finish(id, &job);
}

#[test]
fn a_paused_leader_that_wakes_up_is_refused_and_never_disturbs_its_job() {
    a_paused_leader_wakes_up(Coordination::Raft);
}

#[test]
fn a_leader_paused_beyond_its_lease_in_etcd_is_refused_when_it_wakes_up() {
    a_paused_leader_wakes_up(Coordination::Etcd);
}

#[test]
fn a_leader_paused_beyond_its_session_with_zookeeper_is_refused_when_it_wakes_up() {
    a_paused_leader_wakes_up(Coordination::ZooKeeper);
}

#[test]
fn a_wiped_jobmanager_rejoins_and_can_lead() {
    let mut test = ClusterUnderTest::start(&[]);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let (leader, mut epoch) = test.await_leader_after(0);
    let wiped = test.cluster.jobmanager_names().into_iter().find(|name| *name != leader).unwrap();
    test.cluster.kill(&wiped).unwrap();
    std::fs::remove_dir_all(test.cluster.raft_directory(&wiped)).unwrap();
    test.cluster.restart(&wiped).unwrap();
    // It comes back as a new member (decision 0006), and counts only after the group has admitted it.
    test.until("the wiped member votes", || test.log_of(&wiped).contains("this member is a voter now").then_some(()));
    // Only the wiped member and one other are alive. They can elect a leader only if the wiped member has got back what it lost.
    let before = test.describe(id).map_or(0, |job| newest_checkpoint(&job));
    test.cluster.kill(&leader).unwrap();
    (_, epoch) = test.await_leader_after(epoch);
    test.await_progress(id, before);
    assert!(epoch > 0);
    test.finish(id, &job);
}

#[test]
fn a_leader_asked_to_stop_hands_over_first() {
    let mut test = ClusterUnderTest::start(&[]);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let (leader, epoch) = test.await_leader_after(0);
    let before = test.describe(id).map_or(0, |job| newest_checkpoint(&job));
    let status = test.cluster.process(&leader).unwrap().stop(Duration::from_secs(20)).unwrap();
    assert!(status.is_some_and(|status| status.success()), "SIGTERM ends a JobManager in order: {status:?}");
    let (successor, _) = test.await_leader_after(epoch);
    assert_ne!(successor, leader);
    test.await_progress(id, before);
    test.finish(id, &job);
}

#[test]
fn a_flood_of_requests_costs_no_leadership() {
    let test = ClusterUnderTest::start(&[]);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let (leader, epoch) = test.await_leader_after(0);
    let address = test.cluster.rest_address(&leader).unwrap();
    let flood: Vec<_> = (0..8)
        .map(|_| {
            let url = format!("http://{address}/jobs/{id}");
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let client = reqwest::Client::new();
                    let mut answered = 0;
                    for _ in 0..300 {
                        answered += u32::from(client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()));
                    }
                    answered
                })
            })
        })
        .collect();
    let answered: u32 = flood.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(answered > 1_000, "the fault took effect: {answered} requests were answered");
    assert_eq!(test.leader(), Some((leader, epoch)));
    test.finish(id, &job);
}
