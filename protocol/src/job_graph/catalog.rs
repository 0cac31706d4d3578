//! The catalog of the operator kinds that every Weir process knows, and of their options. Clients and the Dispatcher check graphs
//! against it. The worker's operators read their options by it.

mod group;
mod kafka;
mod nexmark;
mod windows;

/// Prefix of the kinds of a job author's own operators. They are in the author's binary, so their options are not checked.
pub const CUSTOM_PREFIX: &str = "x.";

/// Longest duration an option may hold, in milliseconds: 100 years.
pub const MAX_DURATION_MS: i64 = 100 * 366 * 24 * 3_600_000;

/// Where in a chain an operator may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorRole {
    /// First in its chain. It has no input.
    Source,
    /// Anywhere after the source and before the sink. An operator with several inputs must be first in its chain.
    Transform,
    /// Last in its chain. It has no output.
    Sink,
}

/// One kind of operator in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorSpec {
    /// Its name in a job graph.
    pub kind: &'static str,
    pub role: OperatorRole,
    /// Number of inputs.
    pub inputs: u32,
    /// For keyed operators, the option of each input that names its key columns.
    pub key_options: &'static [&'static str],
    pub options: &'static [OptionSpec],
    /// One sentence that says what the operator does.
    pub doc: &'static str,
}

impl OperatorSpec {
    /// The option of this name.
    pub fn option(&self, name: &str) -> Option<&'static OptionSpec> {
        self.options.iter().find(|option| option.name == name)
    }
}

/// One option of an operator, or one member of an object in an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionSpec {
    pub name: &'static str,
    pub option_type: OptionType,
    pub required: bool,
    /// One sentence that says what the option means, with unit and default.
    pub doc: &'static str,
}

