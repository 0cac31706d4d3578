//! The Kafka source and sink against a real cluster.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod bench;

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, Int8Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use serde_json::{Value, json};
use weir_dataflow::changelog::RowKind;
use weir_dataflow::source::SourcePoll;
use weir_servers::KafkaCluster;

use self::bench::{Reader, Sink, create_topic, id_schema, ids, kafka, millis, sorted_ids};

fn rich_batch() -> RecordBatch {
    let names = MapFieldNames { entry: "entries".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    let mut headers = MapBuilder::new(Some(names), StringBuilder::new(), BinaryBuilder::new());
    for row in 0..3_u8 {
        headers.keys().append_value("trace");
        headers.values().append_value([row, 255]);
        headers.append(true).expect("a row");
    }
    let headers = headers.finish();
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("k_user", DataType::Utf8, true),
        Field::new("at", time, true),
        Field::new("headers", headers.data_type().clone(), false),
    ]);
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(StringArray::from(vec!["ann", "bob", "ann"])),
        Arc::new(
            TimestampMillisecondArray::from(vec![1_700_000_000_000, 1_700_000_000_500, 1_600_000_000_000]).with_timezone("UTC"),
        ),
        Arc::new(headers),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).expect("a batch")
}

#[test]
fn rows_come_back_with_key_headers_time_and_place_in_every_compression() {
    let directory = tempfile::tempdir().unwrap();
    let kafka = kafka(1, directory.path());
    create_topic(&kafka, "rich", 3);
    let batch = rich_batch();
    let key = json!({"format": {"kind": "json"}, "fields": ["k_user"], "prefix": "k_"});
    for (turn, compression) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let mut options = Sink::options(&kafka, "rich", "at-least-once", json!({"compression.type": compression}));
        options["key"] = key.clone();
        options["value_includes_key"] = json!(false);
        options["metadata"] = json!([{"name": "at", "key": "timestamp"}, {"name": "headers", "key": "headers"}]);
        let mut sink = Sink::new(&options, batch.schema(), (0, 1), &[]);
        sink.write(batch.clone());
        sink.checkpoint(1 + turn as u64);
    }
    let options = json!({
        "bootstrap_servers": kafka.bootstrap_servers(), "topics": ["rich"], "stop": {"mode": "latest"},
        "schema": [{"name": "id", "type": "bigint", "nullable": false}, {"name": "k_user", "type": "string"}],
        "key": key, "value": {"format": {"kind": "json"}}, "value_includes_key": false,
        "metadata": [
            {"name": "topic", "key": "topic"}, {"name": "partition", "key": "partition"}, {"name": "offset", "key": "offset"},
            {"name": "at", "key": "timestamp"}, {"name": "type", "key": "timestamp-type"}, {"name": "headers", "key": "headers"},
        ],
    });
    let batches = Reader::new(&options, (0, 1), &[]).read(usize::MAX);
    let mut rows = Vec::new();
    for batch in &batches {
        let text = |column: usize, row: usize| batch.column(column).as_string::<i32>().value(row).to_owned();
        let headers = batch.column(7).as_map();
        for row in 0..batch.num_rows() {
            assert_eq!((text(2, row), text(6, row)), ("rich".to_owned(), "CreateTime".to_owned()));
            let entry = headers.value(row);
            assert_eq!(entry.column(0).as_string::<i32>().value(0), "trace");
            let header = entry.column(1).as_binary::<i32>().value(0)[0];
            let at = batch.column(5).as_primitive::<TimestampMillisecondType>().value(row);
            let id = batch.column(0).as_primitive::<Int64Type>().value(row);
            let partition = batch.column(3).as_primitive::<Int32Type>().value(row);
            rows.push((id, text(1, row), at, header, partition));
        }
    }
    rows.sort();
    assert_eq!(rows.len(), 15);
    for (index, row) in rows.iter().enumerate() {
        let expected =
            [(1, "ann", 1_700_000_000_000, 0), (2, "bob", 1_700_000_000_500, 1), (3, "ann", 1_600_000_000_000, 2)][index / 5];
        assert_eq!((row.0, row.1.as_str(), row.2, row.3), expected);
    }
    let partitions = |user: &str| {
        let mut partitions: Vec<_> = rows.iter().filter(|row| row.1 == user).map(|row| row.4).collect();
        partitions.dedup();
        partitions.len()
    };
    assert_eq!((partitions("ann"), partitions("bob")), (1, 1), "a key has one partition");
}

