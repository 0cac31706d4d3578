//! Values as the texts that Flink's SQL client prints.

use arrow_array::{Array, ArrayRef};
use weir_dataflow::functions::cast::{WriteRow, printer};
use weir_dataflow::time_zone::Zone;
use weir_protocol::job_graph::DataType;

use super::json::unreadable;
use super::quoted;
use crate::error::GatewayError;

/// How the values of an array are written. A null is `null`, which is no text.
pub(super) fn writer<'a>(array: &'a ArrayRef, data_type: &DataType, zone: Zone) -> Result<WriteRow<'a>, GatewayError> {
    let print = printer(array, data_type, zone).map_err(unreadable)?;
    let nulls = array.logical_nulls();
    Ok(Box::new(move |row, out| match &nulls {
        Some(nulls) if nulls.is_null(row) => out.push_str("null"),
        _ => {
            let mut text = String::new();
            print(row, &mut text);
            out.push_str(&quoted(&text));
        }
    }))
}
