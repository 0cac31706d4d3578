//! A TaskManager is killed or paused. The job continues elsewhere, or waits and says why.

use weir_chaos::cluster::{ClusterUnderTest, newest_checkpoint};
use weir_chaos::workload::CountingJob;
use weir_local::Coordination;
use weir_protocol::JobId;
use weir_protocol::job_status::JobStatus;

/// Name of a TaskManager that runs a task of the job.
fn host_of(test: &ClusterUnderTest, job: JobId) -> String {
    let description = test.describe(job).expect("the job is known");
    let subtasks = description.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    let host = subtasks.filter_map(|subtask| subtask.task_manager.clone()).next().expect("a task runs somewhere");
    test.cluster.taskmanager_names().into_iter().find(|name| host.0.starts_with(name.as_str())).expect("it is one of ours")
}

fn a_taskmanager_is_killed(coordination: Coordination) {
    let mut test = ClusterUnderTest::start_on(coordination);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let victim = host_of(&test, id);
    let before = test.describe(id).expect("the leader answers");
    test.cluster.kill(&victim).expect("it runs");
    let after = test.await_job(id, "the job restarts", |job| job.restarts > before.restarts);
    assert!(after.restarts > before.restarts, "the fault took effect");
    let again = test.await_progress(id, newest_checkpoint(&before));
    let hosts = again.vertices.iter().flat_map(|vertex| &vertex.subtasks).filter_map(|subtask| subtask.task_manager.clone());
    assert!(hosts.into_iter().all(|host| !host.0.starts_with(&victim)), "nothing runs on the killed TaskManager");
    assert!(again.checkpoints.latest_restored.is_some(), "the job continued from a checkpoint");
    test.finish(id, &job);
}

#[test]
fn a_killed_taskmanagers_tasks_run_elsewhere_from_the_newest_checkpoint() {
    a_taskmanager_is_killed(Coordination::Raft);
}

#[test]
fn a_taskmanager_killed_under_etcd_is_replaced_from_the_newest_checkpoint() {
    a_taskmanager_is_killed(Coordination::Etcd);
}

#[test]
fn a_taskmanager_killed_under_zookeeper_is_replaced_from_the_newest_checkpoint() {
    a_taskmanager_is_killed(Coordination::ZooKeeper);
}

#[test]
fn without_enough_slots_the_job_waits_says_why_and_continues_when_a_taskmanager_comes() {
    let mut test = ClusterUnderTest::start_with(|options| options.slots = 1);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let victim = host_of(&test, id);
    let before = test.describe(id).map_or(0, |job| newest_checkpoint(&job));
    test.cluster.kill(&victim).unwrap();
    let waiting = test.await_job(id, "the job waits for slots", |job| {
        job.status != JobStatus::Running && job.reason.as_deref().is_some_and(|reason| reason.contains("slot"))
    });
    println!("the job says: {}", waiting.reason.unwrap_or_default());
    test.cluster.restart(&victim).unwrap();
    test.await_progress(id, before);
    test.finish(id, &job);
}

#[test]
fn a_paused_taskmanager_is_replaced_and_changes_nothing_after_it_resumes() {
    let mut test = ClusterUnderTest::start(&[]);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let victim = host_of(&test, id);
    let before = test.describe(id).unwrap();
    test.cluster.pause(&victim).unwrap();
    test.await_job(id, "the job restarts", |job| job.restarts > before.restarts);
    test.await_progress(id, newest_checkpoint(&before));
    test.cluster.resume(&victim).unwrap();
    test.finish(id, &job);
}
