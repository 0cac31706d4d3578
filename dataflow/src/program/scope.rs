//! The rows for which nodes are computed, and the values computed so far.

use std::collections::BTreeMap;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_select::filter::{FilterBuilder, FilterPredicate};

use super::{Node, Shape};
use crate::functions::Operand;
use crate::functions::operand::type_error;
use crate::operator::OperatorError;

/// A set of rows: all of a batch, or some of another scope.
pub(super) struct Scope<'a> {
    rows: usize,
    source: Source<'a>,
    computed: BTreeMap<u32, Operand>,
}

enum Source<'a> {
    Batch(&'a RecordBatch),
    Part { whole: &'a Scope<'a>, selected: FilterPredicate },
}

impl<'a> Scope<'a> {
    pub(super) fn of_batch(batch: &'a RecordBatch) -> Self {
        Self { rows: batch.num_rows(), source: Source::Batch(batch), computed: BTreeMap::new() }
    }

    /// The rows of `whole` whose bit is set. Values that `whole` has computed are not computed again.
    pub(super) fn within<'b: 'a>(whole: &'a Scope<'b>, rows: &BooleanBuffer) -> Self {
        let mask = BooleanArray::new(rows.clone(), None);
        // A filter that is used for several columns is worth some preparation.
        let selected = FilterBuilder::new(&mask).optimize().build();
        Self { rows: selected.count(), source: Source::Part { whole, selected }, computed: BTreeMap::new() }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The value of a node that was computed in this scope.
    pub(super) fn computed(&self, node: u32) -> Option<&Operand> {
        self.computed.get(&node)
    }

    pub(super) fn keep(&mut self, node: u32, value: Operand) {
        self.computed.insert(node, value);
    }

    /// The value of a node that needs no computation: a column, a constant, or a value computed in an enclosing scope.
    pub(super) fn known(&self, node: u32, nodes: &[Node]) -> Result<Option<Operand>, OperatorError> {
        if let Some(value) = self.computed.get(&node) {
            return Ok(Some(value.clone()));
        }
        match (&nodes[node as usize].shape, &self.source) {
            (Shape::Constant(array), _) => Ok(Some(Operand::Constant(array.clone()))),
            (Shape::Column(index), Source::Batch(batch)) => match batch.columns().get(*index) {
                Some(column) => Ok(Some(Operand::Column(column.clone()))),
                None => Err(type_error(format!("the batch has no column {index}"))),
            },
            (_, Source::Batch(_)) => Ok(None),
            (_, Source::Part { whole, selected }) => Ok(match whole.known(node, nodes)? {
                Some(Operand::Column(array)) => Some(Operand::Column(selected.filter(&array).map_err(type_error)?)),
                other => other,
            }),
        }
    }
}
