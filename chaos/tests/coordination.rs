//! An external coordination system is unavailable, for a long time or many times. The jobs are not affected.

use std::time::{Duration, Instant};

use weir_chaos::cluster::{ClusterUnderTest, PATIENCE, attempts, newest_checkpoint};
use weir_chaos::workload::CountingJob;
use weir_client::ClientError;
use weir_local::{Coordination, Fault};
use weir_protocol::rest::HaResponse;

fn away(ha: HaResponse) -> bool {
    ha.store_away_since_ms.is_some()
}

fn an_outage_of_the_store(coordination: Coordination) {
    let mut test = ClusterUnderTest::start_on(coordination);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let (leader, epoch) = test.await_leader_after(0);
    let before = test.describe(id).expect("the leader answers");

    test.cluster.kill_coordination();
    test.until("the leader knows that the store is unavailable", || away(test.ha_as_seen_by(&leader)?).then_some(()));
    assert_eq!(test.metric(&leader, "weir_ha_store_away"), 1.0);
    // The client gets its answer at once, however long it is ready to wait.
    let refused = test.try_submit(&CountingJob::endless(), PATIENCE);
    assert!(matches!(&refused, Err(ClientError::StoreAway { uncertain: None, .. })), "the client does not wait: {refused:?}");
    let held = test.await_job(id, "a checkpoint is taken and held", |job| job.checkpoints.counts.in_progress == 1);
    assert!(held.reason.as_deref().is_some_and(|reason| reason.starts_with("HA-STORE-AWAY")), "{:?}", held.reason);
    assert_eq!(attempts(&held), attempts(&before), "no task restarts because the store is unavailable");

    test.cluster.restart_coordination().expect("the store comes back");
    let after = test.await_progress(id, newest_checkpoint(&held) + 1);
    assert_eq!(test.await_leader_after(epoch - 1), (leader.clone(), epoch), "the leader keeps its epoch");
    assert_eq!((attempts(&after), after.restarts), (attempts(&before), before.restarts), "no task has restarted");
    assert_eq!(after.checkpoints.counts.failed, before.checkpoints.counts.failed, "no checkpoint was lost");
    let counts = &after.checkpoints.counts;
    assert!(
        counts.completed > held.checkpoints.counts.completed + 1,
        "the held checkpoint and another one are complete: {counts:?}"
    );
    test.until("the leader knows that the store is available again", || (!away(test.ha_as_seen_by(&leader)?)).then_some(()));
    test.finish(id, &job);
}

fn twenty_interruptions(coordination: Coordination) {
    const INTERRUPTIONS: u64 = 20;
    let test = ClusterUnderTest::start_with(|options| {
        options.coordination = coordination;
        options.interruptible = true;
        // An interruption of a second is much shorter than these sessions.
        let sessions = ["etcd.lease-ttl=10 s", "zookeeper.client.session-timeout=10 s"];
        options.settings.extend(sessions.map(|setting| format!("high-availability.{setting}")));
    });
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let (leader, epoch) = test.await_leader_after(0);
    let before = test.describe(id).expect("the leader answers");
    for _ in 0..INTERRUPTIONS {
        test.cluster.interrupt_coordination(Fault::Reset);
        let started = Instant::now();
        test.until("the interruption takes effect", || away(test.ha_as_seen_by(&leader)?).then_some(()));
        std::thread::sleep(Duration::from_secs(1).saturating_sub(started.elapsed()));
        test.cluster.interrupt_coordination(Fault::None);
        test.until("the store is available again", || (!away(test.ha_as_seen_by(&leader)?)).then_some(()));
    }
    let outages = test.metric(&leader, "weir_ha_store_outages_total");
    assert!(outages >= INTERRUPTIONS as f64, "the interruptions took effect: {outages}");
    let after = test.await_progress(id, test.describe(id).map_or(0, |job| newest_checkpoint(&job)));
    assert!(!after.status.is_globally_terminal(), "{:?}", after.status);
    assert_eq!((attempts(&after), after.restarts), (attempts(&before), before.restarts), "no task has restarted");
    assert_eq!(after.checkpoints.counts.failed, before.checkpoints.counts.failed, "no checkpoint was lost");
    assert_eq!(test.await_leader_after(epoch - 1), (leader, epoch), "no leadership has changed");
    test.finish(id, &job);
}

#[test]
fn tasks_run_through_an_outage_of_etcd() {
    an_outage_of_the_store(Coordination::Etcd);
}

#[test]
fn tasks_run_through_an_outage_of_zookeeper() {
    an_outage_of_the_store(Coordination::ZooKeeper);
}

#[test]
fn twenty_interruptions_of_etcd_restart_no_task_and_change_no_leader() {
    twenty_interruptions(Coordination::Etcd);
}

#[test]
fn twenty_interruptions_of_zookeeper_restart_no_task_and_change_no_leader() {
    twenty_interruptions(Coordination::ZooKeeper);
}
