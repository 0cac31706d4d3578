//! Values of Flink 2.3.0.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, Int32Array, ListArray, StringArray, StructArray};
use arrow_schema::DataType as ArrowType;

use super::*;
use crate::functions::probe::{cast_array, cast_to};

/// Each line: constant, type, expected text.
fn check(lines: &[(&str, &str, &str)]) {
    check_in(Zone::UTC, lines);
}

fn check_in(zone: Zone, lines: &[(&str, &str, &str)]) {
    for (from, to, expected) in lines {
        let found = cast_to(from, to, Options { or_null: false, zone });
        let fits = match *expected {
            "ERROR" => found.starts_with("ERROR EXPR-EVAL"),
            "REFUSED" => found.starts_with("REFUSED"),
            _ => found == *expected,
        };
        assert!(fits, "CAST({from} AS {to}): {found}, expected {expected}");
        if *expected == "ERROR" {
            assert_eq!(cast_to(from, to, Options { or_null: true, zone }), "NULL", "TRY_CAST({from} AS {to})");
        }
    }
}

#[test]
fn texts_become_whole_numbers() {
    check(&[
        (" 12 ::STRING", "INT", "12"),
        ("12.7::STRING", "INT", "12"),
        ("-12.7::STRING", "INT", "-12"),
        ("+5::STRING", "INT", "5"),
        ("::STRING", "INT", "ERROR"),
        ("x::STRING", "INT", "ERROR"),
        ("1e3::STRING", "INT", "ERROR"),
        (".5::STRING", "INT", "0"),
        (".::STRING", "INT", "0"),
        ("5.::STRING", "INT", "5"),
        ("2147483648::STRING", "INT", "ERROR"),
        ("-2147483648::STRING", "INT", "-2147483648"),
        ("300::STRING", "TINYINT", "ERROR"),
        ("12.::STRING", "TINYINT", "12"),
        ("9223372036854775808::STRING", "BIGINT", "ERROR"),
        ("-9223372036854775808::STRING", "BIGINT", "-9223372036854775808"),
        ("12.x::STRING", "INT", "ERROR"),
        ("-::STRING", "INT", "ERROR"),
        ("+::STRING", "INT", "ERROR"),
        ("--1::STRING", "INT", "ERROR"),
        ("\u{a0}12::STRING", "INT", "ERROR"),
        ("NULL::STRING", "INT", "NULL"),
    ]);
}