#[test]
fn a_restored_source_goes_on_where_it_was_also_with_another_parallelism_and_new_partitions() {
    let directory = tempfile::tempdir().unwrap();
    let kafka = kafka(1, directory.path());
    create_topic(&kafka, "grow", 3);
    let mut spread = Sink::options(&kafka, "grow", "at-least-once", json!({"metadata.max.age.ms": "100"}));
    spread["partitioner"] = json!("round-robin");
    let mut sink = Sink::new(&spread, id_schema(), (0, 1), &[]);
    sink.write(ids(0..1_000));
    sink.checkpoint(1);

    let mut options = Reader::options(&kafka, "grow", "read_committed");
    options["discovery_interval_ms"] = json!(100);
    options["properties"]["group.id"] = json!("readers");
    let mut readers: Vec<_> = (0..2).map(|subtask| Reader::new(&options, (subtask, 2), &[])).collect();
    // One subtask has two of three partitions. Both stop in the middle.
    let mut seen = readers[0].read_ids(150);
    seen.extend(readers[1].read_ids(250));
    let states: Vec<_> =
        readers.iter_mut().map(|reader| reader.source.snapshot(&bench::barrier(1)).unwrap().operator_state.unwrap()).collect();
    drop(readers);

    let brokers = kafka.bootstrap_servers();
    let alter = ["--bootstrap-server", &brokers, "--alter", "--topic", "grow", "--partitions", "5"];
    kafka.tool("org.apache.kafka.tools.TopicCommand", &alter).unwrap();
    let mut readers: Vec<_> = (0..3).map(|subtask| Reader::new(&options, (subtask, 3), &states)).collect();
    let mut written = 1_000;
    let end = std::time::Instant::now() + bench::PATIENCE;
    // The sink gets to know the new partitions by and by. Each reader finds those that are its own.
    loop {
        sink.write(ids(written..written + 100));
        written += 100;
        sink.checkpoint(2);
        for reader in &mut readers {
            while let SourcePoll::Batch(batch) = reader.source.poll(millis(), 1_000).unwrap() {
                seen.extend(bench::sorted_ids(&[batch]));
            }
        }
        let states: Vec<_> = readers
            .iter_mut()
            .map(|reader| reader.source.snapshot(&bench::barrier(2)).unwrap().operator_state.unwrap())
            .collect();
        let partitions: usize = states.iter().map(|state| String::from_utf8_lossy(state).matches("\"topic\"").count()).sum();
        if partitions == 5 && seen.len() as i64 == written {
            break;
        }
        assert!(std::time::Instant::now() < end, "{} of {written} rows, {partitions} partitions", seen.len());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..written).collect::<Vec<_>>());

    // The group's offsets are committed for Kafka's own tools.
    for reader in &mut readers {
        reader.source.notify_checkpoint_complete(weir_protocol::CheckpointId(2)).unwrap();
    }
    let describe = ["--bootstrap-server", &brokers, "--describe", "--group", "readers", "--offsets"];
    loop {
        let told = kafka.tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &describe).unwrap_or_default();
        let offsets: Vec<i64> = told
            .lines()
            .filter(|line| line.contains(" grow "))
            .filter_map(|line| line.split_whitespace().nth(3)?.parse().ok())
            .collect();
        if offsets.len() == 5 && offsets.iter().sum::<i64>() == written {
            break;
        }
        assert!(std::time::Instant::now() < end, "{told}");
    }
}

#[test]
fn a_source_starts_where_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let kafka = kafka(1, directory.path());
    create_topic(&kafka, "places", 1);
    let mut sink = Sink::new(&Sink::options(&kafka, "places", "at-least-once", json!({})), id_schema(), (0, 1), &[]);
    sink.write(ids(0..10));
    sink.checkpoint(1);
    while millis() == {
        let now = millis();
        std::thread::sleep(std::time::Duration::from_millis(2));
        now
    } {}
    let middle = millis();
    sink.write(ids(10..20));
    sink.checkpoint(2);
    let read = |start: serde_json::Value, stop: serde_json::Value| {
        let mut options = Reader::options(&kafka, "places", "read_committed");
        (options["start"], options["stop"]) = (start, stop);
        let seen = Reader::new(&options, (0, 1), &[]).read_ids(usize::MAX);
        seen.first().copied().zip(seen.last().copied()).map(|(first, last)| (first, last, seen.len()))
    };
    let latest = || json!({"mode": "latest"});
    assert_eq!(read(json!({"mode": "earliest"}), latest()), Some((0, 19, 20)));
    assert_eq!(read(latest(), latest()), None);
    assert_eq!(read(json!({"mode": "timestamp", "timestamp_ms": middle}), latest()), Some((10, 19, 10)));
    assert_eq!(read(json!({"mode": "timestamp", "timestamp_ms": middle * 2}), latest()), None);
    assert_eq!(
        read(json!({"mode": "specific", "offsets": {"0": 3}}), json!({"mode": "specific", "offsets": {"0": 7}})),
        Some((3, 6, 4))
    );
    assert_eq!(read(json!({"mode": "earliest"}), json!({"mode": "timestamp", "timestamp_ms": middle})), Some((0, 9, 10)));

    // Offsets that the log does not have are an error that says so.
    let mut options = Reader::options(&kafka, "places", "read_committed");
    options["start"] = json!({"mode": "specific", "offsets": {"0": 30}});
    let mut reader = Reader::new(&options, (0, 1), &[]);
    let end = std::time::Instant::now() + bench::PATIENCE;
    let error = loop {
        match reader.source.poll(millis(), 10) {
            Err(error) => break error,
            Ok(_) => assert!(std::time::Instant::now() < end),
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    assert_eq!((error.code, error.retryable), ("KAFKA-OFFSET-GONE", false), "{error}");
    options["start"] = json!({"mode": "group-offsets"});
    options["properties"]["group.id"] = json!("newcomers");
    let built = bench::build("source.kafka", &options, 0, 1, None).unwrap();
    let weir_dataflow::registry::BuiltOperator::Source(mut source, _) = built else { panic!() };
    assert_eq!(source.propose_splits().unwrap_err().code, "KAFKA-NO-OFFSET");
}

/// Inserts, updates and deletes a row.
fn changes() -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        weir_dataflow::changelog::kind_field(),
    ]);
    let kinds = [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete];
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(Int64Array::from(vec![7; 4])),
        Arc::new(StringArray::from(vec!["a", "a", "b", "b"])),
        Arc::new(Int8Array::from_iter_values(kinds.map(|kind| kind as i8))),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).expect("a batch")
}

