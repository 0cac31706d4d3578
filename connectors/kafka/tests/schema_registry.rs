//! Formats with a schema registry, against a real cluster and a real registry.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod bench;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int32Type, Int64Type};
use arrow_array::{Array, BinaryArray, Int8Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use serde_json::{Value, json};
use weir_dataflow::changelog::{RowKind, kind_field};
use weir_dataflow::operator::OperatorError;
use weir_dataflow::source::SourcePoll;
use weir_servers::{Fault, KafkaCluster, Proxy, SchemaRegistry};

use self::bench::certificates::{AUTHORITY, CERTIFICATE, KEY, certificates};
use self::bench::{PATIENCE, Reader, Sink, create_topic, kafka, millis};

fn people() -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("age", DataType::Int32, true),
    ]);
    let names = StringArray::from(vec![Some("ann"), None, Some("bob")]);
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(names),
        Arc::new(Int32Array::from(vec![Some(30), Some(-1), None])),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).expect("a batch")
}

fn people_columns() -> Value {
    json!([{"name": "id", "type": "bigint", "nullable": false}, {"name": "name", "type": "string"}, {"name": "age", "type": "int"}])
}

/// Options of a source that reads a topic to its end.
fn source(kafka: &KafkaCluster, topic: &str, schema: Value, format: Value) -> Value {
    json!({"bootstrap_servers": kafka.bootstrap_servers(), "topics": [topic], "stop": {"mode": "latest"}, "schema": schema,
        "value": {"format": format}})
}

fn sink(kafka: &KafkaCluster, topic: &str, format: Value) -> Value {
    let mut options = Sink::options(kafka, topic, "at-least-once", json!({}));
    options["value"] = json!({"format": format});
    options
}

/// The values of a topic as they are.
fn messages(kafka: &KafkaCluster, topic: &str) -> Vec<Vec<u8>> {
    let raw = source(kafka, topic, json!([{"name": "value", "type": "bytes"}]), json!({"kind": "raw"}));
    let batches = Reader::new(&raw, (0, 1), &[]).read(usize::MAX);
    batches.iter().flat_map(|batch| batch.column(0).as_binary::<i32>().iter().flatten().map(<[u8]>::to_vec)).collect()
}

fn write_messages(kafka: &KafkaCluster, topic: &str, messages: &[Vec<u8>]) {
    let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Binary, true)]));
    let mut raw = Sink::new(&sink(kafka, topic, json!({"kind": "raw"})), Arc::clone(&schema), (0, 1), &[]);
    let values = BinaryArray::from_iter_values(messages);
    raw.write(RecordBatch::try_new(schema, vec![Arc::new(values)]).expect("a batch"));
    raw.checkpoint(1);
}

/// Number, name and age of people, in the order of their numbers.
fn rows(batches: &[RecordBatch]) -> Vec<(i64, Option<String>, Option<i32>)> {
    let mut rows = Vec::new();
    for batch in batches {
        let (names, ages) = (batch.column(1).as_string::<i32>(), batch.column(2).as_primitive::<Int32Type>());
        for row in 0..batch.num_rows() {
            let id = batch.column(0).as_primitive::<Int64Type>().value(row);
            rows.push((id, names.iter().nth(row).flatten().map(str::to_owned), ages.iter().nth(row).flatten()));
        }
    }
    rows.sort();
    rows
}

fn message(id: u32, bytes: &[u8]) -> Vec<u8> {
    [&[0], id.to_be_bytes().as_slice(), bytes].concat()
}

