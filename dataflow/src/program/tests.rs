use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{BooleanArray, Int32Array, Int64Array, StringArray, StructArray, UInt32Array};
use arrow_schema::{Field, Fields, Schema};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Columns: 0 `a INT`, 1 `b INT`, 2 `t STRING`, 3 `c BOOLEAN`, 4 `r ROW<x BIGINT>`.
fn input() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("a", ArrowType::Int32, true),
        Field::new("b", ArrowType::Int32, true),
        Field::new("t", ArrowType::Utf8, true),
        Field::new("c", ArrowType::Boolean, true),
        Field::new("r", ArrowType::Struct(row_fields()), true),
    ]))
}

fn row_fields() -> Fields {
    vec![Field::new("x", ArrowType::Int64, true)].into()
}

type Row = (Option<i32>, Option<i32>, Option<&'static str>, Option<bool>);

fn batch(rows: &[Row]) -> RecordBatch {
    let x = Int64Array::from_iter(rows.iter().map(|row| row.0.map(i64::from)));
    let nulls = rows.iter().map(|row| row.1.is_some()).collect::<Vec<_>>().into();
    RecordBatch::try_new(
        input(),
        vec![
            Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.0))),
            Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.1))),
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2))),
            Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.3))),
            Arc::new(StructArray::new(row_fields(), vec![Arc::new(x)], Some(nulls))),
        ],
    )
    .unwrap()
}

fn some_rows() -> RecordBatch {
    batch(&[
        (Some(6), Some(2), Some("1"), Some(true)),
        (Some(7), Some(0), Some("x"), Some(false)),
        (None, Some(3), None, None),
        (Some(9), None, Some("3"), Some(true)),
    ])
}

fn program(nodes: Value, filter: Option<u32>, outputs: &[u32]) -> ExprProgram {
    let outputs: Vec<Value> =
        outputs.iter().enumerate().map(|(i, node)| json!({"name": format!("o{i}"), "node": node})).collect();
    serde_json::from_value(json!({"version": 1, "nodes": nodes, "filter": filter, "outputs": outputs})).unwrap()
}

fn compile(nodes: Value, filter: Option<u32>, outputs: &[u32]) -> Result<Program, OperatorError> {
    Program::compile(&program(nodes, filter, outputs), &input())
}

fn run(nodes: Value, filter: Option<u32>, outputs: &[u32]) -> Result<RecordBatch, OperatorError> {
    compile(nodes, filter, outputs)?.evaluate(&some_rows(), Clock::default())
}

fn ints(batch: &RecordBatch, column: usize) -> Vec<Option<i32>> {
    batch.column(column).as_primitive::<Int32Type>().iter().collect()
}

fn booleans(batch: &RecordBatch, column: usize) -> Vec<Option<bool>> {
    batch.column(column).as_boolean().iter().collect()
}

/// The nodes 0 `a`, 1 `b`, 2 `0`, 3 `b <> 0`, 4 `a / b`.
fn guarded() -> Vec<Value> {
    vec![
        json!({"column": 0}),
        json!({"column": 1}),
        json!({"literal": "0", "type": "INT"}),
        json!({"call": "ne@1", "args": [1, 2], "type": "BOOLEAN"}),
        json!({"call": "divide@1", "args": [0, 1], "type": "INT"}),
    ]
}

fn with(mut nodes: Vec<Value>, more: &[Value]) -> Value {
    nodes.extend_from_slice(more);
    Value::Array(nodes)
}

#[test]
fn an_unguarded_division_by_zero_fails() {
    assert_eq!(run(with(guarded(), &[]), None, &[4]).unwrap_err().code, "EXPR-EVAL");
}

#[test]
fn the_filter_decides_which_rows_compute_the_outputs() {
    let result = run(with(guarded(), &[]), Some(3), &[4, 0]).unwrap();
    assert_eq!(ints(&result, 0), [Some(3), None]);
    assert_eq!(ints(&result, 1), [Some(6), None]);
}

