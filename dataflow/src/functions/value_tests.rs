//! Values and types of Flink 2.3.0, of the families arithmetic, comparison, conditional, logic and membership.

use super::probe::call;

/// Each line: function, arguments, expected type and value. A type that can be NULL has a question mark.
fn check(lines: &[(&str, &[&str], &str)]) {
    for (name, arguments, expected) in lines {
        let found = call(name, arguments);
        let fits = match expected.strip_prefix("ERROR ") {
            Some(part) => found.starts_with("ERROR") && found.contains(part),
            None => found == *expected,
        };
        assert!(fits, "{name} {arguments:?}: {found}, expected {expected}");
    }
}

#[test]
fn integers_wrap_and_take_the_wider_type() {
    check(&[
        ("add", &["1::TINYINT", "1::SMALLINT"], "SMALLINT 2"),
        ("add", &["100::TINYINT", "100::TINYINT"], "TINYINT -56"),
        ("multiply", &["100::TINYINT", "100::TINYINT"], "TINYINT 16"),
        ("add", &["1::INT", "1::BIGINT"], "BIGINT 2"),
        ("add", &["2147483647::INT", "1::INT"], "INT -2147483648"),
        ("add", &["9223372036854775807::BIGINT", "1::INT"], "BIGINT -9223372036854775808"),
        ("subtract", &["-9223372036854775807::BIGINT", "2::INT"], "BIGINT 9223372036854775807"),
        ("divide", &["-2147483648::INT", "-1::INT"], "INT -2147483648"),
        ("divide", &["-7::INT", "2::INT"], "INT -3"),
        ("divide", &["7::INT", "-2::INT"], "INT -3"),
        ("divide", &["7::TINYINT", "2::TINYINT"], "TINYINT 3"),
        ("divide", &["7::INT", "0::INT"], "ERROR by zero"),
        ("divide", &["5::BIGINT", "0::BIGINT"], "ERROR by zero"),
        ("divide", &["NULL::INT", "0::INT"], "INT? NULL"),
        ("mod", &["7::INT", "2::INT"], "INT 1"),
        ("mod", &["-7::INT", "2::INT"], "INT -1"),
        ("mod", &["7::INT", "-2::INT"], "INT 1"),
        ("mod", &["7::BIGINT", "2::INT"], "INT 1"),
        ("mod", &["5000000000::BIGINT", "7::INT"], "INT 2"),
        ("mod", &["5000000000::BIGINT", "7::TINYINT"], "TINYINT 2"),
        ("mod", &["7::INT", "2::BIGINT"], "BIGINT 1"),
        ("mod", &["7::SMALLINT", "2::TINYINT"], "TINYINT 1"),
        ("mod", &["-128::TINYINT", "-1::TINYINT"], "TINYINT 0"),
        ("mod", &["-9223372036854775808::BIGINT", "-1::INT"], "INT 0"),
        ("mod", &["7::INT", "0::INT"], "ERROR by zero"),
        ("mod", &["7::BIGINT", "0::INT"], "ERROR by zero"),
        ("negate", &["-128::TINYINT"], "TINYINT -128"),
        ("negate", &["-2147483648::INT"], "INT -2147483648"),
        ("negate", &["NULL::INT"], "INT? NULL"),
        ("add", &["NULL::INT", "1::INT"], "INT? NULL"),
    ]);
}

