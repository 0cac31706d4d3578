//! Converts stream elements into bodies of frames, and back.

use arrow_array::RecordBatch;
use bytes::Bytes;
use weir_dataflow::codec::BatchCodec;
use weir_dataflow::element::StreamElement;
use weir_dataflow::operator::OperatorError;

use super::frame::{FrameError, FrameKind};
use super::message;
use super::wire::WireError;

/// An encoded batch, or its halves.
pub enum SplitBatch {
    /// The batch fits one frame with this body.
    Whole(Bytes),
    /// The batch is too long for one frame. These are its halves.
    TooLong([RecordBatch; 2]),
}

/// Most rows in one frame. The codec's limit is far higher.
const MAX_ROWS: usize = 1 << 16;

/// Encodes a batch, or halves it if its frame would be longer than `limit` bytes.
pub fn encode_batch(codec: &BatchCodec, batch: &RecordBatch, limit: u32) -> Result<SplitBatch, OperatorError> {
    let rows = batch.num_rows();
    if rows <= MAX_ROWS {
        let body = codec.encode(batch)?;
        if body.len() <= limit as usize {
            return Ok(SplitBatch::Whole(body));
        }
        if rows < 2 {
            let message = format!("one row takes {} bytes, more than the {limit} that a frame may have", body.len());
            return Err(OperatorError::fatal("NET-ROW-TOO-LARGE", message));
        }
    }
    Ok(SplitBatch::TooLong([batch.slice(0, rows / 2), batch.slice(rows / 2, rows - rows / 2)]))
}

/// Decodes an element of a channel.
pub fn decode(kind: FrameKind, body: Bytes, codec: &BatchCodec) -> Result<StreamElement, WireError> {
    Ok(match kind {
        FrameKind::Batch => {
            let batch = codec.decode(body).map_err(|error| WireError::Protocol(error.to_string()))?;
            StreamElement::Batch(batch)
        }
        FrameKind::Watermark => StreamElement::Watermark(message::decode_watermark(&body)?),
        FrameKind::Idle if body.is_empty() => StreamElement::Idle,
        FrameKind::Barrier => StreamElement::Barrier(message::decode_barrier(&body)?),
        FrameKind::EndOfInput if body.is_empty() => StreamElement::EndOfInput,
        FrameKind::Idle | FrameKind::EndOfInput => return Err(FrameError::Body("the body is longer than its kind needs").into()),
        kind => return Err(WireError::Protocol(format!("a producer sent an unexpected frame: {kind:?}"))),
    })
}