#[test]
fn a_branch_is_computed_only_for_the_rows_that_reach_it() {
    let minus = json!({"literal": "-1", "type": "INT"});
    let case = json!({"case": [[3, 4]], "else": 5, "type": "INT"});
    let result = run(with(guarded(), &[minus.clone(), case]), None, &[6]).unwrap();
    assert_eq!(ints(&result, 0), [Some(3), Some(-1), None, Some(-1)]);
    let without_else = json!({"case": [[3, 4]], "type": "INT"});
    assert_eq!(ints(&run(with(guarded(), &[without_else]), None, &[5]).unwrap(), 0), [Some(3), None, None, None]);
    let call = json!({"call": "if@1", "args": [3, 4, 5], "type": "INT"});
    assert_eq!(ints(&run(with(guarded(), &[minus, call]), None, &[6]).unwrap(), 0), [Some(3), Some(-1), None, Some(-1)]);
}

#[test]
fn a_later_condition_of_case_is_computed_only_where_the_earlier_ones_fail() {
    let more = [
        json!({"call": "eq@1", "args": [1, 2], "type": "BOOLEAN"}),
        json!({"call": "gt@1", "args": [4, 2], "type": "BOOLEAN"}),
        json!({"case": [[5, 2], [6, 1]], "else": 0, "type": "INT"}),
    ];
    assert_eq!(ints(&run(with(guarded(), &more), None, &[7]).unwrap(), 0), [Some(2), Some(0), None, Some(9)]);
}

#[test]
fn and_and_or_skip_rows_that_are_decided() {
    let positive = json!({"call": "gt@1", "args": [4, 2], "type": "BOOLEAN"});
    let result = run(with(guarded(), &[positive.clone(), json!({"and": [3, 5]})]), None, &[6]).unwrap();
    assert_eq!(booleans(&result, 0), [Some(true), Some(false), None, None]);
    let zero = json!({"call": "eq@1", "args": [1, 2], "type": "BOOLEAN"});
    let result = run(with(guarded(), &[positive.clone(), zero.clone(), json!({"or": [6, 5]})]), None, &[7]).unwrap();
    assert_eq!(booleans(&result, 0), [Some(true), Some(true), None, None]);
    let wrong_order = run(with(guarded(), &[positive, zero, json!({"or": [5, 6]})]), None, &[7]);
    assert_eq!(wrong_order.unwrap_err().code, "EXPR-EVAL");
}

#[test]
fn coalesce_computes_an_operand_only_where_the_earlier_ones_are_null() {
    let nodes = json!([
        {"column": 2},
        {"cast": 0, "type": "INT", "try": true},
        {"column": 1},
        {"literal": "x", "type": "STRING"},
        {"cast": 3, "type": "INT"},
        {"coalesce": [1, 2], "type": "INT"},
        {"coalesce": [1, 2, 4], "type": "INT"},
        {"cast": 0, "type": "INT"},
        {"coalesce": [2, 7], "type": "INT"},
    ]);
    let result = run(nodes, None, &[5, 6, 8]).unwrap();
    for column in 0..2 {
        assert_eq!(ints(&result, column), [Some(1), Some(0), Some(3), Some(3)]);
    }
    assert_eq!(ints(&result, 2), [Some(2), Some(0), Some(3), Some(3)]);
}

#[test]
fn a_constant_that_fails_does_so_only_for_rows_that_need_it() {
    let nodes = json!([
        {"literal": "1", "type": "INT"},
        {"literal": "0", "type": "INT"},
        {"call": "divide@1", "args": [0, 1], "type": "INT"},
        {"column": 3},
        {"literal": "5", "type": "INT"},
        {"case": [[3, 4]], "else": 2, "type": "INT"},
    ]);
    assert_eq!(
        compile(nodes.clone(), None, &[5]).unwrap().evaluate(&some_rows(), Clock::default()).unwrap_err().code,
        "EXPR-EVAL"
    );
    let only_true = some_rows().slice(0, 1);
    let result = compile(nodes, None, &[5]).unwrap().evaluate(&only_true, Clock::default()).unwrap();
    assert_eq!(ints(&result, 0), [Some(5)]);
}

