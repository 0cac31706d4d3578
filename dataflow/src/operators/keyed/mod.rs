//! What the operators that aggregate per key have in common: their key columns, their aggregates, and how they name both in state.

mod partial;
mod signature;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema, SchemaRef};

use crate::aggregates::{AggregateCall, AggregateInput, AggregateOption};
use crate::operator::{OperatorContext, OperatorError};
use crate::operators::keyed_by;
use crate::options::Options;
use crate::schema;
use crate::state::KeyLayout;

pub use partial::PARTIAL;
pub(in crate::operators) use partial::{Partials, check_partials, partial_field, write_partials};
pub(in crate::operators) use signature::NamedSignature;

/// The key columns of an operator.
pub(in crate::operators) struct Keys {
    pub(in crate::operators) columns: Vec<usize>,
}

impl Keys {
    pub(in crate::operators) fn read(
        options: Options<'_>,
        context: &OperatorContext,
        input: &Schema,
    ) -> Result<Self, OperatorError> {
        let names = options.strings("keys")?;
        keyed_by(context, 0, &names)?;
        Self::of(&names, input)
    }

    /// Key columns by which the input need not be partitioned.
    pub(in crate::operators) fn of(names: &[String], input: &Schema) -> Result<Self, OperatorError> {
        let columns = names.iter().map(|key| schema::column_index(input, key)).collect::<Result<_, _>>()?;
        Ok(Self { columns })
    }

    pub(in crate::operators) fn fields(&self, input: &Schema) -> Vec<Field> {
        self.columns.iter().map(|column| input.field(*column).clone()).collect()
    }

    pub(in crate::operators) fn layout(
        &self,
        aggregates: Vec<AggregateCall>,
        context: &OperatorContext,
        input: &Schema,
    ) -> Result<Arc<Layout>, OperatorError> {
        let types = self.columns.iter().map(|column| input.field(*column).data_type().clone()).collect();
        Ok(Arc::new(Layout { keys: KeyLayout::new(types)?, aggregates, max_parallelism: context.max_parallelism }))
    }
}

/// Keys and aggregates of an operator. They determine the layout of its panes or tables.
pub(in crate::operators) struct Layout {
    pub(in crate::operators) keys: KeyLayout,
    pub(in crate::operators) aggregates: Vec<AggregateCall>,
    pub(in crate::operators) max_parallelism: u32,
}

impl Layout {
    /// What the aggregates read of a batch, row by row.
    pub(in crate::operators) fn inputs(&self, batch: &RecordBatch) -> Vec<AggregateInput> {
        self.aggregates.iter().map(|aggregate| aggregate.input(batch)).collect()
    }

    /// The same of a batch whose rows can be partial aggregates, and these.
    pub(in crate::operators) fn inputs_and_partials(&self, batch: &RecordBatch) -> (Vec<AggregateInput>, Option<Partials>) {
        let (mut inputs, partials) = (self.inputs(batch), Partials::of(batch));
        partials.iter().for_each(|partials| partials.leave_to_merge(&mut inputs));
        (inputs, partials)
    }
}

/// The aggregates that the options name; none by default. Errors: `OPT-TYPE`, and those of [`AggregateCall::plan`].
pub(in crate::operators) fn aggregates(options: Options<'_>, input: &Schema) -> Result<Vec<AggregateCall>, OperatorError> {
    let wanted: Vec<AggregateOption> = options.parse("aggregates")?.unwrap_or_default();
    wanted.into_iter().map(|option| AggregateCall::plan(option, input)).collect()
}

/// The key columns of a batch.
pub(in crate::operators) fn key_columns(batch: &RecordBatch, columns: &[usize]) -> Vec<ArrayRef> {
    columns.iter().map(|column| batch.column(*column).clone()).collect()
}

/// The schema of these columns. Error: `SCHEMA-DUPLICATE`.
pub(in crate::operators) fn schema_of(fields: Vec<Field>) -> Result<SchemaRef, OperatorError> {
    let mut names = BTreeSet::new();
    if let Some(twice) = fields.iter().find(|field| !names.insert(field.name())) {
        let message = format!("two output columns are named {:?}; rename one", twice.name());
        return Err(OperatorError::fatal("SCHEMA-DUPLICATE", message));
    }
    Ok(Arc::new(Schema::new(fields)))
}