#[test]
fn texts_become_other_numbers_and_booleans() {
    check(&[
        ("1e3::STRING", "DOUBLE", "1000.0"),
        (" 1.5 ::STRING", "DOUBLE", "1.5"),
        ("1d::STRING", "DOUBLE", "1.0"),
        ("NaN::STRING", "DOUBLE", "NaN"),
        ("Infinity::STRING", "DOUBLE", "Infinity"),
        ("-Infinity::STRING", "DOUBLE", "-Infinity"),
        ("inf::STRING", "DOUBLE", "ERROR"),
        ("nan::STRING", "DOUBLE", "ERROR"),
        ("1e400::STRING", "DOUBLE", "Infinity"),
        ("::STRING", "DOUBLE", "ERROR"),
        ("e::STRING", "DOUBLE", "ERROR"),
        ("1.5f::STRING", "FLOAT", "1.5"),
        ("true::STRING", "BOOLEAN", "TRUE"),
        ("T::STRING", "BOOLEAN", "TRUE"),
        ("yes::STRING", "BOOLEAN", "TRUE"),
        ("1::STRING", "BOOLEAN", "TRUE"),
        ("0::STRING", "BOOLEAN", "FALSE"),
        ("n::STRING", "BOOLEAN", "FALSE"),
        (" true ::STRING", "BOOLEAN", "ERROR"),
        ("on::STRING", "BOOLEAN", "ERROR"),
        ("::STRING", "BOOLEAN", "ERROR"),
        ("12.345::STRING", "DECIMAL(5, 2)", "12.35"),
        ("12.355::STRING", "DECIMAL(5, 2)", "12.36"),
        ("-12.345::STRING", "DECIMAL(5, 2)", "-12.35"),
        ("1234.5::STRING", "DECIMAL(5, 2)", "ERROR"),
        ("1e2::STRING", "DECIMAL(5, 2)", "100.00"),
        ("1E+2::STRING", "DECIMAL(5, 2)", "100.00"),
        ("1.5e-1::STRING", "DECIMAL(5, 2)", "0.15"),
        (" 1.5 ::STRING", "DECIMAL(5, 2)", "1.50"),
        ("x::STRING", "DECIMAL(5, 2)", "0.00"),
        ("12x::STRING", "DECIMAL(5, 2)", "12.00"),
        ("x12::STRING", "DECIMAL(5, 2)", "ERROR"),
        ("1.2.3::STRING", "DECIMAL(5, 2)", "ERROR"),
        ("1e::STRING", "DECIMAL(5, 2)", "1.00"),
        ("12 3::STRING", "DECIMAL(5, 2)", "ERROR"),
        ("12x::STRING", "DECIMAL(30, 2)", "ERROR"),
        ("x::STRING", "DECIMAL(30, 2)", "ERROR"),
        ("-::STRING", "DECIMAL(5, 2)", "ERROR"),
        (".::STRING", "DECIMAL(5, 2)", "0.00"),
        ("NaN::STRING", "DECIMAL(5, 2)", "ERROR"),
        ("::STRING", "DECIMAL(5, 2)", "ERROR"),
        ("+1.5::STRING", "DECIMAL(5, 2)", "1.50"),
        ("1.::STRING", "DECIMAL(5, 2)", "1.00"),
        (".5::STRING", "DECIMAL(5, 2)", "0.50"),
        ("123456789012345678901234567890.5::STRING", "DECIMAL(38, 2)", "123456789012345678901234567890.50"),
        ("0.00000000000000000000000000000000000000000001::STRING", "DECIMAL(38, 2)", "0.00"),
        ("99.999::STRING", "DECIMAL(4, 2)", "ERROR"),
        ("1e1000000000000000000000::STRING", "DECIMAL(38, 2)", "ERROR"),
    ]);
}

#[test]
fn texts_become_dates_and_times() {
    check(&[
        ("2020-01-02::STRING", "DATE", "2020-01-02"),
        ("2020-1-2::STRING", "DATE", "2020-01-02"),
        ("2020::STRING", "DATE", "2020-01-01"),
        ("2020-01::STRING", "DATE", "2020-01-01"),
        (" 2020-01-02 ::STRING", "DATE", "2020-01-02"),
        ("2020-01-02 10:00:00::STRING", "DATE", "2020-01-02"),
        ("2020-01-02T10:00:00::STRING", "DATE", "ERROR"),
        ("2020-02-30::STRING", "DATE", "ERROR"),
        ("2020-13-01::STRING", "DATE", "ERROR"),
        ("20200102::STRING", "DATE", "ERROR"),
        ("0001-01-01::STRING", "DATE", "0001-01-01"),
        ("9999-12-31::STRING", "DATE", "9999-12-31"),
        ("10000-01-01::STRING", "DATE", "ERROR"),
        ("-0001-01-01::STRING", "DATE", "ERROR"),
        ("abc::STRING", "DATE", "ERROR"),
        ("::STRING", "DATE", "ERROR"),
        ("10:11:12::STRING", "TIME(0)", "10:11:12"),
        ("10:11::STRING", "TIME(0)", "10:11:00"),
        ("10::STRING", "TIME(0)", "10:00:00"),
        ("10:11:12.345::STRING", "TIME(3)", "10:11:12.345"),
        ("10:11:12.3456::STRING", "TIME(3)", "10:11:12.346"),
        ("10:11:12.345::STRING", "TIME(0)", "10:11:12"),
        ("25:00:00::STRING", "TIME(0)", "ERROR"),
        ("10:60:00::STRING", "TIME(0)", "ERROR"),
        ("1:2:3::STRING", "TIME(0)", "01:02:03"),
        (" 10:11:12 ::STRING", "TIME(0)", "10:11:12"),
        ("10:11:12.345::STRING", "TIME(1)", "10:11:12.3"),
        ("2020-01-02 10:11:12::STRING", "TIME(0)", "ERROR"),
    ]);
}