#[test]
fn constant_parts_are_computed_when_compiling() {
    let nodes = json!([
        {"literal": "20", "type": "INT"},
        {"literal": "22", "type": "INT"},
        {"call": "add@1", "args": [0, 1], "type": "INT"},
        {"cast": 2, "type": "STRING"},
    ]);
    let mut program = compile(nodes, None, &[3]).unwrap();
    assert!(matches!(program.nodes[3].shape, Shape::Constant(_)));
    let result = program.evaluate(&some_rows(), Clock::default()).unwrap();
    assert_eq!(result.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("42"); 4]);
}

#[test]
fn columns_pass_through_without_copy() {
    let nodes = json!([{"column": 2}, {"cast": 0, "type": "STRING"}, {"column": 0}, {"literal": "TRUE", "type": "BOOLEAN"}]);
    let mut program = compile(nodes, Some(3), &[0, 1, 2, 3]).unwrap();
    assert_eq!([0, 1, 2, 3, 4].map(|output| program.as_column(output)), [Some("t"), Some("t"), Some("a"), None, None]);
    let rows = some_rows();
    let result = program.evaluate(&rows, Clock::default()).unwrap();
    assert!(Arc::ptr_eq(result.column(0), rows.column(2)) && Arc::ptr_eq(result.column(1), rows.column(2)));
    assert_eq!(program.evaluate(&rows.slice(0, 0), Clock::default()).unwrap().num_rows(), 0);
}

#[test]
fn a_field_of_a_null_row_is_null() {
    let nodes = json!([{"column": 4}, {"field": 0, "index": 0, "type": "BIGINT"}]);
    let result = run(nodes, None, &[1]).unwrap();
    let found: Vec<_> = result.column(0).as_primitive::<Int64Type>().iter().collect();
    assert_eq!(found, [Some(6), Some(7), None, None]);
}

#[test]
fn a_null_in_a_not_null_output_names_the_column() {
    let mut wanted = program(json!([{"column": 0}]), None, &[0]);
    wanted.outputs[0].nullable = false;
    let mut program = Program::compile(&wanted, &input()).unwrap();
    assert!(!program.schema().field(0).is_nullable());
    let error = program.evaluate(&some_rows(), Clock::default()).unwrap_err();
    assert_eq!(error.code, "EXPR-NULL");
    assert!(error.message.contains("\"o0\""));
}

#[test]
fn a_program_without_outputs_keeps_the_number_of_rows() {
    assert_eq!(run(json!([{"column": 3}]), Some(0), &[]).unwrap().num_rows(), 2);
}

#[test]
fn wrong_programs_are_refused_with_a_code() {
    let column = json!({"column": 0});
    let text = json!({"column": 2});
    for (nodes, code, part) in [
        (json!([{"column": 9}]), "PROGRAM-SHAPE", "column 9"),
        (json!([{"and": []}]), "PROGRAM-SHAPE", "no operands"),
        (json!([{"call": "addd@1", "args": [], "type": "INT"}]), "PROGRAM-FUNCTION", "did you mean add@1?"),
        (json!([column, {"call": "add@1", "args": [0], "type": "INT"}]), "PROGRAM-TYPE", "2 arguments"),
        (json!([column, text, {"call": "add@1", "args": [0, 1], "type": "INT"}]), "PROGRAM-TYPE", "a number"),
        (json!([column, {"call": "add@1", "args": [0, 0], "type": "BIGINT"}]), "PROGRAM-TYPE", "the result is INT"),
        (json!([column, text, {"call": "lt@1", "args": [0, 1], "type": "BOOLEAN"}]), "PROGRAM-TYPE", "an argument is STRING"),
        (json!([{"literal": "x", "type": "INT"}]), "PROGRAM-TYPE", "node 0"),
        (json!([column, {"and": [0]}]), "PROGRAM-TYPE", "not BOOLEAN"),
        (json!([column, {"cast": 0, "type": "DATE"}]), "PROGRAM-TYPE", "no cast"),
        (json!([text, {"cast": 0, "type": "TIMESTAMP_LTZ(3)", "zone": "Mars"}]), "PROGRAM-TYPE", "Mars"),
        (json!([column, {"case": [[0, 0]], "type": "INT"}]), "PROGRAM-TYPE", "a condition"),
        (json!([column, text, {"coalesce": [0, 1], "type": "INT"}]), "PROGRAM-TYPE", "COALESCE"),
        (json!([column, {"field": 0, "index": 0, "type": "INT"}]), "PROGRAM-TYPE", "no ROW"),
    ] {
        let last = nodes.as_array().unwrap().len() as u32 - 1;
        let error = compile(nodes.clone(), None, &[last]).err().unwrap();
        assert_eq!(error.code, code, "{nodes}: {error}");
        assert!(error.message.contains(part), "{nodes}: {error}");
    }
    assert_eq!(compile(json!([column]), Some(0), &[0]).err().unwrap().code, "PROGRAM-TYPE");
}

