//! Tests of expressions: types, guards, overflow, times, refusals.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray, TimestampMillisecondArray};
use proptest::prelude::*;

use super::*;
use crate::operators::tests::cell;

fn bids() -> RecordBatch {
    RecordBatch::try_from_iter([
        ("auction", Arc::new(Int64Array::from(vec![Some(1), Some(2), None])) as ArrayRef),
        ("userId", Arc::new(Int64Array::from(vec![10, 20, i64::MAX])) as ArrayRef),
        ("price", Arc::new(Float64Array::from(vec![1.5, 2.0, 4.0])) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec!["ann", "Bob", ""])) as ArrayRef),
        ("time", Arc::new(TimestampMillisecondArray::from(vec![0, 61_000, 3_600_000])) as ArrayRef),
    ])
    .unwrap()
}

fn plan(text: &str) -> Result<Expression, OperatorError> {
    Expression::plan(text, &bids().schema(), Overflow::Wrap)
}

fn evaluate_over(text: &str, batch: &RecordBatch) -> Result<Vec<String>, OperatorError> {
    evaluate_with(text, batch, Overflow::Wrap)
}

fn evaluate_with(text: &str, batch: &RecordBatch, overflow: Overflow) -> Result<Vec<String>, OperatorError> {
    let array = Expression::plan(text, &batch.schema(), overflow)?.evaluate(batch)?;
    Ok((0..array.len()).map(|row| cell(&array, row)).collect())
}

fn one_row(text: &str) -> Result<String, OperatorError> {
    evaluate_over(text, &bids().slice(0, 1)).map(|mut rows| rows.remove(0))
}

fn evaluate(text: &str) -> ArrayRef {
    plan(text).unwrap().evaluate(&bids()).unwrap()
}

#[test]
fn expressions_are_typed_coerced_and_evaluated() {
    assert_eq!(evaluate("auction * 2 + 1").as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(3), Some(5), None]));
    assert_eq!(evaluate("price * auction").as_primitive::<Float64Type>().value(1), 4.0);
    assert_eq!(evaluate("upper(name) || '!'").as_string::<i32>().value(1), "BOB!");
    assert_eq!(evaluate("CASE WHEN price > 1.9 THEN 'high' ELSE 'low' END").as_string::<i32>().value(0), "low");
    assert!(evaluate("auction IS NULL OR userId BETWEEN 5 AND 15").as_boolean().value(0));
    assert_eq!(evaluate("coalesce(auction, 0)").null_count(), 0);
    let bids = traps(&[(None, None, None, "x")]);
    let nullable = |text: &str| Expression::plan(text, &bids.schema(), Overflow::Wrap).unwrap().nullable();
    for (text, expected) in [("n + 1", true), ("coalesce(n, 0)", false), ("n IS NULL OR s = 'x'", false), ("s || 'x'", false)] {
        assert_eq!(nullable(text), expected, "{text}");
    }
    assert!(evaluate("name LIKE '%nn' AND auction IN (1, 3)").as_boolean().value(0));
    assert_eq!(evaluate("7").as_primitive::<Int64Type>().values().as_ref(), [7, 7, 7]);
}

#[test]
fn times_compare_with_text_and_convert_to_milliseconds() {
    assert!(evaluate("time >= TIMESTAMP '1970-01-01 00:01:00'").as_boolean().value(1));
    assert_eq!(evaluate("CAST(time AS BIGINT)").as_primitive::<Int64Type>().value(1), 61_000);
    let minutes = evaluate("date_trunc('minute', time)");
    assert_eq!(minutes.as_primitive::<TimestampMillisecondType>().value(1), 60_000);
    let hour = plan("extract(hour FROM time)").unwrap();
    assert_eq!(hour.data_type(), &DataType::Int32);
    let made = plan("to_timestamp_millis(userId)").unwrap();
    assert_eq!(made.data_type(), &DataType::Timestamp(TimeUnit::Millisecond, None));
}

#[test]
fn an_error_gives_the_position_of_the_mistake() {
    let error = plan("auction +").unwrap_err();
    assert_eq!(error.code, "EXPR-PARSE");
    let error = plan("auction 7").unwrap_err();
    assert!(error.code == "EXPR-PARSE" && error.message.contains("Column: 9"), "{error}");
    let error = plan("auction + acution").unwrap_err();
    assert_eq!(error.code, "EXPR-COLUMN");
    assert!(error.message.contains("\"acution\" at line 1, column 11; the input is (auction BIGINT, userId"), "{error}");
    assert_eq!(plan("USERID").unwrap_err().code, "EXPR-COLUMN");
    for wrong in ["name * 2.5 + time", "no_such_function(1)", "sum(auction)", "NULL", "(SELECT 1)", "interval '1 day'"] {
        assert_eq!(plan(wrong).unwrap_err().code, "EXPR-TYPE", "{wrong}");
    }
}

