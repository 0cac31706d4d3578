//! The options of `source.file`, checked.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use serde::Deserialize;
use weir_dataflow::operator::OperatorError;
use weir_dataflow::schema::to_arrow;
use weir_protocol::job_graph::{Field, OperatorDescriptor};

use super::metadata::{Metadata, MetadataColumn};
use crate::filesystem::{Format, local_path};
use crate::formats::csv::{CsvDialect, CsvParser, CsvRules};
use crate::formats::json::JsonRules;
use crate::formats::{BadRows, CsvOptions, EmptyText, OnBadRow};
use crate::options;
use crate::rows::text;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSourceOptions {
    path: String,
    format: Format,
    schema: Vec<Field>,
    #[serde(default)]
    columns: Option<Vec<String>>,
    #[serde(default)]
    metadata: Vec<MetadataColumn>,
    #[serde(default = "comma")]
    delimiter: char,
    #[serde(default = "double_quote")]
    quote: String,
    #[serde(default)]
    escape: Option<String>,
    #[serde(default = "yes")]
    header: bool,
    #[serde(default)]
    null_literal: Option<String>,
    #[serde(default)]
    empty_text: Option<EmptyText>,
    #[serde(default)]
    rows_per_second: Option<u64>,
    #[serde(default)]
    monitor_interval_ms: Option<u64>,
    #[serde(default)]
    max_bad_rows: u64,
    #[serde(default)]
    ignore_parse_errors: bool,
    #[serde(default)]
    missing_columns: MissingColumns,
    #[serde(default)]
    fail_on_missing_field: bool,
}

/// What a column means that a JSON file does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum MissingColumns {
    #[default]
    Fail,
    Null,
}

fn comma() -> char {
    ','
}

fn double_quote() -> String {
    "\"".to_owned()
}

fn yes() -> bool {
    true
}

/// Where files are and how their rows are read.
pub(super) struct Settings {
    pub(super) root: PathBuf,
    pub(super) format: Format,
    pub(super) dialect: CsvDialect,
    pub(super) header: bool,
    csv: CsvRules,
    pub(super) json: JsonRules,
    pub(super) missing_columns: MissingColumns,
    on_bad_row: OnBadRow,
    max_bad_rows: Option<u64>,
    pub(super) rows_per_second: Option<u64>,
    /// How often the path is looked at for new files, without an end; `None`: only when the job begins.
    pub(super) monitor_interval_ms: Option<u64>,
    /// The columns that are read.
    pub(super) schema: SchemaRef,
    /// The columns that follow them.
    pub(super) metadata: Metadata,
    /// For each column of a file without names, its index in `schema` if it is read.
    positions: Vec<Option<usize>>,
}

impl Settings {
    /// Errors: `CONN-OPTION`, `SCHEMA-DUPLICATE`, and `CONN-TYPE` for arrays, maps and rows in CSV.
    pub(super) fn read(descriptor: &OperatorDescriptor) -> Result<Self, OperatorError> {
        let options: FileSourceOptions = options::read(descriptor)?;
        let kind = descriptor.kind.as_str();
        if options.schema.is_empty() {
            return Err(options::invalid(kind, "the schema has no columns"));
        }
        if options.rows_per_second == Some(0) {
            return Err(options::invalid(kind, "rows_per_second must be at least 1"));
        }
        if options.monitor_interval_ms == Some(0) {
            return Err(options::invalid(kind, "monitor_interval_ms must be at least 1"));
        }
        let (schema, positions) = wanted(kind, &options.schema, options.columns.as_deref())?;
        if options.format == Format::Csv {
            text::check_flat(&schema)?;
        }
        if let Some(taken) = options.metadata.iter().find(|column| schema.index_of(&column.name).is_ok()) {
            return Err(options::invalid(kind, format!("metadata has {:?}, which is a column of the schema", taken.name)));
        }
        let ignore_errors = options.ignore_parse_errors;
        let csv = CsvOptions {
            delimiter: options.delimiter,
            quote: options.quote,
            escape: options.escape,
            null_literal: options.null_literal,
            empty_text: options.empty_text,
            ignore_parse_errors: ignore_errors,
            ..CsvOptions::default()
        };
        Ok(Self {
            root: local_path(kind, &options.path)?,
            format: options.format,
            dialect: csv.dialect(kind)?,
            header: options.header,
            csv: csv.rules(),
            json: JsonRules { fail_on_missing_field: options.fail_on_missing_field, ignore_errors },
            missing_columns: options.missing_columns,
            on_bad_row: if ignore_errors { OnBadRow::Skip } else { OnBadRow::Fail },
            max_bad_rows: if ignore_errors { None } else { Some(options.max_bad_rows) },
            rows_per_second: options.rows_per_second,
            monitor_interval_ms: options.monitor_interval_ms,
            metadata: Metadata::new(options.metadata, &schema),
            schema,
            positions,
        })
    }

    /// A count of the rows that can't be read.
    pub(super) fn bad_rows(&self) -> BadRows {
        BadRows::new(self.on_bad_row, self.max_bad_rows)
    }

    /// A parser of CSV files without a header.
    pub(super) fn positional_parser(&self) -> CsvParser {
        CsvParser::positional(self.dialect, self.csv.clone(), self.positions.clone())
    }

    /// A parser of CSV files with this header. The error says which column is missing.
    pub(super) fn parser_for(&self, header: &[u8]) -> Result<CsvParser, String> {
        let columns: Vec<_> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        CsvParser::from_header(self.dialect, self.csv.clone(), header, &columns)
    }
}

/// The columns to read, and for each column of the files, its index among them.
fn wanted(kind: &str, fields: &[Field], columns: Option<&[String]>) -> Result<(SchemaRef, Vec<Option<usize>>), OperatorError> {
    let all = to_arrow(fields)?;
    let Some(columns) = columns else { return Ok((all, (0..fields.len()).map(Some).collect())) };
    let mut positions = vec![None; fields.len()];
    let mut chosen = Vec::with_capacity(columns.len());
    for (index, name) in columns.iter().enumerate() {
        let Some(position) = fields.iter().position(|field| field.name == *name) else {
            return Err(options::invalid(kind, format!("columns has {name:?}, but the schema has no such column")));
        };
        if positions[position].replace(index).is_some() {
            return Err(options::invalid(kind, format!("columns has {name:?} twice")));
        }
        chosen.push(position);
    }
    let schema = all.project(&chosen).map_err(|error| options::invalid(kind, error))?;
    Ok((Arc::new(schema), positions))
}