#[test]
fn an_or_of_ten_thousand_operands_is_computed() {
    let mut nodes = vec![json!({"column": 0})];
    let mut operands = Vec::new();
    for i in 0..9_000 {
        nodes.push(json!({"literal": (i + 9).to_string(), "type": "INT"}));
        nodes.push(json!({"call": "eq@1", "args": [0, 2 * i + 1], "type": "BOOLEAN"}));
        operands.push(2 * i + 2);
    }
    operands.extend_from_within(..1_000);
    nodes.push(json!({"or": operands}));
    let result = run(Value::Array(nodes), None, &[18_001]).unwrap();
    assert_eq!(booleans(&result, 0), [Some(false), Some(false), None, Some(true)]);
}

#[test]
fn an_and_of_thousands_of_fallible_operands_is_computed() {
    // 100 + i divided by a, compared with 1: each operand may fail, and drops some rows.
    let mut nodes = vec![json!({"column": 0}), json!({"literal": "1", "type": "INT"})];
    let mut operands = Vec::new();
    for i in 0..4_000 {
        let start = nodes.len();
        nodes.push(json!({"literal": (100 - i / 40).to_string(), "type": "INT"}));
        nodes.push(json!({"call": "divide@1", "args": [start, 0], "type": "INT"}));
        nodes.push(json!({"call": "gt@1", "args": [start + 1, 1], "type": "BOOLEAN"}));
        operands.push(start + 2);
    }
    nodes.push(json!({"and": operands}));
    let last = nodes.len() as u32 - 1;
    let rows: Vec<Row> = (1..200).map(|a| (Some(a), None, None, None)).collect();
    let result = compile(Value::Array(nodes), None, &[last]).unwrap().evaluate(&batch(&rows), Clock::default()).unwrap();
    assert!(booleans(&result, 0).iter().all(|value| *value == Some(false)));
}

#[test]
fn strict_operands_may_nest_deep_but_conditions_may_not() {
    let mut nodes = vec![json!({"column": 0})];
    for i in 0..15_000 {
        nodes.push(json!({"call": "negate@1", "args": [i], "type": "INT"}));
    }
    let result = run(Value::Array(nodes), None, &[15_000]).unwrap();
    assert_eq!(ints(&result, 0), [Some(6), Some(7), None, Some(9)]);
    let nested = |depth: u32| {
        let mut nodes = guarded();
        nodes.push(json!({"case": [[3, 4]], "type": "INT"}));
        for _ in 1..depth {
            nodes.push(json!({"case": [[3, nodes.len() - 1]], "type": "INT"}));
        }
        let last = nodes.len() as u32 - 1;
        run(Value::Array(nodes), None, &[last])
    };
    assert_eq!(ints(&nested(100).unwrap(), 0), [Some(3), None, None, None]);
    let error = nested(102).unwrap_err();
    assert_eq!(error.code, "PROGRAM-SHAPE");
    assert!(error.message.contains("deep"), "{error}");
}

