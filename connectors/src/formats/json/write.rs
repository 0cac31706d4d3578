//! Writes rows as JSON objects with every column.

use arrow_array::RecordBatch;
use weir_dataflow::operator::OperatorError;

use crate::rows::text::members_of;
use crate::rows::times::TimestampFormat;
use crate::rows::view::append_json_object;

/// Appends the rows as JSON, one object per line.
pub(crate) fn append_json(out: &mut Vec<u8>, batch: &RecordBatch, timestamps: TimestampFormat) -> Result<(), OperatorError> {
    append_objects(out, batch, timestamps, |out| out.push(b'\n'))
}

/// Appends each row as an object, and calls `end` after each.
pub(super) fn append_objects(
    out: &mut Vec<u8>,
    batch: &RecordBatch,
    timestamps: TimestampFormat,
    mut end: impl FnMut(&mut Vec<u8>),
) -> Result<(), OperatorError> {
    let columns = members_of(batch)?;
    for row in 0..batch.num_rows() {
        append_json_object(out, &columns, row, timestamps);
        end(out);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::text::tests::batch;

    #[test]
    fn json_lines_are_objects_with_every_column() {
        let mut out = Vec::new();
        append_json(&mut out, &batch(), TimestampFormat::default()).unwrap();
        let lines: Vec<serde_json::Value> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["te,xt"], "a \"b\", c");
        assert_eq!(lines[0]["at"], "2013-01-01T05:00:00Z");
        assert_eq!(lines[0]["x"], 1e300);
        assert_eq!(lines[1]["ok"], serde_json::Value::Null);
        assert_eq!(lines[1]["x"], "NaN");
        assert_eq!(lines[1]["at"], i64::MAX);
    }
}
