//! Bodies of the frames that set up connections and channels, and of the small stream elements. Pure.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use weir_protocol::checkpoint::{CheckpointBarrier, CheckpointKind};
use weir_protocol::{
    CheckpointId, ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch, TaskManagerId,
};

use super::frame::FrameError;

/// Longest accepted TaskManager id, in bytes.
const ID_LIMIT: usize = 512;
/// Longest reason sent with a closed channel, in bytes.
const REASON_LIMIT: usize = 2048;

/// Names one channel: the producing attempt, the edge it feeds and the consumer's subtask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelKey {
    /// The producing attempt.
    pub producer: ExecutionAttemptId,
    /// Number of the edge in the job graph.
    pub edge: u32,
    /// Number of the consumer's subtask.
    pub consumer_subtask: u32,
}

/// The first frame of a connection: which process connects, and which one it expects to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The consumer's TaskManager.
    pub consumer: TaskManagerId,
    /// The TaskManager that it expects to reach. Another incarnation at the same address refuses.
    pub producer: TaskManagerId,
}

/// Asks for one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    pub key: ChannelKey,
    /// The attempt that asks. The producer's side checks that the channel was offered to this attempt.
    pub consumer: ExecutionAttemptId,
    /// Elements that may be sent before more credits are granted.
    pub credits: u32,
}

impl Open {
    /// The tag that every frame of this channel carries: CRC32C of both identities.
    pub fn tag(&self) -> u32 {
        let mut bytes = BytesMut::with_capacity(128);
        put_attempt(&mut bytes, &self.key.producer);
        put_attempt(&mut bytes, &self.consumer);
        bytes.put_u32_le(self.key.edge);
        crc32c::crc32c(&bytes)
    }
}

/// Why a channel ends, as the producer's side reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The producer has finished and has sent everything.
    Finished,
    /// The producer was stopped or has failed. The JobManager stops the consumer too.
    ProducerStopped(String),
    /// The channel is not available: it is unknown, taken, or meant for another attempt.
    Refused(String),
}

/// Encodes a [`Hello`].
pub fn encode_hello(hello: &Hello) -> Bytes {
    let mut bytes = BytesMut::new();
    put_text(&mut bytes, &hello.consumer.0, ID_LIMIT);
    put_text(&mut bytes, &hello.producer.0, ID_LIMIT);
    bytes.freeze()
}

/// Decodes a [`Hello`].
pub fn decode_hello(mut body: &[u8]) -> Result<Hello, FrameError> {
    let consumer = TaskManagerId(get_text(&mut body, ID_LIMIT)?);
    let producer = TaskManagerId(get_text(&mut body, ID_LIMIT)?);
    end(body)?;
    Ok(Hello { consumer, producer })
}

/// Encodes an [`Open`].
pub fn encode_open(open: &Open) -> Bytes {
    let mut bytes = BytesMut::new();
    put_attempt(&mut bytes, &open.key.producer);
    put_attempt(&mut bytes, &open.consumer);
    bytes.put_u32_le(open.key.edge);
    bytes.put_u32_le(open.key.consumer_subtask);
    bytes.put_u32_le(open.credits);
    bytes.freeze()
}

/// Decodes an [`Open`].
pub fn decode_open(mut body: &[u8]) -> Result<Open, FrameError> {
    let producer = get_attempt(&mut body)?;
    let consumer = get_attempt(&mut body)?;
    let edge = get_u32(&mut body)?;
    let consumer_subtask = get_u32(&mut body)?;
    let credits = get_u32(&mut body)?;
    end(body)?;
    Ok(Open { key: ChannelKey { producer, edge, consumer_subtask }, consumer, credits })
}

/// Encodes a [`CloseReason`].
pub fn encode_close(reason: &CloseReason) -> Bytes {
    let mut bytes = BytesMut::new();
    let (code, text) = match reason {
        CloseReason::Finished => (0, ""),
        CloseReason::ProducerStopped(text) => (1, text.as_str()),
        CloseReason::Refused(text) => (2, text.as_str()),
    };
    bytes.put_u8(code);
    put_text(&mut bytes, text, REASON_LIMIT);
    bytes.freeze()
}

/// Decodes a [`CloseReason`].
pub fn decode_close(mut body: &[u8]) -> Result<CloseReason, FrameError> {
    let code = get_u8(&mut body)?;
    let text = get_text(&mut body, REASON_LIMIT)?;
    end(body)?;
    match code {
        0 => Ok(CloseReason::Finished),
        1 => Ok(CloseReason::ProducerStopped(text)),
        2 => Ok(CloseReason::Refused(text)),
        _ => Err(FrameError::Body("unknown reason for closing a channel")),
    }
}

/// Encodes a number of credits.
pub fn encode_credit(credits: u32) -> [u8; 4] {
    credits.to_le_bytes()
}

/// Decodes a number of credits.
pub fn decode_credit(mut body: &[u8]) -> Result<u32, FrameError> {
    let credits = get_u32(&mut body)?;
    end(body)?;
    Ok(credits)
}

/// Encodes a watermark.
pub fn encode_watermark(watermark: i64) -> [u8; 8] {
    watermark.to_le_bytes()
}

/// Decodes a watermark.
pub fn decode_watermark(mut body: &[u8]) -> Result<i64, FrameError> {
    let watermark = get_u64(&mut body)? as i64;
    end(body)?;
    Ok(watermark)
}

