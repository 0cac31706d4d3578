//! Accumulators that can take back rows which the plain ones could not: they keep every value.
//!
//! Counts, sums, averages and variances need no form of their own here.

mod counted;
mod distinct_counts;
mod retained;

pub(super) use counted::{Counted, CountsShown};
pub(super) use distinct_counts::DistinctCounts;
pub(super) use retained::{JoinedArrivals, ListedArrivals, PickedArrival, Retained};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
    use arrow_buffer::BooleanBuffer;
    use arrow_schema::{DataType, Field, Schema};
    use serde_json::json;

    use crate::aggregates::{Accumulator, AggregateCall, AggregateOption, SelectedRows, Selection};
    use crate::state::StateReader;

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
    fn arrays_and_multisets_survive_a_restore_and_lose_what_is_taken_back() {
        let texts = |texts: &[Option<&str>]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
        for (function, left) in [("array_agg", 2), ("collect", 1)] {
            let call = call(function, false);
            for mut accumulator in [call.accumulator(), call.retractable_accumulator()] {
                accumulator.grow(1);
                let column = texts(&[Some("b"), None, Some("ä"), Some("b")]);
                let valid = column.nulls().filter(|_| function == "collect");
                let rows = SelectedRows { valid, selection: Selection::All, slots: &[0; 4], first_arrival: 0 };
                accumulator.update(Some(&column), &rows);
                let mut saved = Vec::new();
                accumulator.write(&[0], &mut saved);
                let mut restored = if accumulator.last_arrival() < 0 && function == "array_agg" {
                    call.accumulator()
                } else {
                    call.retractable_accumulator()
                };
                restored.grow(1);
                restored.read(0, &mut StateReader::over(&saved)).unwrap();
                assert_eq!(&restored.finish(&[0]).unwrap(), &accumulator.finish(&[0]).unwrap(), "{function}");
            }
            let mut accumulator = call.retractable_accumulator();
            accumulator.grow(1);
            assert_eq!(change(accumulator.as_mut(), &["b", "ä", "b"], false, 0), 0);
            assert_eq!(change(accumulator.as_mut(), &["ä"], true, 3), 0);
            assert_eq!(change(accumulator.as_mut(), &["ä"], true, 3), 1);
            let result = accumulator.finish(&[0]).unwrap();
            let held = result.as_list_opt::<i32>().map(|lists| lists.value_length(0));
            assert_eq!(held.unwrap_or_else(|| result.as_map().value_length(0)), left, "{function}");
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
