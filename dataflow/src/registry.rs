//! From descriptors to operators: the kinds this process can run.

use std::collections::BTreeMap;

use arrow_schema::SchemaRef;
use weir_protocol::job_graph::OperatorDescriptor;

use crate::operator::{Operator, OperatorContext, OperatorError};
use crate::source::Source;

/// An operator ready to run, and what it emits.
pub enum BuiltOperator {
    /// The head of a chain without inputs.
    Source(Box<dyn Source>, SchemaRef),
    Transform(Box<dyn Operator>, SchemaRef),
    /// The end of a chain without outputs.
    Sink(Box<dyn Operator>),
}

/// Builds one operator kind from its options. Does no I/O: also run to check a graph before submission.
pub type BuildOperator = fn(&OperatorDescriptor, &OperatorContext) -> Result<BuiltOperator, OperatorError>;

/// The operator kinds this process can run. A job author's binary adds their own.
#[derive(Clone, Default)]
pub struct OperatorRegistry {
    kinds: BTreeMap<&'static str, BuildOperator>,
}

impl OperatorRegistry {
    /// Adds a kind; a later one of the same name replaces it.
    pub fn register(&mut self, kind: &'static str, build: BuildOperator) {
        self.kinds.insert(kind, build);
    }

    /// Builds the operator that `descriptor` names.
    pub fn build(&self, descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
        let build = self.kinds.get(descriptor.kind.as_str()).ok_or_else(|| {
            let known: Vec<_> = self.kinds.keys().copied().collect();
            OperatorError::fatal("OP-UNKNOWN", format!("no operator of kind {:?}; known: {}", descriptor.kind, known.join(", ")))
        })?;
        build(descriptor, context)
    }
}

/// The schema of the input of an operator that has just one. Error: `CHAIN-SHAPE`.
pub fn only_input(context: &OperatorContext) -> Result<&SchemaRef, OperatorError> {
    match context.input_schemas.as_slice() {
        [input] => Ok(input),
        inputs => Err(OperatorError::fatal("CHAIN-SHAPE", format!("takes one input, not {}", inputs.len()))),
    }
}
