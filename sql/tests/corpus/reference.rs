//! The evaluator that judges random queries and chaos runs, over the corpus: its rows must be those of Flink.

use std::rc::Rc;

use arrow_array::RecordBatch;
use weir_dataflow::schema;
use weir_protocol::job_graph::Field;
use weir_sql::bind;
use weir_sql::catalog::{Catalog, CatalogObject, CatalogTable, ObjectPath, TableColumnKind};
use weir_sql::dialect::{Statement, parse_statement};
use weir_sql::graph::job_graph;
use weir_sql::script::split;
use weir_sql::session::Session;
use weir_sql::stream::{Column, Node, NodeKind};
use weir_sql_reference::{Reference, Relation, Row, Tables, array_of, rows_of};

use crate::engine;
use crate::rows;
use crate::script::{Expected, Script, next_number};

/// Scripts whose result is not determined by rows, each with the reason.
const NOT_DETERMINED: &[(&str, &str)] = &[
    ("hop_before_1970", "a row is late for some of its windows; only rows that are late for all are counted"),
    ("hop_distinct_filter", "the same"),
    ("hop_offset", "the same"),
    ("late_rows_hop", "the same"),
    ("select_without_from", "it reads the clock"),
];

/// What the evaluator makes of a script. `None` if it does not judge such scripts: it knows no order of rows, so to it none is late.
fn evaluated(script: &Script) -> Option<Result<Vec<rows::Row>, String>> {
    let mut session = Session::default();
    let statements = split(&script.text).ok()?;
    for statement in statements {
        let parsed = parse_statement(&statement).ok()?;
        let Statement::Query(query) = &parsed else {
            session.command(&parsed)?.ok()?;
            continue;
        };
        let plan = bind::query(session.environment(), query).ok()?;
        let tables = tables(&session)?;
        // What it refuses is not compared.
        let relation = Reference::default().rows(&plan, &tables, i64::MAX).ok()?;
        if script.text.contains("TABLE(") && script.late_rows(&session, query) > 0 {
            return None;
        }
        return Some(shown(&relation, &plan.columns, session.options.local_time_zone()));
    }
    None
}

/// The rows of all tables of the current database.
fn tables(session: &Session) -> Option<Tables> {
    let (catalog, database) = session.catalog.current();
    let mut tables = Tables::new();
    for name in session.catalog.names(catalog, database) {
        let path = ObjectPath { catalog: catalog.to_owned(), database: database.to_owned(), name };
        if let Some(CatalogObject::Table(table)) = session.catalog.object(&path) {
            tables.insert(path.to_string(), stored(session, &path, table)?);
        }
    }
    Some(tables)
}

/// The stored columns of a table, read by its connector.
fn stored(session: &Session, path: &ObjectPath, table: &CatalogTable) -> Option<Relation> {
    let mut plain = CatalogTable { watermark: None, ..table.clone() };
    plain.columns.retain(|column| matches!(column.kind, TableColumnKind::Physical { .. }));
    let scan = bind::table(session.environment(), path, &plain).ok()?;
    let number = next_number();
    let kind = NodeKind::Collect { operator: engine::collect(number) };
    let root = Rc::new(Node { kind, columns: scan.columns.clone(), window: None, is_updating: false, inputs: vec![scan] });
    let graph = job_graph(std::slice::from_ref(&root), &session.job_options("table")).ok()?;
    engine::run(&graph, 1).ok()?;
    let mut relation = Relation::new();
    for batch in engine::collected(number) {
        rows_of(&batch, root.columns.len()).ok()?.into_iter().for_each(|row| *relation.entry(row).or_insert(0) += 1);
    }
    Some(relation)
}

/// The rows as the stored results of Flink write them.
fn shown(relation: &Relation, columns: &[Column], zone: &str) -> Result<Vec<rows::Row>, String> {
    let field =
        |column: &Column| Field { name: column.name.clone(), data_type: column.data_type.clone(), nullable: column.nullable };
    let schema = schema::to_arrow(&columns.iter().map(field).collect::<Vec<_>>()).map_err(|error| error.to_string())?;
    let repeated: Vec<&Row> = relation.iter().flat_map(|(row, count)| std::iter::repeat_n(row, *count as usize)).collect();
    let column =
        |index: usize| array_of(&repeated.iter().map(|row| &row[index]).collect::<Vec<_>>(), schema.field(index).data_type());
    let arrays = (0..columns.len()).map(column).collect::<Result<Vec<_>, _>>()?;
    let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(|error| error.to_string())?;
    Ok(rows::rows(&[batch], columns, zone))
}

#[test]
fn the_rows_of_the_evaluator_are_those_of_flink() {
    let mut failures = Vec::new();
    let mut compared = 0;
    for script in Script::all() {
        let Expected::Rows { rows: expected, .. } = script.expected() else { continue };
        if crate::is_known_difference(&script) || NOT_DETERMINED.iter().any(|(name, _)| *name == script.name) {
            continue;
        }
        let Some(found) = evaluated(&script) else { continue };
        compared += 1;
        let found = found.and_then(|found| crate::compare(&rows::folded(&expected), &rows::folded(&found)));
        failures.extend(found.err().map(|what| format!("{}: {what}", script.name)));
    }
    assert!(failures.is_empty(), "{} of {compared} scripts differ:\n{}", failures.len(), failures.join("\n"));
    assert!(compared >= 70, "only {compared} scripts were compared");
}