#[test]
fn approximate_numbers_take_flinks_type_and_divide_by_zero() {
    check(&[
        ("divide", &["7::DOUBLE", "0::INT"], "DOUBLE Infinity"),
        ("divide", &["7::DOUBLE", "0::DOUBLE"], "DOUBLE Infinity"),
        ("divide", &["7::FLOAT", "2::INT"], "FLOAT 3.5"),
        ("add", &["7::FLOAT", "2::DOUBLE"], "FLOAT 9.0"),
        ("add", &["2::DOUBLE", "7::FLOAT"], "DOUBLE 9.0"),
        ("add", &["7::BIGINT", "2::FLOAT"], "FLOAT 9.0"),
        ("multiply", &["7::FLOAT", "2::DECIMAL(5, 2)"], "DOUBLE 14.0"),
        ("multiply", &["7::DOUBLE", "2.5::DECIMAL(5, 2)"], "DOUBLE 17.5"),
        ("divide", &["7::DECIMAL(5, 2)", "2::FLOAT"], "DOUBLE 3.5"),
        ("divide", &["1::INT", "3::DOUBLE"], "DOUBLE 0.3333333333333333"),
        ("negate", &["1.5::DOUBLE"], "DOUBLE -1.5"),
        ("mod", &["7.5::DOUBLE", "2::INT"], "ERROR exact numbers"),
        ("add", &["1::STRING", "1::INT"], "ERROR a number as argument 1"),
        ("add", &["TRUE::BOOLEAN", "1::INT"], "ERROR a number as argument 1"),
        ("negate", &["a::STRING"], "ERROR a number"),
        ("add", &["1::INT"], "ERROR 2 arguments, not 1"),
    ]);
}

#[test]
fn decimals_have_flinks_types_rounding_and_overflow() {
    check(&[
        ("divide", &["7::INT", "2.0::DECIMAL(2, 1)"], "DECIMAL(17, 6) 3.500000"),
        ("divide", &["7::DECIMAL(5, 2)", "0::INT"], "ERROR by zero"),
        ("divide", &["1.5::DECIMAL(5, 2)", "3::BIGINT"], "DECIMAL(25, 22) 0.5000000000000000000000"),
        ("divide", &["1.5::DECIMAL(38, 18)", "3::DECIMAL(38, 18)"], "DECIMAL(38, 6)? 0.500000"),
        ("divide", &["1::DECIMAL(10, 0)", "3::DECIMAL(10, 0)"], "DECIMAL(21, 11) 0.33333333333"),
        ("divide", &["2::DECIMAL(10, 0)", "3::DECIMAL(10, 0)"], "DECIMAL(21, 11) 0.66666666667"),
        ("divide", &["1::DECIMAL(38, 0)", "3::DECIMAL(38, 37)"], "DECIMAL(38, 6)? 0.333333"),
        ("multiply", &["0.908::DECIMAL(4, 3)", "100::BIGINT"], "DECIMAL(24, 3) 90.800"),
        ("multiply", &["100::BIGINT", "0.908::DECIMAL(4, 3)"], "DECIMAL(24, 3) 90.800"),
        ("multiply", &["1::TINYINT", "2.5::DECIMAL(2, 1)"], "DECIMAL(6, 1) 2.5"),
        ("multiply", &["1::SMALLINT", "2.5::DECIMAL(2, 1)"], "DECIMAL(8, 1) 2.5"),
        ("multiply", &["1.5::DECIMAL(38, 18)", "2::DECIMAL(38, 18)"], "DECIMAL(38, 6)? 3.000000"),
        ("multiply", &["1.005::DECIMAL(10, 3)", "1.005::DECIMAL(10, 3)"], "DECIMAL(21, 6) 1.010025"),
        ("multiply", &["99999999999999999999999999999999999999::DECIMAL(38, 0)", "10::DECIMAL(38, 0)"], "DECIMAL(38, 0)? NULL"),
        ("multiply", &["12345678901234567890::DECIMAL(20, 0)", "12345678901234567890.5::DECIMAL(21, 1)"], "DECIMAL(38, 1)? NULL"),
        (
            "multiply",
            &[
                "1.0000000000000000000000000000000000001::DECIMAL(38, 37)",
                "1.0000000000000000000000000000000000001::DECIMAL(38, 37)",
            ],
            "DECIMAL(38, 35)? 1.00000000000000000000000000000000000",
        ),
        ("add", &["1.5::DECIMAL(5, 2)", "2.25::DECIMAL(10, 3)"], "DECIMAL(11, 3) 3.750"),
        ("add", &["1.5::DECIMAL(38, 18)", "3::DECIMAL(38, 10)"], "DECIMAL(38, 9)? 4.500000000"),
        ("add", &["99999999999999999999999999999999999999::DECIMAL(38, 0)", "1::DECIMAL(38, 0)"], "DECIMAL(38, 0)? NULL"),
        (
            "add",
            &["0.1234567890123456785::DECIMAL(38, 19)", "12345678901234567890::DECIMAL(38, 0)"],
            "DECIMAL(38, 6)? 12345678901234567890.123457",
        ),
        ("subtract", &["5::DECIMAL(38, 0)", "0.5::DECIMAL(38, 38)"], "DECIMAL(38, 6)? 4.500000"),
        ("subtract", &["1.5::DECIMAL(5, 2)", "1::INT"], "DECIMAL(13, 2) 0.50"),
        ("subtract", &["1::INT", "2.5::DECIMAL(2, 1)"], "DECIMAL(12, 1) -1.5"),
        ("subtract", &["1::SMALLINT", "1.5::DECIMAL(3, 1)"], "DECIMAL(7, 1) -0.5"),
        ("add", &["1.5::DECIMAL(2, 1)", "1::TINYINT"], "DECIMAL(5, 1) 2.5"),
        ("mod", &["7.5::DECIMAL(2, 1)", "2::INT"], "DECIMAL(2, 1) 1.5"),
        ("mod", &["7.5::DECIMAL(2, 1)", "2.25::DECIMAL(10, 2)"], "DECIMAL(3, 2) 0.75"),
        ("mod", &["7.5::DECIMAL(2, 1)", "0::INT"], "ERROR by zero"),
        ("mod", &["7::DECIMAL(38, 10)", "3::DECIMAL(20, 5)"], "DECIMAL(25, 10) 1.0000000000"),
        ("mod", &["7::BIGINT", "3::DECIMAL(20, 5)"], "DECIMAL(20, 5) 1.00000"),
        ("mod", &["7::DECIMAL(5, 0)", "2::INT"], "INT 1"),
        ("mod", &["2::INT", "7::DECIMAL(5, 0)"], "DECIMAL(5, 0) 2"),
        ("mod", &["7::TINYINT", "2.5::DECIMAL(5, 2)"], "DECIMAL(5, 2) 2.00"),
        ("negate", &["1.5::DECIMAL(5, 2)"], "DECIMAL(5, 2) -1.50"),
        (
            "negate",
            &["99999999999999999999999999999999999999::DECIMAL(38, 0)"],
            "DECIMAL(38, 0) -99999999999999999999999999999999999999",
        ),
    ]);
}