#[test]
fn rows_are_written_with_registered_schemas_and_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let (kafka, registry) = (kafka(1, directory.path()), SchemaRegistry::start(directory.path()).unwrap());
    create_topic(&kafka, "people", 1);
    let format = |subject: &str| json!({"kind": "avro-confluent", "url": registry.url(), "subject": subject});
    let mut options = sink(&kafka, "people", format("people-value"));
    options["key"] = json!({"format": format("of/keys"), "fields": ["id"]});
    let mut writer = Sink::new(&options, people().schema(), (0, 1), &[]);
    writer.write(people());
    writer.checkpoint(1);

    let schema: Value = serde_json::from_str(&registry.latest("people-value").unwrap()).unwrap();
    let text: Value = serde_json::from_str(schema["schema"].as_str().unwrap()).unwrap();
    assert_eq!(
        text,
        json!({"type": "record", "name": "record", "namespace": "org.apache.flink.avro.generated", "fields": [
            {"name": "id", "type": "long"}, {"name": "name", "type": ["null", "string"], "default": null},
            {"name": "age", "type": ["null", "int"], "default": null}]})
    );
    let id = u32::try_from(schema["id"].as_u64().unwrap()).unwrap();
    assert_eq!(registry.register("people-value", schema["schema"].as_str().unwrap()), id, "the same schema has the same number");
    assert!(registry.latest("of%2Fkeys").unwrap().contains("\\\"long\\\""), "keys have a schema of their own");
    let expected = [message(id, b"\x02\x02\x06ann\x02\x3c"), message(id, b"\x04\0\x02\x01"), message(id, b"\x06\x02\x06bob\0")];
    assert_eq!(messages(&kafka, "people"), expected);

    let mut options = source(&kafka, "people", people_columns(), json!({"kind": "avro-confluent", "url": registry.url()}));
    let read = rows(&Reader::new(&options, (0, 1), &[]).read(usize::MAX));
    assert_eq!(read, rows(&[people()]));
    options["columns"] = json!(["age"]);
    let batches = Reader::new(&options, (0, 1), &[]).read(usize::MAX);
    let ages: Vec<_> =
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>()).collect();
    assert_eq!(ages, [Some(30), Some(-1), None]);

    // The number of the key only comes from the key's messages.
    options["columns"] = json!(["id"]);
    options["key"] = json!({"format": {"kind": "avro-confluent", "url": registry.url()}, "fields": ["id"]});
    options["value_includes_key"] = json!(false);
    assert_eq!(Reader::new(&options, (0, 1), &[]).read_ids(usize::MAX), [1, 2, 3]);
    changes_come_back(&kafka, &registry);
}

#[test]
fn schemas_evolve_and_messages_that_fit_none_are_bad_rows() {
    let directory = tempfile::tempdir().unwrap();
    let (kafka, registry) = (kafka(1, directory.path()), SchemaRegistry::start(directory.path()).unwrap());
    for topic in ["evolving", "dead"] {
        create_topic(&kafka, topic, 1);
    }
    let record = |fields: &str| format!("{{\"type\":\"record\",\"name\":\"person\",\"fields\":[{fields}]}}");
    let id = "{\"name\":\"id\",\"type\":\"long\"}";
    let first = registry.register("evolving-value", &record(id));
    let more = format!(
        "{{\"name\":\"city\",\"type\":[\"null\",\"string\"],\"default\":null}},{id},{{\"name\":\"age\",\"type\":\"int\",\"default\":0}}"
    );
    let second = registry.register("evolving-value", &record(&more));
    let other = registry.register("other-value", &record("{\"name\":\"id\",\"type\":\"string\"}"));
    let good = [message(first, b"\x02"), message(second, b"\x02\x06ulm\x04\x54"), message(first, b"\x06")];
    let bad = [
        b"{\"id\":1}".to_vec(),
        message(999_999, b"\x02"),
        message(first, b""),
        message(first, b"\x02\x02"),
        message(other, b"\x02a"),
    ];
    write_messages(&kafka, "evolving", &[&good[..2], &bad[..], &good[2..]].concat());

    let format = json!({"kind": "avro-confluent", "url": registry.url()});
    let mut options = source(&kafka, "evolving", people_columns(), format);
    options["max_bad_rows"] = json!(5);
    options["dead_letter_topic"] = json!("dead");
    let mut reader = Reader::new(&options, (0, 1), &[]);
    assert_eq!(rows(&reader.read(usize::MAX)), [(1, None, None), (2, None, Some(42)), (3, None, None)]);
    bench::state(reader.source.snapshot(&bench::barrier(1)).unwrap()).unwrap();
    assert_eq!(messages(&kafka, "dead"), bad);

    options["max_bad_rows"] = json!(0);
    let error = failure(&mut Reader::new(&options, (0, 1), &[]));
    assert_eq!(error.code, "SOURCE-BAD-ROW");
    assert!(error.message.contains("begins with the byte 123"), "{error:?}");
}

