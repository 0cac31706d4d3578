//! Tests the types of aggregates, and accumulators that several panes are merged into.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float32Type, Float64Type, Int8Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, Decimal128Array, Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, RecordBatch,
    StringArray,
};
use arrow_schema::DataType as ArrowType;
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_protocol::job_graph::DataType;

use super::*;
use crate::state::StateReader;

/// Types and nullability as the real Flink 2.3 answered.
#[test]
fn calls_have_flinks_types() {
    for (function, argument, result) in [
        ("sum", "TINYINT", "TINYINT"),
        ("sum", "SMALLINT", "SMALLINT"),
        ("SUM", "INT", "INT"),
        ("sum", "BIGINT", "BIGINT"),
        ("sum", "FLOAT", "FLOAT"),
        ("sum", "DOUBLE", "DOUBLE"),
        ("sum", "DECIMAL(10, 2)", "DECIMAL(38, 2)"),
        ("avg", "TINYINT", "TINYINT"),
        ("avg", "BIGINT", "BIGINT"),
        ("avg", "FLOAT", "FLOAT"),
        ("avg", "DOUBLE", "DOUBLE"),
        ("avg", "DECIMAL(10, 2)", "DECIMAL(38, 6)"),
        ("avg", "DECIMAL(20, 9)", "DECIMAL(38, 9)"),
        ("stddev_pop", "TINYINT", "TINYINT"),
        ("stddev_pop", "INT", "INT"),
        ("variance", "BIGINT", "BIGINT"),
        ("stddev", "DOUBLE", "DOUBLE"),
        ("var_pop", "DECIMAL(10, 2)", "DECIMAL(38, 6)"),
        ("stddev_samp", "FLOAT", "FLOAT"),
        ("min", "CHAR(1)", "CHAR(1)"),
        ("max", "BOOLEAN", "BOOLEAN"),
        ("min", "DATE", "DATE"),
        ("max", "TIME(0)", "TIME(0)"),
        ("max", "TIMESTAMP(0)", "TIMESTAMP(0)"),
        ("count", "ARRAY<INT>", "BIGINT"),
        ("first_value", "BYTES", "BYTES"),
        ("last_value", "FLOAT", "FLOAT"),
        ("listagg", "STRING", "STRING"),
        ("listagg", "CHAR(1)", "CHAR(1)"),
    ] {
        let argument: DataType = argument.parse().unwrap();
        let resolved = resolve(function, std::slice::from_ref(&argument), false).unwrap();
        assert_eq!(resolved.result.to_string(), result, "{function} of {argument}");
        assert_eq!(resolved.arguments, [argument]);
    }
    let nullable = |function: &str, data_type: DataType| {
        let resolved = resolve(function, &[data_type], false).unwrap();
        (resolved.nullable(false, false), resolved.nullable(true, false), resolved.nullable(false, true))
    };
    assert_eq!(nullable("count", DataType::Int), (false, false, false));
    assert_eq!(nullable("max", DataType::Int), (false, true, true));
    assert_eq!(nullable("sum", DataType::Decimal { precision: 10, scale: 2 }), (true, true, true));
    assert_eq!(nullable("stddev_pop", DataType::Int), (true, true, true));
    assert_eq!(resolve("Variance", &[DataType::Int], true).unwrap().function, "var_samp");
    assert_eq!(resolve("count", &[], false).unwrap().result, DataType::Bigint);
}

