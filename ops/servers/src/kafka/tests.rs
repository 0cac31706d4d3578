use super::*;

fn directory(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("weir-kafka-{name}-{}", std::process::id()))
}

#[test]
fn a_cluster_survives_the_death_of_a_node() {
    let directory = directory("cluster");
    let mut cluster = KafkaCluster::start(3, &directory).expect("starts");
    cluster.kill(0);
    assert!(!cluster.answers(0));
    assert!(cluster.answers(1) && cluster.answers(2));
    cluster.restart(0).expect("starts again");
    cluster.await_serving(0).expect("serves");
    assert!(cluster.answers(0));
    drop(cluster);
    std::fs::remove_dir_all(&directory).expect("is removed");
}

#[test]
fn a_node_can_be_paused_and_stopped_and_takes_more_properties() {
    let directory = directory("node");
    // A second listener: without its place in the map, the node would not start.
    let properties = [
        "listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port},MORE://127.0.0.1:{secure_port}",
        "listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,MORE:PLAINTEXT",
    ];
    let options = KafkaOptions { properties: properties.map(str::to_owned).to_vec(), ..KafkaOptions::default() };
    let mut cluster = KafkaCluster::start_with(1, &directory, options).expect("starts");
    assert!(api_versions::answers(cluster.secure_addresses()[0]));
    cluster.pause(0);
    assert!(!cluster.answers(0));
    cluster.resume(0);
    cluster.await_serving(0).expect("serves");
    cluster.stop(0);
    assert!(!cluster.answers(0));
    cluster.restart(0).expect("starts again");
    cluster.await_serving(0).expect("serves");
    drop(cluster);
    std::fs::remove_dir_all(&directory).expect("is removed");
}

/// Another version must not be tested unnoticed. Also shows that a tool runs.
#[test]
fn the_version_is_the_one_that_the_documentation_names() {
    let directory = directory("version");
    let cluster = KafkaCluster::start(1, &directory).expect("starts");
    let version = cluster.tool("org.apache.kafka.tools.TopicCommand", &["--version"]).expect("runs");
    assert!(version.starts_with("4.4.0"), "{version}");
    let topics =
        cluster.tool("org.apache.kafka.tools.TopicCommand", &["--list", "--bootstrap-server", &cluster.bootstrap_servers()]);
    assert_eq!(topics.expect("runs").trim(), "");
    drop(cluster);
    std::fs::remove_dir_all(&directory).expect("is removed");
}
