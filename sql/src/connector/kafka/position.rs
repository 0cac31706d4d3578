//! Where reading begins and ends.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::lower;
use crate::connector::option::Options;
use crate::script::SqlError;

/// A position in every partition, from the options below `prefix`, such as `{"mode": "timestamp", "timestamp_ms": 5}`. Error:
/// `SQL-OPTION`.
pub(super) fn position(options: &Options<'_>, prefix: &str, default: &str, topics: &[&str]) -> Result<Value, SqlError> {
    let key = |name: &str| format!("{prefix}.{name}");
    let mode = lower(options.text(&key("mode")).unwrap_or(default));
    Ok(match mode.as_str() {
        "timestamp" => {
            options.required(&key("timestamp-millis"))?;
            json!({"mode": "timestamp", "timestamp_ms": options.integer(&key("timestamp-millis"))})
        }
        "specific-offsets" => {
            let key = key("specific-offsets");
            let text = options.required(&key)?;
            if topics.len() > 1 {
                return Err(options.invalid(&key, "needs a table with one topic"));
            }
            let offsets = offsets(text).ok_or_else(|| {
                options.invalid(&key, &format!("is '{text}'; it must be like 'partition:0,offset:42;partition:1,offset:300'"))
            })?;
            json!({"mode": "specific", "offsets": offsets})
        }
        "group-offsets" => {
            let has_reset = prefix == "scan.startup" && options.text("properties.auto.offset.reset").is_some();
            if options.text("properties.group.id").is_none() && !has_reset {
                let error = options.invalid("properties.group.id", "is missing");
                let mode = key("mode");
                return Err(
                    error.hint(format!("'{mode}' = 'group-offsets' needs it; without a group, set '{mode}' to another value"))
                );
            }
            json!({"mode": "group-offsets"})
        }
        "unbounded" => json!({"mode": "never"}),
        other => json!({"mode": other.trim_end_matches("-offset")}),
    })
}

/// Offsets by partition, of a text such as `partition:0,offset:42;partition:1,offset:300`.
fn offsets(text: &str) -> Option<BTreeMap<u32, i64>> {
    let mut offsets = BTreeMap::new();
    for pair in text.split(';') {
        let (partition, offset) = pair.split_once(',')?;
        let partition = partition.strip_prefix("partition:")?.parse().ok()?;
        let offset = offset.strip_prefix("offset:")?.parse().ok().filter(|offset| *offset >= 0)?;
        if offsets.insert(partition, offset).is_some() {
            return None;
        }
    }
    Some(offsets)
}
