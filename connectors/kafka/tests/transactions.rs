//! Exactly-once writing, with attempts that die and transactions that the cluster times out.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod bench;

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use weir_servers::KafkaCluster;

use self::bench::{PATIENCE, Sink, all_ids, all_in_order, committed_ids, create_topic, id_schema, ids, kafka};

fn sink(options: &Value, former: &[Bytes]) -> Sink {
    Sink::new(options, id_schema(), (0, 1), former)
}

#[test]
fn a_transaction_counts_with_its_checkpoint_whatever_dies_in_between() {
    let directory = tempfile::tempdir().unwrap();
    let kafka = kafka(1, directory.path());
    create_topic(&kafka, "orders", 3);
    let options = Sink::options(&kafka, "orders", "exactly-once", json!({}));

    // The checkpoint becomes durable, but the attempt dies before it hears of it, and with rows after the barrier.
    let mut first = sink(&options, &[]);
    first.write(ids(0..1_000));
    let state = first.checkpoint(1);
    first.write(ids(5_000..5_500));
    assert!(all_ids(&kafka, "orders", "read_committed").is_empty(), "nothing counts before the checkpoint is complete");
    // A dead process cleans nothing up.
    std::mem::forget(first);

    let mut second = sink(&options, std::slice::from_ref(&state));
    second.try_ready().unwrap();
    assert_eq!(committed_ids(&kafka, "orders", 1_000), (0..1_000).collect::<Vec<_>>());
    // Restoring once more from the same checkpoint commits nothing twice, and ends what the second attempt began.
    second.write(ids(6_000..6_100));
    std::mem::forget(second);
    let mut third = sink(&options, std::slice::from_ref(&state));
    third.write(ids(1_000..2_000));
    let state = third.checkpoint(2);
    third.complete(2);
    assert_eq!(committed_ids(&kafka, "orders", 2_000), (0..2_000).collect::<Vec<_>>());

    // The commit arrived, but the next attempt does not know.
    std::mem::forget(third);
    let mut fourth = sink(&options, &[state]);
    for round in 0..20 {
        fourth.write(ids(2_000 + round * 10..2_010 + round * 10));
        fourth.checkpoint(3 + round as u64);
        fourth.complete(3 + round as u64);
    }
    assert_eq!(committed_ids(&kafka, "orders", 2_200), (0..2_200).collect::<Vec<_>>());
}

#[test]
fn with_another_parallelism_each_transaction_is_committed_by_one_subtask() {
    let directory = tempfile::tempdir().unwrap();
    let kafka = kafka(1, directory.path());
    create_topic(&kafka, "scaled", 2);
    let options = Sink::options(&kafka, "scaled", "exactly-once", json!({}));
    let mut states = Vec::new();
    for subtask in 0..3 {
        let mut sink = Sink::new(&options, id_schema(), (subtask, 3), &[]);
        let first = i64::from(subtask) * 100;
        sink.write(ids(first..first + 100));
        states.push(sink.checkpoint(1));
        sink.write(ids(9_000..9_010));
        std::mem::forget(sink);
    }
    for subtask in 0..2 {
        let mut sink = Sink::new(&options, id_schema(), (subtask, 2), &states);
        sink.try_ready().unwrap();
    }
    assert_eq!(committed_ids(&kafka, "scaled", 300), (0..300).collect::<Vec<_>>());
    // All three have been ended, or readers would stop before the open one.
    let mut late = Sink::new(&Sink::options(&kafka, "scaled", "at-least-once", json!({})), id_schema(), (0, 1), &[]);
    late.write(ids(300..400));
    late.checkpoint(1);
    assert_eq!(committed_ids(&kafka, "scaled", 400), (0..400).collect::<Vec<_>>());
}

/// The same options, for attempts that must get along on a busy machine.
fn patient(options: &Value) -> Value {
    let mut options = options.clone();
    options["properties"]["transaction.timeout.ms"] = json!("600000");
    options
}

/// Waits until the cluster has aborted a transaction because of its timeout.
fn await_timed_out(kafka: &KafkaCluster, transactional_id: &str) {
    let brokers = kafka.bootstrap_servers();
    let describe = ["--bootstrap-server", &brokers, "describe", "--transactional-id", transactional_id];
    let end = Instant::now() + PATIENCE;
    loop {
        let told = kafka.tool("org.apache.kafka.tools.TransactionsCommand", &describe).unwrap_or_default();
        if told.contains("CompleteAbort") {
            return;
        }
        assert!(Instant::now() < end, "{told}");
    }
}

#[test]
fn a_timed_out_transaction_is_written_again_once() {
    let directory = tempfile::tempdir().unwrap();
    let kafka = kafka(1, directory.path());
    create_topic(&kafka, "late", 3);
    let options = Sink::options(&kafka, "late", "exactly-once", json!({"transaction.timeout.ms": "1000", "batch.size": "2000"}));
    let mut first = sink(&options, &[]);
    first.write(ids(0..3_000));
    let state = first.checkpoint(1);
    std::mem::forget(first);
    await_timed_out(&kafka, "late-0-0");
    assert!(all_ids(&kafka, "late", "read_committed").is_empty());
    assert_eq!(all_ids(&kafka, "late", "read_uncommitted").len(), 3_000, "the fault has hit");

    // Attempts that die while they write again leave nothing that counts.
    for delay in [0, 5, 20, 50, 100] {
        let mut dying = sink(&options, std::slice::from_ref(&state));
        dying.operator.on_tick(bench::millis(), &mut bench::Nowhere).unwrap();
        std::thread::sleep(Duration::from_millis(delay));
    }
    let options = patient(&options);
    let mut survivor = sink(&options, std::slice::from_ref(&state));
    survivor.write(ids(3_000..3_100));
    let newer = survivor.checkpoint(2);
    survivor.complete(2);
    assert_eq!(committed_ids(&kafka, "late", 3_100), (0..3_100).collect::<Vec<_>>());
    drop(survivor);
    // It is not done again, neither from the old checkpoint nor from the new one.
    for state in [state, newer] {
        sink(&options, &[state]).try_ready().unwrap();
    }
    assert_eq!(committed_ids(&kafka, "late", 3_100), (0..3_100).collect::<Vec<_>>());
}

