//! The types of columns in Flink's JSON.

use serde_json::{Value, json};
use weir_protocol::job_graph::{DataType, ElementType, RowField};

/// A column: its name and its type.
pub(super) fn column(name: &str, data_type: &DataType, nullable: bool) -> Value {
    json!({"name": name, "logicalType": logical_type(data_type, nullable), "comment": null})
}

fn logical_type(data_type: &DataType, nullable: bool) -> Value {
    let plain = |name: &str| json!({"type": name, "nullable": nullable});
    let long = |name: &str, length: u32| json!({"type": name, "nullable": nullable, "length": length});
    let precise = |name: &str, precision: u8| json!({"type": name, "nullable": nullable, "precision": precision});
    match data_type {
        DataType::Boolean => plain("BOOLEAN"),
        DataType::Tinyint => plain("TINYINT"),
        DataType::Smallint => plain("SMALLINT"),
        DataType::Int => plain("INTEGER"),
        DataType::Bigint => plain("BIGINT"),
        DataType::Float => plain("FLOAT"),
        DataType::Double => plain("DOUBLE"),
        DataType::Decimal { precision, scale } => {
            json!({"type": "DECIMAL", "nullable": nullable, "precision": precision, "scale": scale})
        }
        DataType::Char(length) => long("CHAR", *length),
        DataType::Varchar(length) => long("VARCHAR", *length),
        DataType::String => long("VARCHAR", i32::MAX as u32),
        DataType::Binary(length) => long("BINARY", *length),
        DataType::Varbinary(length) => long("VARBINARY", *length),
        DataType::Bytes => long("VARBINARY", i32::MAX as u32),
        DataType::Date => plain("DATE"),
        DataType::Time(precision) => precise("TIME_WITHOUT_TIME_ZONE", *precision),
        DataType::Timestamp(precision) => precise("TIMESTAMP_WITHOUT_TIME_ZONE", *precision),
        DataType::TimestampLtz(precision) => precise("TIMESTAMP_WITH_LOCAL_TIME_ZONE", *precision),
        DataType::IntervalMonths => plain("INTERVAL_YEAR_MONTH"),
        DataType::IntervalMillis => plain("INTERVAL_DAY_TIME"),
        DataType::Array(of) => json!({"type": "ARRAY", "nullable": nullable, "elementType": element(of)}),
        DataType::Multiset(of) => json!({"type": "MULTISET", "nullable": nullable, "elementType": element(of)}),
        DataType::Map(key, value) => {
            json!({"type": "MAP", "nullable": nullable, "keyType": element(key), "valueType": element(value)})
        }
        DataType::Row(fields) => {
            let field =
                |field: &RowField| json!({"name": field.name, "fieldType": logical_type(&field.data_type, field.nullable)});
            json!({"type": "ROW", "nullable": nullable, "fields": fields.iter().map(field).collect::<Vec<_>>()})
        }
    }
}

fn element(element: &ElementType) -> Value {
    logical_type(&element.data_type, element.nullable)
}