#[test]
fn values_of_different_types_compare_as_in_flink() {
    check(&[
        ("eq", &["1::STRING", "1::INT"], "ERROR CAST one"),
        ("ne", &["1::INT", "2::CHAR(1)"], "ERROR CAST one"),
        ("lt", &["1::CHAR(1)", "2::INT"], "BOOLEAN TRUE"),
        ("gt", &["10::CHAR(2)", "9::BIGINT"], "BOOLEAN TRUE"),
        ("lt", &["1::DOUBLE", "2.5::CHAR(3)"], "BOOLEAN TRUE"),
        ("gt", &["1::INT", "x::CHAR(1)"], "ERROR can't be cast"),
        ("lt", &["2::INT", "2.5::CHAR(3)"], "BOOLEAN FALSE"),
        ("lt", &["2::TINYINT", "300::CHAR(3)"], "BOOLEAN TRUE"),
        ("lt", &["2::BIGINT", "99999999999999999999::STRING"], "ERROR can't be cast"),
        ("lt", &["2.0::DECIMAL(2, 1)", "2.01::STRING"], "BOOLEAN TRUE"),
        ("lt", &["2.0::DECIMAL(2, 1)", "2.0000000000000000001::STRING"], "BOOLEAN FALSE"),
        ("lt", &["1.5::DECIMAL(2, 1)", "x::STRING"], "ERROR can't be cast"),
        ("gt", &["12345678901234567890123.5::DECIMAL(30, 1)", "2::STRING"], "BOOLEAN TRUE"),
        ("eq", &["TRUE::BOOLEAN", "1::INT"], "ERROR CAST one"),
        ("eq", &["2020-01-01::DATE", "2020-01-01::CHAR(10)"], "BOOLEAN TRUE"),
        ("eq", &["2020-01-01::CHAR(10)", "2020-01-01::DATE"], "BOOLEAN TRUE"),
        ("gt", &["2020-01-01 00:00:00::TIMESTAMP(0)", "2019-01-01::CHAR(10)"], "BOOLEAN TRUE"),
        ("eq", &["10:00:00::TIME(0)", "10:00:00::STRING"], "BOOLEAN TRUE"),
        ("eq", &["2020-01-01 00:00:00::TIMESTAMP_LTZ(3)", "2020-01-01 00:00:00::STRING"], "BOOLEAN TRUE"),
        ("eq", &["2020-01-01::DATE", "2020-01-01 00:00:00::TIMESTAMP(0)"], "ERROR CAST one"),
        ("eq", &["2020-01-01 00:00:00::TIMESTAMP(0)", "2020-01-01 00:00:00::TIMESTAMP_LTZ(3)"], "BOOLEAN TRUE"),
        ("eq", &["2020-01-01 00:00:00::TIMESTAMP(3)", "2020-01-01 00:00:00.0001::TIMESTAMP(6)"], "BOOLEAN FALSE"),
        ("eq", &["2020-01-01 00:00:00::TIMESTAMP(0)", "1::INT"], "ERROR CAST one"),
        ("eq", &["1::INT", "1.0::DECIMAL(2, 1)"], "BOOLEAN TRUE"),
        ("eq", &["1::TINYINT", "1::BIGINT"], "BOOLEAN TRUE"),
        ("eq", &["1::BIGINT", "1.0::DOUBLE"], "BOOLEAN TRUE"),
        ("eq", &["9007199254740993::BIGINT", "9007199254740992::DOUBLE"], "BOOLEAN TRUE"),
        ("eq", &["0.1::FLOAT", "0.1::DOUBLE"], "BOOLEAN TRUE"),
        ("eq", &["0.1::DECIMAL(3, 1)", "0.1::DOUBLE"], "BOOLEAN TRUE"),
        ("eq", &["NaN::DOUBLE", "NaN::DOUBLE"], "BOOLEAN FALSE"),
        ("ne", &["NaN::DOUBLE", "NaN::DOUBLE"], "BOOLEAN TRUE"),
        ("gt", &["NaN::DOUBLE", "1::DOUBLE"], "BOOLEAN FALSE"),
        ("is_not_distinct", &["NaN::DOUBLE", "NaN::DOUBLE"], "BOOLEAN FALSE"),
        ("eq", &["-0.0::DOUBLE", "0.0::DOUBLE"], "BOOLEAN TRUE"),
        ("lt", &["a::STRING", "b::STRING"], "BOOLEAN TRUE"),
        ("eq", &["a::CHAR(1)", "a ::CHAR(2)"], "BOOLEAN FALSE"),
        ("eq", &["a  ::CHAR(3)", "a::VARCHAR(3)"], "BOOLEAN FALSE"),
        ("lt", &["ä::STRING", "z::STRING"], "BOOLEAN FALSE"),
        ("eq", &["NULL::INT", "1::INT"], "BOOLEAN? NULL"),
        ("is_distinct", &["NULL::INT", "1::INT"], "BOOLEAN TRUE"),
        ("is_not_distinct", &["NULL::INT", "NULL::INT"], "BOOLEAN TRUE"),
        ("is_distinct", &["1::INT", "1.0::DECIMAL(2, 1)"], "BOOLEAN FALSE"),
        ("is_distinct", &["NULL::DOUBLE", "NULL::DOUBLE"], "BOOLEAN FALSE"),
        ("gt", &["TRUE::BOOLEAN", "FALSE::BOOLEAN"], "BOOLEAN TRUE"),
        ("lt", &["TRUE::BOOLEAN", "FALSE::BOOLEAN"], "BOOLEAN FALSE"),
        ("eq", &["0102::BINARY(2)", "0102::BYTES"], "BOOLEAN TRUE"),
        ("lt", &["0102::BINARY(2)", "0103::BINARY(2)"], "BOOLEAN TRUE"),
        ("lt", &["80::BINARY(1)", "7f::BINARY(1)"], "BOOLEAN FALSE"),
        ("eq", &["NULL::MAP<INT, INT>", "NULL::MAP<INT, INT>"], "ERROR does not compare"),
        ("lt", &["NULL::ARRAY<INT>", "NULL::ARRAY<INT>"], "ERROR no order"),
        ("le", &["1::INT", "1::INT"], "BOOLEAN TRUE"),
        ("ge", &["0::INT", "1::INT"], "BOOLEAN FALSE"),
    ]);
}