#[test]
fn functions_whose_result_differs_from_call_to_call_are_refused() {
    for text in ["now()", "random()", "uuid()", "current_timestamp", "CURRENT_DATE"] {
        assert!(["EXPR-TYPE", "EXPR-COLUMN"].contains(&plan(text).unwrap_err().code), "{text}");
    }
}

#[test]
fn a_division_by_zero_is_an_error() {
    for text in ["userId / (auction - 1)", "userId % 0", "1 / 0"] {
        assert_eq!(plan(text).unwrap().evaluate(&bids()).unwrap_err().code, "EXPR-EVAL", "{text}");
    }
}

/// Columns of which some rows make some expressions fail.
type TrapRow<'a> = (Option<bool>, Option<i64>, Option<i64>, &'a str);

fn traps(rows: &[TrapRow<'_>]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([
        ("b", Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.0))) as ArrayRef, true),
        ("n", Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.1))) as ArrayRef, true),
        ("d", Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.2))) as ArrayRef, true),
        ("s", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.3))) as ArrayRef, false),
    ])
    .unwrap()
}

#[test]
fn a_guard_protects_its_row_whatever_rows_share_the_batch() {
    let rows = [(Some(true), Some(10), Some(0), "x"), (Some(false), Some(10), Some(5), "7"), (None, None, Some(0), "")];
    for text in [
        "d <> 0 AND n / d > 1",
        "d = 0 OR n / d > 1",
        "NOT (d = 0 OR n / d > 1)",
        "s LIKE '_' AND s <> 'x' AND CAST(s AS BIGINT) > 1",
        "s NOT IN ('x', '') AND CAST(s AS BIGINT) > 1",
        "CASE WHEN d <> 0 THEN n / d > 1 ELSE false END",
        "CASE WHEN d <> 0 THEN n / d ELSE 0 END",
        "CASE WHEN d = 0 THEN 0 WHEN n / d > 1 THEN 1 ELSE 2 END",
        "CASE d WHEN 0 THEN 0 ELSE n / d END",
        "CASE WHEN s = '7' THEN CAST(s AS BIGINT) END",
        "coalesce(d, n / 0)",
        "nvl(d, n / 0)",
        "nvl2(d, d, n / 0)",
        "d = 0 OR d = 5 OR 1 / 0 > 1",
        // DataFusion's simplifier would move the divisions in front of their guards.
        "d = 0 OR (n / d > 1 OR d = 0)",
        "d <> 0 AND (n / d > 1 AND d <> 0)",
        "(d <> 0 AND n / d > 1) OR (d > 3 AND n / d > 1)",
    ] {
        let whole = evaluate_over(text, &traps(&rows)).unwrap_or_else(|error| panic!("{text}: {error}"));
        let alone: Vec<_> = rows.iter().map(|row| evaluate_over(text, &traps(&[*row])).unwrap().remove(0)).collect();
        assert_eq!(whole, alone, "{text}");
    }
}

#[test]
fn a_row_that_its_guard_lets_through_fails_whatever_rows_share_the_batch() {
    let bad = (Some(true), Some(10), Some(0), "x");
    for others in 0..12 {
        let mut rows = vec![(Some(false), Some(10), Some(5), "7"); others];
        rows.push(bad);
        for text in
            ["b AND n / d > 1", "NOT b OR n / d > 1", "n / d > 1 AND b", "CASE WHEN b THEN n / d ELSE 0 END", "b AND 1 / 0 > 1"]
        {
            assert_eq!(evaluate_over(text, &traps(&rows)).unwrap_err().code, "EXPR-EVAL", "{text} beside {others}");
        }
    }
}