#[test]
fn texts_become_timestamps() {
    check(&[
        ("2020-01-02 10:11:12::STRING", "TIMESTAMP(3)", "2020-01-02 10:11:12.000"),
        ("2020-01-02 10:11:12.3::STRING", "TIMESTAMP(3)", "2020-01-02 10:11:12.300"),
        ("2020-01-02 10:11:12.345678::STRING", "TIMESTAMP(3)", "2020-01-02 10:11:12.345"),
        ("2020-01-02 10:11:12.3456789::STRING", "TIMESTAMP(9)", "2020-01-02 10:11:12.345678900"),
        ("2020-01-02 10:11:12.34567891234::STRING", "TIMESTAMP(9)", "ERROR"),
        ("2020-01-02T10:11:12::STRING", "TIMESTAMP(3)", "ERROR"),
        ("2020-01-02::STRING", "TIMESTAMP(3)", "2020-01-02 00:00:00.000"),
        ("2020-01-02 10:11::STRING", "TIMESTAMP(3)", "ERROR"),
        ("2020-01-02 10::STRING", "TIMESTAMP(3)", "ERROR"),
        ("2020-1-2 1:2:3::STRING", "TIMESTAMP(3)", "2020-01-02 01:02:03.000"),
        (" 2020-01-02 10:11:12 ::STRING", "TIMESTAMP(3)", "ERROR"),
        ("2020-01-02 10:11:12Z::STRING", "TIMESTAMP(3)", "ERROR"),
        ("2020-01-02 10:11:12.345::STRING", "TIMESTAMP(0)", "2020-01-02 10:11:12"),
        ("2020-01-02  10:11:12::STRING", "TIMESTAMP(3)", "ERROR"),
        ("2020-02-30 10:11:12::STRING", "TIMESTAMP(3)", "2020-02-29 10:11:12.000"),
        ("2020-01-02 24:00:00::STRING", "TIMESTAMP(3)", "2020-01-03 00:00:00.000"),
        ("10:11:12::STRING", "TIMESTAMP(3)", "ERROR"),
        ("0000-01-01 00:00:00::STRING", "TIMESTAMP(3)", "ERROR"),
        ("12020-01-02 10:11:12::STRING", "TIMESTAMP(3)", "ERROR"),
        ("::STRING", "TIMESTAMP(3)", "ERROR"),
        ("2020-01-02 10:11:12.5::STRING", "TIMESTAMP_LTZ(0)", "2020-01-02 10:11:12"),
        ("9999-12-31 00:00:00::STRING", "TIMESTAMP(9)", "ERROR"),
        ("9999-12-31 00:00:00::STRING", "TIMESTAMP(6)", "9999-12-31 00:00:00.000000"),
    ]);
}

