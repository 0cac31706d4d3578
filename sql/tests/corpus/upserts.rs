//! Sinks that keep the newest row of each key, and take no notice of the old rows of updates. Sources whose rows are changes.

use std::collections::BTreeMap;

use weir_dataflow::changelog::RowKind;
use weir_protocol::job_graph::DataType;
use weir_sql::dialect::{Statement, parse_statement};
use weir_sql::planner::plan_inserts;
use weir_sql::script::{SqlError, split};
use weir_sql::session::Session;
use weir_sql::stream::Column;

use crate::engine::{Choice, Table, collect, collected, read_from, release, run, run_row_by_row};
use crate::rows::{Row, folded, rows};

const TABLES: &str = "
    CREATE TABLE s (k INT, v BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '200', 'fields.k.kind' = 'random',
      'fields.k.min' = '1', 'fields.k.max' = '7', 'fields.v.min' = '-9', 'fields.v.max' = '9');
    CREATE TABLE newest (k INT, n BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'upsert-kafka', 'topic' = 't',
      'properties.bootstrap.servers' = 'a:1', 'key.format' = 'json', 'value.format' = 'json');
    CREATE TABLE pairs (a STRING, k INT, n BIGINT, PRIMARY KEY (k, a) NOT ENFORCED) WITH ('connector' = 'upsert-kafka',
      'topic' = 't', 'properties.bootstrap.servers' = 'a:1', 'key.format' = 'json', 'value.format' = 'json');
";

const CHANGES: &str = "
    CREATE TABLE changes (k INT, v BIGINT, unread STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'kafka', 'topic' = 'c',
      'properties.bootstrap.servers' = 'SERVERS', 'scan.startup.mode' = 'earliest-offset', 'format' = 'debezium-json');
";

/// What the sink of this INSERT gets, in order. Tables of Kafka read from `table`.
fn written(insert: &str, parallelism: u32, number: u64, table: Option<&Table>) -> Result<Vec<Row>, SqlError> {
    let mut session = Session::default();
    let of_table = table.map(|table| CHANGES.replace("SERVERS", &table.path())).unwrap_or_default();
    for statement in split(&format!("{TABLES} {of_table} SET 'parallelism.default' = '{parallelism}';")).unwrap() {
        session.command(&parse_statement(&statement)?).unwrap()?;
    }
    let Statement::Insert(insert) = parse_statement(&split(insert)?[0])? else { panic!("{insert} is no INSERT") };
    let mut graph = plan_inserts(session.environment(), &[insert], &session.job_options("test"))?.graph;
    read_from(table.as_slice(), &mut graph);
    let sinks =
        graph.vertices.iter_mut().flat_map(|vertex| &mut vertex.operators).filter(|operator| operator.kind == "sink.kafka");
    for sink in sinks {
        let uid = sink.uid.take();
        *sink = collect(number);
        sink.uid = uid;
    }
    if parallelism == 1 {
        run_row_by_row(&graph).unwrap();
    } else {
        run(&graph, number).unwrap();
    }
    let batches = collected(number);
    let column = |field: &arrow_schema::FieldRef| Column {
        name: field.name().clone(),
        data_type: match field.data_type() {
            arrow_schema::DataType::Utf8 => DataType::String,
            arrow_schema::DataType::Int32 => DataType::Int,
            _ => DataType::Bigint,
        },
        nullable: field.is_nullable(),
        is_rowtime: false,
    };
    let columns: Vec<_> = batches[0].schema().fields().iter().filter(|field| *field.name() != "__kind").map(column).collect();
    Ok(rows(&batches, &columns, "UTC"))
}

/// The rows that are left by their key, which are these columns, if the old rows of updates are dropped.
fn newest(rows: &[Row], key: &[usize]) -> Vec<(Vec<String>, i64)> {
    let mut table = BTreeMap::new();
    for (kind, values) in rows {
        let key: Vec<_> = key.iter().map(|column| values[*column].clone()).collect();
        match kind {
            RowKind::UpdateBefore => {}
            RowKind::Delete => drop(table.remove(&key)),
            RowKind::Insert | RowKind::UpdateAfter => drop(table.insert(key, values.clone())),
        }
    }
    let mut rows: Vec<_> = table.into_values().map(|values| (values, 1)).collect();
    rows.sort();
    rows
}

#[test]
fn the_newest_rows_of_all_keys_are_the_result_of_the_query() {
    for (index, (insert, key)) in [
        ("INSERT INTO newest SELECT k, COUNT(*) FROM s GROUP BY k", &[0][..]),
        ("INSERT INTO newest SELECT k, COUNT(*) FROM s GROUP BY k HAVING MOD(COUNT(*), 3) = 1", &[0]),
        ("INSERT INTO newest SELECT k, c FROM (SELECT k, COUNT(*) AS c, SUM(v) AS t FROM s GROUP BY k) WHERE t > 0", &[0]),
        ("INSERT INTO newest (n, k) SELECT COUNT(*), n FROM (SELECT k, CAST(MOD(COUNT(*), 5) AS INT) AS n FROM s GROUP BY k) GROUP BY n", &[0]),
        ("INSERT INTO pairs SELECT 'all', k, MAX(v) FROM s GROUP BY k", &[0, 1]),
        ("INSERT INTO pairs SELECT a, k, MAX(v) FROM (SELECT k, v, IF(v > 0, 'up', 'down') AS a FROM s) GROUP BY k, a", &[0, 1]),
        ("INSERT INTO newest SELECT k, v FROM s WHERE k < 3", &[0]),
    ]
    .into_iter()
    .enumerate()
    {
        for parallelism in [1, 2] {
            let rows = written(insert, parallelism, 7_000 + 10 * index as u64 + u64::from(parallelism), None).unwrap();
            if !insert.contains("GROUP BY") {
                assert!(rows.iter().all(|(kind, _)| *kind == RowKind::Insert), "rows that don't change may have any key");
                continue;
            }
            assert!(parallelism > 1 || rows.len() > 20, "{insert}: {} changes", rows.len());
            assert_eq!(newest(&rows, key), folded(&rows), "{insert} with parallelism {parallelism}");
        }
    }
}