#[test]
fn changes_are_written_as_the_newest_rows_of_keys_or_as_changes() {
    let directory = tempfile::tempdir().unwrap();
    let kafka = kafka(1, directory.path());
    for topic in ["newest", "changes"] {
        create_topic(&kafka, topic, 1);
    }
    let mut options = Sink::options(&kafka, "newest", "at-least-once", json!({}));
    (options["upsert"], options["key"]) = (json!(true), json!({"format": {"kind": "json"}, "fields": ["id"]}));
    let mut sink = Sink::new(&options, changes().schema(), (0, 1), &[]);
    sink.write(changes());
    sink.checkpoint(1);
    let source = json!({
        "bootstrap_servers": kafka.bootstrap_servers(), "topics": ["newest"], "stop": {"mode": "latest"},
        "schema": [{"name": "key", "type": "string"}, {"name": "value", "type": "string"}],
        "key": {"format": {"kind": "raw"}, "fields": ["key"]}, "value": {"format": {"kind": "raw"}}, "value_includes_key": false,
    });
    let batches = Reader::new(&source, (0, 1), &[]).read(usize::MAX);
    let mut rows = Vec::new();
    for batch in &batches {
        let (keys, values) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
        rows.extend(keys.iter().zip(values).map(|(key, value)| (key.unwrap().to_owned(), value.map(str::to_owned))));
    }
    let value = |name: &str| (r#"{"id":7}"#.to_owned(), Some(format!(r#"{{"id":7,"name":"{name}"}}"#)));
    assert_eq!(rows, [value("a"), value("b"), (r#"{"id":7}"#.to_owned(), None)]);

    let mut options = Sink::options(&kafka, "changes", "at-least-once", json!({}));
    options["value"] = json!({"format": {"kind": "debezium-json"}});
    let mut sink = Sink::new(&options, changes().schema(), (0, 1), &[]);
    sink.write(changes());
    sink.checkpoint(1);
    let source = json!({
        "bootstrap_servers": kafka.bootstrap_servers(), "topics": ["changes"], "stop": {"mode": "latest"}, "columns": ["name"],
        "schema": [{"name": "id", "type": "bigint", "nullable": false}, {"name": "name", "type": "string"}],
        "value": {"format": {"kind": "debezium-json"}}, "metadata": [{"name": "offset", "key": "offset"}],
    });
    let batches = Reader::new(&source, (0, 1), &[]).read(usize::MAX);
    let mut rows = Vec::new();
    for batch in &batches {
        let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["name", "offset", "__kind"]);
        let kinds = batch.column(2).as_primitive::<Int8Type>();
        rows.extend(batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).zip(kinds.values().to_vec()));
    }
    // As in Flink, an update is the deletion of one row and the creation of another.
    let expected = [("a", RowKind::Insert), ("a", RowKind::Delete), ("b", RowKind::Insert), ("b", RowKind::Delete)];
    assert_eq!(rows, expected.map(|(name, kind)| (name.to_owned(), kind as i8)));
}

#[test]
fn records_that_cannot_be_read_go_elsewhere_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let kafka = kafka(1, directory.path());
    for topic in ["mixed", "dead"] {
        create_topic(&kafka, topic, 1);
    }
    let mut options = Sink::options(&kafka, "mixed", "at-least-once", json!({}));
    options["value"] = json!({"format": {"kind": "raw"}});
    let lines = [r#"{"id": 1}"#, "nonsense", r#"{"id": "many"}"#, r#"{"id": 2}"#];
    let schema = Arc::new(Schema::new(vec![Field::new("line", DataType::Utf8, false)]));
    let mut sink = Sink::new(&options, Arc::clone(&schema), (0, 1), &[]);
    sink.write(RecordBatch::try_new(schema, vec![Arc::new(StringArray::from(lines.to_vec()))]).unwrap());
    sink.checkpoint(1);

    let mut options = Reader::options(&kafka, "mixed", "read_committed");
    (options["stop"], options["dead_letter_topic"], options["max_bad_rows"]) =
        (json!({"mode": "latest"}), json!("dead"), json!(2));
    let mut reader = Reader::new(&options, (0, 1), &[]);
    assert_eq!(reader.read_ids(usize::MAX), [1, 2]);
    bench::state(reader.source.snapshot(&bench::barrier(1)).unwrap()).unwrap();
    let source = json!({
        "bootstrap_servers": kafka.bootstrap_servers(), "topics": ["dead"], "stop": {"mode": "latest"},
        "schema": [{"name": "line", "type": "string"}], "value": {"format": {"kind": "raw"}},
        "metadata": [{"name": "headers", "key": "headers"}],
    });
    let batches = Reader::new(&source, (0, 1), &[]).read(usize::MAX);
    let lines: Vec<_> = batches.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten()).collect();
    assert_eq!(lines, ["nonsense", r#"{"id": "many"}"#]);
    let headers = batches[0].column(1).as_map().value(0);
    let (names, values) = (headers.column(0).as_string::<i32>(), headers.column(1).as_binary::<i32>());
    let header =
        |name: &str| names.iter().position(|found| found == Some(name)).map(|at| String::from_utf8_lossy(values.value(at)));
    assert_eq!((header("weir.topic").unwrap().as_ref(), header("weir.offset").unwrap().as_ref()), ("mixed", "1"));
    assert!(header("weir.reason").unwrap().contains("expected an object"), "{:?}", header("weir.reason"));

    options["max_bad_rows"] = json!(1);
    let mut reader = Reader::new(&options, (0, 1), &[]);
    let end = std::time::Instant::now() + bench::PATIENCE;
    let error = loop {
        match reader.source.poll(millis(), 100) {
            Err(error) => break error,
            Ok(_) => assert!(std::time::Instant::now() < end),
        }
    };
    assert_eq!(error.code, "SOURCE-BAD-ROW", "{error}");
    assert!(error.message.contains("topic mixed, partition 0, offset 2"), "{error}");
}

/// Each of three nodes is struck once, also the one that coordinates the transactions, with records and with commits under way.
fn rows_pass_while_brokers_are_struck(
    properties: &Value,
    strike: impl Fn(&mut KafkaCluster, usize),
    heal: impl Fn(&mut KafkaCluster, usize),
) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut kafka = kafka(3, directory.path());
    create_topic(&kafka, "survives", 3);
    let mut options = Sink::options(&kafka, "survives", "exactly-once", properties.clone());
    options["partitioner"] = json!("round-robin");
    let mut sink = Sink::new(&options, id_schema(), (0, 1), &[]);
    let mut options = Reader::options(&kafka, "survives", "read_committed");
    options["properties"].as_object_mut().expect("an object").extend(properties.as_object().expect("an object").clone());
    let mut reader = Reader::new(&options, (0, 1), &[]);
    let mut seen = Vec::new();
    for round in 0..6 {
        sink.write(ids(round * 100..round * 100 + 50));
        let node = (round / 2) as usize;
        if round % 2 == 0 {
            strike(&mut kafka, node);
        } else {
            heal(&mut kafka, node);
            kafka.await_serving(node).expect("it serves");
        }
        sink.write(ids(round * 100 + 50..round * 100 + 100));
        sink.checkpoint(1 + round as u64);
        sink.complete(1 + round as u64);
        seen.extend(sorted_ids(&reader.read_while(100, || sink.tick())));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..600).collect::<Vec<_>>());
}

#[test]
fn a_broker_that_dies_costs_no_row() {
    rows_pass_while_brokers_are_struck(&json!({}), KafkaCluster::kill, |kafka, node| kafka.restart(node).unwrap());
}

/// Requests to a frozen node never end by themselves, so the client must notice that others have taken over.
#[test]
fn a_broker_that_freezes_costs_no_row_and_is_not_waited_for() {
    let properties = json!({"request.timeout.ms": "3600000", "socket.connection.setup.timeout.ms": "3600000"});
    rows_pass_while_brokers_are_struck(&properties, |kafka, node| kafka.pause(node), |kafka, node| kafka.resume(node));
}
