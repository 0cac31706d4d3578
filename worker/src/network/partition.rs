//! A task's outputs, which distribute rows to consumers.

use std::sync::Arc;

use arrow_array::RecordBatch;
use weir_dataflow::element::{EventTime, StreamElement};
use weir_dataflow::key_group::KeyPartitioner;
use weir_dataflow::operator::{Collector, OperatorError};
use weir_protocol::ExecutionAttemptId;
use weir_protocol::job_graph::Partitioning;
use weir_protocol::link::OutputDeployment;

use super::NetworkOptions;
use super::channel::{Channel, Closure, SlotWaker, Waker};
use super::message::ChannelKey;
use super::registry::ChannelRegistry;
use crate::metrics::TaskCounters;

/// One edge out of a task.
#[derive(Debug)]
pub struct ResultPartition {
    partitioning: Partitioning,
    channels: Vec<Arc<Channel>>,
    max_parallelism: u32,
    /// Created for the first batch.
    partitioner: Option<KeyPartitioner>,
    /// Index of the channel that gets the next batch when rebalancing.
    next: usize,
}

impl ResultPartition {
    /// Creates the channels of an edge and offers them to their consumers.
    pub fn offer(
        deployment: &OutputDeployment,
        producer: ExecutionAttemptId,
        max_parallelism: u32,
        options: &NetworkOptions,
        registry: &ChannelRegistry,
        waker: &SlotWaker,
    ) -> Self {
        let offer = |consumer: &ExecutionAttemptId| {
            let channel = Channel::new(options.channel_limits());
            channel.set_producer(Waker::Slot(waker.clone()));
            let key = ChannelKey { producer, edge: deployment.edge, consumer_subtask: consumer.execution_vertex.subtask };
            registry.offer(key, *consumer, channel.clone());
            channel
        };
        let channels: Vec<_> = deployment.consumers.iter().map(offer).collect();
        // Subtasks start at different consumers, so that the first consumer does not get all first batches.
        let next = producer.execution_vertex.subtask as usize % channels.len().max(1);
        Self { partitioning: deployment.partitioning.clone(), channels, max_parallelism, partitioner: None, next }
    }

    /// Distributes a batch to the channels. Returns the bytes put into them.
    fn emit(&mut self, batch: RecordBatch) -> Result<u64, OperatorError> {
        match &self.partitioning {
            Partitioning::Hash { keys } if self.channels.len() > 1 => {
                let partitioner = match &mut self.partitioner {
                    Some(partitioner) => partitioner,
                    none => {
                        let channels = self.channels.len() as u32;
                        none.insert(KeyPartitioner::new(batch.schema_ref(), keys, self.max_parallelism, channels)?)
                    }
                };
                let parts = partitioner.partition(&batch)?;
                let mut sent = 0;
                for (channel, part) in self.channels.iter().zip(parts) {
                    if let Some(part) = part {
                        sent += push(channel, part);
                    }
                }
                Ok(sent)
            }
            Partitioning::Rebalance if !self.channels.is_empty() => {
                let channel = &self.channels[self.next];
                self.next = (self.next + 1) % self.channels.len();
                Ok(push(channel, batch))
            }
            // There is one channel, or every channel gets every row.
            _ => Ok(self.channels.iter().map(|channel| push(channel, batch.clone())).sum()),
        }
    }
}

fn push(channel: &Channel, batch: RecordBatch) -> u64 {
    let bytes = batch_bytes(&batch);
    channel.push(StreamElement::Batch(batch), bytes);
    bytes as u64
}

/// Bytes of a batch's rows. For a slice, only the bytes of the slice.
pub fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum()
}

/// All outputs of a task. They are the collector at the end of its chain.
#[derive(Debug)]
pub struct Outputs {
    partitions: Vec<ResultPartition>,
    counters: Arc<TaskCounters>,
    /// Whether consumers were told that the task is idle, and no row or watermark followed.
    idle: bool,
}

impl Outputs {
    /// The outputs of a task with these edges.
    pub fn new(partitions: Vec<ResultPartition>, counters: Arc<TaskCounters>) -> Self {
        Self { partitions, counters, idle: false }
    }

    /// Whether the task has no outputs, because it ends in a sink.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Whether every channel has room. A task asks before it starts on its next input.
    pub fn has_room(&self) -> bool {
        self.partitions.iter().all(|partition| partition.channels.iter().all(|channel| channel.has_room()))
    }

    /// Sends an element to every consumer, after all rows collected before.
    pub fn broadcast(&mut self, element: &StreamElement) {
        match element {
            StreamElement::Idle if self.idle => return,
            StreamElement::Idle => self.idle = true,
            StreamElement::Batch(_) | StreamElement::Watermark(_) => self.idle = false,
            StreamElement::Barrier(_) | StreamElement::EndOfInput => {}
        }
        for channel in self.partitions.iter().flat_map(|partition| &partition.channels) {
            channel.push(element.clone(), 0);
        }
    }

    /// Closes all channels.
    pub fn close(&self, closure: &Closure) {
        for channel in self.partitions.iter().flat_map(|partition| &partition.channels) {
            channel.close(closure.clone());
        }
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        // If the task ended in order, its channels are closed already, and the first reason stays.
        self.close(&Closure::ProducerStopped("the producer was dropped".into()));
    }
}

impl Collector for Outputs {
    fn collect(&mut self, batch: RecordBatch) -> Result<(), OperatorError> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        self.idle = false;
        let mut sent = 0;
        if let Some((last, others)) = self.partitions.split_last_mut() {
            for partition in others {
                sent += partition.emit(batch.clone())?;
            }
            sent += last.emit(batch)?;
        }
        self.counters.sent(rows as u64, sent);
        Ok(())
    }

    fn watermark(&mut self, watermark: EventTime) -> Result<(), OperatorError> {
        self.broadcast(&StreamElement::Watermark(watermark));
        Ok(())
    }
}
