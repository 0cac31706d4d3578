//! Builds filters and projections; neighbours become one.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::{Column, Node, NodeKind, WindowColumns};
use crate::expression::{Typed, both};

/// The same rows as changes of a table: each is an insert.
pub fn as_changes(rows: Rc<Node>) -> Rc<Node> {
    if rows.is_updating {
        return rows;
    }
    let kind = NodeKind::Calc { filter: None, outputs: rows.all_columns() };
    Rc::new(Node { kind, columns: rows.columns.clone(), window: rows.window, is_updating: true, inputs: vec![rows] })
}

/// The same rows, whose columns may be null as `nullable` says: it gets position and present nullability. Only a calc checks that a
/// column is never null, so there is one if anything changes.
pub fn declared(rows: Rc<Node>, nullable: impl Fn(usize, bool) -> bool) -> Rc<Node> {
    let wanted: Vec<_> = rows.columns.iter().enumerate().map(|(index, column)| nullable(index, column.nullable)).collect();
    if rows.columns.iter().zip(&wanted).all(|(column, wanted)| column.nullable == *wanted) {
        return rows;
    }
    let mut columns = rows.columns.clone();
    columns.iter_mut().zip(wanted).for_each(|(column, wanted)| column.nullable = wanted);
    if let NodeKind::Calc { .. } = rows.kind {
        return Rc::new(Node { columns, ..(*rows).clone() });
    }
    let kind = NodeKind::Calc { filter: None, outputs: rows.all_columns() };
    Rc::new(Node { kind, columns, window: rows.window, is_updating: rows.is_updating, inputs: vec![rows] })
}

/// An expression that is larger than this is computed once, rather than once for each use.
const LARGEST_COPY: usize = 64;

/// A node that keeps the rows of `input` where `filter` is true, and computes the columns. Equal names get a number, as Flink
/// gives it: `a`, `a0`. Event time and windows live on in columns that are only passed on.
pub fn calc(input: Rc<Node>, filter: Option<Typed>, outputs: Vec<(String, Typed)>) -> Rc<Node> {
    let passed_on = |position: usize| outputs.iter().position(|(_, output)| output.as_column() == Some(position));
    let window = input.window.map(|window| WindowColumns {
        start: window.start.and_then(passed_on),
        end: window.end.and_then(passed_on),
        time: window.time.and_then(passed_on),
        is_zoned: window.is_zoned,
    });
    let names = distinct_names(outputs.iter().map(|(name, _)| name.as_str()));
    let columns: Vec<_> = names
        .into_iter()
        .zip(&outputs)
        .map(|(name, (_, output))| Column {
            name,
            data_type: output.data_type.clone(),
            nullable: output.nullable,
            is_rowtime: output.as_column().is_some_and(|index| input.columns[index].is_rowtime),
        })
        .collect();
    let outputs: Vec<_> = outputs.into_iter().map(|(_, output)| output).collect();
    let identity = outputs.len() == input.columns.len() && outputs.iter().enumerate().all(|(i, o)| o.as_column() == Some(i));
    if filter.is_none() && identity && columns.iter().zip(&input.columns).all(|(a, b)| a.name == b.name) {
        return input;
    }
    if let NodeKind::Calc { filter: inner, outputs: computed } = &input.kind
        && let Some((filter, outputs)) = merged(inner, computed, filter.as_ref(), &outputs)
    {
        let (inputs, is_updating) = (input.inputs.clone(), input.is_updating);
        return Rc::new(Node { kind: NodeKind::Calc { filter, outputs }, inputs, columns, window, is_updating });
    }
    let is_updating = input.is_updating;
    Rc::new(Node { kind: NodeKind::Calc { filter, outputs }, inputs: vec![input], columns, window, is_updating })
}

/// The filter and the columns of two calcs, one above the other, over the input of the lower one. `None` if that would compute
/// something large several times, or a result that differs from call to call.
fn merged(
    inner: &Option<Typed>,
    computed: &[Typed],
    filter: Option<&Typed>,
    outputs: &[Typed],
) -> Option<(Option<Typed>, Vec<Typed>)> {
    let mut uses = vec![0; computed.len()];
    for expression in filter.into_iter().chain(outputs) {
        expression.visit_columns(&mut |index| uses[index] += 1);
    }
    let copies_well = computed
        .iter()
        .zip(&uses)
        .all(|(expression, uses)| *uses <= 1 || (expression.is_deterministic() && expression.size(LARGEST_COPY) < LARGEST_COPY));
    // A condition above the inner outputs must not see the rows that the inner filter drops; a conjunction keeps the order.
    copies_well.then(|| {
        let filter = both(inner.clone(), filter.map(|filter| filter.inlined(computed)));
        (filter, outputs.iter().map(|output| output.inlined(computed)).collect())
    })
}

/// The names, with a number behind those that occurred before.
fn distinct_names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    names
        .map(|name| {
            let mut distinct = name.to_owned();
            let mut number = 0;
            while !taken.insert(distinct.clone()) {
                distinct = format!("{name}{number}");
                number += 1;
            }
            distinct
        })
        .collect()
}

/// `name`, with a number behind it if one of the columns has that name already.
pub fn free_name(name: &str, columns: &[Column]) -> String {
    let taken = columns.iter().map(|column| column.name.as_str());
    distinct_names(taken.chain([name])).pop().unwrap_or_default()
}
