//! Sends records that can't be read to another topic, so that they are neither lost nor in the way.
//!
//! A dead letter has the key, value and headers of the record, and further headers that say where it was and what is wrong with it. A
//! checkpoint waits until they have arrived, so none is missing; after a restart some may be there twice.

use std::sync::Arc;

use weir_connectors::formats::BadValue;
use weir_dataflow::operator::OperatorError;

use super::fetcher::corrupt;
use super::partition::SourcePartition;
use crate::producer::{Message, PlainWriter, Producer, ProducerSettings};
use crate::records::Record;

/// The producer of dead letters.
pub(super) struct DeadLetters {
    producer: Producer,
    writer: PlainWriter,
}

impl DeadLetters {
    pub(super) fn start(settings: ProducerSettings, waker: std::task::Waker) -> Result<Self, OperatorError> {
        let writer = PlainWriter::start(settings.client.clone(), waker.clone())?;
        Ok(Self { producer: Producer::start(settings, waker)?, writer })
    }

    /// Whether records may be read, of which any may be a dead letter. Error: that of the producer.
    pub(super) fn has_room(&self) -> Result<bool, OperatorError> {
        let failure = self.writer.failure().or_else(|| self.producer.queue().failure());
        failure.map_or_else(|| Ok(self.writer.writer().is_some() && self.producer.queue().has_room()), Err)
    }

    pub(super) fn send(&self, from: &SourcePartition, record: &Record<'_>, reason: &BadValue) -> Result<(), OperatorError> {
        let missing =
            || OperatorError::retryable("KAFKA-WRITER", "source.kafka: there is no writer for dead letters; please report this");
        let writer = self.writer.writer().ok_or_else(missing)?;
        let (partition, offset, reason) = (from.id.to_string(), record.offset.to_string(), reason.to_string());
        let own = [
            ("weir.topic", from.topic.as_str()),
            ("weir.partition", &partition),
            ("weir.offset", &offset),
            ("weir.reason", &reason),
        ];
        let own = own.iter().map(|(name, value)| Ok((name.as_bytes(), Some(value.as_bytes()))));
        let headers = record.headers().chain(own).collect::<Result<Vec<_>, _>>().map_err(|error| corrupt(&from.topic, &error))?;
        let queue = self.producer.queue();
        let message = Message {
            partition: from.id.unsigned_abs() as usize % queue.partitions().max(1),
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: &headers,
        };
        queue.append(&writer, std::iter::once(message))
    }

    /// Waits until all that were sent have arrived. `None` if there are none.
    pub(super) fn flush(&self) -> Option<impl FnOnce() -> Result<(), OperatorError> + Send + use<>> {
        let writer = self.writer.writer()?;
        let (mark, queue) = (writer.mark(), Arc::clone(self.producer.queue()));
        (!mark.is_empty()).then_some(move || queue.wait_flushed(&writer, &mark))
    }
}
