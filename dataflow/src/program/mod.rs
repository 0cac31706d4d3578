//! Runs expression programs: compiles a persisted [`ExprProgram`] for the columns of an input, and computes filter and outputs of
//! each batch.

mod branches;
mod compile;
mod evaluate;
mod scope;
#[cfg(test)]
mod tests;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType as ArrowType, SchemaRef};
use weir_protocol::job_graph::program::ExprProgram;

use crate::functions::operand::type_error;
use crate::functions::{Clock, Kernel, Operand};
use crate::operator::OperatorError;
use evaluate::Evaluator;
use scope::Scope;

/// A compiled program.
///
/// Each node is computed at most once for a row of a batch, and only for rows that need it: the filter comes first, and operands of
/// AND, OR, CASE and COALESCE are computed only for the rows that reach them. So the result does not depend on how rows are split
/// into batches.
pub struct Program {
    nodes: Vec<Node>,
    /// The kernel of each node that is a call.
    kernels: Vec<Option<Box<dyn Kernel>>>,
    filter: Option<u32>,
    outputs: Vec<Output>,
    input: SchemaRef,
    schema: SchemaRef,
}

struct Output {
    node: u32,
    nullable: bool,
}

/// A node as the evaluator sees it.
struct Node {
    shape: Shape,
    arrow: ArrowType,
    /// Whether it never fails and costs little, so that it may be computed for rows that don't need it.
    harmless: bool,
}

enum Shape {
    /// No output needs it.
    Unused,
    /// A column of the input.
    Column(usize),
    /// An array of length 1.
    Constant(ArrayRef),
    /// A cast that changes nothing.
    Same(u32),
    /// A call of the node's kernel.
    Call {
        operands: Vec<u32>,
        deterministic: bool,
    },
    Case {
        branches: Vec<(u32, u32)>,
        otherwise: Option<u32>,
    },
    /// AND or OR.
    Connective {
        operands: Vec<u32>,
        /// The value that decides: false for AND, true for OR.
        decisive: bool,
    },
    Coalesce(Vec<u32>),
    Field {
        row: u32,
        index: usize,
    },
}

impl Program {
    /// Compiles `program` for an input with these columns.
    ///
    /// Errors: `PROGRAM-SHAPE` if the list of nodes is malformed, nested too deep, or names a column that the input does not have;
    /// `PROGRAM-FUNCTION` for a function that this build does not have; `PROGRAM-TYPE` if types don't fit or a constant is not of
    /// its type.
    pub fn compile(program: &ExprProgram, input: &SchemaRef) -> Result<Self, OperatorError> {
        compile::compile(program, input)
    }

    /// The columns of the result.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The name of the input column that an output, by position, passes on unchanged. `None` if the output is computed.
    pub fn as_column(&self, output: usize) -> Option<&str> {
        let mut node = self.outputs.get(output)?.node;
        loop {
            match self.nodes.get(node as usize)?.shape {
                Shape::Column(index) => return Some(self.input.field(index).name()),
                Shape::Same(other) => node = other,
                _ => return None,
            }
        }
    }

    /// Computes the outputs of the rows that pass the filter. `batch` has the columns that the program was compiled for.
    ///
    /// Errors: `EXPR-EVAL` if a needed value can't be computed, `EXPR-NULL` if a NOT NULL output is NULL, `EXPR-TYPE` if the batch
    /// has other columns.
    pub fn evaluate(&mut self, batch: &RecordBatch, clock: Clock) -> Result<RecordBatch, OperatorError> {
        if batch.num_rows() == 0 {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        let mut evaluator = Evaluator::new(&self.nodes, &mut self.kernels, clock);
        let mut all = Scope::of_batch(batch);
        let selection = match self.filter {
            Some(filter) => evaluator.selection(&mut all, filter)?,
            None => None,
        };
        let mut selected;
        let scope = match &selection {
            None => &mut all,
            Some(rows) if rows.count_set_bits() == 0 => return Ok(RecordBatch::new_empty(self.schema.clone())),
            Some(rows) => {
                selected = Scope::within(&all, rows);
                &mut selected
            }
        };
        let mut columns = Vec::with_capacity(self.outputs.len());
        for (index, output) in self.outputs.iter().enumerate() {
            let column = evaluator.value(scope, output.node)?.into_column(scope.rows())?;
            if !output.nullable && column.null_count() > 0 {
                return Err(null_error(self.schema.field(index).name()));
            }
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(scope.rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(type_error)
    }
}

fn null_error(column: &str) -> OperatorError {
    let message =
        format!("column {column:?} is NOT NULL, but a value is NULL; filter such rows out, or give them a value by COALESCE");
    OperatorError::fatal("EXPR-NULL", message)
}

/// The rows of a mask as an operand of type BOOLEAN.
fn boolean(operand: &Operand) -> Result<&arrow_array::BooleanArray, OperatorError> {
    use arrow_array::cast::AsArray;
    operand.array().as_boolean_opt().ok_or_else(|| type_error(operand.array().data_type()))
}
