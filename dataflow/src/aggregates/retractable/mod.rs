//! Accumulators that can take back rows which the plain ones could not: they keep every value.
//!
//! Counts, sums, averages and variances need no form of their own here.

mod distinct_counts;
mod extremes;
mod retained;

pub(super) use distinct_counts::DistinctCounts;
pub(super) use extremes::Extremes;
pub(super) use retained::{JoinedArrivals, PickedArrival, Retained};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch, StringArray};
    use arrow_buffer::BooleanBuffer;
    use arrow_schema::{DataType, Field, Schema};
    use serde_json::json;

    use crate::aggregates::{Accumulator, AggregateCall, AggregateOption, SelectedRows, Selection};

    fn call(function: &str, distinct: bool) -> AggregateCall {
        let schema = Schema::new(vec![Field::new("s", DataType::Utf8, true)]);
        let option = json!({"name": "a", "function": function, "column": "s", "distinct": distinct});
        AggregateCall::plan(serde_json::from_value::<AggregateOption>(option).unwrap(), &schema).unwrap()
    }

    /// Adds the texts to slot 0, or takes them back.
    fn change(accumulator: &mut dyn Accumulator, texts: &[&str], retracted: bool, first_arrival: i64) -> u64 {
        let column: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        let slots = vec![0; texts.len()];
        let rows = SelectedRows { valid: None, selection: Selection::All, slots: &slots, first_arrival };
        let all = if retracted { BooleanBuffer::new_set(texts.len()) } else { BooleanBuffer::new_unset(texts.len()) };
        accumulator.change(Some(&column), &rows, &all)
    }

    fn result(accumulator: &dyn Accumulator) -> String {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
        let batch = RecordBatch::try_new(schema, vec![accumulator.finish(&[0]).unwrap()]).unwrap();
        crate::operators::tests::cell(batch.column(0), 0)
    }

    #[test]
    fn merged_accumulators_hold_the_values_of_both() {
        for (function, distinct, expected) in [
            ("min", false, "a"),
            ("max", false, "d"),
            ("first_value", false, "b"),
            ("last_value", false, "a"),
            ("listagg", false, "b,c,b,d,a"),
            ("listagg", true, "b,c,a,d"),
        ] {
            let call = call(function, distinct);
            let (mut one, mut other) = (call.retractable_accumulator(), call.retractable_accumulator());
            one.grow(1);
            other.grow(1);
            change(one.as_mut(), &["b", "c"], false, 0);
            change(other.as_mut(), &["b", "d", "a"], false, 2);
            one.merge(other.as_ref(), &[0]);
            assert_eq!(result(one.as_ref()), expected, "{function} {distinct}");
            assert_eq!(change(one.as_mut(), &["a", "b", "b", "c", "d"], true, 9), 0);
            assert_eq!(result(one.as_ref()), "NULL");
            assert_eq!(change(one.as_mut(), &["a", "b"], true, 9), 2);
        }
    }

    #[test]
    fn a_plain_accumulator_refuses_to_take_rows_back() {
        let mut plain = call("max", false).accumulator();
        plain.grow(1);
        assert_eq!(change(plain.as_mut(), &["a", "b"], true, 0), 2);
        assert_eq!(result(plain.as_ref()), "NULL");
    }
}
