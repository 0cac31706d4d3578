//! The options of `agg.group`.

use super::windows::AGGREGATE;
use super::{DURATION, OperatorRole, OperatorSpec, OptionType, optional, required};

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
            OptionType::Choice(&["rows", "changes"]),
            "Whether the input has rows, or changes, whose kind is the last column, __kind TINYINT.",
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
