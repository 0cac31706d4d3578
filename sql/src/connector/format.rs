//! Formats of rows: their options, and what connectors pass to the operators that read and write.

use serde_json::{Map, Value, json};

use super::option::{ConnectorOption, Options, ignored, only, refused, used};
use crate::OptionValue::{Character, Choice, Flag, Text};
use crate::option::character;
use crate::script::SqlError;

/// The options of formats CSV and JSON.
pub(super) const CSV_AND_JSON: &[ConnectorOption] = &[
    used("csv.field-delimiter", Character, ",", "The character between fields."),
    used("csv.quote-character", Character, "\"", "The character around texts that contain delimiters, quotes or line ends."),
    used("csv.disable-quote-character", Flag, "false", "Whether no character has the meaning of a quote. Sinks always need one."),
    used("csv.escape-character", Character, "none", "The character that takes the meaning of the next one."),
    used("csv.null-literal", Text, "none", "The text that means NULL."),
    used("csv.ignore-parse-errors", Flag, "false", "Whether fields that can't be read become NULL instead of failing the job."),
    only("csv.allow-comments", Flag, "false", "Lines that begin with # are rows like all others."),
    refused("csv.array-element-delimiter", "CSV can't hold arrays, maps and rows."),
    ignored("csv.write-bigdecimal-in-scientific-notation", Flag, "Decimals are written with all digits."),
    used("json.ignore-parse-errors", Flag, "false", "Whether what can't be read becomes NULL instead of failing the job."),
    used("json.fail-on-missing-field", Flag, "false", "Whether a row that lacks a field fails the job."),
    used("json.timestamp-format.standard", Choice(&["SQL", "ISO-8601"]), "SQL", "How sinks write times. Both forms are read."),
    only("json.map-null-key.mode", Choice(&["FAIL", "DROP", "LITERAL"]), "FAIL", "A map with a NULL key fails the job."),
    only("json.encode.ignore-null-fields", Flag, "false", "NULL fields are written."),
    ignored("json.map-null-key.literal", Text, "It belongs to the mode LITERAL."),
    ignored("json.encode.decimal-as-plain-number", Flag, "Decimals are written with all digits."),
    ignored("json.decode.json-parser.enabled", Flag, "There is one parser."),
];

/// The options of format debezium-json.
pub(super) const DEBEZIUM: &[ConnectorOption] = &[
    used("debezium-json.schema-include", Flag, "false", "Whether messages hold their schema. Such messages can only be read."),
    used(
        "debezium-json.ignore-parse-errors",
        Flag,
        "false",
        "Whether what can't be read becomes NULL instead of failing the job.",
    ),
    used(
        "debezium-json.timestamp-format.standard",
        Choice(&["SQL", "ISO-8601"]),
        "SQL",
        "How sinks write times. Both forms are read.",
    ),
    only("debezium-json.map-null-key.mode", Choice(&["FAIL", "DROP", "LITERAL"]), "FAIL", "A map with a NULL key fails the job."),
    only("debezium-json.encode.ignore-null-fields", Flag, "false", "NULL fields are written."),
    ignored("debezium-json.map-null-key.literal", Text, "It belongs to the mode LITERAL."),
    ignored("debezium-json.encode.decimal-as-plain-number", Flag, "Decimals are written with all digits."),
];

/// The options of format raw.
pub(super) const RAW: &[ConnectorOption] = &[
    only("raw.charset", Text, "UTF-8", "Texts are UTF-8."),
    used("raw.endianness", Choice(&["big-endian", "little-endian"]), "big-endian", "The order of the bytes of numbers."),
];

/// Whether the rows of the format of this name are changes.
pub(super) fn is_changelog(name: &str) -> bool {
    ["debezium-json", "debezium-avro-confluent"].iter().any(|format| name.trim().eq_ignore_ascii_case(format))
}

/// What to do about a format that the connector of messages does not have.
pub(super) fn advice(name: &str) -> Option<&'static str> {
    let is_of_files = name.trim().eq_ignore_ascii_case("parquet");
    is_of_files.then_some("it is a format of files, not of messages, as in Flink: connector 'filesystem' has it")
}

/// An option of one of these formats below the prefix, if the table has one.
pub(super) fn option_below<'a>(options: &'a Options<'_>, prefix: &str, formats: &[&str]) -> Option<&'a str> {
    let is_option = |key: &str| {
        let name = key.strip_prefix(prefix).and_then(|rest| rest.split_once('.'));
        name.is_some_and(|(format, _)| formats.contains(&format))
    };
    options.keys().find(|key| is_option(key))
}

/// A format that a table names, whose options begin with `prefix`.
pub(super) struct Format<'a> {
    pub(super) name: String,
    pub(super) prefix: &'a str,
    pub(super) options: &'a Options<'a>,
}

