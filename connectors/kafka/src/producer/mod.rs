//! Sends records to the brokers that lead their partitions, each exactly once and in order.
//!
//! The thread of a slot appends records to one open batch per partition ([`queue`]). A task takes batches whenever the leading broker
//! has answered the last request ([`sender`]): under little load a record leaves at once, under much load batches grow while a request
//! is on its way. Each broker has at most one request of a producer, so the order of a partition survives every retry, and brokers
//! recognise a repeated batch by its sequence number.

mod outcome;
mod plain;
mod queue;
mod sender;
mod settings;
mod writer;

use std::sync::Arc;

use tokio::task::JoinHandle;
use weir_dataflow::operator::OperatorError;

pub(crate) use self::plain::PlainWriter;
pub(crate) use self::queue::{Message, Queue};
pub(crate) use self::settings::{PROPERTIES, ProducerSettings};
pub(crate) use self::writer::{FlushMark, OffsetRange, Writer};
use crate::client::io_runtime;

/// A producer for one topic. When it is dropped, what was not acknowledged may or may not arrive.
pub(crate) struct Producer {
    queue: Arc<Queue>,
    sender: JoinHandle<()>,
}

impl Producer {
    /// Starts to look for the topic's partitions. `wake` is called whenever there is room again, or something has failed.
    pub(crate) fn start(settings: ProducerSettings, wake: std::task::Waker) -> Result<Self, OperatorError> {
        let runtime = io_runtime()?;
        let queue = Arc::new(Queue::new(settings, wake));
        let sender = {
            let _guard = runtime.enter();
            weir_world::spawn("kafka-producer", sender::run(Arc::clone(&queue)))
        };
        Ok(Self { queue, sender })
    }

    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.sender.abort();
        self.queue.close();
    }
}
