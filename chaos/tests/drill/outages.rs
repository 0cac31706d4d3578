//! Drills with outages: the coordination store or checkpoint storage is unavailable, because of agents or of commands.

use weir_client::ClientError;
use weir_protocol::rest::JobDescription;

use super::*;

const STORE: &str = "the coordination store";
const STORAGE: &str = "checkpoint storage";

fn failed_checkpoints(job: &JobDescription) -> u64 {
    job.checkpoints.counts.failed
}

/// Whether the former leader reports that its store is unavailable or, on raft, that it reaches no quorum.
fn is_cut_off(test: &ClusterUnderTest, leader: &str) -> Option<()> {
    let ha = test.ha_as_seen_by(leader)?;
    (!ha.has_quorum || ha.store_away_since_ms.is_some()).then_some(())
}

fn start(test: &ClusterUnderTest, arguments: &[&str]) -> Running {
    Running::start(&test.cluster.rest_addresses().join(","), test.directory(), arguments)
}

/// A cluster with agents on this store, with leases and sessions of this length.
fn cluster_on(coordination: Coordination, lease: &str) -> ClusterUnderTest {
    ClusterUnderTest::start_with(|options| {
        options.coordination = coordination;
        let lease = ["etcd.lease-ttl", "zookeeper.client.session-timeout"].map(|key| format!("high-availability.{key}={lease}"));
        options.settings.extend(lease);
        options.settings.push(AGENT.to_owned());
    })
}

fn an_outage_within_the_lease(coordination: Coordination) {
    let test = cluster_on(coordination, "15 s");
    let job = CountingJob::endless();
    let id = submit_without_restarts(&test, &job);
    let (leader, epoch) = await_redundancy(&test);
    let before = test.describe(id).expect("the leader answers");
    let running = start(&test, &["store-outage", "--duration", "5 s", "--rto", "60 s"]);
    test.until("the leader does not reach the store", || is_cut_off(&test, &leader));
    let refused = test.try_submit(&CountingJob::endless(), PATIENCE);
    assert!(matches!(&refused, Err(ClientError::StoreAway { uncertain: None, .. })), "the client does not wait: {refused:?}");
    let result = running.end(|| ()).passed();
    assert_eq!(result.victims, [STORE]);
    let measures = result.measures;
    assert!(measures.store_away_ms > Some(2_000) && measures.detection_ms.is_some(), "{measures:?}");
    assert!(measures.recovery_ms.is_some() && measures.first_checkpoint_ms.is_some(), "{measures:?}");
    assert_eq!((measures.records_lost, measures.records_reprocessed), (Some(0), Some(0)), "{measures:?}");
    let after = test.describe(id).expect("the leader answers");
    assert_eq!((attempts(&after), after.restarts), (attempts(&before), before.restarts), "no task has restarted");
    assert_eq!(failed_checkpoints(&after), failed_checkpoints(&before), "no checkpoint was lost");
    assert_eq!(test.leader(), Some((leader, epoch)));
    test.finish(id, &job);
}

#[test]
fn an_outage_of_etcd_within_the_lease_costs_nothing() {
    an_outage_within_the_lease(Coordination::Etcd);
}

#[test]
fn an_outage_of_zookeeper_within_the_session_costs_nothing() {
    an_outage_within_the_lease(Coordination::ZooKeeper);
}

fn an_outage_beyond_the_lease(coordination: Coordination) {
    let test = cluster_on(coordination, "2 s");
    let job = CountingJob::endless();
    let id = submit_without_restarts(&test, &job);
    let (_, epoch) = await_redundancy(&test);
    let result = drill_undisturbed(&test, &["store-outage", "--duration", "6 s"]).passed();
    assert!(result.measures.store_away_ms > Some(3_000), "{:?}", result.measures);
    let (_, newer) = test.await_leader_after(epoch);
    assert!(newer > epoch, "the lease expired, because renewals did not get through either");
    test.finish(id, &job);
}

#[test]
fn an_outage_of_etcd_beyond_the_lease_changes_the_leader_and_spends_no_restart() {
    an_outage_beyond_the_lease(Coordination::Etcd);
}

#[test]
fn an_outage_of_zookeeper_beyond_the_session_changes_the_leader_and_spends_no_restart() {
    an_outage_beyond_the_lease(Coordination::ZooKeeper);
}