impl<'a> Format<'a> {
    /// The format that the option `key` names. Error: `SQL-OPTION` if it is missing.
    pub(super) fn required(options: &'a Options<'a>, key: &str, prefix: &'a str) -> Result<Self, SqlError> {
        Ok(Self { name: options.required(key)?.trim().to_lowercase(), prefix, options })
    }

    /// Refuses options of other formats below the same prefix, which are a mistake, as in Flink. Error: `SQL-OPTION`.
    pub(super) fn refuse_others(&self, formats: &[&str]) -> Result<(), SqlError> {
        let others: Vec<_> = formats.iter().copied().filter(|other| *other != self.name).collect();
        match option_below(self.options, self.prefix, &others) {
            Some(key) => Err(self.options.invalid(key, &format!("does not fit '{}format' = '{}'", self.prefix, self.name))),
            None => Ok(()),
        }
    }

    /// The options of the operator that reads the format. Error: `SQL-OPTION` for options that exclude each other.
    pub(super) fn reading(&self) -> Result<Map<String, Value>, SqlError> {
        let mut set = self.both_ways();
        match self.name.as_str() {
            "csv" => {
                // To Flink an empty field of a text column is an empty text.
                set.insert("empty_text".to_owned(), json!("text"));
                if self.flag("csv.disable-quote-character") {
                    if self.text("csv.quote-character").is_some() {
                        return Err(self.exclude("csv.quote-character", "csv.disable-quote-character"));
                    }
                    set.insert("quote".to_owned(), json!(""));
                }
            }
            "json" if self.flag("json.fail-on-missing-field") => {
                if self.ignores_errors() {
                    return Err(self.exclude("json.ignore-parse-errors", "json.fail-on-missing-field"));
                }
                set.insert("fail_on_missing_field".to_owned(), json!(true));
            }
            _ => {}
        }
        if self.ignores_errors() {
            set.insert("ignore_parse_errors".to_owned(), json!(true));
        }
        set.extend(self.avro(false)?);
        Ok(set)
    }

    /// The options of the operator that writes the format. Error: `SQL-UNSUPPORTED` for what could not be read again.
    pub(super) fn writing(&self) -> Result<Map<String, Value>, SqlError> {
        let mut set = self.both_ways();
        match self.name.as_str() {
            "csv" => {
                const NO_QUOTE: &str = "csv.disable-quote-character";
                if self.flag(NO_QUOTE) {
                    let error = SqlError::unsupported(format!("writing with '{}{NO_QUOTE}'", self.prefix));
                    return Err(error.hint("without quotes, a text with a delimiter could not be read again"));
                }
                set.insert("timestamp_format".to_owned(), json!("sql"));
            }
            "debezium-json" if self.flag("debezium-json.schema-include") => {
                let key = format!("{}debezium-json.schema-include", self.prefix);
                let error = SqlError::unsupported(format!("writing with '{key}'"));
                return Err(error.hint("messages with their schema can only be read"));
            }
            "json" | "debezium-json" => {
                let standard = self.text(&format!("{}.timestamp-format.standard", self.name));
                let is_iso = standard.is_some_and(|standard| standard.trim().eq_ignore_ascii_case("ISO-8601"));
                set.insert("timestamp_format".to_owned(), json!(if is_iso { "iso-8601-local" } else { "sql" }));
            }
            _ => {}
        }
        set.extend(self.avro(true)?);
        Ok(set)
    }

    /// Whether values that can't be read are NULL.
    pub(super) fn ignores_errors(&self) -> bool {
        matches!(self.name.as_str(), "csv" | "json" | "debezium-json") && self.flag(&format!("{}.ignore-parse-errors", self.name))
    }

    /// Whether its rows are changes.
    pub(super) fn has_changes(&self) -> bool {
        is_changelog(&self.name)
    }

    fn both_ways(&self) -> Map<String, Value> {
        let mut set = Map::new();
        let mut add = |name: &str, value: Option<Value>| value.and_then(|value| set.insert(name.to_owned(), value));
        let char_of = |key: &str| self.text(key).and_then(character).map(|character| json!(character));
        match self.name.as_str() {
            "csv" => {
                add("delimiter", char_of("csv.field-delimiter"));
                add("quote", char_of("csv.quote-character"));
                add("escape", char_of("csv.escape-character"));
                add("null_literal", self.text("csv.null-literal").map(|literal| json!(literal)));
            }
            "debezium-json" if self.flag("debezium-json.schema-include") => {
                add("schema_include", Some(json!(true)));
            }
            "raw" => {
                let endianness = self.text("raw.endianness").map(|text| json!(text.trim().to_lowercase()));
                add("endianness", endianness);
            }
            _ => {}
        }
        set
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.options.text(&format!("{}{key}", self.prefix))
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.options.flag(&format!("{}{key}", self.prefix))
    }

    fn exclude(&self, key: &str, other: &str) -> SqlError {
        self.options.invalid(&format!("{}{key}", self.prefix), &format!("and '{}{other}' exclude each other", self.prefix))
    }
}
