//! The column types: Flink's logical types, written as Flink writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::data_type_parser;

/// The type of a column. People read and write it as Flink does, e.g. `"DECIMAL(10, 2)"` or `"ROW<a BIGINT, b STRING>"`.
///
/// The names of the first version of job graphs stay readable: `boolean`, `int`, `bigint`, `double`, `string` and `timestamp_ms`,
/// which is `TIMESTAMP(3)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DataType {
    Boolean,
    /// 8-bit signed integer.
    Tinyint,
    /// 16-bit signed integer.
    Smallint,
    /// 32-bit signed integer.
    Int,
    /// 64-bit signed integer.
    Bigint,
    /// 32-bit floating point.
    Float,
    /// 64-bit floating point.
    Double,
    /// A decimal number with `precision` digits (1 to 38), of which `scale` (0 to `precision`) follow the point.
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// Text of exactly this many characters.
    Char(u32),
    /// Text of at most this many characters.
    Varchar(u32),
    /// Text of any length.
    String,
    /// Exactly this many bytes.
    Binary(u32),
    /// At most this many bytes.
    Varbinary(u32),
    /// Bytes of any number.
    Bytes,
    /// A day, counted from 1970-01-01.
    Date,
    /// A time of day, with this many digits after the second (0 to 9). It is held in milliseconds.
    Time(u8),
    /// A local time without zone, with this many digits after the second (0 to 9).
    Timestamp(u8),
    /// A point in time, with this many digits after the second (0 to 9).
    TimestampLtz(u8),
    /// A length of time in months. It exists in expressions only, not in tables.
    IntervalMonths,
    /// A length of time in milliseconds. It exists in expressions only, not in tables.
    IntervalMillis,
    Array(Box<ElementType>),
    Map(Box<ElementType>, Box<ElementType>),
    /// A bag: each element with the number of its occurrences.
    Multiset(Box<ElementType>),
    Row(Vec<RowField>),
}

/// The type of the elements of an array, a map or a multiset.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ElementType {
    pub data_type: DataType,
    /// Whether elements may be null.
    pub nullable: bool,
}

/// One field of a row type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowField {
    pub name: String,
    pub data_type: DataType,
    /// Whether values may be null.
    pub nullable: bool,
}

/// Longest type text that is read, in bytes.
pub const MAX_TYPE_TEXT: usize = 64 * 1024;

/// Deepest nesting of arrays, maps and rows.
pub const MAX_TYPE_NESTING: usize = 16;

impl DataType {
    /// Milliseconds, the usual precision of event time.
    pub const TIMESTAMP_MS: Self = Self::Timestamp(3);
    /// Highest precision of a decimal.
    pub const MAX_DECIMAL_PRECISION: u8 = 38;

    /// Whether values are numbers.
    pub fn is_numeric(&self) -> bool {
        self.is_integer() || matches!(self, Self::Float | Self::Double | Self::Decimal { .. })
    }

    /// Whether values are whole numbers of a fixed width.
    pub fn is_integer(&self) -> bool {
        matches!(self, Self::Tinyint | Self::Smallint | Self::Int | Self::Bigint)
    }

    /// Whether values are text.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Char(_) | Self::Varchar(_) | Self::String)
    }

    /// Whether values are bytes.
    pub fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_) | Self::Varbinary(_) | Self::Bytes)
    }

    /// Whether values are lengths of time.
    pub fn is_interval(&self) -> bool {
        matches!(self, Self::IntervalMonths | Self::IntervalMillis)
    }

    /// Whether values contain other values.
    pub fn is_nested(&self) -> bool {
        matches!(self, Self::Array(_) | Self::Map(..) | Self::Multiset(_) | Self::Row(_))
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::Tinyint => f.write_str("TINYINT"),
            Self::Smallint => f.write_str("SMALLINT"),
            Self::Int => f.write_str("INT"),
            Self::Bigint => f.write_str("BIGINT"),
            Self::Float => f.write_str("FLOAT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Decimal { precision, scale } => write!(f, "DECIMAL({precision}, {scale})"),
            Self::Char(length) => write!(f, "CHAR({length})"),
            Self::Varchar(length) => write!(f, "VARCHAR({length})"),
            Self::String => f.write_str("STRING"),
            Self::Binary(length) => write!(f, "BINARY({length})"),
            Self::Varbinary(length) => write!(f, "VARBINARY({length})"),
            Self::Bytes => f.write_str("BYTES"),
            Self::Date => f.write_str("DATE"),
            Self::Time(precision) => write!(f, "TIME({precision})"),
            Self::Timestamp(precision) => write!(f, "TIMESTAMP({precision})"),
            Self::TimestampLtz(precision) => write!(f, "TIMESTAMP_LTZ({precision})"),
            Self::IntervalMonths => f.write_str("INTERVAL MONTH"),
            Self::IntervalMillis => f.write_str("INTERVAL SECOND(3)"),
            Self::Array(element) => write!(f, "ARRAY<{element}>"),
            Self::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            Self::Multiset(element) => write!(f, "MULTISET<{element}>"),
            Self::Row(fields) => {
                f.write_str("ROW<")?;
                for (i, field) in fields.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { ", " })?;
                    let name = field.name.replace('`', "``");
                    write!(f, "`{name}` {}{}", field.data_type, not_null(field.nullable))?;
                }
                f.write_str(">")
            }
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.data_type, not_null(self.nullable))
    }
}