#[test]
fn source_and_sink_wait_for_a_registry_that_is_down() {
    let directory = tempfile::tempdir().unwrap();
    let (kafka, registry) = (kafka(1, directory.path()), SchemaRegistry::start(directory.path()).unwrap());
    let proxy = Proxy::start(registry.address()).unwrap();
    proxy.set(Fault::Reset);
    create_topic(&kafka, "late", 1);
    let id =
        registry.register("late-value", "{\"type\":\"record\",\"name\":\"p\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"}]}");
    write_messages(&kafka, "late", &[message(id, b"\x0e")]);
    let format = json!({"kind": "avro-confluent", "url": SchemaRegistry::url_at(proxy.address()), "subject": "late-value"});
    let mut writer = Sink::new(&sink(&kafka, "late", format.clone()), people().schema(), (0, 1), &[]);
    // A snapshot needs no schema.
    writer.checkpoint(1);
    assert!(!writer.operator.has_room());
    let mut reader = Reader::new(&source(&kafka, "late", people_columns(), format), (0, 1), &[]);
    // The first poll begins to fetch; once the message is there, the source has news.
    let end = Instant::now() + PATIENCE;
    assert!(matches!(reader.source.poll(millis(), 100), Ok(SourcePoll::NothingUntil(_))));
    let news = |reader: &Reader, what: &str| {
        while !reader.source.has_news() {
            assert!(Instant::now() < end, "{what} has not come");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    };
    news(&reader, "the message");
    assert!(matches!(reader.source.poll(millis(), 100), Ok(SourcePoll::NothingUntil(_))));
    assert!(!reader.source.has_news(), "it waits for the schema");
    let state = bench::state(reader.source.snapshot(&bench::barrier(1)).unwrap()).unwrap();
    assert!(String::from_utf8_lossy(&state).contains("\"next\":0"), "the message was not read: {state:?}");

    proxy.set(Fault::None);
    news(&reader, "the schema");
    assert_eq!(rows(&reader.read(1)), [(7, None, None)]);
    writer.write(people());
    writer.checkpoint(2);
    assert_eq!(messages(&kafka, "late").len(), 4);
}

#[test]
fn a_registry_is_reached_over_tls_and_one_that_is_not_trusted_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    certificates(directory.path());
    let kafka = kafka(1, directory.path());
    let registry = SchemaRegistry::start_with_tls(directory.path(), &at(CERTIFICATE), &at(KEY)).unwrap();
    create_topic(&kafka, "safe", 1);
    let format = |truststore: &Path| json!({"kind": "avro-confluent", "url": registry.secure_url(), "subject": "safe-value", "truststore": truststore});
    let mut writer = Sink::new(&sink(&kafka, "safe", format(&at(AUTHORITY))), people().schema(), (0, 1), &[]);
    writer.write(people());
    writer.checkpoint(1);
    let options = source(&kafka, "safe", people_columns(), format(&at(AUTHORITY)));
    assert_eq!(rows(&Reader::new(&options, (0, 1), &[]).read(usize::MAX)), rows(&[people()]));

    // Another authority, and a file that does not exist.
    let other = at("other");
    std::fs::create_dir(&other).unwrap();
    certificates(&other);
    for (truststore, why) in [(other.join(AUTHORITY), "certificate"), (at("absent.pem"), "absent.pem")] {
        let mut reader = Reader::new(&source(&kafka, "safe", people_columns(), format(&truststore)), (0, 1), &[]);
        let error = failure(&mut reader);
        assert!(error.code == "KAFKA-REGISTRY-REFUSED" && error.message.contains(why), "{error:?}");
    }
}

/// The error that ends a source.
fn failure(reader: &mut Reader) -> OperatorError {
    let end = Instant::now() + PATIENCE;
    loop {
        match reader.source.poll(millis(), 100) {
            Ok(SourcePoll::End) => panic!("everything was read"),
            Ok(_) => assert!(Instant::now() < end, "nothing failed"),
            Err(error) => return error,
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Changes come back as the rows that they change.
fn changes_come_back(kafka: &KafkaCluster, registry: &SchemaRegistry) {
    create_topic(kafka, "changes", 1);
    let format = json!({"kind": "debezium-avro-confluent", "url": registry.url(), "subject": "changes-value"});
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), kind_field()]));
    let kinds = [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete];
    let kinds: Int8Array = kinds.iter().map(|kind| Some(*kind as i8)).collect();
    let columns: Vec<Arc<dyn Array>> = vec![Arc::new(Int64Array::from(vec![1, 1, 2, 2])), Arc::new(kinds)];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("a batch");
    let mut writer = Sink::new(&sink(kafka, "changes", format.clone()), schema, (0, 1), &[]);
    writer.write(batch);
    writer.checkpoint(1);
    let columns = json!([{"name": "id", "type": "bigint", "nullable": false}]);
    let batches = Reader::new(&source(kafka, "changes", columns, format), (0, 1), &[]).read(usize::MAX);
    let read = batches.iter().flat_map(|batch| {
        let (ids, kinds) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int8Type>());
        ids.values().iter().copied().zip(kinds.values().iter().copied()).collect::<Vec<_>>()
    });
    let (insert, delete) = (RowKind::Insert as i8, RowKind::Delete as i8);
    assert_eq!(read.collect::<Vec<_>>(), [(1, insert), (1, delete), (2, insert), (2, delete)]);
}