#[test]
fn a_list_with_null_never_answers_false() {
    check(&[
        ("in", &["1::INT", "1::INT", "2::INT", "NULL::INT"], "BOOLEAN? TRUE"),
        ("in", &["3::INT", "1::INT", "2::INT", "NULL::INT"], "BOOLEAN? NULL"),
        ("in", &["3::INT", "1::INT", "2::INT"], "BOOLEAN FALSE"),
        ("in", &["NULL::INT", "1::INT", "2::INT"], "BOOLEAN? NULL"),
        ("in", &["1::INT", "1.0::DECIMAL(2, 1)", "2::INT"], "BOOLEAN TRUE"),
        ("in", &["1::INT", "1::CHAR(1)"], "BOOLEAN TRUE"),
        ("in", &["1::CHAR(1)", "1::INT", "2::INT"], "BOOLEAN TRUE"),
        ("in", &["b::STRING", "a::CHAR(1)", "b::CHAR(1)"], "BOOLEAN TRUE"),
        ("in", &["c::STRING", "a::CHAR(1)", "b::CHAR(1)"], "BOOLEAN FALSE"),
        ("in", &["2020-01-01::DATE", "2020-01-01::CHAR(10)", "2020-01-02::CHAR(10)"], "BOOLEAN TRUE"),
        ("in", &["NaN::DOUBLE", "NaN::DOUBLE", "1::DOUBLE"], "BOOLEAN FALSE"),
        ("in", &["-0.0::DOUBLE", "0.0::DOUBLE"], "BOOLEAN TRUE"),
        ("in", &["1::DOUBLE", "2::DOUBLE", "NULL::DOUBLE"], "BOOLEAN? NULL"),
        ("in", &["01::BINARY(1)", "02::BINARY(1)", "01::BINARY(1)"], "BOOLEAN TRUE"),
        ("in", &["1::INT"], "ERROR at least 2"),
    ]);
}

