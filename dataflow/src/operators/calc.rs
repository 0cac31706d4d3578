//! `calc`: filters rows and computes columns by an expression program.

use arrow_array::RecordBatch;
use weir_protocol::job_graph::OperatorDescriptor;
use weir_protocol::job_graph::program::ExprProgram;

use crate::functions::{Chance, Clock};
use crate::operator::{Collector, Operator, OperatorContext, OperatorError};
use crate::options::Options;
use crate::program::Program;
use crate::registry::{BuiltOperator, only_input};

struct Calc {
    program: Program,
    clock: Clock,
}

pub(super) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let input = only_input(context)?;
    let options = Options::of(descriptor);
    let program: ExprProgram = options.parse("program")?.ok_or_else(|| options.missing("program"))?;
    let program = Program::compile(&program, input)?;
    let schema = program.schema().clone();
    let chance = Chance::new(&format!("{:?} {}", context.attempt, context.operator_index));
    let clock = Clock { now_ms: 0, chance };
    Ok(BuiltOperator::Transform(Box::new(Calc { program, clock }), schema))
}

impl Operator for Calc {
    fn process(&mut self, _: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        out.collect(self.program.evaluate(&batch, self.clock)?)
    }

    fn set_now(&mut self, now_ms: u64) {
        self.clock.now_ms = now_ms;
    }

    fn keeps_column(&self, name: &str) -> bool {
        self.program.schema().index_of(name).is_ok_and(|output| self.program.as_column(output) == Some(name))
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Array, Int32Array};
    use serde_json::{Value, json};
    use std::sync::Arc;
    use weir_protocol::job_graph::{DataType, Field};

    use crate::operator::OperatorError;
    use crate::operators::tests::{Collected, build, context};
    use crate::schema::to_arrow;

    use super::*;

    fn descriptor(nodes: Value, outputs: Value) -> Value {
        json!({"kind": "calc", "options": {"program": {"version": 1, "nodes": nodes, "filter": 2, "outputs": outputs}}})
    }

    /// Keeps the rows with `a > 1`, with `a` as `a`, `a` as `b`, and `a + 1` as `c`.
    fn calc() -> Result<(Box<dyn Operator>, crate::operator::Schema), OperatorError> {
        let nodes = json!([
            {"column": 0},
            {"literal": "1", "type": "INT"},
            {"call": "gt@1", "args": [0, 1], "type": "BOOLEAN"},
            {"call": "add@1", "args": [0, 1], "type": "INT"},
        ]);
        let outputs = json!([
            {"name": "a", "node": 0, "nullable": false}, {"name": "b", "node": 0}, {"name": "c", "node": 3},
        ]);
        let input = to_arrow(&[Field { name: "a".into(), data_type: DataType::Int, nullable: true }])?;
        build(&descriptor(nodes, outputs), &context(1, 0, vec![(input, Vec::new())]))
    }

    #[test]
    fn rows_are_filtered_before_columns_are_computed() {
        let (mut operator, schema) = calc().unwrap();
        let types: Vec<_> = schema.fields().iter().map(|field| (field.name().as_str(), field.is_nullable())).collect();
        assert_eq!(types, [("a", false), ("b", true), ("c", true)]);
        let input = to_arrow(&[Field { name: "a".into(), data_type: DataType::Int, nullable: true }]).unwrap();
        let rows: Arc<dyn Array> = Arc::new(Int32Array::from(vec![Some(1), Some(2), None, Some(3)]));
        let mut out = Collected::default();
        operator.process(0, RecordBatch::try_new(input, vec![rows]).unwrap(), &mut out).unwrap();
        assert_eq!(out.lines(), [["2", "2", "3"], ["3", "3", "4"]]);
    }

    #[test]
    fn only_a_column_that_keeps_its_name_keeps_the_partitioning() {
        let (operator, _) = calc().unwrap();
        assert_eq!(["a", "b", "c", "d"].map(|name| operator.keeps_column(name)), [true, false, false, false]);
    }
}