#[test]
fn texts_and_bytes_are_cut_or_filled_up() {
    check(&[
        ("abc::STRING", "CHAR(5)", "abc  "),
        ("abcdef::STRING", "CHAR(3)", "abc"),
        ("abc::STRING", "VARCHAR(2)", "ab"),
        ("äöü::STRING", "VARCHAR(2)", "äö"),
        ("äöü::STRING", "BINARY(4)", "c3a4c3b6"),
        ("äöü::STRING", "BYTES", "c3a4c3b6c3bc"),
        ("abc::STRING", "BINARY(5)", "6162630000"),
        ("abc::STRING", "VARBINARY(2)", "6162"),
        ("abc::STRING", "VARBINARY(5)", "616263"),
        ("616263::BYTES", "STRING", "abc"),
        ("ff::BYTES", "STRING", "\u{fffd}"),
        ("616263::BYTES", "VARCHAR(2)", "ab"),
        ("616263::BYTES", "CHAR(5)", "abc  "),
        ("616263::BYTES", "BINARY(2)", "6162"),
        ("616263::BYTES", "BINARY(5)", "6162630000"),
        ("616263::BYTES", "VARBINARY(2)", "6162"),
        ("abc  ::CHAR(5)", "STRING", "abc  "),
        ("abc  ::CHAR(5)", "VARCHAR(4)", "abc "),
        ("abc::CHAR(3)", "CHAR(5)", "abc  "),
        ("TRUE::BOOLEAN", "CHAR(2)", "TR"),
        ("123::INT", "CHAR(5)", "123  "),
        ("123::INT", "VARCHAR(2)", "12"),
        ("1.5::DECIMAL(2, 1)", "CHAR(2)", "1."),
        ("2020-01-02::DATE", "CHAR(4)", "2020"),
        ("5::INT", "BINARY(2)", "REFUSED"),
        ("01::BINARY(1)", "INT", "REFUSED"),
        ("TRUE::BOOLEAN", "BYTES", "REFUSED"),
    ]);
}

#[test]
fn numbers_narrow_as_in_java() {
    check(&[
        ("300::INT", "TINYINT", "44"),
        ("-129::INT", "TINYINT", "127"),
        ("3000000000::BIGINT", "INT", "-1294967296"),
        ("1.9::DOUBLE", "INT", "1"),
        ("-1.9::DOUBLE", "INT", "-1"),
        ("1e20::DOUBLE", "INT", "2147483647"),
        ("1e20::DOUBLE", "BIGINT", "9223372036854775807"),
        ("1e20::DOUBLE", "TINYINT", "-1"),
        ("300::DOUBLE", "TINYINT", "44"),
        ("70000::DOUBLE", "SMALLINT", "4464"),
        ("NaN::DOUBLE", "INT", "0"),
        ("Infinity::FLOAT", "BIGINT", "9223372036854775807"),
        ("1e300::DOUBLE", "FLOAT", "Infinity"),
        ("0.1::FLOAT", "DOUBLE", "0.10000000149011612"),
        ("0.1::DOUBLE", "FLOAT", "0.1"),
        ("12.7::DECIMAL(3, 1)", "INT", "12"),
        ("-12.7::DECIMAL(3, 1)", "INT", "-12"),
        ("3000000000.5::DECIMAL(20, 2)", "INT", "-1294967296"),
        ("300.5::DECIMAL(20, 2)", "TINYINT", "44"),
        ("12.345::DECIMAL(5, 3)", "DECIMAL(5, 2)", "12.35"),
        ("-12.345::DECIMAL(5, 3)", "DECIMAL(5, 2)", "-12.35"),
        ("1234.5::DECIMAL(5, 1)", "DECIMAL(5, 2)", "NULL"),
        ("1234::INT", "DECIMAL(5, 2)", "NULL"),
        ("12.345::DOUBLE", "DECIMAL(5, 2)", "12.35"),
        ("1e10::DOUBLE", "DECIMAL(5, 2)", "NULL"),
        ("NaN::DOUBLE", "DECIMAL(5, 2)", "ERROR"),
        ("0.1::DOUBLE", "DECIMAL(38, 20)", "0.10000000000000000000"),
        ("0.1::FLOAT", "DECIMAL(38, 20)", "0.10000000149011612000"),
        ("12.345::DECIMAL(5, 3)", "DOUBLE", "12.345"),
        ("12.345::DECIMAL(5, 3)", "FLOAT", "12.345"),
        ("123456789.123456789::DECIMAL(20, 9)", "DOUBLE", "1.2345678912345679E8"),
        ("TRUE::BOOLEAN", "INT", "1"),
        ("TRUE::BOOLEAN", "DECIMAL(5, 2)", "1.00"),
        ("FALSE::BOOLEAN", "DOUBLE", "0.0"),
        ("1::INT", "BOOLEAN", "TRUE"),
        ("0::INT", "BOOLEAN", "FALSE"),
        ("1.5::DOUBLE", "BOOLEAN", "TRUE"),
        ("0.5::DECIMAL(2, 1)", "BOOLEAN", "TRUE"),
        ("7::TINYINT", "DECIMAL(5, 2)", "7.00"),
        ("7::SMALLINT", "BIGINT", "7"),
    ]);
}