/// The values that an option accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionType {
    /// Any text that is not empty.
    Text,
    /// Text that may be empty.
    TextOrEmpty,
    /// One ASCII character.
    Character,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// True or false.
    Flag,
    /// A whole number in this range, both ends included.
    Integer(i64, i64),
    /// A finite number.
    Number,
    /// A list of at least one scalar.
    Values,
    /// The name of a column.
    Column,
    /// A list of distinct column names. The flag says whether it may be empty.
    Columns(bool),
    /// A list of fields with distinct names.
    Schema,
    /// The name of a column type.
    DataType,
    /// An expression program.
    Program,
    /// A list of at least one object with these members. The values of members called `name` are distinct.
    Objects(&'static [OptionSpec]),
    /// One object with these members.
    Object(&'static [OptionSpec]),
    /// An object with any members, whose values are of this type.
    Map(&'static OptionType),
}

const fn required(name: &'static str, option_type: OptionType, doc: &'static str) -> OptionSpec {
    OptionSpec { name, option_type, required: true, doc }
}

const fn optional(name: &'static str, option_type: OptionType, doc: &'static str) -> OptionSpec {
    OptionSpec { name, option_type, required: false, doc }
}

const DURATION: OptionType = OptionType::Integer(0, MAX_DURATION_MS);
const POSITIVE_DURATION: OptionType = OptionType::Integer(1, MAX_DURATION_MS);
const POSITIVE: OptionType = OptionType::Integer(1, i64::MAX);
const FORMAT: OptionSpec =
    required("format", OptionType::Choice(&["csv", "json", "parquet"]), "Format of the files; json has one object per line.");

const QUOTE: OptionSpec = optional(
    "quote",
    OptionType::TextOrEmpty,
    "The punctuation character around CSV fields that hold delimiters or line ends; default a double quote. A source takes an empty text: there is none.",
);
const ESCAPE: OptionSpec = optional(
    "escape",
    OptionType::TextOrEmpty,
    "The punctuation character that takes the meaning from the next one in CSV; default none.",
);
const DELIMITER: OptionSpec = optional("delimiter", OptionType::Character, "The separator of CSV fields; default a comma.");

const METADATA: &[OptionSpec] = &[
    required("name", OptionType::Column, "Name of the column."),
    required(
        "key",
        OptionType::Choice(&["file.path", "file.name", "file.size", "file.modification-time"]),
        "What it tells. The size is a BIGINT, the time a TIMESTAMP_LTZ(3), the others are STRING.",
    ),
];

const DATAGEN_FIELD: &[OptionSpec] = &[
    required("name", OptionType::Column, "Name of the column."),
    required("type", OptionType::DataType, "Type of the column."),
    required(
        "kind",
        OptionType::Choice(&["sequence", "random", "constant", "timestamp"]),
        "How values are made: row number, random from the range or the list, always the first of the list, or a time per row.",
    ),
    optional(
        "min",
        OptionType::Number,
        "Least value, or first value of a sequence, or first timestamp; dates in days, times in milliseconds; default 0.",
    ),
    optional("max", OptionType::Number, "Greatest value of a random column, included."),
    optional("values", OptionType::Values, "Values to choose from, or the constant."),
    optional("step_ms", OptionType::Number, "Milliseconds from one row's timestamp to the next's; default 1."),
    LENGTH,
    VAR_LENGTH,
    NULL_RATE,
    MAX_PAST,
    optional("parts", OptionType::Objects(DATAGEN_PART), "The parts of a nested column whose values are not made as by default."),
];

/// A part of a nested column.
const DATAGEN_PART: &[OptionSpec] = &[
    required("name", OptionType::Text, "Where the part is: element, key, value and names of fields, with points between."),
    optional("min", OptionType::Number, "Least value; as of columns."),
    optional("max", OptionType::Number, "Greatest value, included."),
    LENGTH,
    VAR_LENGTH,
    NULL_RATE,
];

const LENGTH: OptionSpec = optional(
    "length",
    OptionType::Integer(0, 1 << 20),
    "How many characters, bytes or elements random values have; default 16, 8 and 3, and not more than the type allows.",
);
const VAR_LENGTH: OptionSpec =
    optional("var_length", OptionType::Flag, "Whether lengths are random, from 1 to length; default false.");
const NULL_RATE: OptionSpec =
    optional("null_rate", OptionType::Number, "Which share of the values is null, from 0 to 1; default 0.");
const MAX_PAST: OptionSpec = optional(
    "max_past_ms",
    DURATION,
    "How far back, in milliseconds, a timestamp is moved at most, by a random length; default 0.",
);

const AGGREGATE: &[OptionSpec] = &[
    required("name", OptionType::Column, "Name of the output column."),
    required(
        "function",
        OptionType::Choice(&["count", "sum", "min", "max", "avg", "count_distinct"]),
        "What to compute over the window; null values are ignored.",
    ),
    optional("column", OptionType::Column, "The input column. Only count may omit it, and then counts rows."),
];

const OVERFLOW: OptionSpec = optional(
    "overflow",
    OptionType::Choice(&["wrap", "error"]),
    "What becomes of integer arithmetic whose result does not fit its type: it wraps around, or the job fails; default wrap.",
);

const TIME_COLUMN: OptionSpec =
    required("time_column", OptionType::Column, "The timestamp column that places a row in its window.");
const SIZE: OptionSpec = required("size_ms", POSITIVE_DURATION, "Length of a window in milliseconds.");
const KEYS: OptionSpec = required(
    "keys",
    OptionType::Columns(true),
    "Columns to group by; the input is hashed by exactly these. If empty: one group.",
);
const AGGREGATES: OptionSpec =
    required("aggregates", OptionType::Objects(AGGREGATE), "The columns to compute per window and key.");
const ALLOWED_LATENESS: OptionSpec = optional(
    "allowed_lateness_ms",
    DURATION,
    "How far behind the watermark a row is still accepted, in milliseconds; default 0.",
);
const WINDOW_START: OptionSpec =
    optional("window_start", OptionType::Column, "Name of the output column with the window's start; default window_start.");
const WINDOW_END: OptionSpec = optional(
    "window_end",
    OptionType::Column,
    "Name of an output column with the window's end (excluded); default no such column.",
);

/// Every kind, in the order of a reference page.
pub const CATALOG: &[OperatorSpec] = &[
    OperatorSpec {
        kind: "source.file",
        role: OperatorRole::Source,
        inputs: 0,
        key_options: &[],
        options: &[
            required(
                "path",
                OptionType::Text,
                "A file, or a directory whose files are read; names that start with . or _ are skipped.",
            ),
            FORMAT,
            required(
                "schema",
                OptionType::Schema,
                "The columns. They are found by name if files have a header or names of their own, else by position.",
            ),
            optional(
                "columns",
                OptionType::Columns(true),
                "The columns of the schema to read, in the order of the output; default all. The others are skipped.",
            ),
            optional(
                "metadata",
                OptionType::Objects(METADATA),
                "Further columns, which tell of each row the path, name, size and time of its file.",
            ),
            DELIMITER,
            QUOTE,
            ESCAPE,
            optional("header", OptionType::Flag, "Whether CSV files begin with a line of column names; default true."),
            optional(
                "null_literal",
                OptionType::TextOrEmpty,
                "A CSV field that is null, also in quotes, besides empty fields of columns without empty values; default none.",
            ),
            optional(
                "empty_text",
                OptionType::Choice(&["null", "text"]),
                "What an empty CSV field without quotes is for text and bytes; default null, but text if there is a null_literal.",
            ),
            optional("rows_per_second", POSITIVE, "Most rows per second that each subtask reads; default unlimited."),
            optional(
                "monitor_interval_ms",
                POSITIVE_DURATION,
                "How often to look for new files, in milliseconds, without an end; default none: files that are there at the start.",
            ),
            optional(
                "max_bad_rows",
                OptionType::Integer(0, i64::MAX),
                "How many unreadable rows to skip before failing; default 0.",
            ),
            optional(
                "ignore_parse_errors",
                OptionType::Flag,
                "Whether unreadable CSV and JSON values become null, and rows that still can't be read are skipped; default false.",
            ),
            optional(
                "missing_columns",
                OptionType::Choice(&["fail", "null"]),
                "What becomes of a column that none of the first 1000 rows of a JSON file has; default fail.",
            ),
            optional(
                "fail_on_missing_field",
                OptionType::Flag,
                "Whether a JSON row without a member for each column, and for each field of its rows, is unreadable; default false.",
            ),
        ],
        doc: "Reads files to their end, exactly once.",
    },
    OperatorSpec {
        kind: "source.datagen",
        role: OperatorRole::Source,
        inputs: 0,
        key_options: &[],
        options: &[
            required("fields", OptionType::Objects(DATAGEN_FIELD), "The columns."),
            optional(
                "rows",
                OptionType::Integer(0, i64::MAX),
                "Total number of rows; default unbounded. A restored job may have another number, but not fewer than it has generated.",
            ),
            optional("rows_per_second", POSITIVE, "Rows per second of all subtasks together; default unlimited."),
            optional(
                "seed",
                OptionType::Integer(0, i64::MAX),
                "Seed of random columns. The same seed gives the same rows. Default 0.",
            ),
        ],
        doc: "Generates rows; row i depends only on the seed and i.",
    },
    nexmark::SOURCE,
    kafka::SOURCE,
    kafka::SINK,
    OperatorSpec {
        kind: "watermark",
        role: OperatorRole::Transform,
        inputs: 1,
        key_options: &[],
        options: &[
            required("column", OptionType::Column, "The timestamp column that event time follows."),
            optional(
                "out_of_orderness_ms",
                DURATION,
                "How much older than the newest row so far a row may be, in milliseconds; required unless watermark_column is given.",
            ),
            optional(
                "watermark_column",
                OptionType::Column,
                "A timestamp column whose greatest value so far is the watermark, as computed by SQL's WATERMARK; null is skipped.",
            ),
            optional(
                "interval_ms",
                DURATION,
                "With watermark_column: the watermark is sent when it has risen by more than this, in milliseconds; default 200.",
            ),
            optional(
                "idle_timeout_ms",
                DURATION,
                "After this many milliseconds without rows, the watermark no longer waits for this input; default 0, never.",
            ),
        ],
        doc: "Derives watermarks from a timestamp column.",
    },
    OperatorSpec {
        kind: "filter",
        role: OperatorRole::Transform,
        inputs: 1,
        key_options: &[],
        options: &[
            required("predicate", OptionType::Text, "A SQL expression of type boolean; rows where it is not true are dropped."),
            OVERFLOW,
        ],
        doc: "Keeps the rows that satisfy a predicate.",
    },
    OperatorSpec {
        kind: "project",
        role: OperatorRole::Transform,
        inputs: 1,
        key_options: &[],
        options: &[
            required(
                "columns",
                OptionType::Objects(&[
                    required("name", OptionType::Column, "Name of the output column."),
                    required("expr", OptionType::Text, "A SQL expression over the input columns."),
                ]),
                "The output columns.",
            ),
            OVERFLOW,
        ],
        doc: "Computes columns.",
    },
    OperatorSpec {
        kind: "calc",
        role: OperatorRole::Transform,
        inputs: 1,
        key_options: &[],
        options: &[required(
            "program",
            OptionType::Program,
            "The expression program: its filter decides which rows remain, its outputs are the columns. SQL is lowered to programs.",
        )],
        doc: "Filters rows and computes columns by an expression program.",
    },
    OperatorSpec {
        kind: "window.tumbling",
        role: OperatorRole::Transform,
        inputs: 1,
        key_options: &["keys"],
        options: &[TIME_COLUMN, SIZE, KEYS, AGGREGATES, ALLOWED_LATENESS, WINDOW_START, WINDOW_END],
        doc: "Aggregates over windows that follow each other without gap.",
    },
    OperatorSpec {
        kind: "window.hopping",
        role: OperatorRole::Transform,
        inputs: 1,
        key_options: &["keys"],
        options: &[
            TIME_COLUMN,
            SIZE,
            required("slide_ms", POSITIVE_DURATION, "Time from one window's start to the next's, in milliseconds."),
            KEYS,
            AGGREGATES,
            ALLOWED_LATENESS,
            WINDOW_START,
            WINDOW_END,
        ],
        doc: "Aggregates over windows that overlap.",
    },
    windows::AGG,
    windows::ASSIGN,
    group::EXPAND,
    group::LOCAL,
    group::AGG,
    OperatorSpec {
        kind: "join.latest",
        role: OperatorRole::Transform,
        inputs: 2,
        key_options: &["keys", "right_keys"],
        options: &[
            required("keys", OptionType::Columns(false), "Key columns of input 0."),
            required("right_keys", OptionType::Columns(false), "Key columns of input 1, in the same order."),
            required("right_columns", OptionType::Columns(false), "Columns of input 1 to add to every row of input 0."),
            required("time_column", OptionType::Column, "Event time of input 0."),
            required("right_time_column", OptionType::Column, "Event time of input 1."),
        ],
        doc: "Gives each row of input 0 the row of input 1 that was the latest of its key at the row's event time, or nulls if there \
              was none. Both inputs need watermarks.",
    },
    OperatorSpec {
        kind: "sink.file",
        role: OperatorRole::Sink,
        inputs: 1,
        key_options: &[],
        options: &[
            required("path", OptionType::Text, "The directory to write to."),
            FORMAT,
            optional("header", OptionType::Flag, "Whether CSV files begin with a line of column names; default true."),
            DELIMITER,
            QUOTE,
            ESCAPE,
            optional("null_literal", OptionType::TextOrEmpty, "The CSV field of a null; default an empty field."),
            optional(
                "timestamp_format",
                OptionType::Choice(&["iso-8601", "iso-8601-local", "sql"]),
                "How CSV and JSON show timestamps: 2020-12-30T12:13:14.120Z, 2020-12-30T12:13:14.12 or 2020-12-30 12:13:14.12; default iso-8601.",
            ),
            optional(
                "shared",
                OptionType::Flag,
                "Whether other sinks may write to the same directory; readers then see the rows of all of them. Default false.",
            ),
            optional(
                "on_missing",
                OptionType::Choice(&["fail", "continue"]),
                "What to do if a file of the restored checkpoint is missing and was perhaps never committed; default fail.",
            ),
            optional(
                "kind_column",
                OptionType::Text,
                "The name of a last column that says what has happened to each row: +I, -U, +U or -D. Without it there is none.",
            ),
        ],
        doc: "Writes files exactly once; they appear when a checkpoint has completed them.",
    },
    OperatorSpec {
        kind: "sink.collect",
        role: OperatorRole::Sink,
        inputs: 1,
        key_options: &[],
        options: &[
            optional("path", OptionType::Text, "Directory of the rows of all queries; the leader sets it."),
            optional("schema", OptionType::Schema, "The columns with their exact types; default those of the input."),
            optional("unread_bytes", POSITIVE, "The sink waits while more bytes are unread; default 64 MiB."),
        ],
        doc: "Keeps the rows of a query until the client has read them, exactly once; see `/weir/v1/queries`.",
    },
    OperatorSpec {
        kind: "sink.print",
        role: OperatorRole::Sink,
        inputs: 1,
        key_options: &[],
        options: &[optional("prefix", OptionType::TextOrEmpty, "Text before every line; default none.")],
        doc: "Prints rows to the TaskManager's standard output, at least once.",
    },
    OperatorSpec {
        kind: "sink.blackhole",
        role: OperatorRole::Sink,
        inputs: 1,
        key_options: &[],
        options: &[],
        doc: "Drops all rows.",
    },
];

/// The operator of this kind, if the catalog has it.
pub fn lookup(kind: &str) -> Option<&'static OperatorSpec> {
    CATALOG.iter().find(|operator| operator.kind == kind)
}

/// Whether `kind` names a job author's own operator.
pub fn is_custom(kind: &str) -> bool {
    kind.strip_prefix(CUSTOM_PREFIX).is_some_and(|name| !name.is_empty())
}

/// The candidate that is most similar to `word`, which may be a typo of it. `None` if no candidate is similar enough.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Computing the distance takes time proportional to the product of the lengths. No name in the catalog is this long.
    if word.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| {
            let one_slip = word.len() >= 3 && strsim::osa_distance(word, candidate) == 1;
            (if one_slip { 0.99 } else { strsim::jaro_winkler(word, candidate) }, candidate)
        })
        .filter(|(similarity, _)| *similarity >= 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_options_are_unique_and_documented() {
        fn check(options: &[OptionSpec]) {
            for (i, option) in options.iter().enumerate() {
                assert!(option.doc.ends_with('.'), "{}", option.name);
                assert!(options[..i].iter().all(|other| other.name != option.name), "{}", option.name);
                if let OptionType::Objects(members) | OptionType::Object(members) = option.option_type {
                    check(members);
                }
            }
        }
        for (i, operator) in CATALOG.iter().enumerate() {
            assert!(CATALOG[..i].iter().all(|other| other.kind != operator.kind));
            assert!(operator.doc.ends_with('.'));
            assert_eq!(operator.inputs == 0, operator.role == OperatorRole::Source);
            check(operator.options);
            for key_option in operator.key_options {
                assert!(matches!(operator.option(key_option).map(|o| o.option_type), Some(OptionType::Columns(_))));
            }
        }
    }

    #[test]
    fn a_typo_finds_the_intended_word() {
        let kinds = || CATALOG.iter().map(|operator| operator.kind);
        assert_eq!(closest("window.tumblign", kinds()), Some("window.tumbling"));
        assert_eq!(closest("sorce.file", kinds()), Some("source.file"));
        assert_eq!(closest("zzz", kinds()), None);
        assert_eq!(closest(&"s".repeat(100_000), kinds()), None);
    }
}
