//! Evaluates the nodes of a plan.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use weir_protocol::job_graph::DataType;
use weir_sql::catalog::{CatalogTable, TableColumnKind};
use weir_sql::expression::Typed;
use weir_sql::stream::{AggregateCall, Column, Node, NodeKind, WindowOutput, WindowSource};

use crate::aggregate::aggregate;
use crate::calc::Calc;
use crate::window::{Span, milliseconds, time, windows_of};
use crate::{Relation, Row, Value};

/// The rows of the tables that plans scan, by full name of the table (`catalog.database.table`). A row has the stored columns of
/// its table, in the order of their declaration.
pub type Tables = BTreeMap<String, Relation>;

/// Evaluates plans. It remembers what the expressions of a plan have computed for a row, and nothing else.
#[derive(Default)]
pub struct Reference {
    calcs: HashMap<*const Node, Calc>,
    /// The plans, so that no other node gets the address of one of theirs.
    plans: Vec<Rc<Node>>,
}

/// The evaluation of plans over the rows of some tables.
struct Evaluation<'a> {
    reference: &'a mut Reference,
    tables: &'a Tables,
    watermark: i64,
    /// Nodes with several consumers are evaluated once.
    known: HashMap<*const Node, Relation>,
}

impl Reference {
    /// The rows that a plan has emitted, folded, when it has read these tables and event time has advanced to `watermark` at all
    /// its windows. At the end of the input the watermark is `i64::MAX`.
    ///
    /// Error: the job must fail, or the result is not determined by the rows alone.
    pub fn rows(&mut self, plan: &Rc<Node>, tables: &Tables, watermark: i64) -> Result<Relation, String> {
        if !self.plans.iter().any(|known| Rc::ptr_eq(known, plan)) {
            self.plans.push(plan.clone());
        }
        Evaluation { reference: self, tables, watermark, known: HashMap::new() }.node(plan)
    }
}

impl Evaluation<'_> {
    fn node(&mut self, node: &Rc<Node>) -> Result<Relation, String> {
        if let Some(known) = self.known.get(&Rc::as_ptr(node)) {
            return Ok(known.clone());
        }
        let mut inputs = Vec::new();
        for input in &node.inputs {
            inputs.push(self.node(input)?);
        }
        let rows = self.operator(node, &inputs)?;
        if let Some((row, count)) = rows.iter().find(|(_, count)| **count <= 0) {
            return Err(format!("{row:?} is there {count} times"));
        }
        self.known.insert(Rc::as_ptr(node), rows.clone());
        Ok(rows)
    }

    fn operator(&mut self, node: &Node, inputs: &[Relation]) -> Result<Relation, String> {
        let only = || inputs.first().ok_or("the node has no input");
        match &node.kind {
            NodeKind::Scan { path, table } => {
                let rows = self.tables.get(&path.to_string()).ok_or_else(|| format!("there are no rows of table {path}"))?;
                scan(rows, table, &node.columns)
            }
            NodeKind::Values { rows } => constants(rows, &node.columns),
            NodeKind::Calc { filter, outputs } => self.calc(node, filter.as_ref(), outputs, only()?),
            NodeKind::Watermark { time, .. } => match only()?.keys().find(|row| row[*time].is_null()) {
                Some(row) => Err(format!("a row without event time fails the job: {row:?}")),
                None => Ok(only()?.clone()),
            },
            NodeKind::Union => {
                let mut all = Relation::new();
                inputs.iter().flatten().for_each(|(row, count)| *all.entry(row.clone()).or_insert(0) += count);
                Ok(all)
            }
            NodeKind::WindowAssign { window, time: column } => {
                let data_type = &node.input().columns[*column].data_type;
                let mut assigned = Relation::new();
                for (row, count) in only()? {
                    let Some(at) = milliseconds(&row[*column], data_type)? else { continue };
                    for span in windows_of(window, at)? {
                        let added = [WindowOutput::Start, WindowOutput::End, WindowOutput::Time];
                        let types = &node.columns[row.len()..];
                        let mut row = row.clone();
                        for (output, column) in added.into_iter().zip(types) {
                            row.push(window_value(span, output, &column.data_type)?);
                        }
                        *assigned.entry(row).or_insert(0) += count;
                    }
                }
                Ok(assigned)
            }
            NodeKind::Expand { sets } => {
                let mut repeated = Relation::new();
                for ((row, count), set) in only()?.iter().flat_map(|row| sets.iter().map(move |set| (row, set))) {
                    let mut row = row.clone();
                    for column in &set.nulls {
                        row[*column] = Value::Null;
                    }
                    row.push(Value::Integer(set.id));
                    *repeated.entry(row).or_insert(0) += count;
                }
                Ok(repeated)
            }
            NodeKind::WindowAggregate { window, keys, aggregates, outputs } => {
                let spans = |row: &Row| spans(window, row, &node.input().columns);
                self.window_aggregate(node, only()?, spans, keys, aggregates, outputs)
            }
            NodeKind::GroupAggregate { keys, aggregates } => {
                let mut groups: BTreeMap<Row, Vec<(&Row, i64)>> = BTreeMap::new();
                for (row, count) in only()? {
                    groups.entry(values(row, keys)).or_default().push((row, *count));
                }
                let types = types(node.input());
                let result = |(key, group): (Row, Vec<(&Row, i64)>)| Ok((results(key, aggregates, &group, &types)?, 1));
                groups.into_iter().map(result).collect()
            }
            NodeKind::Sink { .. } | NodeKind::Collect { .. } => Ok(only()?.clone()),
        }
    }

    fn window_aggregate(
        &self,
        node: &Node,
        input: &Relation,
        spans: impl Fn(&Row) -> Result<Vec<Span>, String>,
        keys: &[usize],
        aggregates: &[AggregateCall],
        outputs: &[WindowOutput],
    ) -> Result<Relation, String> {
        let mut groups: BTreeMap<(Span, Row), Vec<(&Row, i64)>> = BTreeMap::new();
        for (row, count) in input {
            for span in spans(row)?.into_iter().filter(|span| span.is_complete(self.watermark)) {
                groups.entry((span, values(row, keys))).or_default().push((row, *count));
            }
        }
        let types = types(node.input());
        let window_columns = &node.columns[keys.len() + aggregates.len()..];
        let mut rows = Relation::new();
        for ((span, key), group) in groups {
            let mut row = results(key, aggregates, &group, &types)?;
            for (output, column) in outputs.iter().zip(window_columns) {
                row.push(window_value(span, *output, &column.data_type)?);
            }
            *rows.entry(row).or_insert(0) += 1;
        }
        Ok(rows)
    }

    fn calc(&mut self, node: &Node, filter: Option<&Typed>, outputs: &[Typed], input: &Relation) -> Result<Relation, String> {
        let calc = match self.reference.calcs.entry(std::ptr::from_ref(node)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Calc::new(filter, outputs, &node.columns, &node.input().columns)?),
        };
        calc.rows(input)
    }
}