/// The older transaction is timed out, and the newer one is not. It must follow the records that are written again, whichever attempt
/// gets how far.
#[test]
fn rows_stay_in_their_order_when_an_older_transaction_is_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let kafka = kafka(1, directory.path());
    create_topic(&kafka, "order", 1);
    let options = Sink::options(&kafka, "order", "exactly-once", json!({"transaction.timeout.ms": "4000"}));
    let mut first = sink(&options, &[]);
    first.write(ids(0..1_000));
    first.checkpoint(1);
    await_timed_out(&kafka, "order-0-0");
    first.write(ids(1_000..2_000));
    let both = first.checkpoint(2);
    std::mem::forget(first);
    for delay in [0, 5, 20, 50, 100] {
        let mut dying = sink(&options, std::slice::from_ref(&both));
        dying.operator.on_tick(bench::millis(), &mut bench::Nowhere).unwrap();
        std::thread::sleep(Duration::from_millis(delay));
    }
    let mut survivor = sink(&patient(&options), &[both]);
    survivor.write(ids(2_000..2_100));
    survivor.checkpoint(3);
    survivor.complete(3);
    assert_eq!(committed_ids(&kafka, "order", 2_100).len(), 2_100);
    let found = all_in_order(&kafka, "order", "read_committed");
    let strange = found.iter().zip(0..).find(|(id, wanted)| *id != wanted);
    assert_eq!(strange, None, "a row (left) is in the place of another one");
}

#[test]
fn a_running_attempt_whose_transaction_was_timed_out_fails_and_the_next_one_writes_again() {
    let directory = tempfile::tempdir().unwrap();
    let kafka = kafka(1, directory.path());
    create_topic(&kafka, "slow", 1);
    let options = Sink::options(&kafka, "slow", "exactly-once", json!({"transaction.timeout.ms": "1000"}));
    let mut first = sink(&options, &[]);
    first.write(ids(0..100));
    let state = first.checkpoint(1);
    await_timed_out(&kafka, "slow-0-0");
    first.complete(1);
    let end = Instant::now() + PATIENCE;
    let error = loop {
        if let Err(error) = first.operator.on_tick(bench::millis(), &mut bench::Nowhere) {
            break error;
        }
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(2));
    };
    assert_eq!((error.code, error.retryable), ("KAFKA-TRANSACTION-ENDED", true), "{error}");
    drop(first);
    sink(&patient(&options), &[state]).try_ready().unwrap();
    assert_eq!(committed_ids(&kafka, "slow", 100), (0..100).collect::<Vec<_>>());
}

#[test]
fn rows_that_the_log_has_lost_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let kafka = kafka(1, directory.path());
    create_topic(&kafka, "gone", 1);
    let options = Sink::options(&kafka, "gone", "exactly-once", json!({"transaction.timeout.ms": "1000"}));
    let mut first = sink(&options, &[]);
    first.write(ids(0..100));
    let state = first.checkpoint(1);
    std::mem::forget(first);
    await_timed_out(&kafka, "gone-0-0");
    let file = directory.path().join("delete.json");
    std::fs::write(&file, r#"{"partitions": [{"topic": "gone", "partition": 0, "offset": 50}], "version": 1}"#).unwrap();
    let (brokers, file) = (kafka.bootstrap_servers(), file.to_str().unwrap());
    let delete = ["--bootstrap-server", &brokers, "--offset-json-file", file];
    kafka.tool("org.apache.kafka.tools.DeleteRecordsCommand", &delete).unwrap();
    let error = sink(&options, std::slice::from_ref(&state)).try_ready().unwrap_err();
    assert_eq!((error.code, error.retryable), ("KAFKA-ROWS-LOST", false), "{error}");
    assert!(error.message.contains("gone-0") && error.message.contains("0 to 99"), "{error}");

    // A job that may go on without them still has those that are left, once.
    let mut skips = patient(&options);
    skips["lost_rows"] = json!("skip");
    for _ in 0..2 {
        sink(&skips, std::slice::from_ref(&state)).try_ready().unwrap();
    }
    assert_eq!(committed_ids(&kafka, "gone", 50), (50..100).collect::<Vec<_>>());
}

#[test]
fn a_timeout_that_the_cluster_does_not_allow_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let kafka = kafka(1, directory.path());
    create_topic(&kafka, "strict", 1);
    let options = Sink::options(&kafka, "strict", "exactly-once", json!({"transaction.timeout.ms": "2000000000"}));
    let error = sink(&options, &[]).try_ready().unwrap_err();
    assert_eq!((error.code, error.retryable), ("KAFKA-TRANSACTION-TIMEOUT", false), "{error}");
}