#[test]
fn integer_overflow_wraps_for_constants_and_rows_alike_or_is_an_error() {
    let least = RecordBatch::try_from_iter([
        ("a", Arc::new(Int64Array::from(vec![i64::MIN])) as ArrayRef),
        ("i", Arc::new(Int32Array::from(vec![i32::MIN])) as ArrayRef),
        ("one", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("big", Arc::new(Int64Array::from(vec![10_000_000_000])) as ArrayRef),
        ("minus", Arc::new(Int64Array::from(vec![-1])) as ArrayRef),
    ])
    .unwrap();
    for (constant, rows, wrapped) in [
        ("10000000000 * 10000000000", "big * big", "7766279631452241920"),
        ("-9223372036854775808 - 1", "a - one", "9223372036854775807"),
        ("-(-9223372036854775808)", "-a", "-9223372036854775808"),
        ("-(CAST(-2147483648 AS INT))", "-i", "-2147483648"),
        ("abs(-9223372036854775808)", "abs(a)", "-9223372036854775808"),
        ("-9223372036854775808 / -1", "a / minus", "-9223372036854775808"),
        ("CAST(2147483647 AS INT) + CAST(1 AS INT)", "i - CAST(1 AS INT) + CAST(0 AS INT)", "-"),
        ("1 << 64", "one << 64", "1"),
        ("1 << 63", "one << 63", "-9223372036854775808"),
    ] {
        let value = |text: &str| evaluate_over(text, &least).unwrap().remove(0);
        if wrapped == "-" {
            assert_eq!((value(constant).as_str(), value(rows).as_str()), ("-2147483648", "2147483647"));
        } else {
            assert_eq!((value(constant).as_str(), value(rows).as_str()), (wrapped, wrapped), "{constant}");
        }
        if !constant.contains("<< 63") {
            for text in [constant, rows] {
                let error = evaluate_with(text, &least, Overflow::Error).unwrap_err();
                assert!(error.code == "EXPR-OVERFLOW" && error.message.contains(&format!("{text:?}")), "{error}");
            }
        }
    }
    assert_eq!(evaluate_with("one << 3 >> 1", &least, Overflow::Error).unwrap(), ["4"]);
    assert_eq!(evaluate_with("one << 63", &least, Overflow::Error).unwrap_err().code, "EXPR-OVERFLOW");
    assert_eq!(evaluate_with("a % minus", &least, Overflow::Error).unwrap(), ["0"]);
}

#[test]
fn timestamps_have_the_whole_range_of_milliseconds() {
    const LAST: i64 = 253_402_300_799_000; // 9999-12-31T23:59:59
    let times = RecordBatch::try_from_iter_with_nullable([
        ("t", Arc::new(TimestampMillisecondArray::from(vec![Some(LAST), None, Some(-62_135_596_800_000)])) as ArrayRef, true),
        ("s", Arc::new(StringArray::from(vec!["9999-12-31T23:59:59", "2020-01-01", "0001-01-01"])) as ArrayRef, true),
    ])
    .unwrap();
    let last = LAST.to_string();
    for (text, expected) in [
        ("date_bin(INTERVAL '1 hour', t)", ["253402297200000", "NULL", "-62135596800000"]),
        ("date_bin(INTERVAL '1 month', t)", ["253399622400000", "NULL", "-62135596800000"]),
        ("date_bin(INTERVAL '1 day', t, TIMESTAMP '9999-01-01 12:00:00')", ["253402257600000", "NULL", "-62135640000000"]),
        ("date_trunc('year', t)", ["253370764800000", "NULL", "-62135596800000"]),
        ("date_trunc('week', t)", ["253401868800000", "NULL", "-62135596800000"]),
        ("date_trunc('quarter', t)", ["253394352000000", "NULL", "-62135596800000"]),
        ("to_char(t, '%Y')", ["9999", "NULL", "0001"]),
        ("to_date(s)", ["253402214400000", "1577836800000", "-62135596800000"]),
        ("make_date(9999, 12, 31)", ["253402214400000"; 3]),
        ("CAST(t AS DATE)", ["253402214400000", "NULL", "-62135596800000"]),
        ("CAST(t AS STRING)", ["9999-12-31T23:59:59", "NULL", "0001-01-01T00:00:00"]),
        ("extract(epoch FROM t)", ["253402300799.0", "NULL", "-62135596800.0"]),
        ("coalesce(t, TIMESTAMP '2020-01-01')", [&last, "1577836800000", "-62135596800000"]),
        ("t < TIMESTAMP '9999-12-31 23:59:59.5'", ["true", "NULL", "true"]),
        ("t >= '0001-01-01' AND t < DATE '9999-12-31'", ["false", "NULL", "true"]),
        ("CAST(s AS TIMESTAMP)", [&last, "1577836800000", "-62135596800000"]),
        ("CAST(t AS TIMESTAMP)", [&last, "NULL", "-62135596800000"]),
        ("to_timestamp(s)", [&last, "1577836800000", "-62135596800000"]),
        ("to_timestamp_millis(s)", [&last, "1577836800000", "-62135596800000"]),
        ("to_timestamp(CAST(t AS BIGINT) / 1000)", [&last, "NULL", "-62135596800000"]),
        ("to_unixtime(s)", ["253402300799", "1577836800", "-62135596800"]),
        ("extract(year FROM t)", ["9999", "NULL", "1"]),
        ("t - INTERVAL '1 day'", ["253402214399000", "NULL", "-62135683200000"]),
        ("nullif(t, TIMESTAMP '0001-01-01')", [&last, "NULL", "NULL"]),
        ("greatest(t, TIMESTAMP '9999-12-31 23:59:59')", [&last, &last, &last]),
        ("CASE WHEN t IS NULL THEN TIMESTAMP '0001-01-01' ELSE t END", [&last, "-62135596800000", "-62135596800000"]),
        ("t BETWEEN TIMESTAMP '9000-01-01' AND TIMESTAMP '9999-12-31 23:59:59'", ["true", "NULL", "false"]),
        ("t IN (TIMESTAMP '9999-12-31 23:59:59')", ["true", "NULL", "false"]),
    ] {
        assert_eq!(evaluate_over(text, &times).unwrap_or_else(|error| panic!("{text}: {error}")), expected, "{text}");
    }
    let error = evaluate_over("date_bin(INTERVAL '-1 hour', t)", &times).unwrap_err();
    assert_eq!(error.code, "EXPR-EVAL");
}

#[test]
fn times_before_1970_are_rounded_down() {
    for (text, expected) in [
        ("to_timestamp_micros(-1)", "-1"),
        ("to_timestamp_nanos(-1)", "-1"),
        ("to_timestamp_nanos(auction - 2)", "-1"),
        ("to_timestamp(-0.0005)", "-1"),
        ("to_timestamp(price - 1.5005)", "-1"),
        ("to_timestamp_millis(-0.5)", "-1"),
        ("CAST('1969-12-31T23:59:59.9995' AS TIMESTAMP)", "-1"),
        ("to_unixtime(TIMESTAMP '1969-12-31 23:59:59.5')", "-1"),
        ("to_timestamp_seconds(TIMESTAMP '1969-12-31 23:59:59.5')", "-1000"),
        ("CAST(TIMESTAMP '1969-12-31 23:59:59.5' AS DATE)", "-86400000"),
        ("CAST(TIMESTAMP '1969-12-31 23:59:59.5' AS TIMESTAMP(0))", "-1000"),
        ("date_trunc('second', TIMESTAMP '1969-12-31 23:59:59.5')", "-1000"),
        ("date_bin(INTERVAL '1 second', TIMESTAMP '1969-12-31 23:59:59.5')", "-1000"),
    ] {
        assert_eq!(one_row(text).unwrap_or_else(|error| panic!("{text}: {error}")), expected, "{text}");
    }
}

#[test]
fn window_functions_aggregates_and_misspelt_functions_are_refused_in_plain_words() {
    for (text, words) in [
        ("row_number() over ()", "row_number with OVER is a window function"),
        ("row_number() over (partition by auction order by price)", "one row at a time"),
        ("sum(price) over (partition by auction)", "window function"),
        ("1 + sum(price)", "sum is an aggregate, which an expression can't call; use a window operator"),
        ("uper(name)", "there is no function uper; did you mean upper?"),
    ] {
        let error = plan(text).unwrap_err();
        assert!(error.code == "EXPR-TYPE" && error.message.contains(words), "{text}: {error}");
        assert!(!error.message.contains("Internal"), "{error}");
    }
}

#[test]
fn long_and_deep_expressions_are_refused_and_the_longest_allowed_works() {
    let sum = |terms: usize| vec!["auction"; terms].join("+");
    assert_eq!(plan(&sum(MAX_NESTING + 2)).unwrap_err().code, "EXPR-PARSE");
    assert_eq!(evaluate(&sum(MAX_NESTING - 1)).as_primitive::<Int64Type>().value(0), MAX_NESTING as i64 - 1);
    assert_eq!(plan(&format!("{}1{}", "(".repeat(90), ")".repeat(90))).unwrap_err().code, "EXPR-PARSE");
    assert_eq!(plan(&"'x'".repeat(40_000)).unwrap_err().code, "EXPR-PARSE");
    let many = (0..2_000).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    assert!(evaluate(&format!("auction IN ({many})")).as_boolean().value(0));
}

/// Expressions over the columns of [`traps`], of which many fail for some rows.
fn conditions() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("b".to_owned()),
        Just("n / d > 1".to_owned()),
        Just("d = 0".to_owned()),
        Just("CAST(s AS BIGINT) > 3".to_owned()),
        Just("s = 'x'".to_owned()),
        Just("n IS NULL".to_owned()),
        Just("1 / 0 = 1".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            pair.clone().prop_map(|(a, b)| format!("({a} AND {b})")),
            pair.clone().prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.clone().prop_map(|a| format!("(NOT {a})")),
            pair.prop_map(|(a, b)| format!("coalesce({a}, {b})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(CASE WHEN {a} THEN {b} ELSE {c} END)")),
        ]
    })
}