/// The wanted columns of a table's rows.
fn scan(rows: &Relation, table: &CatalogTable, wanted: &[Column]) -> Result<Relation, String> {
    let stored = table.columns.iter().filter(|column| matches!(column.kind, TableColumnKind::Physical { .. }));
    let stored: Vec<_> = stored.map(|column| column.name.as_str()).collect();
    let position = |column: &Column| {
        let position = stored.iter().position(|name| *name == column.name);
        position.ok_or_else(|| format!("the table does not store {:?}", column.name))
    };
    let positions = wanted.iter().map(position).collect::<Result<Vec<_>, _>>()?;
    let mut scanned = Relation::new();
    for (row, count) in rows {
        if row.len() != stored.len() {
            return Err(format!("a row has {} values, the table stores {} columns", row.len(), stored.len()));
        }
        *scanned.entry(values(row, &positions)).or_insert(0) += count;
    }
    Ok(scanned)
}

fn constants(rows: &[Vec<Typed>], columns: &[Column]) -> Result<Relation, String> {
    let mut relation = Relation::new();
    for row in rows {
        for (row, count) in Calc::new(None, row, columns, &[])?.rows(&[(Vec::new(), 1)].into())? {
            *relation.entry(row).or_insert(0) += count;
        }
    }
    Ok(relation)
}

/// The windows of a row.
fn spans(source: &WindowSource, row: &Row, columns: &[Column]) -> Result<Vec<Span>, String> {
    let at = |column: usize| {
        let at = milliseconds(&row[column], &columns[column].data_type)?;
        at.ok_or_else(|| format!("a row without time fails the job: {row:?}"))
    };
    match source {
        WindowSource::Time { window, time } => windows_of(window, at(*time)?),
        WindowSource::Attached { zone: Some(zone), .. } if zone != "UTC" => {
            Err("the reference has no windows in a time zone".into())
        }
        WindowSource::Attached { start, end, .. } => Ok(vec![Span { start: at(*start)?, end: at(*end)? }]),
    }
}

fn window_value(span: Span, output: WindowOutput, data_type: &DataType) -> Result<Value, String> {
    let at = match output {
        WindowOutput::Start => span.start,
        WindowOutput::End => span.end,
        WindowOutput::Time => span.end - 1,
    };
    time(at, data_type)
}

/// The key and the aggregates of a group.
fn results(key: Row, aggregates: &[AggregateCall], group: &[(&Row, i64)], types: &[DataType]) -> Result<Row, String> {
    let mut row = key;
    for call in aggregates {
        row.push(aggregate(call, group, types)?);
    }
    Ok(row)
}

fn values(row: &Row, columns: &[usize]) -> Row {
    columns.iter().map(|column| row[*column].clone()).collect()
}

fn types(node: &Node) -> Vec<DataType> {
    node.columns.iter().map(|column| column.data_type.clone()).collect()
}
