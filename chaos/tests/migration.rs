//! A cluster changes its coordination system while its tasks run.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use weir_chaos::cluster::{ClusterUnderTest, newest_checkpoint, weir_binary};
use weir_chaos::workload::CountingJob;
use weir_local::Coordination;

/// A process that is killed when the value is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn write_config(directory: &Path, name: &str, settings: &[String]) -> PathBuf {
    let file = directory.join(name);
    let line = |setting: &String| setting.split_once('=').map(|(key, value)| format!("{key}: \"{value}\"\n"));
    std::fs::write(&file, settings.iter().filter_map(line).collect::<String>()).expect("the file is written");
    file
}

fn migrate(from: &Path, to: &Path) -> Output {
    let mut command = Command::new(weir_binary());
    command.args(["ha", "migrate", "--from"]).arg(from).arg("--to").arg(to).output().expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn tasks_continue_while_the_cluster_moves_from_raft_to_etcd_and_the_old_configuration_can_not_lead() {
    let mut test = ClusterUnderTest::start(&[]);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let (_, epoch) = test.await_leader_after(0);
    test.cluster.stop_jobmanagers().expect("they stop");

    let config =
        |test: &ClusterUnderTest, name: &str, file: &str| write_config(test.directory(), file, &test.cluster.settings(name));
    let [old, old_2, old_3] = ["jm-1", "jm-2", "jm-3"].map(|name| config(&test, name, &format!("old-{name}.yaml")));
    test.cluster.set_coordination(Coordination::Etcd).expect("etcd starts");
    let new = config(&test, "jm-1", "new.yaml");

    let members = [old_2, old_3].map(|file| {
        let mut command = Command::new(weir_binary());
        Running(command.args(["ha", "member", "-c"]).arg(file).stderr(Stdio::null()).spawn().expect("it starts"))
    });
    let output = migrate(&old, &new);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let again = migrate(&old, &new);
    assert!(again.status.success() && text(&again.stdout).contains("moved before"), "{again:?}");

    let refused = Command::new(weir_binary()).args(["jobmanager", "-c"]).arg(&old).output().expect("the command runs");
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("HA-MIGRATED"), "E10: {}", text(&refused.stderr));
    drop(members);

    for name in test.cluster.jobmanager_names() {
        test.cluster.restart(&name).expect("it starts");
    }
    let (_, newer) = test.await_leader_after(epoch);
    assert!(newer > epoch, "E1: {newer} after {epoch}");
    let found = test.until("the job is known to the new leader", || test.describe(id));
    let after = test.await_progress(id, newest_checkpoint(&found));
    assert!(!after.status.is_globally_terminal(), "{:?}", after.status);
    test.finish(id, &job);
}