fn not_null(nullable: bool) -> &'static str {
    if nullable { "" } else { " NOT NULL" }
}

impl FromStr for DataType {
    type Err = String;

    /// Reads a type. Upper and lower case count alike. The error says what is wrong, in words that follow the text.
    fn from_str(text: &str) -> Result<Self, String> {
        data_type_parser::parse(text)
    }
}

impl Serialize for DataType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DataType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|what| {
            let shown: String = text.chars().take(64).collect();
            serde::de::Error::custom(format!("type {shown:?}: {what}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_from_the_text_that_it_is_written_as() {
        let texts = [
            "BOOLEAN",
            "TINYINT",
            "SMALLINT",
            "INT",
            "BIGINT",
            "FLOAT",
            "DOUBLE",
            "DECIMAL(10, 2)",
            "DECIMAL(38, 38)",
            "CHAR(1)",
            "VARCHAR(3)",
            "STRING",
            "BINARY(16)",
            "VARBINARY(8)",
            "BYTES",
            "DATE",
            "TIME(0)",
            "TIME(3)",
            "TIMESTAMP(3)",
            "TIMESTAMP(9)",
            "TIMESTAMP_LTZ(6)",
            "ARRAY<INT>",
            "ARRAY<INT NOT NULL>",
            "MAP<STRING, ARRAY<BIGINT>>",
            "MULTISET<STRING>",
            "ROW<>",
            "ROW<`a` BIGINT, `b c` STRING NOT NULL>",
            "ROW<`a``b` ROW<`x` DECIMAL(3, 1)>>",
        ];
        for text in texts {
            assert_eq!(text.parse::<DataType>().map(|t| t.to_string()).as_deref(), Ok(text));
            let json = serde_json::Value::from(text);
            assert_eq!(serde_json::to_value(serde_json::from_value::<DataType>(json.clone()).unwrap()).unwrap(), json);
        }
    }

    #[test]
    fn flinks_other_spellings_are_understood() {
        for (spelling, means) in [
            ("integer", "INT"),
            ("double precision", "DOUBLE"),
            ("decimal", "DECIMAL(10, 0)"),
            ("numeric(5)", "DECIMAL(5, 0)"),
            ("dec(5,1)", "DECIMAL(5, 1)"),
            ("varchar(2147483647)", "STRING"),
            ("varchar", "STRING"),
            ("varbinary", "BYTES"),
            ("char", "CHAR(1)"),
            ("varbinary(2147483647)", "BYTES"),
            ("time", "TIME(0)"),
            ("timestamp", "TIMESTAMP(6)"),
            ("timestamp(3) without time zone", "TIMESTAMP(3)"),
            ("timestamp with local time zone", "TIMESTAMP_LTZ(6)"),
            ("TIMESTAMP(3) WITH LOCAL TIME ZONE", "TIMESTAMP_LTZ(3)"),
            ("timestamp_ltz", "TIMESTAMP_LTZ(6)"),
            ("int array", "ARRAY<INT>"),
            ("int multiset", "MULTISET<INT>"),
            ("row(a int, b string)", "ROW<`a` INT, `b` STRING>"),
            ("boolean", "BOOLEAN"),
            ("string", "STRING"),
            ("timestamp_ms", "TIMESTAMP(3)"),
            ("ROW<a INT 'a note', b INT>", "ROW<`a` INT, `b` INT>"),
        ] {
            assert_eq!(spelling.parse::<DataType>().map(|t| t.to_string()).as_deref(), Ok(means), "{spelling}");
        }
    }

    #[test]
    fn an_impossible_type_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "a type is missing"),
            ("INTT", "no type is called INTT; did you mean INT?"),
            ("DECIMAL(39, 0)", "precision"),
            ("DECIMAL(5, 6)", "scale"),
            ("TIMESTAMP(10)", "0 to 9"),
            ("TIMESTAMP(3) WITH TIME ZONE", "TIMESTAMP_LTZ"),
            ("CHAR(0)", "length"),
            ("VARCHAR(99999999999)", "length"),
            ("ARRAY<INT", "> is missing"),
            ("INT INT", "after the type"),
            ("ROW<a INT, a INT>", "twice"),
            ("MAP<INT>", ", is missing"),
            ("INTERVAL", "interval"),
            ("ROW<a>", "a type is missing"),
            ("`INT", "not closed"),
            ("TIME(3.5)", "missing"),
        ] {
            let error = text.parse::<DataType>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let deep = format!("{}INT{}", "ARRAY<".repeat(100_000), ">".repeat(100_000));
        assert!(deep.parse::<DataType>().unwrap_err().contains("long"));
        let nested = format!("{}INT{}", "ARRAY<".repeat(17), ">".repeat(17));
        assert!(nested.parse::<DataType>().unwrap_err().contains("nested"));
    }
}