#[test]
fn calls_that_flink_refuses_are_refused_with_a_reason() {
    for (function, arguments, distinct, reason) in [
        ("sum", vec!["STRING"], false, "SUM: takes a number, not STRING"),
        ("sum", vec!["DATE"], false, "takes a number"),
        ("avg", vec!["BOOLEAN"], false, "takes a number"),
        ("stddev_pop", vec!["STRING"], false, "takes a number"),
        ("min", vec!["ARRAY<INT>"], false, "can't compare"),
        ("max", vec!["BYTES"], false, "can't compare"),
        ("listagg", vec!["INT"], false, "takes texts"),
        ("sum", vec![], false, "takes one, not 0"),
        ("count", vec!["INT", "INT"], false, "takes one"),
        ("count", vec![], true, "DISTINCT needs"),
        ("count", vec!["BYTES"], true, "distinct"),
        ("median", vec!["INT"], false, "no aggregate"),
        ("last_value", vec!["INT"], true, "DISTINCT"),
    ] {
        let types: Vec<DataType> = arguments.iter().map(|text| text.parse().unwrap()).collect();
        let error = resolve(function, &types, distinct).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    for function in all() {
        assert!(function.doc.ends_with('.') && function.name == function.name.to_lowercase() && function.syntax.contains('('));
    }
}

/// The result of an aggregate over these columns, each of which fills a pane of its own; the panes are saved, restored and merged.
fn aggregate(option: Value, panes: &[ArrayRef]) -> ArrayRef {
    let batches: Vec<_> =
        panes.iter().map(|column| RecordBatch::try_from_iter_with_nullable([("x", column.clone(), true)]).unwrap()).collect();
    let mut option = option;
    option["name"] = json!("a");
    option["column"] = json!("x");
    let call = AggregateCall::plan(serde_json::from_value(option).unwrap(), &batches[0].schema()).unwrap();
    let mut merged = call.accumulator();
    merged.grow(1);
    for (number, batch) in batches.iter().enumerate() {
        let mut pane = call.accumulator();
        pane.grow(2);
        let input = call.input(batch);
        let slots = vec![1; batch.num_rows()];
        let rows = SelectedRows {
            valid: input.valid.as_ref(),
            selection: Selection::All,
            slots: &slots,
            first_arrival: 100 * number as i64,
        };
        pane.update(input.column.as_ref(), &rows);
        let mut saved = Vec::new();
        pane.write(&[1], &mut saved);
        let mut restored = call.accumulator();
        restored.grow(1);
        let mut reader = StateReader::over(&saved);
        restored.read(0, &mut reader).unwrap();
        reader.end().unwrap();
        merged.merge(restored.as_ref(), &[0]);
        merged.merge(pane.copy().as_ref(), &[NO_SLOT, NO_SLOT]);
    }
    let result = merged.finish(&[0]).unwrap();
    assert_eq!(result.data_type(), call.field().data_type());
    result
}

fn column(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

/// The values are those of a query that the real Flink 2.3 answered.
#[test]
fn results_are_flinks() {
    let of = |function: &str| json!({"function": function});
    let bytes = || [column(Int8Array::from(vec![100, 100, 100]))];
    assert_eq!(aggregate(of("sum"), &bytes()).as_primitive::<Int8Type>().value(0), 44);
    assert_eq!(aggregate(of("avg"), &bytes()).as_primitive::<Int8Type>().value(0), 100);
    let floats = || [column(Float32Array::from(vec![1.1, 2.2, 3.3]))];
    assert_eq!(aggregate(of("stddev_samp"), &floats()).as_primitive::<Float32Type>().value(0), 1.1);
    let doubles = || [column(Float64Array::from(vec![0.1, 0.2, 0.3]))];
    assert_eq!(aggregate(of("stddev_samp"), &doubles()).as_primitive::<Float64Type>().value(0), 0.099_999_999_999_999_98);
    let decimals = |values: &[i128], precision, scale| {
        column(Decimal128Array::from(values.to_vec()).with_precision_and_scale(precision, scale).unwrap())
    };
    let small = || [decimals(&[125, 126, 126], 5, 2)];
    assert_eq!(aggregate(of("stddev_pop"), &small()).as_primitive::<Decimal128Type>().value(0), 4_714);
    assert_eq!(aggregate(of("var_samp"), &small()).as_primitive::<Decimal128Type>().value(0), 33);
    let most = 10i128.pow(38) - 1;
    assert!(aggregate(of("sum"), &[decimals(&[most, 1], 38, 0)]).is_null(0));
    assert_eq!(aggregate(of("sum"), &[decimals(&[most, 1, 5], 38, 0)]).as_primitive::<Decimal128Type>().value(0), 5);
    assert!(aggregate(of("avg"), &[decimals(&[most, 1, 5], 38, 0)]).is_null(0));
    let nan = || [column(Float64Array::from(vec![1.0, f64::NAN, 2.0]))];
    assert_eq!(aggregate(of("max"), &nan()).as_primitive::<Float64Type>().value(0), 2.0);
    assert_eq!(aggregate(of("min"), &nan()).as_primitive::<Float64Type>().value(0), 1.0);
}

#[test]
fn values_of_several_panes_are_merged() {
    let ints = |values: &[Option<i32>]| column(Int32Array::from(values.to_vec()));
    let panes = || [ints(&[Some(3), None, Some(5)]), ints(&[Some(3), Some(7)]), ints(&[None])];
    let int = |option: Value| aggregate(option, &panes()).as_primitive::<Int32Type>().value(0);
    assert_eq!(int(json!({"function": "sum"})), 18);
    assert_eq!(int(json!({"function": "sum", "distinct": true})), 15);
    assert_eq!(int(json!({"function": "first_value"})), 3);
    assert_eq!(int(json!({"function": "last_value"})), 7);
    assert_eq!(int(json!({"function": "var_pop"})), 2);
    let count = aggregate(json!({"function": "count", "distinct": true}), &panes());
    assert_eq!(count.as_primitive::<Int64Type>().value(0), 3);
    let texts = |values: &[&str]| column(StringArray::from(values.to_vec()));
    let listed = |option: Value| {
        let result = aggregate(option, &[texts(&["b", "a", "b"]), texts(&["c", "a", "d"])]);
        result.as_string::<i32>().value(0).to_owned()
    };
    assert_eq!(listed(json!({"function": "listagg"})), "b,a,b,c,a,d");
    assert_eq!(listed(json!({"function": "listagg", "distinct": true, "delimiter": ""})), "abcd");
    let binary = aggregate(json!({"function": "last_value"}), &[column(BinaryArray::from(vec![b"x".as_ref(), b"y"]))]);
    assert_eq!(binary.as_binary::<i32>().value(0), b"y");
    let nothing = [ints(&[None])];
    for function in all() {
        let result = match function.name {
            "listagg" => aggregate(json!({"function": "listagg"}), &[column(StringArray::from(vec![None::<&str>]))]),
            name => aggregate(json!({"function": name}), &nothing),
        };
        let has_result = matches!(function.name, "count" | "collect" | "array_agg");
        assert_eq!(result.is_null(0), !has_result, "{}", function.name);
    }
}

proptest! {
    #[test]
    fn damaged_accumulators_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let schema = arrow_schema::Schema::new(vec![
            arrow_schema::Field::new("s", ArrowType::Utf8, true), arrow_schema::Field::new("d", ArrowType::Decimal128(9, 2), true)]);
        for function in all() {
            for distinct in [false, true] {
                let column = if matches!(function.name, "listagg" | "min" | "first_value") { "s" } else { "d" };
                let option = json!({"name": "a", "function": function.name, "column": column, "distinct": distinct});
                let Ok(call) = AggregateCall::plan(serde_json::from_value(option).unwrap(), &schema) else { continue };
                let mut accumulator = call.accumulator();
                accumulator.grow(1);
                if accumulator.read(0, &mut StateReader::over(&bytes)).is_ok() {
                    let mut saved = Vec::new();
                    accumulator.write(&[0], &mut saved);
                }
            }
        }
    }

    #[test]
    fn sums_of_integers_wrap_around(values in prop::collection::vec(any::<i64>(), 1..10)) {
        let sum = aggregate(json!({"function": "sum"}), &[column(Int64Array::from(values.clone()))]);
        let expected = values.iter().fold(0i64, |sum, value| sum.wrapping_add(*value));
        prop_assert_eq!(sum.as_primitive::<Int64Type>().value(0), expected);
    }
}
