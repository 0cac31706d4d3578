//! The record batches of Kafka's log, format 2: how brokers store and send records.
//!
//! Source: Kafka's message format, <https://kafka.apache.org/documentation/#recordbatch>. Records are read where they lie, because a
//! message type with owned fields would cost more than the parsing of a row.

mod compression;
mod header;
mod lz4;
mod reader;
mod varint;
mod writer;

pub(crate) use compression::Compression;
pub(crate) use header::BatchHeader;
pub(crate) use reader::{Batch, Record};
pub(crate) use writer::{BatchBuilder, Sealing};

/// Bytes that are not record batches of format 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Corrupt(pub(crate) String);

impl Corrupt {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}