#[test]
fn numbers_and_booleans_are_written_as_java_writes_them() {
    check(&[
        ("TRUE::BOOLEAN", "STRING", "TRUE"),
        ("123::INT", "STRING", "123"),
        ("1e10::DOUBLE", "STRING", "1.0E10"),
        ("1e7::DOUBLE", "STRING", "1.0E7"),
        ("9999999::DOUBLE", "STRING", "9999999.0"),
        ("0.001::DOUBLE", "STRING", "0.001"),
        ("0.0001::DOUBLE", "STRING", "1.0E-4"),
        ("1.0::DOUBLE", "STRING", "1.0"),
        ("NaN::DOUBLE", "STRING", "NaN"),
        ("-Infinity::DOUBLE", "STRING", "-Infinity"),
        ("1.23456789012345678E-5::DOUBLE", "STRING", "1.2345678901234568E-5"),
        ("0.1::FLOAT", "STRING", "0.1"),
        ("1e10::FLOAT", "STRING", "1.0E10"),
        ("16777216::FLOAT", "STRING", "1.6777216E7"),
        ("4.9E-324::DOUBLE", "STRING", "4.9E-324"),
        ("-1234.5::DOUBLE", "STRING", "-1234.5"),
        ("100::DOUBLE", "STRING", "100.0"),
        ("-0.0::DOUBLE", "STRING", "-0.0"),
        ("1.50::DECIMAL(3, 2)", "STRING", "1.50"),
        ("0::DECIMAL(38, 20)", "STRING", "0.00000000000000000000"),
        ("0.00000001::DECIMAL(20, 10)", "STRING", "0.0000000100"),
        ("-0.05::DECIMAL(3, 2)", "STRING", "-0.05"),
    ]);
}

#[test]
fn times_convert_to_each_other_and_to_text() {
    check(&[
        ("2020-01-02::DATE", "STRING", "2020-01-02"),
        ("0001-01-02::DATE", "STRING", "0001-01-02"),
        ("10:11:12::TIME(0)", "STRING", "10:11:12"),
        ("10:11:12.345::TIME(3)", "STRING", "10:11:12.345"),
        ("10:11:12.300::TIME(3)", "STRING", "10:11:12.3"),
        ("10:11:12.000::TIME(3)", "STRING", "10:11:12.0"),
        ("2020-01-02 10:11:12::TIMESTAMP(0)", "STRING", "2020-01-02 10:11:12"),
        ("2020-01-02 10:11:12.3::TIMESTAMP(3)", "STRING", "2020-01-02 10:11:12.300"),
        ("2020-01-02 10:11:12.3::TIMESTAMP(6)", "STRING", "2020-01-02 10:11:12.300000"),
        ("2020-01-02 10:11:12.3::TIMESTAMP(9)", "STRING", "2020-01-02 10:11:12.300000000"),
        ("2020-01-02 10:11:12.3::TIMESTAMP(1)", "STRING", "2020-01-02 10:11:12.3"),
        ("2020-01-02::DATE", "TIMESTAMP(3)", "2020-01-02 00:00:00.000"),
        ("2020-01-02::DATE", "TIME(0)", "REFUSED"),
        ("10:11:12::TIME(0)", "TIMESTAMP(3)", "1970-01-01 10:11:12.000"),
        ("10:11:12::TIME(0)", "DATE", "REFUSED"),
        ("2020-01-02 10:11:12::TIMESTAMP(0)", "DATE", "2020-01-02"),
        ("2020-01-02 10:11:12::TIMESTAMP(0)", "TIME(0)", "10:11:12"),
        ("1960-01-02 10:11:12.5::TIMESTAMP(1)", "DATE", "1960-01-03"),
        ("1960-01-02 10:11:12.5::TIMESTAMP_LTZ(3)", "DATE", "1960-01-02"),
        ("1960-01-02 00:00:00::TIMESTAMP(1)", "DATE", "1960-01-02"),
        ("1960-01-02 10:11:12::TIMESTAMP(0)", "TIME(0)", "10:11:12"),
        ("2020-01-02 10:11:12.999999::TIMESTAMP(6)", "TIMESTAMP(3)", "2020-01-02 10:11:12.999"),
        ("1960-01-02 10:11:12.999999::TIMESTAMP(6)", "TIMESTAMP(3)", "1960-01-02 10:11:12.999"),
        ("2020-01-02 10:11:12.999::TIMESTAMP(3)", "TIMESTAMP(0)", "2020-01-02 10:11:12"),
        ("10:11:12.345::TIME(3)", "TIME(1)", "10:11:12.3"),
        ("2020-01-02 10:11:12::TIMESTAMP(0)", "BIGINT", "REFUSED"),
        ("1::INT", "TIMESTAMP(3)", "REFUSED"),
        ("2020-01-02::DATE", "INT", "REFUSED"),
        ("1::INT", "DATE", "REFUSED"),
        ("TRUE::BOOLEAN", "DATE", "REFUSED"),
        ("9000-01-01 00:00:00::TIMESTAMP(3)", "TIMESTAMP(9)", "ERROR"),
    ]);
}

