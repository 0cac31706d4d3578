//! Tables in Kafka, on clusters of real processes, judged by Kafka's own consumer.

use std::path::Path;
use std::time::Instant;

use weir_protocol::JobId;
use weir_protocol::job_status::JobStatus;
use weir_protocol::rest::JobDescription;
use weir_servers::{KafkaCluster, ServerProcess};

use super::cluster::{Cluster, PATIENCE, until};
use super::run_with;

pub(crate) fn create_topic(kafka: &KafkaCluster, topic: &str, partitions: u32) {
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

/// Stops the TaskManager when the next checkpoint of a job has everything but its commit, waits until the cluster has timed out all
/// transactions, and does something before the TaskManager continues.
fn outlast_transactions(cluster: &mut Cluster, kafka: &KafkaCluster, job: JobId, meanwhile: impl FnOnce()) {
    let directory = cluster.processes.checkpoint_directory().join(job.to_string());
    let newest = || {
        let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
        let complete = entries.filter(|entry| entry.path().join("_metadata").exists());
        complete.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("chk-")?.parse::<u64>().ok()).max()
    };
    let known = newest();
    let end = Instant::now() + PATIENCE;
    // A commit takes some milliseconds, so this must not take one.
    while newest() <= known {
        assert!(Instant::now() < end, "no further checkpoint came");
        std::thread::yield_now();
    }
    cluster.processes.pause("tm-1").expect("it is stopped");
    let list = ["--bootstrap-server", &kafka.bootstrap_servers(), "list"];
    until("all transactions are timed out", || {
        let listed = kafka.tool("org.apache.kafka.tools.TransactionsCommand", &list).ok()?;
        (!listed.contains("Ongoing") && !listed.contains("Prepare")).then_some(())
    });
    meanwhile();
    cluster.processes.resume("tm-1").expect("it continues");
}

fn delete_records(kafka: &KafkaCluster, topic: &str, directory: &Path) {
    let file = directory.join("delete.json");
    // An offset of -1 stands for the end of the log.
    let wanted = format!(r#"{{"version":1,"partitions":[{{"topic":"{topic}","partition":0,"offset":-1}}]}}"#);
    std::fs::write(&file, wanted).expect("a file");
    let (brokers, file) = (kafka.bootstrap_servers(), file.display().to_string());
    let arguments = ["--bootstrap-server", &brokers, "--offset-json-file", &file];
    kafka.tool("org.apache.kafka.tools.DeleteRecordsCommand", &arguments).expect("they are deleted");
}

#[test]
fn an_outage_longer_than_a_transaction_costs_no_row_and_rows_that_the_log_has_lost_are_named() {
    let mut cluster = Cluster::start(1);
    let directory = cluster.place().to_owned();
    let kafka = KafkaCluster::start(1, &directory.join("kafka")).expect("Kafka starts");
    create_topic(&kafka, "numbers", 1);
    let out = directory.join("consumed");
    let _consumer = consumer(&kafka, "numbers", &out);
    let script = format!(
        "SET 'parallelism.default' = '1';
         SET 'execution.checkpointing.interval' = '200 ms';
         SET 'restart-strategy.type' = 'fixed-delay';
         SET 'restart-strategy.fixed-delay.attempts' = '1000';
         SET 'restart-strategy.fixed-delay.delay' = '50 ms';
         CREATE TABLE generated (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000', 'number-of-rows' = '9000000',
           'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '8999999');
         CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'kafka', 'topic' = 'numbers', 'format' = 'json',
           'properties.bootstrap.servers' = '{}', 'properties.transaction.timeout.ms' = '2000',
           'sink.delivery-guarantee' = 'exactly-once');
         INSERT INTO numbers SELECT * FROM generated;",
        kafka.bootstrap_servers()
    );
    let ended = run_with(&["-f", "-", "-m", &cluster.addresses()], &script);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let job = cluster.runtime.block_on(cluster.client.list(PATIENCE)).expect("the jobs").jobs[0].jid;
    let describe = |cluster: &Cluster| cluster.runtime.block_on(cluster.client.describe(job, PATIENCE)).expect("the job");
    let reached = |count: usize| until(&format!("{count} rows"), || (consumed(&out).len() >= count).then_some(()));
    reached(500);

    // A commit can be faster than the test.
    let log = cluster.processes.logs().join("tm-1.log");
    while !std::fs::read_to_string(&log).expect("a log").contains("records were written again") {
        outlast_transactions(&mut cluster, &kafka, job, || ());
        reached(consumed(&out).len() + 1_000);
    }
    let rows: Vec<_> = consumed(&out).into_iter().zip(0..).collect();
    let strange = rows.iter().find(|(row, id)| *row != format!(r#"{{"id":{id}}}"#));
    assert_eq!(strange, None, "a row (left) is in the place of another one");

    while describe(&cluster).status != JobStatus::Failed {
        outlast_transactions(&mut cluster, &kafka, job, || delete_records(&kafka, "numbers", &directory));
        let rows = consumed(&out).len();
        until("it fails, or goes on", || {
            (describe(&cluster).status == JobStatus::Failed || consumed(&out).len() > rows).then_some(())
        });
    }
    let failure = describe(&cluster).cause().unwrap_or_default();
    assert!(failure.contains("KAFKA-ROWS-LOST") && failure.contains("numbers-0: the records at the offsets"), "{failure}");
}