/// Encodes a barrier.
pub fn encode_barrier(barrier: &CheckpointBarrier) -> Bytes {
    let mut bytes = BytesMut::with_capacity(17);
    bytes.put_u64_le(barrier.id.0);
    bytes.put_u64_le(barrier.timestamp_ms);
    bytes.put_u8(match barrier.kind {
        CheckpointKind::Checkpoint => 0,
        CheckpointKind::Savepoint => 1,
        CheckpointKind::Final => 2,
        CheckpointKind::Stop => 3,
    });
    bytes.freeze()
}

/// Decodes a barrier.
pub fn decode_barrier(mut body: &[u8]) -> Result<CheckpointBarrier, FrameError> {
    let id = CheckpointId(get_u64(&mut body)?);
    let timestamp_ms = get_u64(&mut body)?;
    let kind = match get_u8(&mut body)? {
        0 => CheckpointKind::Checkpoint,
        1 => CheckpointKind::Savepoint,
        2 => CheckpointKind::Final,
        3 => CheckpointKind::Stop,
        _ => return Err(FrameError::Body("unknown kind of checkpoint")),
    };
    end(body)?;
    Ok(CheckpointBarrier { id, kind, timestamp_ms })
}

fn put_attempt(bytes: &mut BytesMut, attempt: &ExecutionAttemptId) {
    bytes.put_u128_le(attempt.job.0);
    bytes.put_u128_le(attempt.execution_vertex.vertex.0);
    bytes.put_u32_le(attempt.execution_vertex.subtask);
    bytes.put_u64_le(attempt.generation.epoch.0);
    bytes.put_u32_le(attempt.generation.attempt);
}

fn get_attempt(body: &mut &[u8]) -> Result<ExecutionAttemptId, FrameError> {
    let job = JobId(body.try_get_u128_le().map_err(|_| SHORT)?);
    let vertex = JobVertexId(body.try_get_u128_le().map_err(|_| SHORT)?);
    let subtask = get_u32(body)?;
    let epoch = LeaderEpoch(get_u64(body)?);
    let attempt = get_u32(body)?;
    let generation = Generation { epoch, attempt };
    Ok(ExecutionAttemptId { job, execution_vertex: ExecutionVertexId { vertex, subtask }, generation })
}

const SHORT: FrameError = FrameError::Body("the body is too short");

fn put_text(bytes: &mut BytesMut, text: &str, limit: usize) {
    let cut = (0..=text.len().min(limit)).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    bytes.put_u16_le(cut as u16);
    bytes.put_slice(&text.as_bytes()[..cut]);
}

fn get_text(body: &mut &[u8], limit: usize) -> Result<String, FrameError> {
    let length = usize::from(body.try_get_u16_le().map_err(|_| SHORT)?);
    if length > limit || length > body.len() {
        return Err(FrameError::Body("a text is longer than allowed"));
    }
    let (text, rest) = body.split_at(length);
    *body = rest;
    String::from_utf8(text.to_vec()).map_err(|_| FrameError::Body("a text is not UTF-8"))
}

fn get_u8(body: &mut &[u8]) -> Result<u8, FrameError> {
    body.try_get_u8().map_err(|_| SHORT)
}

fn get_u32(body: &mut &[u8]) -> Result<u32, FrameError> {
    body.try_get_u32_le().map_err(|_| SHORT)
}

fn get_u64(body: &mut &[u8]) -> Result<u64, FrameError> {
    body.try_get_u64_le().map_err(|_| SHORT)
}

fn end(body: &[u8]) -> Result<(), FrameError> {
    if body.is_empty() { Ok(()) } else { Err(FrameError::Body("the body is longer than its kind needs")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attempt(subtask: u32) -> ExecutionAttemptId {
        ExecutionAttemptId {
            job: JobId(1),
            execution_vertex: ExecutionVertexId { vertex: JobVertexId(2), subtask },
            generation: Generation { epoch: LeaderEpoch(3), attempt: 4 },
        }
    }

    #[test]
    fn bodies_survive_encoding() {
        let hello = Hello { consumer: TaskManagerId("tm-1".into()), producer: TaskManagerId("tm-2".into()) };
        assert_eq!(decode_hello(&encode_hello(&hello)), Ok(hello));
        let key = ChannelKey { producer: attempt(0), edge: 9, consumer_subtask: 5 };
        let open = Open { key, consumer: attempt(5), credits: 8 };
        assert_eq!(decode_open(&encode_open(&open)), Ok(open));
        for reason in [CloseReason::Finished, CloseReason::ProducerStopped("x".into()), CloseReason::Refused("y".into())] {
            assert_eq!(decode_close(&encode_close(&reason)), Ok(reason));
        }
        let barrier = CheckpointBarrier { id: CheckpointId(7), kind: CheckpointKind::Final, timestamp_ms: 1 };
        assert_eq!(decode_barrier(&encode_barrier(&barrier)), Ok(barrier));
        assert_eq!(decode_watermark(&encode_watermark(-5)), Ok(-5));
        assert_eq!(decode_credit(&encode_credit(3)), Ok(3));
    }

    #[test]
    fn attempts_of_different_generations_have_different_tags() {
        let key = ChannelKey { producer: attempt(0), edge: 9, consumer_subtask: 5 };
        let old = Open { key, consumer: attempt(5), credits: 8 };
        let mut new = old;
        new.key.producer.generation.attempt = 5;
        assert_ne!(old.tag(), new.tag());
    }

    proptest! {
        #[test]
        fn random_bodies_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_hello(&bytes);
            let _ = decode_open(&bytes);
            let _ = decode_close(&bytes);
            let _ = decode_barrier(&bytes);
            let _ = decode_watermark(&bytes);
            let _ = decode_credit(&bytes);
        }
    }
}
