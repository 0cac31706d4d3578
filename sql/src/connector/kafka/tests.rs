use serde_json::{Value, json};

use crate::connector::tests::{options, path, table};
use crate::connector::{SinkChanges, SinkDescriptor, SourceDescriptor, emits_changes, sink, source};
use crate::script::SqlError;

const COLUMNS: &str = "id BIGINT, name STRING, c AS id + 1, at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
    `partition` BIGINT METADATA VIRTUAL, epoch INT METADATA FROM 'leader-epoch' VIRTUAL, headers MAP<STRING, BYTES> METADATA";
const LEAST: &str = "'connector'='kafka', 'topic'='t', 'properties.bootstrap.servers'='a:1,b:2', 'properties.group.id'='g'";

fn read(given: &str, wanted: &[&str]) -> Result<SourceDescriptor, SqlError> {
    source(&path(), &table(COLUMNS, &format!("{LEAST}, {given}")), wanted)
}

fn written(given: &str) -> Result<SinkDescriptor, SqlError> {
    sink(&path(), &table(COLUMNS, &format!("{LEAST}, {given}")))
}

fn schema() -> Value {
    json!([{"name": "id", "type": "BIGINT", "nullable": true}, {"name": "name", "type": "STRING", "nullable": true}])
}

#[test]
fn topics_are_read_as_flink_reads_them() {
    let read = read("'format'='json'", &["id", "name"]).unwrap();
    assert_eq!(read.operator.kind, "source.kafka");
    assert_eq!(
        options(&read.operator),
        json!({"bootstrap_servers": "a:1,b:2", "topics": ["t"], "properties": {"group.id": "g"}, "start": {"mode": "group-offsets"},
            "stop": {"mode": "never"}, "discovery_interval_ms": 300_000, "schema": schema(),
            "value": {"format": {"kind": "json"}}})
    );
    assert!(!read.is_bounded && read.notices.is_empty());
}

