//! The options of windows with Flink's meaning: `window.agg` and `window.assign`.

use super::{MAX_DURATION_MS, OperatorRole, OperatorSpec, OptionSpec, OptionType, POSITIVE_DURATION, optional, required};

/// The members of the option `window`. Which of them a type needs is checked by the validation.
pub(super) const WINDOW: &[OptionSpec] = &[
    required(
        "type",
        OptionType::Choice(&["tumble", "hop", "cumulate", "attached"]),
        "Whether windows follow each other, overlap, or grow step by step, or whether rows already carry theirs.",
    ),
    optional(
        "size_ms",
        POSITIVE_DURATION,
        "Length of a window, of cumulating windows that of the longest, in milliseconds; required unless windows are attached.",
    ),
    optional(
        "slide_ms",
        POSITIVE_DURATION,
        "For hop: time from one window's start to the next's, in milliseconds; divides size_ms.",
    ),
    optional(
        "step_ms",
        POSITIVE_DURATION,
        "For cumulate: time from one window's end to the next's, in milliseconds; divides size_ms.",
    ),
    optional(
        "offset_ms",
        OptionType::Integer(-MAX_DURATION_MS, MAX_DURATION_MS),
        "How far the start of windows is moved, in milliseconds; for tumble less than size_ms; default 0.",
    ),
    optional("start", OptionType::Column, "For attached: the column with the start of the row's window."),
    optional("end", OptionType::Column, "For attached: the column with the end of the row's window."),
];

/// The members of an aggregate.
pub(super) const AGGREGATE: &[OptionSpec] = &[
    required("name", OptionType::Column, "Name of the output column."),
    required(
        "function",
        OptionType::Choice(&[
            "count",
            "sum",
            "avg",
            "min",
            "max",
            "first_value",
            "last_value",
            "stddev_pop",
            "stddev_samp",
            "var_pop",
            "var_samp",
            "listagg",
            "array_agg",
            "collect",
        ]),
        "What to compute; null values are ignored, but array_agg keeps them unless ignore_nulls is set.",
    ),
    optional("column", OptionType::Column, "The input column. Only count may omit it, and then counts rows."),
    optional("distinct", OptionType::Flag, "Whether equal values count once; default false."),
    optional("filter", OptionType::Column, "A boolean column; rows where it is not true are ignored. Default: all rows count."),
    optional("ignore_nulls", OptionType::Flag, "For array_agg: whether null values are left out; default false."),
    optional("delimiter", OptionType::TextOrEmpty, "For listagg: the text between two texts; default a comma."),
];

const WINDOWS: OptionSpec = required("window", OptionType::Object(WINDOW), "The windows.");
pub(super) const TIME_COLUMN: OptionSpec = optional(
    "time_column",
    OptionType::Column,
    "The timestamp column that places a row in its windows; required unless windows are attached.",
);
pub(super) const ZONE: OptionSpec = optional(
    "zone",
    OptionType::Text,
    "Time zone in whose local time windows begin and end, e.g. Europe/Berlin; for time columns of type TIMESTAMP_LTZ. Default UTC.",
);
const WINDOW_START: OptionSpec =
    optional("window_start", OptionType::Column, "Name of an output column with the window's start; default no such column.");
const WINDOW_END: OptionSpec = optional(
    "window_end",
    OptionType::Column,
    "Name of an output column with the window's end (excluded); default no such column.",
);
const WINDOW_TIME: OptionSpec = optional(
    "window_time",
    OptionType::Column,
    "Name of an output column with the last millisecond of the window, which is an event time; default no such column.",
);

pub(super) const AGG: OperatorSpec = OperatorSpec {
    kind: "window.agg",
    role: OperatorRole::Transform,
    inputs: 1,
    key_options: &["keys"],
    options: &[
        WINDOWS,
        TIME_COLUMN,
        ZONE,
        super::KEYS,
        optional(
            "aggregates",
            OptionType::Objects(AGGREGATE),
            "The columns to compute per window and key; default none: each window and key is one row.",
        ),
        optional(
            "input",
            OptionType::Choice(&["rows", "partials"]),
            "Whether the input has rows, or the output of agg.local; default rows.",
        ),
        WINDOW_START,
        WINDOW_END,
        WINDOW_TIME,
    ],
    doc: "Aggregates over windows, with SQL's types. The output has the keys, then the aggregates, then the window's columns.",
};

pub(super) const ASSIGN: OperatorSpec = OperatorSpec {
    kind: "window.assign",
    role: OperatorRole::Transform,
    inputs: 1,
    key_options: &[],
    options: &[WINDOWS, TIME_COLUMN, ZONE, WINDOW_START, WINDOW_END, WINDOW_TIME],
    doc: "Appends the times of its window to each row, once for each window that holds the row.",
};
