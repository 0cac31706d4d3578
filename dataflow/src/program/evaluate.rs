//! Computes nodes in a scope.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, make_array};
use arrow_buffer::{BooleanBuffer, NullBuffer};

use super::scope::Scope;
use super::{Node, Shape, boolean};
use crate::functions::operand::type_error;
use crate::functions::{Clock, Kernel, Operand};
use crate::operator::OperatorError;

/// Computes nodes for one batch.
pub(super) struct Evaluator<'p> {
    pub(super) nodes: &'p [Node],
    kernels: &'p mut [Option<Box<dyn Kernel>>],
    clock: Clock,
    /// Number of scopes that the current one lies in.
    pub(super) depth: usize,
}

impl<'p> Evaluator<'p> {
    pub(super) fn new(nodes: &'p [Node], kernels: &'p mut [Option<Box<dyn Kernel>>], clock: Clock) -> Self {
        Self { nodes, kernels, clock, depth: 0 }
    }

    /// The rows for which a BOOLEAN node is true; `None` if it is true for all.
    pub(super) fn selection(&mut self, scope: &mut Scope<'_>, node: u32) -> Result<Option<BooleanBuffer>, OperatorError> {
        let value = self.value(scope, node)?;
        let truth = truth(&value, scope.rows())?;
        Ok((truth.count_set_bits() < scope.rows()).then_some(truth))
    }

    /// The value of a node for the rows of a scope.
    ///
    /// Operands that all rows need are computed first, from a list of open nodes instead of by recursion, since they may be nested
    /// thousands deep. Recursion happens only for operands that some rows need; compiling limits its depth.
    pub(super) fn value(&mut self, scope: &mut Scope<'_>, root: u32) -> Result<Operand, OperatorError> {
        let mut open = vec![root];
        while let Some(&node) = open.last() {
            if scope.computed(node).is_none() {
                if let Some(known) = scope.known(node, self.nodes)? {
                    scope.keep(node, known);
                } else {
                    let first = open.len();
                    self.needed_first(node, |operand| {
                        if scope.computed(operand).is_none() {
                            open.push(operand);
                        }
                    });
                    if open.len() > first {
                        // The leftmost operand comes first, as in Flink; it shows which of several errors is reported.
                        open[first..].reverse();
                        continue;
                    }
                    let value = self.compute(scope, node)?;
                    scope.keep(node, value);
                }
            }
            open.pop();
        }
        scope.computed(root).cloned().ok_or_else(|| type_error("a node has no value"))
    }

    /// The operands of a node that all rows need.
    fn needed_first(&self, node: u32, mut operand: impl FnMut(u32)) {
        match &self.nodes[node as usize].shape {
            Shape::Unused | Shape::Column(_) | Shape::Constant(_) => {}
            Shape::Same(other) | Shape::Field { row: other, .. } => operand(*other),
            Shape::Call { operands, .. } => operands.iter().for_each(|node| operand(*node)),
            Shape::Case { branches, .. } => branches.iter().take(1).for_each(|(condition, _)| operand(*condition)),
            Shape::Connective { operands, .. } | Shape::Coalesce(operands) => {
                operands.iter().take(1).for_each(|node| operand(*node));
            }
        }
    }

    fn compute(&mut self, scope: &mut Scope<'_>, node: u32) -> Result<Operand, OperatorError> {
        let nodes = self.nodes;
        let expected = &nodes[node as usize];
        let value = match &expected.shape {
            Shape::Unused | Shape::Column(_) | Shape::Constant(_) => return Err(type_error("a node has no value")),
            Shape::Same(other) => self.value(scope, *other)?,
            Shape::Call { operands, deterministic } => self.call(scope, node, operands, *deterministic)?,
            Shape::Case { branches, otherwise } => self.case(scope, branches, *otherwise, &expected.arrow)?,
            Shape::Connective { operands, decisive } => {
                Operand::Column(std::sync::Arc::new(self.connective(scope, operands, *decisive)?))
            }
            Shape::Coalesce(operands) => self.coalesce(scope, operands, &expected.arrow)?,
            Shape::Field { row, index } => field(self.value(scope, *row)?, *index)?,
        };
        let array = value.array();
        let rows = if value.is_constant() { 1 } else { scope.rows() };
        if array.len() != rows || array.data_type() != &expected.arrow {
            let message = format!("{} values of {} instead of {rows} of {}", array.len(), array.data_type(), expected.arrow);
            return Err(type_error(message));
        }
        Ok(value)
    }

    fn call(
        &mut self,
        scope: &mut Scope<'_>,
        node: u32,
        operands: &[u32],
        deterministic: bool,
    ) -> Result<Operand, OperatorError> {
        let operands = operands.iter().map(|operand| self.value(scope, *operand)).collect::<Result<Vec<_>, _>>()?;
        let kernel = self.kernels.get_mut(node as usize).and_then(Option::as_mut);
        let kernel = kernel.ok_or_else(|| type_error("a call has no kernel"))?;
        let clock = Clock { chance: self.clock.chance.of_call(node), ..self.clock };
        if deterministic && operands.iter().all(Operand::is_constant) {
            return Ok(Operand::Constant(kernel.evaluate(&operands, 1, self.clock)?));
        }
        Ok(Operand::Column(kernel.evaluate(&operands, scope.rows(), clock)?))
    }
}

/// The rows for which a BOOLEAN is true.
pub(super) fn truth(value: &Operand, rows: usize) -> Result<BooleanBuffer, OperatorError> {
    let array: &BooleanArray = boolean(value)?;
    if value.is_constant() {
        let all = array.is_valid(0) && array.value(0);
        return Ok(if all { BooleanBuffer::new_set(rows) } else { BooleanBuffer::new_unset(rows) });
    }
    Ok(match array.nulls() {
        Some(nulls) => nulls.inner() & array.values(),
        None => array.values().clone(),
    })
}

/// A field of ROW values; NULL where the row is.
fn field(value: Operand, index: usize) -> Result<Operand, OperatorError> {
    let array = value.array();
    let rows = array.as_struct_opt().filter(|rows| index < rows.num_columns()).ok_or_else(|| type_error(array.data_type()))?;
    let column: ArrayRef = rows.column(index).clone();
    let column = match rows.nulls() {
        // Where rows come from a source, the fields of a row that is NULL usually are NULL already.
        Some(nulls) if nulls.null_count() > 0 && !column.nulls().is_some_and(|own| own.contains(nulls)) => {
            let nulls = NullBuffer::union(Some(nulls), column.nulls());
            make_array(column.to_data().into_builder().nulls(nulls).build().map_err(type_error)?)
        }
        _ => column,
    };
    Ok(if value.is_constant() { Operand::Constant(column) } else { Operand::Column(column) })
}
