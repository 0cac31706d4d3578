//! Tables in Kafka, on clusters of real processes, judged by Kafka's own consumer.

use std::path::Path;

use weir_protocol::job_status::JobStatus;
use weir_protocol::rest::JobDescription;
use weir_servers::{KafkaCluster, ServerProcess};

use super::cluster::{Cluster, PATIENCE, until};
use super::run_with;

fn create_topic(kafka: &KafkaCluster, topic: &str, partitions: u32) {
    let (brokers, partitions) = (kafka.bootstrap_servers(), partitions.to_string());
    let arguments = ["--bootstrap-server", &brokers, "--create", "--topic", topic, "--partitions", &partitions];
    kafka.tool("org.apache.kafka.tools.TopicCommand", &arguments).expect("a topic");
}

/// Kafka's console consumer, which reads what is committed of a topic, from its beginning and for ever.
fn consumer(kafka: &KafkaCluster, topic: &str, out: &Path) -> ServerProcess {
    let brokers = kafka.bootstrap_servers();
    let arguments = ["--bootstrap-server", &brokers, "--topic", topic, "--from-beginning", "--isolation-level", "read_committed"];
    kafka.spawn_tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &arguments, out).expect("a consumer")
}

/// The complete lines of a consumer's output. Its own messages are no objects.
fn consumed(out: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(out).unwrap_or_default();
    let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
    complete.lines().filter(|line| line.starts_with('{')).map(str::to_owned).collect()
}

const ROWS: u64 = 60_000;

/// One script that fills a topic and counts its rows per second of event time into another one. One row is one millisecond. Each writer
/// has a partition of its own, in which times rise; but one writer may be far behind the other.
fn script(kafka: &KafkaCluster) -> String {
    let brokers = kafka.bootstrap_servers();
    let last = ROWS - 1;
    let table = |topic: &str| {
        format!(
            "'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}', 'format' = 'json',
             'scan.startup.mode' = 'earliest-offset', 'sink.delivery-guarantee' = 'exactly-once'"
        )
    };
    format!(
        "SET 'parallelism.default' = '2';
         SET 'execution.checkpointing.interval' = '300 ms';
         SET 'execution.checkpointing.tolerable-failed-checkpoints' = '1000';
         SET 'restart-strategy.type' = 'fixed-delay';
         SET 'restart-strategy.fixed-delay.attempts' = '1000';
         SET 'restart-strategy.fixed-delay.delay' = '50 ms';
         CREATE TABLE numbers (id BIGINT, ts TIMESTAMP(3)) WITH ('connector' = 'datagen', 'rows-per-second' = '5000',
           'number-of-rows' = '{ROWS}', 'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '{last}');
         CREATE TABLE readings (id BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ({},
           'sink.partitioner' = 'fixed');
         CREATE TABLE counts (ws TIMESTAMP(3), k BIGINT, n BIGINT, total BIGINT) WITH ({});
         INSERT INTO readings SELECT * FROM numbers;
         SET 'parallelism.default' = '1';
         INSERT INTO counts SELECT window_start, MOD(id, 5), COUNT(*), SUM(id)
           FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY window_start, window_end, MOD(id, 5);",
        table("readings"),
        table("counts")
    )
}

/// The windows that end: the last one waits for later rows.
fn expected() -> Vec<String> {
    let mut lines = Vec::new();
    for second in 0..ROWS / 1_000 - 1 {
        for key in 0..5 {
            let total: u64 = (second * 1_000..(second + 1) * 1_000).filter(|id| id % 5 == key).sum();
            lines.push(format!(r#"{{"ws":"1970-01-01 00:00:{second:02}","k":{key},"n":200,"total":{total}}}"#));
        }
    }
    lines.sort();
    lines
}

/// The job that counts.
fn counting(cluster: &Cluster) -> JobDescription {
    let jobs = cluster.runtime.block_on(cluster.client.list(PATIENCE)).expect("the jobs").jobs;
    let job = jobs.iter().find(|job| job.name.contains("counts")).expect("the job").jid;
    cluster.runtime.block_on(cluster.client.describe(job, PATIENCE)).expect("the job")
}

#[test]
fn rows_go_from_topic_to_topic_once_though_a_broker_a_leader_and_a_worker_die() {
    let mut cluster = Cluster::start(3);
    let directory = cluster.place().join("kafka");
    let mut kafka = KafkaCluster::start(3, &directory).expect("Kafka starts");
    create_topic(&kafka, "readings", 2);
    create_topic(&kafka, "counts", 3);
    let out = cluster.place().join("consumed");
    let _consumer = consumer(&kafka, "counts", &out);

    let ended = run_with(&["-f", "-", "-m", &cluster.addresses()], &script(&kafka));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let reached = |count: usize| until(&format!("{count} results"), || (consumed(&out).len() >= count).then_some(()));
    reached(20);
    kafka.kill(0);
    reached(60);
    let leader = cluster.leader();
    cluster.processes.kill(&leader).expect("it is killed");
    until("another leader", || (cluster.leader() != leader).then_some(()));
    until("it runs under the new leader", || (counting(&cluster).status == JobStatus::Running).then_some(()));
    let before = counting(&cluster).restarts;
    kafka.restart(0).expect("it starts again");
    cluster.processes.restart("tm-1").expect("it starts again");
    until("it restarts", || (counting(&cluster).restarts > before).then_some(()));
    reached(140);
    kafka.await_serving(0).expect("it serves");
    kafka.kill(1);
    reached(expected().len());

    assert_eq!(counting(&cluster).status, JobStatus::Running);
    let mut lines = consumed(&out);
    lines.sort();
    assert_eq!(lines, expected());
}