#[test]
fn a_source_can_begin_and_end_anywhere() {
    let of =
        |given: &str| read(&format!("'format'='raw', {given}"), &["id"]).map(|read| (options(&read.operator), read.is_bounded));
    for (mode, start) in [("earliest-offset", "earliest"), ("Latest-Offset", "latest"), ("group-offsets", "group-offsets")] {
        assert_eq!(of(&format!("'scan.startup.mode'='{mode}'")).unwrap().0["start"], json!({"mode": start}));
    }
    let (at, is_bounded) =
        of("'scan.startup.mode'='timestamp', 'scan.startup.timestamp-millis'='5', 'scan.bounded.mode'='latest-offset',
        'scan.topic-partition-discovery.interval'='0'")
        .unwrap();
    assert_eq!((&at["start"], &at["stop"]), (&json!({"mode": "timestamp", "timestamp_ms": 5}), &json!({"mode": "latest"})));
    assert!(is_bounded && at["discovery_interval_ms"] == 0);
    let (at, is_bounded) = of("'scan.startup.mode'='specific-offsets', 'scan.bounded.mode'='specific-offsets',
        'scan.startup.specific-offsets'='partition:0,offset:42;partition:11,offset:300',
        'scan.bounded.specific-offsets'='partition:0,offset:50'")
    .unwrap();
    assert_eq!(at["start"], json!({"mode": "specific", "offsets": {"0": 42, "11": 300}}));
    assert_eq!((&at["stop"], is_bounded), (&json!({"mode": "specific", "offsets": {"0": 50}}), true));
    let unbounded = of("'scan.bounded.mode'='unbounded'").unwrap();
    assert_eq!((&unbounded.0["stop"], unbounded.1), (&json!({"mode": "never"}), false));
}

#[test]
fn metadata_follow_the_wanted_columns() {
    let read = read("'format'='json'", &["name", "at", "partition", "epoch", "headers"]).unwrap();
    let set = options(&read.operator);
    assert_eq!(set["columns"], json!(["name"]));
    assert_eq!(
        set["metadata"],
        json!([{"name": "at", "key": "timestamp"}, {"name": "partition", "key": "partition"}, {"name": "epoch", "key": "leader-epoch"},
            {"name": "headers", "key": "headers"}])
    );
    let types: Vec<_> = read.columns.iter().map(|column| (column.data_type.to_string(), column.nullable)).collect();
    let types: Vec<_> = types.iter().map(|(name, nullable)| (name.as_str(), *nullable)).collect();
    assert_eq!(
        types,
        [("STRING", true), ("TIMESTAMP_LTZ(3)", false), ("INT", false), ("INT", true), ("MAP<STRING, BYTES>", false)]
    );
}

#[test]
fn a_sink_writes_what_is_not_virtual() {
    let plain = written("'format'='json', 'json.timestamp-format.standard'='ISO-8601'").unwrap();
    assert_eq!(plain.operator.kind, "sink.kafka");
    assert_eq!(
        options(&plain.operator),
        json!({"bootstrap_servers": "a:1,b:2", "topic": "t", "value": {"format": {"kind": "json", "timestamp_format": "iso-8601-local"}},
            "metadata": [{"name": "at", "key": "timestamp"}, {"name": "headers", "key": "headers"}], "partitioner": "default",
            "guarantee": "at-least-once"})
    );
    assert_eq!(plain.changes, SinkChanges::Refused);
    let exact = written(
        "'format'='csv', 'sink.delivery-guarantee'='exactly-once', 'sink.transactional-id-prefix'='p',
        'sink.partitioner'='fixed', 'sink.lost-rows'='SKIP', 'sink.parallelism'='2', 'sink.transaction-naming-strategy'='POOLING'",
    )
    .unwrap();
    let set = options(&exact.operator);
    assert_eq!(
        (&set["guarantee"], &set["transactional_id_prefix"], &set["partitioner"], &set["lost_rows"]),
        (&json!("exactly-once"), &json!("p"), &json!("fixed"), &json!("skip"))
    );
    assert_eq!(set["value"], json!({"format": {"kind": "csv", "timestamp_format": "sql"}}));
    assert_eq!(exact.notices.len(), 2);
    let old = written("'format'='json', 'sink.semantic'='none'").unwrap();
    assert_eq!(options(&old.operator)["guarantee"], "none");
}

#[test]
fn keys_and_values_have_formats_of_their_own() {
    let given = "'key.format'='json', 'key.json.fail-on-missing-field'='true', 'key.fields'='k_id;k_b', 'key.fields-prefix'='k_',
        'value.format'='csv', 'value.csv.field-delimiter'='|', 'value.csv.null-literal'='-', 'value.fields-include'='EXCEPT_KEY'";
    let keyed = table("k_id INT, k_b INT, b INT", &format!("{LEAST}, {given}"));
    let set = options(&source(&path(), &keyed, &["b", "k_id"]).unwrap().operator);
    assert_eq!(
        set["key"],
        json!({"format": {"kind": "json", "fail_on_missing_field": true}, "fields": ["k_id", "k_b"], "prefix": "k_"})
    );
    assert_eq!(
        (&set["value"], &set["value_includes_key"]),
        (&json!({"format": {"kind": "csv", "delimiter": "|", "null_literal": "-", "empty_text": "text"}}), &json!(false))
    );
    let raw = written("'format'='json', 'key.format'='raw', 'key.raw.endianness'='little-endian', 'key.fields'='id'").unwrap();
    let set = options(&raw.operator);
    assert_eq!(set["key"], json!({"format": {"kind": "raw", "endianness": "little-endian"}, "fields": ["id"], "prefix": ""}));
    assert_eq!(set["value_includes_key"], true);
}

#[test]
fn messages_that_cannot_be_read_fail_the_job_or_are_left_out() {
    let of = |given: &str| read(given, &["id"]).map(|read| options(&read.operator));
    let ignoring = of("'format'='json', 'json.ignore-parse-errors'='true'").unwrap();
    assert_eq!(ignoring["value"], json!({"format": {"kind": "json", "ignore_parse_errors": true}}));
    assert_eq!(ignoring["ignore_parse_errors"], true);
    let some = of("'format'='json', 'scan.bad-row.mode'='skip', 'scan.bad-row.max'='7'").unwrap();
    assert_eq!((&some["max_bad_rows"], some.get("ignore_parse_errors")), (&json!(7), None));
    let dead = of("'format'='json', 'scan.bad-row.mode'='dead-letter', 'scan.bad-row.topic'='dead'").unwrap();
    assert_eq!((&dead["dead_letter_topic"], &dead["ignore_parse_errors"]), (&json!("dead"), &json!(true)));
    let fails = of("'format'='json', 'json.ignore-parse-errors'='true', 'scan.bad-row.mode'='fail'").unwrap();
    assert_eq!(fails.get("ignore_parse_errors"), None);
}

#[test]
fn properties_of_the_other_direction_are_left_out() {
    let given = "'format'='json', 'properties.acks'='1', 'properties.compression.type'='lz4', 'properties.fetch.min.bytes'='5',
        'properties.security.protocol'='SSL', 'properties.unknown'='x'";
    let read = options(&read(given, &["id"]).unwrap().operator);
    assert_eq!(read["properties"], json!({"group.id": "g", "fetch.min.bytes": "5", "security.protocol": "SSL", "unknown": "x"}));
    let written = options(&written(given).unwrap().operator);
    assert_eq!(
        written["properties"],
        json!({"acks": "1", "compression.type": "lz4", "security.protocol": "SSL", "unknown": "x"})
    );
}

#[test]
fn wrong_options_are_refused_with_a_hint() {
    let one = "'connector'='kafka', 'topic'='t', 'properties.bootstrap.servers'='a:1'";
    let json = "'format'='json', 'scan.startup.mode'='earliest-offset'";
    for (given, code, part, hint) in [
        ("'connector'='kafka', 'topic'='t', 'format'='json'", "SQL-OPTION", "'properties.bootstrap.servers' is missing", ""),
        ("'connector'='kafka', 'properties.bootstrap.servers'='a:1', 'format'='json'", "SQL-OPTION", "'topic' is missing", ""),
        (&format!("{one}, 'format'='json'"), "SQL-OPTION", "'properties.group.id' is missing", "'scan.startup.mode'"),
        (&format!("{one}, {json}, 'scan.bounded.mode'='group-offsets'"), "SQL-OPTION", "is missing", "'scan.bounded.mode'"),
        (one, "SQL-OPTION", "'format' is missing", ""),
        (&format!("{one}, {json}, 'topic-pattern'='t.*'"), "SQL-UNSUPPORTED", "topic-pattern", "'topic'"),
        (&format!("{one}, {json}, 'value.format'='json'"), "SQL-OPTION", "'value.format' and 'format' exclude", ""),
        (&format!("{one}, {json}, 'raw.endianness'='big-endian'"), "SQL-OPTION", "does not fit 'format' = 'json'", ""),
        (&format!("{one}, {json}, 'value.json.ignore-parse-errors'='true'"), "SQL-OPTION", "there is no 'value.format'", ""),
        (&format!("{one}, {json}, 'key.json.ignore-parse-errors'='true'"), "SQL-OPTION", "there is no 'key.format'", ""),
        (&format!("{one}, {json}, 'json.ignore-parse-error'='true'"), "SQL-OPTION", "no option", "'json.ignore-parse-errors'"),
        (
            &format!("{one}, {json}, 'key.jsn.ignore-parse-errors'='true'"),
            "SQL-OPTION",
            "no option",
            "'key.json.ignore-parse-errors'",
        ),
        (&format!("{one}, {json}, 'key.fields'='id'"), "SQL-OPTION", "'key.fields' needs a 'key.format'", ""),
        (&format!("{one}, {json}, 'key.format'='json'"), "SQL-OPTION", "'key.fields' is missing", "'a;b'"),
        (&format!("{one}, {json}, 'key.format'='json', 'key.fields'='idd'"), "SQL-OPTION", "names 'idd'", "id, name"),
        (&format!("{one}, {json}, 'key.format'='json', 'key.fields'='c'"), "SQL-OPTION", "no column that is stored", ""),
        (&format!("{one}, {json}, 'key.format'='json', 'key.fields'='id;id'"), "SQL-OPTION", "'id' twice", ""),
        (
            &format!("{one}, {json}, 'key.format'='json', 'key.fields'='id', 'key.fields-prefix'='i'"),
            "SQL-OPTION",
            "needs 'value.fields-include' = 'EXCEPT_KEY'",
            "",
        ),
        (
            &format!(
                "{one}, {json}, 'key.format'='json', 'key.fields'='id', 'key.fields-prefix'='k_', 'value.fields-include'='EXCEPT_KEY'"
            ),
            "SQL-OPTION",
            "is 'k_', but 'key.fields' has 'id'",
            "",
        ),
        (
            &format!("{one}, 'format'='json', 'scan.startup.mode'='timestamp'"),
            "SQL-OPTION",
            "'scan.startup.timestamp-millis' is missing",
            "",
        ),
        (
            &format!("{one}, 'format'='json', 'scan.startup.mode'='specific-offsets', 'scan.startup.specific-offsets'='0:42'"),
            "SQL-OPTION",
            "must be like 'partition:0,offset:42;",
            "",
        ),
        (&format!("{one}, {json}, 'scan.bad-row.mode'='dead-letter'"), "SQL-OPTION", "'scan.bad-row.topic' is missing", ""),
        (
            &format!("{one}, {json}, 'scan.bad-row.mode'='dead-letter', 'scan.bad-row.topic'='t'"),
            "SQL-OPTION",
            "the name of another topic",
            "",
        ),
        (
            &format!("{one}, {json}, 'scan.bad-row.topic'='d'"),
            "SQL-OPTION",
            "needs 'scan.bad-row.mode' = 'dead-letter', which is 'fail'",
            "",
        ),
        (
            &format!("{one}, {json}, 'scan.bad-row.max'='5'"),
            "SQL-OPTION",
            "needs 'scan.bad-row.mode' = 'skip' or 'dead-letter'",
            "",
        ),
        (
            "'connector'='kafka', 'topic'='a b', 'properties.bootstrap.servers'='a:1', 'format'='json'",
            "SQL-OPTION",
            "names 'a b'",
            "",
        ),
        (
            "'connector'='kafka', 'topic'='a; a', 'properties.bootstrap.servers'='a:1', 'format'='json'",
            "SQL-OPTION",
            "names 'a' twice",
            "",
        ),
        (
            "'connector'='kafka', 'topic'='a;b', 'properties.bootstrap.servers'='a:1', 'format'='json',
                'scan.startup.mode'='specific-offsets', 'scan.startup.specific-offsets'='partition:0,offset:1'",
            "SQL-OPTION",
            "needs a table with one topic",
            "",
        ),
    ] {
        refused(given, code, part, hint);
    }
}

/// Reading a table with these options is refused.
fn refused(given: &str, code: &str, part: &str, hint: &str) {
    let error = source(&path(), &table(COLUMNS, given), &["id"]).unwrap_err();
    assert_eq!(error.code, code, "{given}: {error}");
    assert!(error.message.contains(part), "{given}: {error}");
    assert!(error.hint.clone().unwrap_or_default().contains(hint), "{given}: {:?}", error.hint);
}

#[test]
fn wrong_formats_are_refused_with_a_hint() {
    let one = "'connector'='kafka', 'topic'='t', 'properties.bootstrap.servers'='a:1'";
    let json = "'format'='json', 'scan.startup.mode'='earliest-offset'";
    for (given, code, part, hint) in [
        (&format!("{one}, 'format'='xml'"), "SQL-OPTION", "'xml'; it must be one of avro, avro-confluent, csv, ", ""),
        (
            &format!("{one}, 'format'='parquet'"),
            "SQL-OPTION",
            "is 'parquet'; it must be one of",
            "a format of files, not of messages",
        ),
        (
            &format!("{one}, {json}, 'key.format'='Parquet', 'key.fields'='id'"),
            "SQL-OPTION",
            "'key.format' is 'Parquet'",
            "connector 'filesystem'",
        ),
        (&format!("{one}, 'format'='avro-confluent'"), "SQL-OPTION", "'avro-confluent.url' is missing", "'http://host:8081'"),
        (
            &format!(
                "{one}, 'format'='avro-confluent', 'avro-confluent.url'='http://r', 'avro-confluent.basic-auth.user-info'='a:b'"
            ),
            "SQL-OPTION",
            "'avro-confluent.basic-auth.user-info' needs 'basic-auth.credentials-source' = 'USER_INFO'",
            "",
        ),
        (
            &format!(
                "{one}, 'format'='avro-confluent', 'avro-confluent.url'='http://r', 'avro-confluent.bearer-auth.credentials-source'='STATIC_TOKEN'"
            ),
            "SQL-OPTION",
            "'avro-confluent.bearer-auth.token' is missing",
            "",
        ),
        (&format!("{one}, 'format'='avro', 'avro.encoding'='json'"), "SQL-UNSUPPORTED", "'avro.encoding'", "binary form"),
        (&format!("{one}, 'format'='avro', 'avro-confluent.url'='http://r'"), "SQL-OPTION", "does not fit 'format' = 'avro'", ""),
    ] {
        refused(given, code, part, hint);
    }
}

#[test]
fn wrong_sinks_are_refused() {
    let of = |columns: &str, given: &str| {
        let given = format!("'connector'='kafka', 'properties.bootstrap.servers'='a:1', 'format'='json', {given}");
        sink(&path(), &table(columns, &given)).unwrap_err()
    };
    for (columns, given, part) in [
        ("a INT", "'topic'='a;b'", "names several topics"),
        ("a INT, PRIMARY KEY (a) NOT ENFORCED", "'topic'='t'", "can't have a PRIMARY KEY"),
        (
            "a INT",
            "'topic'='t', 'sink.partitioner'='round-robin', 'key.format'='json', 'key.fields'='a'",
            "which 'key.fields' excludes",
        ),
        ("a INT", "'topic'='t', 'sink.partitioner'='org.example.Mine'", "one of default, fixed, round-robin"),
        ("a INT", "'topic'='t', 'sink.transactional-id-prefix'=''", "is empty"),
    ] {
        let error = of(columns, given);
        assert!(error.message.contains(part), "{columns} {given}: {error}");
    }
}

#[test]
fn an_upserting_sink_has_its_primary_key_as_key() {
    let of = |columns: &str, given: &str| {
        let given = format!("'connector'='upsert-kafka', 'topic'='t', 'properties.bootstrap.servers'='a:1', {given}");
        let table = table(columns, &given);
        (sink(&path(), &table), source(&path(), &table, &["n"]))
    };
    let keyed = "n BIGINT, b INT, a STRING, PRIMARY KEY (a, b) NOT ENFORCED";
    let formats = "'key.format'='json', 'value.format'='csv'";
    let (written, read) = of(keyed, &format!("{formats}, 'value.fields-include'='EXCEPT_KEY', 'sink.buffer-flush.max-rows'='5'"));
    let written = written.unwrap();
    assert_eq!(
        options(&written.operator),
        json!({"bootstrap_servers": "a:1", "topic": "t", "guarantee": "at-least-once", "upsert": true, "value_includes_key": false,
            "key": {"format": {"kind": "json", "timestamp_format": "sql"}, "fields": ["a", "b"], "prefix": ""},
            "value": {"format": {"kind": "csv", "timestamp_format": "sql"}}})
    );
    assert_eq!((written.changes, written.notices.len()), (SinkChanges::ByKey(vec!["a".into(), "b".into()]), 1));
    assert_eq!(read.unwrap_err().code, "SQL-UNSUPPORTED");
    for (columns, given, part) in [
        ("n BIGINT", formats, "needs a PRIMARY KEY"),
        (keyed, "'value.format'='csv'", "'key.format' is missing"),
        (keyed, "'key.format'='csv'", "'value.format' is missing"),
        (keyed, &format!("{formats}, 'format'='json'"), "no option 'format'"),
        (keyed, &format!("{formats}, 'key.fields'='a'"), "no option 'key.fields'"),
        (keyed, &format!("{formats}, 'csv.null-literal'='x'"), "no option 'csv.null-literal'"),
        (keyed, &format!("{formats}, 'key.fields-prefix'='a', 'value.fields-include'='EXCEPT_KEY'"), "the primary key has 'a'"),
    ] {
        let error = of(columns, given).0.unwrap_err();
        assert!(error.message.contains(part), "{columns} {given}: {error}");
    }
}

#[test]
fn changes_are_read_and_written_as_debezium_has_them() {
    let columns = "id BIGINT, n INT, PRIMARY KEY (id) NOT ENFORCED";
    let of = |given: &str| table(columns, &format!("{LEAST}, {given}"));
    let debezium =
        of("'format'='debezium-json', 'debezium-json.schema-include'='true', 'debezium-json.ignore-parse-errors'='true'");
    assert!(emits_changes(&debezium));
    let read = source(&path(), &debezium, &["n"]).unwrap();
    let set = options(&read.operator);
    let format = json!({"kind": "debezium-json", "schema_include": true, "ignore_parse_errors": true});
    assert_eq!((&set["value"]["format"], &set["ignore_parse_errors"]), (&format, &json!(true)));
    assert_eq!(read.columns.len(), 1, "the kind of a row is no column of the table");
    assert_eq!(sink(&path(), &debezium).unwrap_err().code, "SQL-UNSUPPORTED");

    let keyed = "'value.format'='debezium-json', 'key.format'='raw', 'key.fields'='id'";
    let written = sink(&path(), &of(keyed)).unwrap();
    assert_eq!(options(&written.operator)["value"]["format"], json!({"kind": "debezium-json", "timestamp_format": "sql"}));
    assert_eq!((written.changes, written.notices.len()), (SinkChanges::All, 0));
    assert_eq!(sink(&path(), &of("'format'='debezium-json'")).unwrap().notices.len(), 1, "changes without a key");

    assert!(!emits_changes(&of("'format'='json'")));
    let error = sink(&path(), &of("'format'='json'")).unwrap_err();
    assert!(error.message.contains("can't have a PRIMARY KEY"), "{error}");
    let error = source(&path(), &of("'format'='json', 'key.format'='debezium-json', 'key.fields'='id'"), &["n"]).unwrap_err();
    assert!(error.message.contains("one of avro, avro-confluent, csv, json, raw"), "{error}");
}

#[test]
fn avro_has_its_schema_from_the_columns_or_a_registry() {
    let plain = read("'format'='avro'", &["id"]).unwrap();
    assert_eq!(options(&plain.operator)["value"], json!({"format": {"kind": "avro"}}));
    let plain = written("'format'='avro', 'avro.timestamp_mapping.legacy'='false'").unwrap();
    assert_eq!(options(&plain.operator)["value"], json!({"format": {"kind": "avro", "legacy_timestamps": false}}));

    let given =
        "'format'='avro-confluent', 'avro-confluent.url'=' http://r:8081/p ', 'key.format'='avro-confluent', 'key.fields'='id',
        'key.avro-confluent.schema-registry.url'='http://k', 'key.avro-confluent.subject'='keys'";
    let set = options(&written(given).unwrap().operator);
    let url = "http://r:8081/p";
    assert_eq!(set["value"]["format"], json!({"kind": "avro-confluent", "url": url, "subject": "t-value"}));
    assert_eq!(set["key"]["format"], json!({"kind": "avro-confluent", "url": "http://k", "subject": "keys"}));
    let set = options(&read(given, &["id"]).unwrap().operator);
    assert_eq!(set["value"]["format"], json!({"kind": "avro-confluent", "url": url}), "a source has no subject");
    let keyed = "'value.format'='json', 'key.format'='avro-confluent', 'key.fields'='id', 'key.avro-confluent.url'='http://k'";
    assert_eq!(options(&written(keyed).unwrap().operator)["key"]["format"]["subject"], "t-key");

    let secured = "'value.format'='avro-confluent', 'value.avro-confluent.url'='https://r', 'value.avro-confluent.schema'='{}',
        'value.avro-confluent.basic-auth.credentials-source'='USER_INFO', 'value.avro-confluent.basic-auth.user-info'='me:secret',
        'value.avro-confluent.ssl.truststore.location'='/ca.pem', 'value.avro-confluent.ssl.keystore.location'='/me.pem'";
    assert_eq!(
        options(&read(secured, &["id"]).unwrap().operator)["value"]["format"],
        json!({"kind": "avro-confluent", "url": "https://r", "schema": "{}", "basic_auth": "me:secret", "truststore": "/ca.pem",
            "keystore": "/me.pem"})
    );
    let changes = "'format'='debezium-avro-confluent', 'debezium-avro-confluent.url'='http://r'";
    let changes = table("id BIGINT, n INT, PRIMARY KEY (id) NOT ENFORCED", &format!("{LEAST}, {changes}"));
    assert!(emits_changes(&changes));
    let written = sink(&path(), &changes).unwrap();
    assert_eq!(
        options(&written.operator)["value"]["format"],
        json!({"kind": "debezium-avro-confluent", "url": "http://r", "subject": "t-value"})
    );
    assert_eq!(written.changes, SinkChanges::All);
}
