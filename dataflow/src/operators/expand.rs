//! `expand`: repeats each row once for each grouping set.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::Deserialize;
use weir_protocol::job_graph::OperatorDescriptor;

use crate::changelog::kind_column;
use crate::key_group::internal;
use crate::operator::{Collector, Operator, OperatorContext, OperatorError};
use crate::options::Options;
use crate::registry::{BuiltOperator, only_input};
use crate::schema::column_index;

/// One grouping set, as it is written in the options.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetOption {
    id: i64,
    #[serde(default)]
    nulls: Vec<String>,
}

struct GroupingSet {
    id: i64,
    /// Positions of the columns that the set does not group by.
    nulls: Vec<usize>,
}

/// Emits a batch for each set, so that the two rows of an update stay together.
struct Expand {
    sets: Vec<GroupingSet>,
    /// Position of the id in the output: last, but before the kind of changes.
    id_position: usize,
    input: SchemaRef,
    output: SchemaRef,
}

pub(super) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let input = only_input(context)?;
    let options = Options::of(descriptor);
    let given: Vec<SetOption> = options.parse("sets")?.ok_or_else(|| options.missing("sets"))?;
    let mut sets = Vec::with_capacity(given.len());
    let mut fields: Vec<Field> = input.fields().iter().map(|field| field.as_ref().clone()).collect();
    for set in given {
        let nulls = set.nulls.iter().map(|column| column_index(input, column)).collect::<Result<Vec<_>, _>>()?;
        nulls.iter().for_each(|index| fields[*index].set_nullable(true));
        sets.push(GroupingSet { id: set.id, nulls });
    }
    let id = options.string("id_column")?;
    if input.index_of(id).is_ok() {
        return Err(OperatorError::fatal(
            "SCHEMA-DUPLICATE",
            format!("the input has a column {id:?} already; choose another name"),
        ));
    }
    let id_position = kind_column(input).unwrap_or(fields.len());
    fields.insert(id_position, Field::new(id, DataType::Int64, false));
    let output = Arc::new(Schema::new(fields));
    let expand = Expand { sets, id_position, input: input.clone(), output: output.clone() };
    Ok(BuiltOperator::Transform(Box::new(expand), output))
}

impl Operator for Expand {
    fn process(&mut self, _: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let rows = batch.num_rows();
        for set in &self.sets {
            let mut columns = batch.columns().to_vec();
            for index in &set.nulls {
                columns[*index] = new_null_array(batch.column(*index).data_type(), rows);
            }
            let id: ArrayRef = Arc::new(Int64Array::from_value(set.id, rows));
            columns.insert(self.id_position, id);
            out.collect(RecordBatch::try_new(self.output.clone(), columns).map_err(internal)?)?;
        }
        Ok(())
    }

    fn keeps_column(&self, name: &str) -> bool {
        let Ok(index) = self.input.index_of(name) else { return false };
        !self.sets.iter().any(|set| set.nulls.contains(&index))
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int8Array, StringArray};
    use serde_json::json;

    use super::*;
    use crate::changelog::KIND;
    use crate::operators::tests::{Collected, build, context};

    fn input(changes: bool) -> SchemaRef {
        let mut fields = vec![Field::new("a", DataType::Utf8, false), Field::new("n", DataType::Int64, false)];
        fields.extend(changes.then(|| Field::new(KIND, DataType::Int8, false)));
        Arc::new(Schema::new(fields))
    }

    fn expand(changes: bool) -> (Box<dyn Operator>, SchemaRef) {
        let sets = json!([{"id": 0}, {"id": 1, "nulls": ["a"]}]);
        let descriptor = json!({"kind": "expand", "options": {"sets": sets, "id_column": "$e"}});
        build(&descriptor, &context(1, 0, vec![(input(changes), Vec::new())])).unwrap()
    }

    #[test]
    fn each_row_appears_once_for_each_set() {
        let (mut operator, schema) = expand(false);
        let columns: Vec<_> = schema.fields().iter().map(|field| (field.name().as_str(), field.is_nullable())).collect();
        assert_eq!(columns, [("a", true), ("n", false), ("$e", false)]);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let mut out = Collected::default();
        operator.process(0, RecordBatch::try_new(input(false), vec![texts, numbers]).unwrap(), &mut out).unwrap();
        assert_eq!(out.lines(), [["x", "1", "0"], ["y", "2", "0"], ["NULL", "1", "1"], ["NULL", "2", "1"]]);
        assert_eq!(["a", "n", "b"].map(|name| operator.keeps_column(name)), [false, true, false]);
    }

    #[test]
    fn the_kind_of_a_change_stays_the_last_column() {
        let (mut operator, schema) = expand(true);
        assert_eq!(kind_column(&schema), Some(3));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "x"]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let kinds: ArrayRef = Arc::new(Int8Array::from(vec![1, 2]));
        let mut out = Collected::default();
        operator.process(0, RecordBatch::try_new(input(true), vec![texts, numbers, kinds]).unwrap(), &mut out).unwrap();
        assert_eq!(out.batches.len(), 2);
        assert_eq!(out.batches[1].schema().field(3).name(), KIND);
    }

    #[test]
    fn the_id_needs_a_name_of_its_own() {
        let descriptor = json!({"kind": "expand", "options": {"sets": [{"id": 0}], "id_column": "n"}});
        let error = build(&descriptor, &context(1, 0, vec![(input(false), Vec::new())])).map(|_| ()).unwrap_err();
        assert_eq!(error.code, "SCHEMA-DUPLICATE");
    }
}
