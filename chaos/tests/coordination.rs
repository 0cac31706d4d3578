//! Failover and outages with each external coordination system: the guarantees are those of the embedded group.

use std::time::Duration;

use weir::local::Coordination;
use weir_chaos::cluster::{ClusterUnderTest, newest_checkpoint};
use weir_chaos::workload::CountingJob;
use weir_protocol::rest::JobDescription;

/// Sessions and leases as short as the stores' defaults allow, so that the tests take seconds.
const SHORT: [&str; 2] = ["high-availability.etcd.lease-ttl=2 s", "high-availability.zookeeper.client.session-timeout=2 s"];

fn start(coordination: Coordination) -> ClusterUnderTest {
    ClusterUnderTest::start_with(|options| {
        options.coordination = coordination;
        options.settings.extend(SHORT.map(str::to_owned));
    })
}

/// Which attempts the job's tasks are.
fn attempts(job: &JobDescription) -> Vec<Option<String>> {
    let subtasks = job.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    subtasks.map(|subtask| subtask.generation.clone()).collect()
}

fn leaders_killed_in_a_row(coordination: Coordination) {
    const KILLS: u64 = 3;
    let mut test = start(coordination);
    let job = CountingJob::lasting(12 * KILLS);
    let id = test.submit(&job);
    let (mut leader, mut epoch) = test.await_leader_after(0);
    for _ in 0..KILLS {
        let before = test.describe(id).map_or(0, |job| newest_checkpoint(&job));
        test.cluster.kill(&leader).expect("the leader runs");
        let dead = leader;
        (leader, epoch) = test.await_leader_after(epoch);
        assert_ne!(leader, dead, "the dead can't lead");
        test.cluster.restart(&dead).expect("it starts again");
        let after = test.await_progress(id, before);
        assert!(!after.status.is_globally_terminal(), "the job must outlast the kills, or they prove nothing");
    }
    test.finish(id, &job);
}

fn an_outage_of_the_store(coordination: Coordination) {
    let mut test = start(coordination);
    let job = CountingJob::lasting(30);
    let id = test.submit(&job);
    let (leader, epoch) = test.await_leader_after(0);
    let before = test.describe(id).expect("the leader answers");

    test.cluster.kill_coordination();
    test.until("the leader knows that the store is away", || (!test.ha_as_seen_by(&leader)?.has_quorum).then_some(()));
    let refused = test.try_submit(&CountingJob::lasting(1), Duration::from_secs(3));
    assert!(refused.is_err(), "nothing is acknowledged that is not durable: {refused:?}");
    let held = test.describe(id).expect("the leader still answers");
    assert_eq!(attempts(&held), attempts(&before), "no task restarts because the store is away");

    test.cluster.restart_coordination().expect("the store comes back");
    let after = test.await_progress(id, newest_checkpoint(&held));
    assert_eq!(test.await_leader_after(epoch - 1), (leader, epoch), "the leader goes on under its epoch");
    assert_eq!(attempts(&after), attempts(&before), "no task has restarted");
    test.finish(id, &job);
}

#[test]
fn leaders_killed_in_a_row_on_etcd_lose_and_double_nothing() {
    leaders_killed_in_a_row(Coordination::Etcd);
}

#[test]
fn leaders_killed_in_a_row_on_zookeeper_lose_and_double_nothing() {
    leaders_killed_in_a_row(Coordination::ZooKeeper);
}

#[test]
fn tasks_run_through_an_outage_of_etcd() {
    an_outage_of_the_store(Coordination::Etcd);
}

#[test]
fn tasks_run_through_an_outage_of_zookeeper() {
    an_outage_of_the_store(Coordination::ZooKeeper);
}
