//! Which columns identify the rows of a relation whose rows change.

use std::collections::BTreeSet;

use weir_protocol::job_graph::DataType;

use super::{Node, NodeKind};
use crate::expression::{ExprKind, Typed};

/// How the changes of a relation come to the rows with one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyedChanges {
    /// Whether the new row of an update may be missing, because a filter has dropped it. The old row is there.
    pub are_filtered: bool,
}

/// How changes come, if `columns` identify the rows of `node`: never do two rows have the same values in them, an update keeps them, and
/// all changes of a row come from one subtask, in order. `None` if the plan does not show that.
pub fn keyed_changes(node: &Node, columns: &BTreeSet<usize>) -> Option<KeyedChanges> {
    match &node.kind {
        NodeKind::GroupAggregate { keys, .. } => {
            columns.iter().copied().eq(0..keys.len()).then_some(KeyedChanges { are_filtered: false })
        }
        // A source of changes brings those of a row from one split.
        NodeKind::Scan { table, .. } if !table.primary_key.is_empty() => {
            let is_key = |index: &usize| table.primary_key.contains(&node.columns[*index].name);
            let has_all = columns.len() == table.primary_key.len() && columns.iter().all(is_key);
            has_all.then_some(KeyedChanges { are_filtered: false })
        }
        NodeKind::Watermark { .. } => keyed_changes(node.input(), columns),
        NodeKind::Calc { filter, outputs } => {
            // A constant is the same in all rows.
            let varying = columns.iter().filter(|column| !is_constant(&outputs[**column]));
            let inner = varying.map(|column| column_behind(&outputs[*column])).collect::<Option<BTreeSet<_>>>()?;
            let inner = keyed_changes(node.input(), &inner)?;
            Some(KeyedChanges { are_filtered: inner.are_filtered || filter.is_some() })
        }
        _ => None,
    }
}

/// The column that an expression is, or that it is cast from with another value for each value.
fn column_behind(expression: &Typed) -> Option<usize> {
    match &expression.kind {
        ExprKind::Column(index) => Some(*index),
        ExprKind::Cast { value, .. } if keeps_values_apart(&value.data_type, &expression.data_type) => column_behind(value),
        _ => None,
    }
}

fn keeps_values_apart(from: &DataType, to: &DataType) -> bool {
    use DataType::{Bigint, Char, Int, Smallint, String, Tinyint, Varchar};
    match (from, to) {
        (Varchar(from) | Char(from), Varchar(to)) => from <= to,
        (Varchar(_) | Char(_), String) => true,
        (Tinyint, Smallint | Int | Bigint) | (Smallint, Int | Bigint) | (Int, Bigint) => true,
        _ => from == to,
    }
}

fn is_constant(expression: &Typed) -> bool {
    expression.is_deterministic() && !expression.any(&mut |part| part.as_column().is_some())
}
