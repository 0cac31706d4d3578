//! The options of `agg.group`, `agg.local` and `expand`.

use super::windows::{AGGREGATE, TIME_COLUMN, WINDOW, ZONE};
use super::{DURATION, OperatorRole, OperatorSpec, OptionSpec, OptionType, optional, required};

pub(super) const AGG: OperatorSpec = OperatorSpec {
    kind: "agg.group",
    role: OperatorRole::Transform,
    inputs: 1,
    key_options: &["keys"],
    options: &[
        super::KEYS,
        optional(
            "aggregates",
            OptionType::Objects(AGGREGATE),
            "The columns to compute per group; default none: each group is one row. Needed if there are no keys.",
        ),
        required(
            "input",
            OptionType::Choice(&["rows", "changes", "partials"]),
            "Whether the input has rows, or changes, whose kind is the last column, __kind TINYINT, or the output of agg.local.",
        ),
        optional(
            "state_ttl_ms",
            DURATION,
            "A group that no row has reached for this long is forgotten, in milliseconds; default 0, never.",
        ),
        optional("update_before", OptionType::Flag, "Whether an update also emits the row as it was before; default true."),
    ],
    doc: "Aggregates per group and emits how the results change. The output has the keys, then the aggregates, then __kind, except \
          that the distinct rows of rows have no kind.",
};

pub(super) const LOCAL: OperatorSpec = OperatorSpec {
    kind: "agg.local",
    role: OperatorRole::Transform,
    inputs: 1,
    key_options: &[],
    options: &[
        super::KEYS,
        optional(
            "aggregates",
            OptionType::Objects(AGGREGATE),
            "The aggregates of the operator that follows: count, sum, avg, min, max and the variances, without distinct.",
        ),
        optional("window", OptionType::Object(WINDOW), "The windows, if window.agg follows."),
        TIME_COLUMN,
        ZONE,
    ],
    doc: "Aggregates the rows of each batch, for agg.group or window.agg with the same keys, aggregates and windows and with input \
          partials. The output has the columns of the input, then __partial BYTES.",
};

const GROUPING_SET: &[OptionSpec] = &[
    required("id", OptionType::Integer(0, i64::MAX), "What the rows of this set have in the id column."),
    optional("nulls", OptionType::Columns(true), "Columns that are null in the rows of this set; default none."),
];

pub(super) const EXPAND: OperatorSpec = OperatorSpec {
    kind: "expand",
    role: OperatorRole::Transform,
    inputs: 1,
    key_options: &[],
    options: &[
        required("sets", OptionType::Objects(GROUPING_SET), "The grouping sets."),
        required("id_column", OptionType::Column, "Name of the output column with the id of the set, a BIGINT."),
    ],
    doc: "Emits each row once for each grouping set, with null in the columns that the set does not group by. SQL's GROUPING SETS, \
          ROLLUP and CUBE are lowered to it.",
};
