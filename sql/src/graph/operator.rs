//! The operator that does what a node of the plan says.

use serde_json::{Value, json};
use weir_dataflow::changelog::{self, RowKind};
use weir_dataflow::functions;
use weir_protocol::job_graph::{DataType, Field, OperatorDescriptor};

use super::JobOptions;
use crate::catalog::{CatalogTable, ObjectPath};
use crate::connector::{self, SinkChanges};
use crate::expression::{ExprKind, FunctionRef, Typed, program};
use crate::planner::COLLECT;
use crate::script::SqlError;
use crate::stream::{
    AggregateCall, Column, GroupingSet, Node, NodeKind, Window, WindowOutput, WindowShape, WindowSource, describe, keyed_changes,
};

/// The operators of one node, upstream first.
pub(super) fn operators(node: &Node, options: &JobOptions) -> Result<Vec<OperatorDescriptor>, SqlError> {
    Ok(match &node.kind {
        NodeKind::Scan { path, table } => vec![connector::source(path, table, &node.names())?.operator],
        NodeKind::Values { rows } => values(rows, &node.columns)?,
        NodeKind::Calc { filter, outputs } => vec![calc_node(node, filter.as_ref(), outputs)?],
        NodeKind::Watermark { time, watermark } => {
            let mut set = vec![
                ("column", json!(node.columns[*time].name)),
                ("watermark_column", json!(node.columns[*watermark].name)),
                ("interval_ms", json!(options.auto_watermark_interval_ms)),
            ];
            if options.idle_timeout_ms > 0 {
                set.push(("idle_timeout_ms", json!(options.idle_timeout_ms)));
            }
            vec![descriptor("watermark", set)]
        }
        NodeKind::WindowAssign { window, time } => {
            let mut set = vec![("window", shape(window)), ("time_column", json!(node.input().columns[*time].name))];
            set.extend(zone(window));
            let added = &node.columns[node.columns.len() - 3..];
            set.extend(
                [("window_start", 0), ("window_end", 1), ("window_time", 2)].map(|(name, at)| (name, json!(added[at].name))),
            );
            vec![descriptor("window.assign", set)]
        }
        NodeKind::Expand { sets } => vec![expand(node, sets)],
        NodeKind::WindowAggregate { window, keys, aggregates, outputs } => {
            vec![window_aggregate(node, window, keys, aggregates, outputs)]
        }
        NodeKind::GroupAggregate { keys, aggregates } => vec![group_aggregate(node, keys, aggregates, options)],
        // Its inputs are edges into one input of the consumer.
        NodeKind::Union => Vec::new(),
        NodeKind::Sink { path, table } => sink(node, path, table)?,
        NodeKind::Collect { operator } => vec![collect(node, operator)],
    })
}

/// The columns of a node as a vertex declares them. Those of changes end with their kind.
pub(super) fn fields(node: &Node) -> Vec<Field> {
    let field =
        |column: &Column| Field { name: column.name.clone(), data_type: column.data_type.clone(), nullable: column.nullable };
    let kind = node.is_updating.then(kind_column);
    node.columns.iter().chain(&kind).map(field).collect()
}

/// The operator that takes the rows of a query. What it keeps of them has the exact types.
fn collect(node: &Node, operator: &OperatorDescriptor) -> OperatorDescriptor {
    let mut operator = operator.clone();
    if operator.kind == COLLECT {
        operator.options.insert("schema".to_owned(), json!(fields(node)));
    }
    operator
}

/// The column with the kind of a change: 0 insert, 1 update before, 2 update after, 3 delete.
fn kind_column() -> Column {
    Column { name: changelog::KIND.into(), data_type: DataType::Tinyint, nullable: false, is_rowtime: false }
}

/// A calc, which passes the kind of changes on. Rows that only become changes here are inserts.
fn calc_node(node: &Node, filter: Option<&Typed>, outputs: &[Typed]) -> Result<OperatorDescriptor, SqlError> {
    if !node.is_updating {
        return calc(filter, outputs, &node.columns);
    }
    if node.inputs.first().is_some_and(|input| input.is_updating) {
        refuse_chance(node, filter.into_iter().chain(outputs))?;
    }
    let kind = match node.inputs.first() {
        Some(input) if !input.is_updating => Typed::literal("0", DataType::Tinyint),
        Some(input) => Typed::column(input.columns.len(), DataType::Tinyint, false),
        None => Typed::column(node.columns.len(), DataType::Tinyint, false),
    };
    let outputs: Vec<_> = outputs.iter().cloned().chain([kind]).collect();
    let columns: Vec<_> = node.columns.iter().cloned().chain([kind_column()]).collect();
    calc(filter, &outputs, &columns)
}

