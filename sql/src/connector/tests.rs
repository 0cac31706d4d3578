use serde_json::{Value, json};
use weir_protocol::job_graph::{CheckpointConfig, Partitioning};

use super::*;
use crate::catalog::create_table;
use crate::dialect::{Statement, parse_statement};
use crate::script::split;

pub(super) fn path() -> ObjectPath {
    ObjectPath { catalog: "c".into(), database: "d".into(), name: "t".into() }
}

pub(super) fn table(columns: &str, options: &str) -> CatalogTable {
    let script = format!("CREATE TABLE t ({columns}) WITH ({options})");
    match parse_statement(&split(&script).unwrap()[0]).unwrap() {
        Statement::CreateTable(create) => create_table(&create, None).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn read(options: &str, wanted: &[&str]) -> Result<SourceDescriptor, SqlError> {
    source(&path(), &table("a INT, b STRING, c AS a + 1", options), wanted)
}

fn written(options: &str) -> Result<SinkDescriptor, SqlError> {
    sink(&path(), &table("a INT, b STRING, c AS a + 1", options))
}

pub(super) fn options(descriptor: &OperatorDescriptor) -> Value {
    serde_json::to_value(&descriptor.options).unwrap()
}

#[test]
fn files_are_read_as_flink_reads_them() {
    let schema = json!([{"name": "a", "type": "INT", "nullable": true}, {"name": "b", "type": "STRING", "nullable": true}]);
    let csv = read("'connector'='filesystem', 'path'='file:///in', 'format'='csv'", &["a", "b"]).unwrap();
    assert_eq!(csv.operator.kind, "source.file");
    assert_eq!(
        options(&csv.operator),
        json!({"path": "/in", "format": "csv", "header": false, "empty_text": "text", "schema": schema})
    );
    assert!(csv.is_bounded && csv.notices.is_empty());
    let watched =
        read("'connector'='filesystem', 'path'='/in', 'format'='csv', 'source.monitor-interval'='5 s'", &["a", "b"]).unwrap();
    assert!(!watched.is_bounded && watched.notices.is_empty());
    assert_eq!(watched.operator.options["monitor_interval_ms"], json!(5_000));
    let csv = read(
        "'connector'='filesystem', 'path'='/in', 'format'='csv', 'csv.field-delimiter'='\\t', 'csv.disable-quote-character'='true',
         'csv.null-literal'='n/a', 'csv.ignore-parse-errors'='true', 'csv.header'='true', 'csv.escape-character'='\\'",
        &["b"],
    )
    .unwrap();
    assert_eq!(
        options(&csv.operator),
        json!({"path": "/in", "format": "csv", "header": true, "empty_text": "text", "schema": schema, "columns": ["b"], "delimiter": "\t",
            "quote": "", "null_literal": "n/a", "ignore_parse_errors": true, "escape": "\\"})
    );
    assert_eq!(csv.columns.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["b"]);
    let json =
        read("'connector'='filesystem', 'path'='s3://b/in', 'format'='JSON', 'json.fail-on-missing-field'='true'", &[]).unwrap();
    assert_eq!(
        options(&json.operator),
        json!({"path": "s3://b/in", "format": "json", "schema": schema, "columns": ["a"], "missing_columns": "null", "fail_on_missing_field": true})
    );
}

#[test]
fn sinks_say_whether_they_take_changes() {
    let file = written("'connector'='filesystem', 'path'='/out', 'format'='json', 'json.timestamp-format.standard'='ISO-8601', 'sink.rolling-policy.file-size'='1 mb'").unwrap();
    assert_eq!(options(&file.operator), json!({"path": "/out", "format": "json", "timestamp_format": "iso-8601-local"}));
    assert_eq!(file.changes, SinkChanges::Refused);
    assert_eq!(file.notices.len(), 1);
    let csv = written("'connector'='filesystem', 'path'='/out', 'format'='csv'").unwrap();
    assert_eq!(options(&csv.operator), json!({"path": "/out", "format": "csv", "header": false, "timestamp_format": "sql"}));
    let changes = written("'connector'='filesystem', 'path'='/out', 'format'='csv', 'sink.changelog.kind-column'='op'").unwrap();
    assert_eq!((options(&changes.operator)["kind_column"].clone(), changes.changes), (json!("op"), SinkChanges::All));
    let taken = written("'connector'='filesystem', 'path'='/out', 'format'='csv', 'sink.changelog.kind-column'='b'");
    assert!(taken.unwrap_err().to_string().contains("further column"));
    let print = written("'connector'='print', 'print-identifier'='x'").unwrap();
    assert_eq!(
        (print.operator.kind.as_str(), options(&print.operator), print.changes),
        ("sink.print", json!({"prefix": "x"}), SinkChanges::All)
    );
    assert_eq!(written("'connector'='blackhole'").unwrap().changes, SinkChanges::All);
}

#[test]
fn generated_tables_end_with_their_shortest_sequence() {
    let make =
        |options: &str, wanted: &[&str]| source(&path(), &table("a INT, b BIGINT, s STRING, ts TIMESTAMP(3)", options), wanted);
    let endless = make("'connector'='datagen'", &["a", "s", "ts"]).unwrap();
    assert!(!endless.is_bounded);
    assert_eq!(
        options(&endless.operator),
        json!({"rows_per_second": 10000, "fields": [
            {"name": "a", "type": "INT", "kind": "random", "min": i32::MIN, "max": i32::MAX},
            {"name": "s", "type": "STRING", "kind": "random", "length": 100},
            {"name": "ts", "type": "TIMESTAMP(3)", "kind": "timestamp", "step_ms": 1}]})
    );
    let ends = make(
        "'connector'='datagen', 'rows-per-second'='10', 'number-of-rows'='100', 'fields.b.kind'='sequence', 'fields.b.start'='5', 'fields.b.end'='9', 'fields.a.min'='1', 'fields.a.max'='3', 'fields.s.length'='5'",
        &["b", "a"],
    )
    .unwrap();
    assert_eq!(
        options(&ends.operator),
        json!({"rows_per_second": 10, "rows": 5, "fields": [
            {"name": "b", "type": "BIGINT", "kind": "sequence", "min": 5},
            {"name": "a", "type": "INT", "kind": "random", "min": 1, "max": 3}]})
    );
    assert!(ends.is_bounded);
}

#[test]
fn every_type_is_generated_with_the_options_that_fit_it() {
    let types = "b BOOLEAN, t TINYINT, f FLOAT, d DECIMAL(5, 2), c CHAR(3), v VARCHAR(30), y BYTES, day DATE, clock TIME(0), \
        ts TIMESTAMP_LTZ(9), a ARRAY<INT>, m MAP<STRING, ARRAY<DOUBLE>>, r ROW<x INT, s STRING>, bag MULTISET<STRING>";
    let names: Vec<_> = types.split(", ").filter_map(|column| column.split_once(' ')).map(|(name, _)| name.trim()).collect();
    let names: Vec<_> = names.into_iter().filter(|name| *name != "ARRAY<DOUBLE>>" && *name != "2)" && *name != "s").collect();
    let made = source(&path(), &table(types, "'connector'='datagen', 'number-of-rows'='5'"), &names).unwrap();
    assert_eq!(options(&made.operator)["fields"].as_array().unwrap().len(), names.len());

    let one = |types: &str, given: &str| {
        let given = format!("'connector'='datagen', {given}");
        source(&path(), &table(types, &given), &["a"]).map(|made| options(&made.operator)["fields"][0].clone())
    };
    assert_eq!(
        one("a VARCHAR(9)", "'fields.a.length'='5', 'fields.a.var-len'='true', 'fields.a.null-rate'='0.5'").unwrap(),
        json!({"name": "a", "type": "VARCHAR(9)", "kind": "random", "length": 5, "var_length": true, "null_rate": 0.5})
    );
    assert_eq!(
        one("a TIMESTAMP(3)", "'rows-per-second'='10', 'fields.a.max-past'='1 min'").unwrap(),
        json!({"name": "a", "type": "TIMESTAMP(3)", "kind": "timestamp", "step_ms": 100, "max_past_ms": 60_000})
    );
    assert_eq!(
        one("a MAP<INT, ROW<x BYTES>>", "'fields.a.length'='2', 'fields.a.key.max'='9', 'fields.a.value.x.length'='4'").unwrap(),
        json!({"name": "a", "type": "MAP<INT, ROW<`x` BYTES>>", "kind": "random", "length": 2, "parts": [
            {"name": "key", "min": i32::MIN, "max": 9}, {"name": "value"}, {"name": "value.x", "length": 4}]})
    );
    assert_eq!(
        one("a CHAR(3)", "'fields.a.kind'='sequence', 'fields.a.start'='7', 'fields.a.end'='9'").unwrap(),
        json!({"name": "a", "type": "CHAR(3)", "kind": "sequence", "min": 7})
    );
    for (types, given, part) in [
        ("a INT", "'fields.a.length'='5'", "does not fit the type INT"),
        ("a STRING", "'fields.a.min'='5'", "does not fit the type STRING"),
        ("a INT", "'fields.a.max-past'='5 s'", "does not fit the type INT"),
        ("a INT", "'fields.a.null-rate'='1.5'", "between 0 and 1"),
        ("a INT NOT NULL", "'fields.a.null-rate'='0.5'", "NOT NULL"),
        ("a ARRAY<INT>", "'fields.a.value.min'='5'", "no part of column"),
        ("a TINYINT", "'fields.a.max'='300'", "no TINYINT"),
        ("a DATE", "'fields.a.kind'='sequence', 'fields.a.start'='7', 'fields.a.end'='9'", "sequence of type DATE"),
    ] {
        let error = one(types, given).unwrap_err();
        assert!(error.message.contains(part), "{types} {given}: {error}");
    }
}

const NEXMARK: &str = "event_type INT, bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url STRING,
    `dateTime` TIMESTAMP(3), extra VARCHAR(9)>, at AS bid.`dateTime`";

#[test]
fn nexmark_takes_the_options_of_its_connector_for_flink() {
    let make = |options: &str, wanted: &[&str]| source(&path(), &table(NEXMARK, options), wanted);
    let endless = make("'connector'='nexmark'", &["bid", "event_type"]).unwrap();
    assert!(!endless.is_bounded && endless.notices.is_empty());
    assert_eq!(options(&endless.operator), json!({"columns": ["bid", "event_type"]}));
    assert_eq!(endless.columns.iter().map(|column| column.nullable).collect::<Vec<_>>(), [true, false]);
    let all = "'connector'='nexmark', 'events.num'='100', 'stop-at'='90', 'first-event.rate'='5000', 'next-event.rate'='1',
        'max-emit-speed'='false', 'person.proportion'='2', 'auction.proportion'='0', 'bid.proportion'='7', 'person.avg-size'='1 kb',
        'auction.avg-size'='50', 'bid.avg-size'='60b', 'auction.hot-ratio.sellers'='2', 'bid.hot-ratio.auctions'='3',
        'bid.hot-ratio.bidders'='5', 'seed'='8', 'base-time'='1000', 'keep-alive'='false', 'rate.shape'='sine'";
    let all = make(all, &["event_type"]).unwrap();
    assert_eq!(
        options(&all.operator),
        json!({"columns": ["event_type"], "rows": 90, "rows_per_second": 5000, "events_per_second": 5000, "person_proportion": 2,
            "auction_proportion": 0, "bid_proportion": 7, "person_bytes": 1024, "auction_bytes": 50, "bid_bytes": 60,
            "hot_sellers": 2, "hot_auctions": 3, "hot_bidders": 5, "seed": 8, "base_time_ms": 1000})
    );
    assert!(all.is_bounded);
    assert!(all.notices.iter().any(|notice| notice.contains("next-event.rate")));
    for (columns, options, part) in [
        ("event_type BIGINT", "", "\"event_type\" has type BIGINT; it must be INT"),
        ("bids INT", "", "have no column \"bids\""),
        ("bid ROW<auction BIGINT>", "", "\"bid\" has type ROW"),
        (&NEXMARK.replace("bidder BIGINT", "bidder BIGINT NOT NULL"), "", "\"bid\" has type ROW"),
        (&NEXMARK.replace("VARCHAR(9)>", "VARCHAR(9)> NOT NULL"), "", "NOT NULL; it must be ROW"),
        (NEXMARK, ", 'bid.avg-size'='1 gb'", "at most 524288"),
        (NEXMARK, ", 'keep-alive'='true'", "keep-alive"),
        (NEXMARK, ", 'person.proportion'='0', 'auction.proportion'='0', 'bid.proportion'='0'", "there are no events"),
    ] {
        let error = source(&path(), &table(columns, &format!("'connector'='nexmark'{options}")), &[]).unwrap_err();
        assert!(error.message.contains(part), "{columns} {options}: {error}");
    }
}

#[test]
fn wrong_options_are_refused_with_a_hint() {
    for (options, code, part, hint) in [
        (
            "'format'='csv'",
            "SQL-OPTION",
            "has no option 'connector'",
            "blackhole, datagen, filesystem, kafka, nexmark, print, upsert-kafka",
        ),
        ("'connector'='filesytem'", "SQL-OPTION", "no connector 'filesytem'", "did you mean 'filesystem'?"),
        ("'connector'='filesystem', 'path'='/x'", "SQL-OPTION", "option 'format' is missing", "'format' = '…'"),
        ("'connector'='filesystem', 'format'='csv'", "SQL-OPTION", "option 'path' is missing", "'path'"),
        ("'connector'='filesystem', 'path'='x/y', 'format'='csv'", "SQL-OPTION", "must be an absolute path", "another directory"),
        (
            "'connector'='filesystem', 'path'='/x', 'format'='csv', 'csv.field-delimeter'=';'",
            "SQL-OPTION",
            "no option 'csv.field-delimeter'",
            "did you mean 'csv.field-delimiter'?",
        ),
        (
            "'connector'='filesystem', 'path'='/x', 'format'='orc'",
            "SQL-OPTION",
            "'orc'; it must be one of csv, json, parquet",
            "",
        ),
        (
            "'connector'='filesystem', 'path'='/x', 'format'='json', 'csv.null-literal'='x'",
            "SQL-OPTION",
            "does not fit 'format' = 'json'",
            "",
        ),
        (
            "'connector'='filesystem', 'path'='/x', 'format'='csv', 'csv.field-delimiter'=';;'",
            "SQL-OPTION",
            "must be one character",
            "",
        ),
        (
            "'connector'='filesystem', 'path'='/x', 'format'='csv', 'source.monitor-interval'='0 s'",
            "SQL-OPTION",
            "source.monitor-interval",
            "",
        ),
        (
            "'connector'='filesystem', 'path'='/x', 'format'='csv', 'csv.allow-comments'='true'",
            "SQL-UNSUPPORTED",
            "csv.allow-comments",
            "",
        ),
        ("'connector'='datagen', 'fields.x.min'='5'", "SQL-OPTION", "no option 'fields.x.min'", ""),
        ("'connector'='datagen', 'fields.a.mni'='5'", "SQL-OPTION", "no option 'fields.a.mni'", "did you mean 'fields.a.min'?"),
        ("'connector'='datagen', 'fields.a.start'='5'", "SQL-OPTION", "does not fit 'fields.a.kind' = 'random'", ""),
        ("'connector'='datagen', 'fields.a.kind'='sequence'", "SQL-OPTION", "'fields.a.start' is missing", ""),
        ("'connector'='datagen', 'fields.a.min'='9999999999'", "SQL-OPTION", "which is no INT", ""),
        ("'connector'='print'", "SQL-CATALOG", "can only be written to", ""),
    ] {
        let error = read(options, &["a"]).unwrap_err();
        assert_eq!(error.code, code, "{options}");
        assert!(error.message.contains(part), "{options}: {error}");
        assert!(error.hint.clone().unwrap_or_default().contains(hint), "{options}: {:?}", error.hint);
    }
    assert_eq!(written("'connector'='datagen'").unwrap_err().code, "SQL-CATALOG");
}

#[test]
fn the_operators_are_those_of_the_catalog() {
    // The job graph is checked as a submitted one is.
    let source = source(&path(), &table("a INT, b BIGINT", "'connector'='datagen', 'number-of-rows'='5'"), &["a", "b"]).unwrap();
    let sink = written("'connector'='print', 'print-identifier'='x'").unwrap();
    let vertex = |uid: &str, operator: OperatorDescriptor, output: Vec<Field>| weir_protocol::job_graph::JobVertex {
        uid: uid.into(),
        name: String::new(),
        parallelism: 1,
        operators: vec![operator],
        output_schema: output,
        input_schemas: vec![],
    };
    let graph = weir_protocol::job_graph::JobGraph {
        version: weir_protocol::job_graph::JobGraph::VERSION,
        job_id: None,
        name: "test".into(),
        max_parallelism: 128,
        vertices: vec![vertex("source", source.operator, source.columns), vertex("sink", sink.operator, vec![])],
        edges: vec![weir_protocol::job_graph::JobEdge {
            from: "source".into(),
            to: "sink".into(),
            input: 0,
            partitioning: Partitioning::Forward,
        }],
        checkpointing: Some(CheckpointConfig::default()),
        restart_strategy: None,
        restore_from: None,
        allow_non_restored_state: false,
    };
    let refusals = weir_protocol::job_graph::validate::validate(&graph);
    assert!(refusals.is_ok(), "{refusals:?}");
}

#[test]
fn options_are_unique_and_documented() {
    for connector in CONNECTORS {
        assert!(connector.doc.ends_with('.'));
        let options: Vec<_> = connector.options.iter().flat_map(|group| group.options).collect();
        for (i, option) in options.iter().enumerate() {
            assert!(option.doc.ends_with('.'), "{}", option.name);
            assert!(options[..i].iter().all(|other| other.name != option.name), "{}", option.name);
        }
    }
}

#[test]
fn files_know_metadata_which_follows_the_stored_columns() {
    let columns = "a INT, f STRING METADATA FROM 'file.name', b STRING, `file.size` INT METADATA VIRTUAL";
    let file = table(columns, "'connector'='filesystem', 'path'='/in', 'format'='csv'");
    let wanted = source(&path(), &file, &["b", "f", "file.size"]).unwrap();
    let set = options(&wanted.operator);
    assert_eq!((&set["columns"], set["metadata"][1].clone()), (&json!(["b"]), json!({"name": "file.size", "key": "file.size"})));
    let types: Vec<_> = wanted.columns.iter().map(|field| field.data_type.to_string()).collect();
    assert_eq!(types, ["STRING", "STRING", "BIGINT"], "as the connector makes them, not as they are declared");
    let only = source(&path(), &file, &["f"]).unwrap();
    assert_eq!((options(&only.operator)["columns"].clone(), only.columns.len()), (json!([]), 1));

    let unknown = table("a INT, f STRING METADATA FROM 'file.nam'", "'connector'='filesystem', 'path'='/in', 'format'='csv'");
    let error = source(&path(), &unknown, &["a", "f"]).unwrap_err();
    assert!(error.code == "SQL-CATALOG" && error.hint.unwrap().contains("'file.name'"));
    let none = table("a INT, f STRING METADATA", "'connector'='datagen'");
    assert!(source(&path(), &none, &["a", "f"]).unwrap_err().hint.unwrap().contains("has none"));
}