#[test]
fn changes_that_come_by_another_key_are_refused() {
    for insert in [
        "INSERT INTO newest SELECT CAST(v AS INT), COUNT(*) FROM s GROUP BY k, v",
        "INSERT INTO newest SELECT MAX(k), v FROM s GROUP BY v",
        "INSERT INTO newest SELECT k, COUNT(*) FROM s GROUP BY k, v",
        "INSERT INTO newest SELECT k + 1, COUNT(*) FROM s GROUP BY k",
        "INSERT INTO newest SELECT 1, COUNT(*) FROM s GROUP BY k",
        "INSERT INTO newest SELECT k, COUNT(*) FROM s GROUP BY k UNION ALL SELECT k, v FROM s",
        "INSERT INTO pairs SELECT 'x', MAX(k), COUNT(*) FROM s",
    ] {
        let error = written(insert, 1, 7_900, None).unwrap_err();
        assert!(error.code == "SQL-CHANGELOG" && error.hint.is_some(), "{insert}: {error}");
    }
    assert!(written("INSERT INTO pairs SELECT 'all', 1, COUNT(*) FROM s", 2, 7_901, None).is_ok(), "one row is its own key");
}

/// The kind, key and value of a row.
type Change = (RowKind, i32, i64);

/// Changes of some rows, and what they lead to. All changes of a row are in one split of the table.
fn changes(seed: u64) -> (Vec<Change>, BTreeMap<i32, i64>) {
    const SPLITS: usize = 4;
    const LENGTH: usize = 60;
    let (mut choice, mut rows) = (Choice::new(seed), BTreeMap::new());
    let mut splits = vec![Vec::new(); SPLITS];
    for (index, split) in splits.iter_mut().enumerate() {
        while split.len() < LENGTH {
            let key = (index + SPLITS * choice.below(3)) as i32;
            let value = choice.below(100) as i64 - 30;
            match rows.get(&key).copied() {
                None => {
                    split.push((RowKind::Insert, key, value));
                    rows.insert(key, value);
                }
                Some(before) if split.len() + 1 < LENGTH && choice.below(3) > 0 => {
                    split.extend([(RowKind::UpdateBefore, key, before), (RowKind::UpdateAfter, key, value)]);
                    rows.insert(key, value);
                }
                Some(before) => {
                    split.push((RowKind::Delete, key, before));
                    rows.remove(&key);
                }
            }
        }
    }
    ((0..SPLITS * LENGTH).map(|row| splits[row % SPLITS][row / SPLITS]).collect(), rows)
}

#[test]
fn a_source_of_changes_gives_the_tables_that_they_lead_to() {
    for seed in 1..=4 {
        let (changes, rows) = changes(seed);
        let table = Table::new(7_100 + seed, changes.len(), |positions| {
            let of = |position: &usize| changes[*position];
            let columns: Vec<arrow_array::ArrayRef> = vec![
                std::sync::Arc::new(arrow_array::Int32Array::from_iter_values(positions.iter().map(|at| of(at).1))),
                std::sync::Arc::new(arrow_array::Int64Array::from_iter(positions.iter().map(|at| Some(of(at).2)))),
                std::sync::Arc::new(arrow_array::StringArray::from_iter(positions.iter().map(|_| None::<&str>))),
                std::sync::Arc::new(arrow_array::Int8Array::from_iter_values(positions.iter().map(|at| of(at).0 as i8))),
            ];
            let field = |name: &str, column: usize, nullable: bool| {
                arrow_schema::Field::new(name, columns[column].data_type().clone(), nullable)
            };
            let fields =
                vec![field("k", 0, false), field("v", 1, true), field("unread", 2, true), weir_dataflow::changelog::kind_field()];
            arrow_array::RecordBatch::try_new(std::sync::Arc::new(arrow_schema::Schema::new(fields)), columns.clone()).unwrap()
        });
        release(&table, changes.len(), true);
        for (index, (insert, expected)) in [
            ("INSERT INTO newest SELECT k, v FROM changes", rows.clone()),
            (
                "INSERT INTO newest SELECT k, v + 1 FROM changes WHERE v > 10",
                rows.iter().filter(|(_, v)| **v > 10).map(|(k, v)| (*k, *v + 1)).collect(),
            ),
            (
                "INSERT INTO newest SELECT g, SUM(v) FROM (SELECT MOD(k, 3) AS g, v FROM changes) GROUP BY g",
                rows.iter().fold(BTreeMap::new(), |mut sums, (k, v)| {
                    *sums.entry(k % 3).or_default() += v;
                    sums
                }),
            ),
        ]
        .into_iter()
        .enumerate()
        {
            for parallelism in [1, 2] {
                let number = 7_200 + 100 * index as u64 + 10 * seed + u64::from(parallelism);
                let written = written(insert, parallelism, number, Some(&table)).unwrap();
                let expected: Vec<_> = expected.iter().map(|(k, v)| (vec![k.to_string(), v.to_string()], 1)).collect();
                let mut found = newest(&written, &[0]);
                found.sort_by_key(|(values, _)| values[0].parse::<i32>().unwrap());
                assert_eq!(found, expected, "{insert}, seed {seed}, parallelism {parallelism}");
                assert_eq!(newest(&written, &[0]), folded(&written), "{insert}");
            }
        }
    }
}