/// Refuses functions whose result differs from call to call over rows that change: what takes a row back would not be equal to it.
fn refuse_chance<'a>(node: &Node, mut expressions: impl Iterator<Item = &'a Typed>) -> Result<(), SqlError> {
    if expressions.all(Typed::is_deterministic) {
        return Ok(());
    }
    let message = format!("{} calls a function whose result differs from call to call, over rows that change", describe(node));
    let hint = "a row that is taken back must be the same as before: call the function before rows are aggregated";
    Err(SqlError::new("SQL-NONDETERMINISTIC", message).hint(hint))
}

/// The operators that write a table. Error: `SQL-CHANGELOG` if the rows change as the sink can't take it.
fn sink(node: &Node, path: &ObjectPath, table: &CatalogTable) -> Result<Vec<OperatorDescriptor>, SqlError> {
    let sink = connector::sink(path, table)?;
    if !node.is_updating {
        return Ok(vec![sink.operator]);
    }
    match sink.changes {
        SinkChanges::All => Ok(vec![sink.operator]),
        SinkChanges::ByKey(key) => {
            let is_key = |index: &usize| key.contains(&node.columns[*index].name);
            let columns = (0..node.columns.len()).filter(is_key).collect();
            let changes = keyed_changes(node.input(), &columns).ok_or_else(|| other_key(path, &key, node.input()))?;
            let kinds = if changes.are_filtered { Some(old_rows_are_deleted(node)?) } else { None };
            Ok(kinds.into_iter().chain([sink.operator]).collect())
        }
        SinkChanges::Refused => {
            let mut source = node.input();
            while let Some(input) = source.inputs.first().filter(|input| input.is_updating) {
                source = input;
            }
            let message =
                format!("table sink '{path}' doesn't support consuming update changes, which node {} produces", describe(source));
            let hint = "write to a connector that takes changes, such as 'upsert-kafka', 'print' or files with \
                        'sink.changelog.kind-column', or aggregate per window";
            Err(SqlError::new("SQL-CHANGELOG", message).hint(hint))
        }
    }
}

/// The error for a primary key that is not what the rows are aggregated by.
fn other_key(path: &ObjectPath, key: &[String], input: &Node) -> SqlError {
    let message = format!(
        "the changes of node {} don't come by the primary key ({}) of table sink '{path}'",
        describe(input),
        key.join(", ")
    );
    let hint =
        "the columns of the primary key must be those of GROUP BY or of the source's primary key, as they are, or constants";
    SqlError::new("SQL-CHANGELOG", message).hint(hint)
}

/// A calc that makes the old row of each update a deleted one, because the new row may have been dropped by a filter.
fn old_rows_are_deleted(node: &Node) -> Result<OperatorDescriptor, SqlError> {
    let kind = Typed::column(node.columns.len(), DataType::Tinyint, false);
    let code = |kind: RowKind| Typed::literal((kind as i8).to_string(), DataType::Tinyint);
    let is_old = equal(kind.clone(), code(RowKind::UpdateBefore))?;
    let changed = Typed {
        kind: ExprKind::Case { branches: vec![(is_old, code(RowKind::Delete))], otherwise: Some(Box::new(kind)) },
        data_type: DataType::Tinyint,
        nullable: false,
    };
    let outputs: Vec<_> = node.all_columns().into_iter().chain([changed]).collect();
    let columns: Vec<_> = node.columns.iter().cloned().chain([kind_column()]).collect();
    calc(None, &outputs, &columns)
}

fn equal(left: Typed, right: Typed) -> Result<Typed, SqlError> {
    let function = functions::by_sql_name("eq").ok_or_else(|| SqlError::new("SQL-NAME", "there is no function EQ"))?;
    let kind = ExprKind::Call { function: FunctionRef(function), args: vec![left, right] };
    Ok(Typed { kind, data_type: DataType::Boolean, nullable: false })
}