#[test]
fn points_in_time_are_local_in_the_zone() {
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    check_in(
        berlin,
        &[
            ("2020-03-29 02:30:00::STRING", "TIMESTAMP_LTZ(3)", "2020-03-29 01:30:00.000"),
            ("2020-10-25 02:30:00::STRING", "TIMESTAMP_LTZ(3)", "2020-10-25 00:30:00.000"),
            ("2020-10-25 02:30:00::TIMESTAMP(0)", "TIMESTAMP_LTZ(3)", "2020-10-25 00:30:00.000"),
            ("1970-01-01 00:00:00::TIMESTAMP_LTZ(3)", "STRING", "1970-01-01 01:00:00.000"),
            ("1970-01-01 00:00:00::TIMESTAMP_LTZ(3)", "TIMESTAMP(3)", "1970-01-01 01:00:00.000"),
            ("1970-01-01 00:00:00::TIMESTAMP_LTZ(3)", "DATE", "1970-01-01"),
            ("1970-01-01 00:00:00::TIMESTAMP_LTZ(3)", "TIME(0)", "01:00:00"),
            ("2020-07-01::DATE", "TIMESTAMP_LTZ(3)", "2020-06-30 22:00:00.000"),
            ("2020-01-02 10:00:00::TIMESTAMP(3)", "STRING", "2020-01-02 10:00:00.000"),
        ],
    );
}

fn list() -> (ArrayRef, DataType) {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None])]);
    (Arc::new(list), "ARRAY<INT>".parse().unwrap())
}

fn row() -> (ArrayRef, DataType) {
    let data_type: DataType = "ROW<a INT, b STRING>".parse().unwrap();
    let ArrowType::Struct(fields) = arrow_type(&data_type) else { unreachable!() };
    let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![1])), Arc::new(StringArray::from(vec!["x"]))];
    (Arc::new(StructArray::new(fields, columns, None)), data_type)
}

#[test]
fn nested_values_are_cast_element_by_element() {
    let cast = |(array, from): (ArrayRef, DataType), to: &str, or_null: bool| {
        cast_array(&array, &from, &to.parse().unwrap(), Options { or_null, zone: Zone::UTC })
    };
    assert_eq!(cast(list(), "STRING", false), "[1, NULL]");
    assert_eq!(cast(list(), "VARCHAR(2)", false), "[1");
    assert_eq!(cast(list(), "ARRAY<DECIMAL(3, 1)>", false), "[1.0, NULL]");
    assert!(cast(list(), "INT", false).starts_with("REFUSED"));
    assert_eq!(cast(row(), "STRING", false), "(1, x)");
    assert_eq!(cast(row(), "ROW<c BIGINT, d STRING>", false), "(1, x)");
    assert!(cast(row(), "ROW<c BIGINT, d INT>", false).starts_with("ERROR EXPR-EVAL"));
    assert_eq!(cast(row(), "ROW<c BIGINT, d INT>", true), "NULL");
    assert!(cast(row(), "ROW<c BIGINT>", false).starts_with("REFUSED"));
}