/// Runs a drill that ends no process, so that nothing must be restarted.
fn drill_undisturbed(test: &ClusterUnderTest, arguments: &[&str]) -> Drilled {
    start(test, arguments).end(|| ())
}

#[test]
fn on_raft_there_is_no_leader_while_the_members_are_apart_and_one_afterwards() {
    let test = ClusterUnderTest::start(&[AGENT]);
    let job = CountingJob::endless();
    let id = submit_without_restarts(&test, &job);
    let (leader, epoch) = await_redundancy(&test);
    let before = test.describe(id).expect("the leader answers");
    let dry = drill_undisturbed(&test, &["store-outage", "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{}", dry.told);
    assert!(dry.said.contains("every JobManager for 10000 ms"), "{}", dry.said);
    assert_eq!(attempts(&test.describe(id).expect("the leader answers")), attempts(&before), "a dry run touches nothing");
    let running = start(&test, &["store-outage", "--duration", "5 s", "--rto", "60 s"]);
    test.until("the leader does not reach the others", || is_cut_off(&test, &leader));
    assert_eq!(test.describe(id), None, "there is no leader");
    let result = running.end(|| ()).passed();
    assert_eq!(result.victims, [STORE]);
    let measures = result.measures;
    assert!(measures.store_away_ms > Some(3_000) && measures.control_plane_outage_ms > Some(3_000), "{measures:?}");
    assert_eq!(measures.records_lost, Some(0), "{measures:?}");
    test.await_leader_after(epoch);
    test.finish(id, &job);
}

#[test]
fn checkpoints_fail_while_their_storage_is_unavailable_and_no_task_restarts() {
    let test = ClusterUnderTest::start(&[AGENT]);
    let job = CountingJob::endless();
    let id = submit_without_restarts(&test, &job);
    let (leader, epoch) = await_redundancy(&test);
    let before = test.describe(id).expect("the leader answers");
    let result = drill_undisturbed(&test, &["checkpoint-storage-outage", "--duration", "4 s", "--rto", "60 s"]).passed();
    assert_eq!(result.victims, [STORAGE]);
    let measures = result.measures;
    assert!(measures.checkpoints_failed > Some(0) && measures.first_checkpoint_ms.is_some(), "{measures:?}");
    assert_eq!((measures.records_lost, measures.records_reprocessed), (Some(0), Some(0)), "{measures:?}");
    let after = test.describe(id).expect("the leader answers");
    assert!(failed_checkpoints(&after) > failed_checkpoints(&before), "the fault took effect");
    assert_eq!((attempts(&after), after.restarts), (attempts(&before), before.restarts), "no task has restarted");
    assert_eq!(test.leader(), Some((leader, epoch)));
    let shown = weir(&["ha", "history", "-m", &test.cluster.rest_addresses().join(",")]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("checkpoint-storage-outage"));

    // A job that tolerates no failed checkpoint would restart, with nothing to restore from.
    let mut strict = CountingJob::endless().graph(&test.directory().join("strict")).expect("the workload is a job graph");
    strict.name = "strict".to_owned();
    strict.checkpointing.as_mut().expect("it takes checkpoints").tolerable_failures = 0;
    let strict = test.submit_graph(&strict);
    test.await_job(strict, "it runs and has a checkpoint", |job| all_running(job) && newest_checkpoint(job) > 0);
    let refused = drill_undisturbed(&test, &["checkpoint-storage-outage", "--duration", "4 s"]);
    assert_eq!(refused.code, Some(6), "{}", refused.told);
    assert!(
        refused.told.contains("job strict tolerates the failed checkpoints") && refused.told.contains("0 are tolerable"),
        "{}",
        refused.told
    );
    assert_eq!(test.describe(strict).map(|job| failed_checkpoints(&job)), Some(0), "nothing was touched");
    test.finish(id, &job);
}

#[test]
fn an_interrupted_outage_ends_at_once_and_an_outage_without_its_drill_ends_by_itself() {
    let test = ClusterUnderTest::start(&[AGENT]);
    let job = CountingJob::endless();
    let id = submit_without_restarts(&test, &job);
    await_redundancy(&test);
    let before = failed_checkpoints(&test.describe(id).expect("the leader answers"));
    let running = start(&test, &["checkpoint-storage-outage", "--duration", "290 s"]);
    test.await_job(id, "the fault takes effect", |job| failed_checkpoints(job) > before);
    kill(Pid::from_raw(running.child.id() as i32), Signal::SIGINT).expect("Ctrl-C");
    let broken_off = running.end(|| ());
    assert_eq!(broken_off.code, Some(1), "{}", broken_off.told);
    let told = &broken_off.told;
    assert!(told.contains("DRILL-INTERRUPTED") && told.contains("nothing is left broken"), "{told}");
    let newest = newest_checkpoint(&test.describe(id).expect("the leader answers"));
    test.await_progress(id, newest);

    let (leader, epoch) = await_redundancy(&test);
    let mut lost = start(&test, &["store-outage", "--duration", "6 s"]);
    test.until("the leader does not reach the others", || is_cut_off(&test, &leader));
    lost.child.kill().expect("it runs");
    drop(lost);
    test.await_leader_after(epoch);
    test.finish(id, &job);
}

/// Does what the commands of a drill ask for. Requests and their completion are files.
fn serve_commands(test: &mut ClusterUnderTest, seen: &mut usize) {
    let asked = |name: &str| test.directory().join(name).exists();
    if *seen == 0 && asked("break") {
        test.cluster.kill_coordination();
        std::fs::write(test.directory().join("broken"), "").expect("a file");
        *seen = 1;
    } else if *seen == 1 && asked("mend") {
        test.cluster.restart_coordination().expect("the store starts again");
        std::fs::write(test.directory().join("mended"), "").expect("a file");
        *seen = 2;
    }
}

#[test]
fn without_agents_an_outage_is_refused_and_two_commands_can_cause_it_and_end_it() {
    let mut test = ClusterUnderTest::start_with(|options| {
        options.coordination = Coordination::Etcd;
        options.settings.push("high-availability.etcd.lease-ttl=15 s".to_owned());
    });
    let job = CountingJob::endless();
    let id = submit_without_restarts(&test, &job);
    let (leader, epoch) = await_redundancy(&test);
    let before = attempts(&test.describe(id).expect("the leader answers"));
    for drill in ["store-outage", "checkpoint-storage-outage"] {
        let refused = drill_undisturbed(&test, &[drill]);
        assert_eq!(refused.code, Some(6), "{}", refused.told);
        assert!(refused.told.contains("DRILL-AGENT-OFF") && refused.told.contains("--break-command"), "{}", refused.told);
    }
    let half = drill_undisturbed(&test, &["store-outage", "--break-command", "true"]);
    assert_eq!(half.code, Some(2), "{}", half.told);
    let ineffective = ["store-outage", "--duration", "1 s", "--break-command", "true", "--mend-command", "true"];
    let ineffective = drill_undisturbed(&test, &ineffective);
    assert_eq!(ineffective.code, Some(1), "{}", ineffective.told);
    assert!(ineffective.told.contains("the fault had no effect"), "{}", ineffective.told);

    let place = test.directory().display().to_string();
    let handshake = |ask: &str, done: &str| format!("touch {place}/{ask}; while [ ! -e {place}/{done} ]; do sleep 0.05; done");
    let (break_command, mend_command) = (handshake("break", "broken"), handshake("mend", "mended"));
    let commands = ["--break-command", &break_command, "--mend-command", &mend_command];
    let running = start(&test, &[&["store-outage", "--duration", "5 s"], &commands[..]].concat());
    let mut seen = 0;
    let result = running.end(|| serve_commands(&mut test, &mut seen)).passed();
    assert!(result.measures.store_away_ms > Some(2_000), "{:?}", result.measures);
    assert_eq!(test.leader(), Some((leader, epoch)), "etcd extends all leases when it starts");
    assert_eq!(attempts(&test.describe(id).expect("the leader answers")), before);

    // If the drill is interrupted, it ends the outage before it exits.
    let left = test.directory().join("left");
    let (break_command, mend_command) = (format!("touch {}", left.display()), format!("rm {}", left.display()));
    let commands = ["--break-command", &break_command, "--mend-command", &mend_command];
    let running = start(&test, &[&["store-outage", "--duration", "290 s"], &commands[..]].concat());
    test.until("the break command has run", || left.exists().then_some(()));
    kill(Pid::from_raw(running.child.id() as i32), Signal::SIGINT).expect("Ctrl-C");
    let broken_off = running.end(|| ());
    assert_eq!(broken_off.code, Some(1), "{}", broken_off.told);
    assert!(broken_off.told.contains("nothing is left broken") && !left.exists(), "{}", broken_off.told);
    test.finish(id, &job);
}