proptest! {
    #[test]
    fn any_split_of_rows_into_batches_has_the_same_outcome(
        text in conditions(),
        rows in prop::collection::vec((any::<Option<bool>>(), prop::option::of(0i64..4), prop::option::of(0i64..3), prop::sample::select(vec!["x", "7", ""])), 1..12),
        split in 0usize..12,
    ) {
        let alone: Result<Vec<_>, _> = rows.iter().map(|row| evaluate_over(&text, &traps(&[*row])).map(|mut rows| rows.remove(0))).collect();
        let (head, tail) = rows.split_at(split.min(rows.len()));
        let both = [head, tail].into_iter().filter(|part| !part.is_empty()).map(|part| evaluate_over(&text, &traps(part)));
        let both: Result<Vec<_>, _> = both.collect();
        match (alone, both.map(|parts| parts.concat()), evaluate_over(&text, &traps(&rows))) {
            (Ok(alone), Ok(both), Ok(whole)) => {
                prop_assert_eq!(&alone, &both, "{}", text);
                prop_assert_eq!(alone, whole, "{}", text);
            }
            (Err(_), Err(_), Err(_)) => {}
            (alone, both, whole) => prop_assert!(false, "{text}: alone {alone:?}, split {both:?}, whole {whole:?}"),
        }
    }

    #[test]
    fn constants_and_rows_obey_one_rule_of_overflow(a in hard_integers(), b in hard_integers(), operator in prop::sample::select(vec!["+", "-", "*", "/", "%", "<<", ">>", "&", "|"])) {
        let batch = RecordBatch::try_from_iter([
            ("a", Arc::new(Int64Array::from(vec![a])) as ArrayRef),
            ("b", Arc::new(Int64Array::from(vec![b])) as ArrayRef),
        ])
        .unwrap();
        let exact = match operator {
            "+" => Some(i128::from(a) + i128::from(b)),
            "-" => Some(i128::from(a) - i128::from(b)),
            "*" => Some(i128::from(a) * i128::from(b)),
            "/" if b != 0 => Some(i128::from(a) / i128::from(b)),
            "%" if b != 0 => Some(i128::from(a) % i128::from(b)),
            _ => None,
        };
        for overflow in [Overflow::Wrap, Overflow::Error] {
            let rows = evaluate_with(&format!("a {operator} b"), &batch, overflow);
            let constants = evaluate_with(&format!("({a}) {operator} ({b})"), &batch, overflow);
            match (&rows, &constants) {
                (Ok(rows), Ok(constants)) => prop_assert_eq!(rows, constants),
                (Err(rows), Err(constants)) => prop_assert_eq!(rows.code, constants.code),
                _ => prop_assert!(false, "rows {rows:?}, constants {constants:?}"),
            }
            if let Some(exact) = exact {
                match overflow {
                    Overflow::Wrap => prop_assert_eq!(&rows.unwrap()[0], &(exact as i64).to_string()),
                    Overflow::Error => match i64::try_from(exact) {
                        Ok(exact) => prop_assert_eq!(&rows.unwrap()[0], &exact.to_string()),
                        Err(_) => prop_assert_eq!(rows.unwrap_err().code, "EXPR-OVERFLOW"),
                    },
                }
            }
        }
    }

    #[test]
    fn random_text_never_panics(text in r#"[a-z0-9+*/()',<>=. "-]{0,40}"#) {
        let _ = plan(&text);
    }
}

/// Integers near the limits, where operations overflow.
fn hard_integers() -> impl Strategy<Value = i64> {
    prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(-1), Just(0), Just(1), Just(64), -100i64..100, any::<i64>(),]
}
