//! One JSON object per row.

use weir_protocol::job_graph::DataType;

/// The line of a row.
pub(super) fn line(columns: &[(String, DataType)], row: &[Option<String>]) -> String {
    let members = columns.iter().zip(row).map(|((name, data_type), cell)| {
        let value = cell.as_deref().map_or_else(|| "null".to_owned(), |text| value(text, data_type));
        format!("{}:{value}", quoted(name))
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// Numbers and truth values as such, if JSON has them; everything else as text.
fn value(text: &str, data_type: &DataType) -> String {
    if *data_type == DataType::Boolean && (text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")) {
        return text.to_ascii_lowercase();
    }
    // JSON has neither NaN nor infinity. Digits are kept as they are: a DECIMAL has more than a double holds.
    if data_type.is_numeric() && serde_json::from_str::<serde_json::Number>(text).is_ok() {
        return text.to_owned();
    }
    quoted(text)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits_and_what_json_does_not_have_is_text() {
        let decimal = DataType::Decimal { precision: 38, scale: 2 };
        let columns = [("d", decimal), ("f", DataType::Double), ("b", DataType::Boolean), ("s", DataType::String)];
        let columns = columns.map(|(name, data_type)| (name.to_owned(), data_type)).to_vec();
        let row = |cells: [Option<&str>; 4]| cells.map(|cell| cell.map(str::to_owned)).to_vec();
        let rows = [
            row([Some("123456789012345678901234567890.10"), Some("1.0E10"), Some("TRUE"), Some("1 \"x\"\n")]),
            row([None, Some("NaN"), Some("false"), Some("")]),
        ];
        let expected = [
            r#"{"d":123456789012345678901234567890.10,"f":1.0E10,"b":true,"s":"1 \"x\"\n"}"#,
            r#"{"d":null,"f":"NaN","b":false,"s":""}"#,
        ];
        assert_eq!(rows.iter().map(|row| line(&columns, row)).collect::<Vec<_>>(), expected);
    }
}