#[test]
fn conditional_functions_take_flinks_types() {
    check(&[
        ("if", &["TRUE::BOOLEAN", "1::INT", "2::INT"], "INT 1"),
        ("if", &["FALSE::BOOLEAN", "1::INT", "2::BIGINT"], "BIGINT 2"),
        ("if", &["NULL::BOOLEAN", "1::INT", "2::INT"], "INT 2"),
        ("if", &["TRUE::BOOLEAN", "a::CHAR(1)", "bcd::CHAR(3)"], "VARCHAR(3) a"),
        ("if", &["TRUE::BOOLEAN", "1::INT", "2.5::DECIMAL(2, 1)"], "DECIMAL(11, 1) 1.0"),
        ("if", &["TRUE::BOOLEAN", "1::INT", "a::CHAR(1)"], "ERROR no common type"),
        ("if", &["1::INT", "1::INT", "2::INT"], "ERROR a BOOLEAN"),
        ("if", &["FALSE::BOOLEAN", "1::INT", "NULL::INT"], "INT? NULL"),
        ("ifnull", &["NULL::INT", "5::INT"], "INT 5"),
        ("ifnull", &["1::INT", "5::INT"], "INT 1"),
        ("ifnull", &["NULL::INT", "5::BIGINT"], "BIGINT 5"),
        ("ifnull", &["NULL::STRING", "x::CHAR(1)"], "STRING x"),
        ("ifnull", &["NULL::INT", "2.5::DECIMAL(2, 1)"], "DECIMAL(11, 1) 2.5"),
        ("ifnull", &["NULL::INT", "a::CHAR(1)"], "ERROR no common type"),
        ("ifnull", &["NULL::INT", "NULL::INT"], "INT? NULL"),
        ("nullif", &["1::INT", "1::INT"], "INT? NULL"),
        ("nullif", &["1::INT", "2::INT"], "INT? 1"),
        ("nullif", &["1::INT", "NULL::INT"], "INT? 1"),
        ("nullif", &["1::INT", "1.0::DECIMAL(2, 1)"], "INT? NULL"),
        ("nullif", &["a::CHAR(1)", "b::CHAR(1)"], "CHAR(1)? a"),
        ("nullif", &["1::BIGINT", "1::INT"], "BIGINT? NULL"),
        ("nullif", &["1::INT", "1::CHAR(1)"], "ERROR CAST one"),
        ("nullif", &["2020-01-01::DATE", "2020-01-01::CHAR(10)"], "DATE? NULL"),
        ("greatest", &["1::INT", "2::INT", "3::INT"], "INT 3"),
        ("greatest", &["1::INT", "NULL::INT"], "INT? NULL"),
        ("greatest", &["1::INT", "2.5::DECIMAL(2, 1)"], "DECIMAL(11, 1) 2.5"),
        ("greatest", &["a::CHAR(1)", "b::CHAR(1)"], "CHAR(1) b"),
        ("greatest", &["1::INT", "a::CHAR(1)"], "ERROR compared"),
        ("greatest", &["1::FLOAT", "2::DOUBLE"], "DOUBLE 2.0"),
        ("greatest", &["NaN::DOUBLE", "1::DOUBLE"], "DOUBLE NaN"),
        ("greatest", &["1::DOUBLE", "NaN::DOUBLE"], "DOUBLE NaN"),
        ("least", &["NaN::DOUBLE", "1::DOUBLE"], "DOUBLE 1.0"),
        ("least", &["1::INT", "2::INT", "3::INT"], "INT 1"),
        ("least", &["1::INT"], "INT 1"),
        ("least", &["abc::CHAR(3)", "abd::CHAR(3)", "ab::CHAR(2)"], "VARCHAR(3) ab"),
        ("greatest", &["TRUE::BOOLEAN", "FALSE::BOOLEAN"], "BOOLEAN TRUE"),
        (
            "greatest",
            &["2020-01-01 00:00:00::TIMESTAMP(0)", "2020-01-01 00:00:00.001::TIMESTAMP(3)"],
            "TIMESTAMP(3) 2020-01-01 00:00:00.001",
        ),
    ]);
}

