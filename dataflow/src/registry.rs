//! Builds operators from their descriptors; holds the kinds that this process can run.

use std::collections::BTreeMap;

use arrow_schema::SchemaRef;
use weir_protocol::job_graph::OperatorDescriptor;

use crate::operator::{Operator, OperatorContext, OperatorError};
use crate::source::Source;

/// An operator that is ready to run, with the schema of its output.
pub enum BuiltOperator {
    /// The first operator of a chain without inputs.
    Source(Box<dyn Source>, SchemaRef),
    Transform(Box<dyn Operator>, SchemaRef),
    /// The last operator of a chain without outputs.
    Sink(Box<dyn Operator>),
}

/// Builds one operator kind from its options. Must do no I/O, because it also runs to check a graph before submission.
pub type BuildOperator = fn(&OperatorDescriptor, &OperatorContext) -> Result<BuiltOperator, OperatorError>;

/// The operator kinds that this process can run. The binary of a job author can add more.
#[derive(Clone, Default)]
pub struct OperatorRegistry {
    kinds: BTreeMap<&'static str, BuildOperator>,
}

impl OperatorRegistry {
    /// Adds a kind, or replaces the kind of the same name.
    pub fn register(&mut self, kind: &'static str, build: BuildOperator) {
        self.kinds.insert(kind, build);
    }

    /// Builds the operator that `descriptor` names. Errors: `OP-UNKNOWN`, and those of the operator.
    pub fn build(&self, descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
        let build = self.kinds.get(descriptor.kind.as_str()).ok_or_else(|| {
            let known: Vec<_> = self.kinds.keys().copied().collect();
            OperatorError::fatal("OP-UNKNOWN", format!("no operator of kind {:?}; known: {}", descriptor.kind, known.join(", ")))
        })?;
        build(descriptor, context)
    }
}

/// The schema of the only input. Error: `CHAIN-SHAPE` if the operator has none or several.
pub fn only_input(context: &OperatorContext) -> Result<&SchemaRef, OperatorError> {
    match context.input_schemas.as_slice() {
        [input] => Ok(input),
        inputs => Err(OperatorError::fatal("CHAIN-SHAPE", format!("takes one input, not {}", inputs.len()))),
    }
}