#[test]
fn a_literal_is_read_from_the_text_that_it_is_written_as() {
    for written in [
        "TRUE::BOOLEAN",
        "-5::TINYINT",
        "1.50::DECIMAL(5, 2)",
        "1.0E10::DOUBLE",
        "x y::STRING",
        "00ff::BYTES",
        "2020-01-02::DATE",
        "10:11:12.5::TIME(3)",
        "2020-01-02 10:11:12.123456::TIMESTAMP(6)",
        "2020-01-02 10:11:12.123::TIMESTAMP_LTZ(3)",
        "::STRING",
    ] {
        let (text, data_type) = written.rsplit_once("::").unwrap();
        let data_type: DataType = data_type.parse().unwrap();
        let array = read_literal(Some(text), &data_type).unwrap();
        assert_eq!(array.data_type(), &arrow_type(&data_type));
        assert_eq!(write_literal(&array, &data_type), Ok(Some(text.to_owned())), "{written}");
    }
    let null = read_literal(None, &DataType::Int).unwrap();
    assert!(null.is_null(0));
    assert_eq!(write_literal(&null, &DataType::Int), Ok(None));
    assert!(read_literal(Some("0g"), &DataType::Bytes).is_err());
    assert!(read_literal(Some("ä"), &DataType::Bytes).is_err());
    assert!(read_literal(Some("[]"), &"ARRAY<INT>".parse().unwrap()).is_err());
}

#[test]
fn flinks_implicit_casts_are_known() {
    let implied = |from: &str, to: &str| implicit(&from.parse().unwrap(), &to.parse().unwrap());
    for (from, to) in [
        ("INT", "BIGINT"),
        ("INT", "DOUBLE"),
        ("BIGINT", "DECIMAL(5, 2)"),
        ("CHAR(3)", "STRING"),
        ("VARCHAR(5)", "VARCHAR(2)"),
        ("TIMESTAMP(3)", "TIMESTAMP_LTZ(6)"),
        ("TIMESTAMP(3)", "DATE"),
        ("ROW<a INT>", "ROW<b BIGINT>"),
        ("BINARY(2)", "BYTES"),
    ] {
        assert!(implied(from, to), "{from} to {to}");
    }
    for (from, to) in [
        ("BIGINT", "INT"),
        ("DOUBLE", "FLOAT"),
        ("STRING", "INT"),
        ("INT", "STRING"),
        ("STRING", "CHAR(3)"),
        ("DATE", "TIMESTAMP(3)"),
        ("BOOLEAN", "INT"),
        ("ARRAY<BIGINT>", "ARRAY<INT>"),
    ] {
        assert!(!implied(from, to), "{from} to {to}");
    }
}

#[test]
fn a_cast_that_can_lose_a_number_is_nullable() {
    let nullable = |from: &str, to: &str| explicit(&from.parse().unwrap(), &to.parse().unwrap());
    assert_eq!(nullable("INT", "DECIMAL(10, 0)"), Ok(false));
    assert_eq!(nullable("INT", "DECIMAL(9, 0)"), Ok(true));
    assert_eq!(nullable("DECIMAL(5, 2)", "DECIMAL(4, 1)"), Ok(true));
    assert_eq!(nullable("DECIMAL(5, 2)", "DECIMAL(5, 1)"), Ok(false));
    assert_eq!(nullable("DOUBLE", "DECIMAL(38, 2)"), Ok(true));
    assert_eq!(nullable("DOUBLE", "INT"), Ok(false));
    assert!(nullable("TIMESTAMP(3)", "BIGINT").unwrap_err().contains("UNIX_TIMESTAMP"));
}