fn descriptor(kind: &str, options: Vec<(&str, Value)>) -> OperatorDescriptor {
    OperatorDescriptor::new(kind, options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn calc(filter: Option<&Typed>, outputs: &[Typed], columns: &[Column]) -> Result<OperatorDescriptor, SqlError> {
    let program = program(filter, outputs, columns)?;
    let program = serde_json::to_value(program).map_err(|error| SqlError::new("SQL-LIMIT", error.to_string()))?;
    Ok(descriptor("calc", vec![("program", program)]))
}

/// Constant rows: a generated row number chooses among the constants.
fn values(rows: &[Vec<Typed>], columns: &[Column]) -> Result<Vec<OperatorDescriptor>, SqlError> {
    let number = Typed::column(0, DataType::Bigint, false);
    let field = json!({"name": "row", "type": "BIGINT", "kind": "sequence"});
    let source = descriptor("source.datagen", vec![("fields", json!([field])), ("rows", json!(rows.len()))]);
    let choose = |column: usize| {
        let is_row = |index: usize| equal(number.clone(), Typed::literal(index.to_string(), DataType::Bigint));
        let Some((last, before)) = rows.split_last() else { return Ok(number.clone()) };
        if before.is_empty() {
            return Ok(last[column].clone());
        }
        let branch = |(index, row): (usize, &Vec<Typed>)| Ok((is_row(index)?, row[column].clone()));
        Ok(Typed {
            kind: ExprKind::Case {
                branches: before.iter().enumerate().map(branch).collect::<Result<_, SqlError>>()?,
                otherwise: Some(Box::new(last[column].clone())),
            },
            data_type: columns[column].data_type.clone(),
            nullable: columns[column].nullable,
        })
    };
    let outputs = (0..columns.len()).map(choose).collect::<Result<Vec<_>, SqlError>>()?;
    Ok(vec![source, calc(None, &outputs, columns)?])
}

fn expand(node: &Node, sets: &[GroupingSet]) -> OperatorDescriptor {
    let input = node.input().names();
    let set = |set: &GroupingSet| {
        let nulls: Vec<_> = set.nulls.iter().map(|column| input[*column]).collect();
        json!({"id": set.id, "nulls": nulls})
    };
    let sets: Vec<_> = sets.iter().map(set).collect();
    let id = node.columns.last().map(|column| &column.name);
    descriptor("expand", vec![("sets", json!(sets)), ("id_column", json!(id))])
}

fn window_aggregate(
    node: &Node,
    window: &WindowSource,
    keys: &[usize],
    aggregates: &[AggregateCall],
    outputs: &[WindowOutput],
) -> OperatorDescriptor {
    let input = node.input().names();
    let mut set = Vec::new();
    match window {
        WindowSource::Time { window, time } => {
            set.extend([("window", shape(window)), ("time_column", json!(input[*time]))]);
            set.extend(zone(window));
        }
        WindowSource::Attached { start, end, zone } => {
            set.push(("window", json!({"type": "attached", "start": input[*start], "end": input[*end]})));
            set.extend(zone.as_ref().map(|zone| ("zone", json!(zone))));
        }
    }
    set.push(("keys", keys.iter().map(|key| input[*key]).collect()));
    let names = node.names();
    set.extend(calls(aggregates, &names[keys.len()..], &input));
    let window_names = &names[keys.len() + aggregates.len()..];
    set.extend(outputs.iter().zip(window_names).map(|(output, name)| (output.name(), json!(name))));
    descriptor("window.agg", set)
}

fn group_aggregate(node: &Node, keys: &[usize], aggregates: &[AggregateCall], options: &JobOptions) -> OperatorDescriptor {
    let input = node.input().names();
    let names = node.names();
    let calls = calls(aggregates, &names[keys.len()..], &input);
    let keys: Value = keys.iter().map(|key| input[*key]).collect();
    let mut set = vec![("keys", keys), ("input", json!(if node.input().is_updating { "changes" } else { "rows" }))];
    set.extend(calls);
    if options.state_ttl_ms > 0 {
        set.push(("state_ttl_ms", json!(options.state_ttl_ms)));
    }
    descriptor("agg.group", set)
}

/// The option with the aggregates of these names; none if there are none.
fn calls(aggregates: &[AggregateCall], names: &[&str], input: &[&str]) -> Option<(&'static str, Value)> {
    let calls: Vec<_> = aggregates.iter().zip(names).map(|(call, name)| aggregate(call, name, input)).collect();
    (!calls.is_empty()).then(|| ("aggregates", Value::from(calls)))
}

fn aggregate(call: &AggregateCall, name: &str, input: &[&str]) -> Value {
    let mut options = json!({"name": name, "function": call.function});
    if let [argument] = call.arguments.as_slice() {
        options["column"] = json!(input[*argument]);
    }
    if let Some(delimiter) = &call.delimiter {
        options["delimiter"] = json!(delimiter);
    }
    if call.distinct {
        options["distinct"] = json!(true);
    }
    if call.ignore_nulls {
        options["ignore_nulls"] = json!(true);
    }
    if let Some(filter) = call.filter {
        options["filter"] = json!(input[filter]);
    }
    options
}

fn shape(window: &Window) -> Value {
    let mut options = match window.shape {
        WindowShape::Tumble { size_ms } => json!({"type": "tumble", "size_ms": size_ms}),
        WindowShape::Hop { size_ms, slide_ms } => json!({"type": "hop", "size_ms": size_ms, "slide_ms": slide_ms}),
        WindowShape::Cumulate { size_ms, step_ms } => json!({"type": "cumulate", "size_ms": size_ms, "step_ms": step_ms}),
    };
    if window.offset_ms != 0 {
        options["offset_ms"] = json!(window.offset_ms);
    }
    options
}

fn zone(window: &Window) -> Option<(&'static str, Value)> {
    window.zone.as_ref().map(|zone| ("zone", json!(zone)))
}
