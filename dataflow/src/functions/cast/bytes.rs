//! Casts to BINARY, VARBINARY and BYTES: of bytes, and of texts in UTF-8.

use std::sync::Arc;

use arrow_array::Array;
use weir_protocol::job_graph::DataType;

use super::Convert;
use crate::functions::operand::{BytesArray, BytesBuilder, TextArray, type_error};

/// Cuts to the length of the type. BINARY is filled up with zeros.
pub(super) fn converter(to: &DataType) -> Convert {
    let (most, least) = match to {
        DataType::Binary(length) => (*length as usize, *length as usize),
        DataType::Varbinary(length) => (*length as usize, 0),
        _ => (usize::MAX, 0),
    };
    Box::new(move |array| {
        let (texts, bytes) = (array.as_any().downcast_ref::<TextArray>(), array.as_any().downcast_ref::<BytesArray>());
        let mut builder = BytesBuilder::new();
        for row in 0..array.len() {
            if array.is_null(row) {
                builder.append_null();
                continue;
            }
            let value = match (texts, bytes) {
                (Some(texts), _) => texts.value(row).as_bytes(),
                (_, Some(bytes)) => bytes.value(row),
                _ => return Err(type_error(array.data_type())),
            };
            let cut = &value[..value.len().min(most)];
            if cut.len() >= least {
                builder.append_value(cut);
            } else {
                let mut filled = cut.to_vec();
                filled.resize(least, 0);
                builder.append_value(filled);
            }
        }
        Ok(Arc::new(builder.finish()))
    })
}