#[test]
fn tests_for_null_and_truth_never_answer_null() {
    check(&[
        ("not", &["TRUE::BOOLEAN"], "BOOLEAN FALSE"),
        ("not", &["NULL::BOOLEAN"], "BOOLEAN? NULL"),
        ("is_null", &["NULL::INT"], "BOOLEAN TRUE"),
        ("is_not_null", &["1::INT"], "BOOLEAN TRUE"),
        ("is_true", &["NULL::BOOLEAN"], "BOOLEAN FALSE"),
        ("is_not_true", &["NULL::BOOLEAN"], "BOOLEAN TRUE"),
        ("is_false", &["FALSE::BOOLEAN"], "BOOLEAN TRUE"),
        ("is_false", &["NULL::BOOLEAN"], "BOOLEAN FALSE"),
        ("is_not_false", &["NULL::BOOLEAN"], "BOOLEAN TRUE"),
        ("is_not_false", &["FALSE::BOOLEAN"], "BOOLEAN FALSE"),
        ("is_unknown", &["NULL::BOOLEAN"], "BOOLEAN TRUE"),
        ("is_not_unknown", &["NULL::BOOLEAN"], "BOOLEAN FALSE"),
        ("is_not_true", &["1::INT"], "ERROR a BOOLEAN"),
    ]);
}