/// Nodes that often fit together: types are INT (columns 0 and 1, and results), BOOLEAN and STRING.
fn any_node(position: u32) -> impl Strategy<Value = Value> {
    let operand = 0..position.max(1);
    let calls = prop_oneof![
        Just(("add@1", "INT")),
        Just(("divide@1", "INT")),
        Just(("mod@1", "INT")),
        Just(("eq@1", "BOOLEAN")),
        Just(("lt@1", "BOOLEAN")),
        Just(("is_null@1", "BOOLEAN")),
        Just(("not@1", "BOOLEAN")),
        Just(("in@1", "BOOLEAN")),
        Just(("greatest@1", "INT")),
        Just(("nullif@1", "INT")),
        Just(("if@1", "INT")),
        Just(("ifnull@1", "INT")),
        Just(("is_distinct@1", "BOOLEAN")),
    ];
    let types = prop_oneof![Just("INT"), Just("BOOLEAN"), Just("STRING"), Just("DECIMAL(5, 2)"), Just("DOUBLE"), Just("DATE")];
    let many = prop::collection::vec(operand.clone(), 1..4);
    prop_oneof![
        (0..6_u32).prop_map(|column| json!({"column": column})),
        (types.clone(), prop::option::of("[0-9x]{0,2}")).prop_map(|(t, text)| json!({"literal": text, "type": t})),
        (calls, many.clone()).prop_map(|((call, t), args)| json!({"call": call, "args": args, "type": t})),
        (operand.clone(), types.clone(), any::<bool>())
            .prop_map(|(cast, t, or_null)| json!({"cast": cast, "type": t, "try": or_null})),
        (many.clone(), many.clone(), prop::option::of(operand.clone()), types.clone()).prop_map(
            |(conditions, values, otherwise, t)| {
                let case: Vec<_> = conditions.iter().zip(&values).map(|(condition, value)| json!([condition, value])).collect();
                json!({"case": case, "else": otherwise, "type": t})
            }
        ),
        many.clone().prop_map(|and| json!({"and": and})),
        many.clone().prop_map(|or| json!({"or": or})),
        (many, types.clone()).prop_map(|(coalesce, t)| json!({"coalesce": coalesce, "type": t})),
        (operand, 0..2_u32, types).prop_map(|(field, index, t)| json!({"field": field, "index": index, "type": t})),
    ]
}

/// A typed program: lists of nodes of each type grow together.
#[derive(Debug, Clone)]
struct Typed {
    nodes: Vec<Value>,
    ints: Vec<u32>,
    booleans: Vec<u32>,
}

fn typed_program() -> impl Strategy<Value = Typed> {
    prop::collection::vec((0..10_u8, any::<[u16; 3]>()), 1..25).prop_map(|steps| {
        let mut typed = Typed { nodes: guarded(), ints: vec![0, 1, 2, 4], booleans: vec![3, 5] };
        typed.nodes.push(json!({"column": 3}));
        typed.nodes.push(json!({"column": 2}));
        for (kind, choices) in steps {
            let int = |i: usize| typed.ints[choices[i] as usize % typed.ints.len()];
            let boolean = |i: usize| typed.booleans[choices[i] as usize % typed.booleans.len()];
            let (node, is_boolean) = match kind {
                0 => (json!({"call": "divide@1", "args": [int(0), int(1)], "type": "INT"}), false),
                1 => (json!({"call": "subtract@1", "args": [int(0), int(1)], "type": "INT"}), false),
                2 => (json!({"cast": 6, "type": "INT", "try": choices[0] % 2 == 0}), false),
                3 => (json!({"case": [[boolean(0), int(1)]], "else": int(2), "type": "INT"}), false),
                4 => (json!({"coalesce": [int(0), int(1), int(2)], "type": "INT"}), false),
                5 => (json!({"call": "lt@1", "args": [int(0), int(1)], "type": "BOOLEAN"}), true),
                6 => (json!({"and": [boolean(0), boolean(1), boolean(2)]}), true),
                7 => (json!({"or": [boolean(0), boolean(1), boolean(2)]}), true),
                8 => (json!({"call": "not@1", "args": [boolean(0)], "type": "BOOLEAN"}), true),
                _ => (json!({"case": [[boolean(0), int(0)], [boolean(1), int(1)]], "type": "INT"}), false),
            };
            let position = typed.nodes.len() as u32;
            typed.nodes.push(node);
            if is_boolean { typed.booleans.push(position) } else { typed.ints.push(position) }
        }
        typed
    })
}

fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    let number = prop::option::weighted(0.8, -2..4_i32);
    let text = prop::option::weighted(0.8, prop_oneof![Just("1"), Just("x"), Just("-7")]);
    prop::collection::vec((number.clone(), number, text, prop::option::weighted(0.8, any::<bool>())), 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn row_by_row_a_program_gives_what_it_gives_for_the_batch(typed in typed_program(), rows in any_rows(), filtered in any::<bool>()) {
        let filter = filtered.then(|| *typed.booleans.last().unwrap());
        let outputs = [*typed.ints.last().unwrap(), *typed.booleans.last().unwrap()];
        let mut program = compile(Value::Array(typed.nodes), filter, &outputs).unwrap();
        let batch = batch(&rows);
        let whole = program.evaluate(&batch, Clock::default());
        let single = |row: u32| {
            let row = take_record_batch(&batch, &UInt32Array::from(vec![row])).unwrap();
            program.evaluate(&row, Clock::default())
        };
        let single: Result<Vec<RecordBatch>, OperatorError> = (0..batch.num_rows() as u32).map(single).collect();
        match (whole, single) {
            (Ok(whole), Ok(single)) => prop_assert_eq!(whole, concat_batches(program.schema(), &single).unwrap()),
            (Err(whole), Err(single)) => prop_assert_eq!(whole.code, single.code),
            (whole, single) => prop_assert!(false, "batch: {:?}, rows: {:?}", whole.map(|_| ()), single.map(|_| ())),
        }
    }

    #[test]
    fn no_program_panics(nodes in (1..12_u32).prop_flat_map(|count| (0..count).map(any_node).collect::<Vec<_>>()), filter in prop::option::of(0..12_u32)) {
        let outputs: Vec<u32> = (0..nodes.len() as u32).collect();
        // Each node alone, since most lists of nodes have one that is refused.
        for output in outputs {
            if let Ok(mut program) = compile(Value::Array(nodes.clone()), filter, &[output]) {
                let _ = program.evaluate(&some_rows(), Clock { now_ms: 7, ..Clock::default() });
            }
        }
    }
}

#[test]
fn arrays_and_rows_compare_by_their_contents() {
    let nodes = json!([
        {"column": 4},
        {"call": "eq@1", "args": [0, 0], "type": "BOOLEAN"},
        {"call": "is_not_distinct@1", "args": [0, 0], "type": "BOOLEAN"},
        {"literal": null, "type": "ROW<x BIGINT>"},
        {"call": "is_distinct@1", "args": [0, 3], "type": "BOOLEAN"},
    ]);
    let result = run(nodes, None, &[1, 2, 4]).unwrap();
    assert_eq!(booleans(&result, 0), [Some(true), Some(true), Some(true), None]);
    assert_eq!(booleans(&result, 1), [Some(true); 4]);
    assert_eq!(booleans(&result, 2), [Some(true), Some(true), Some(true), Some(false)]);
}

#[test]
fn case_over_constants_and_columns_is_put_together_in_order() {
    let nodes = json!([
        {"column": 3},
        {"column": 2},
        {"literal": "yes", "type": "STRING"},
        {"literal": null, "type": "STRING"},
        {"case": [[0, 2]], "else": 1, "type": "STRING"},
        {"case": [[0, 1]], "else": 3, "type": "STRING"},
        {"case": [[0, 2]], "type": "STRING"},
    ]);
    let result = run(nodes, None, &[4, 5, 6]).unwrap();
    let texts =
        |column: usize| result.column(column).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>();
    let expected = |texts: [Option<&str>; 4]| texts.map(|text| text.map(str::to_owned)).to_vec();
    assert_eq!(texts(0), expected([Some("yes"), Some("x"), None, Some("yes")]));
    assert_eq!(texts(1), expected([Some("1"), None, None, Some("3")]));
    assert_eq!(texts(2), expected([Some("yes"), None, None, Some("yes")]));
}
