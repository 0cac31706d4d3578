//! Channels between subtasks, and how what one emits is dealt over them.

use std::collections::VecDeque;

use weir_dataflow::changelog::{ChangelogCheck, kind_column};
use weir_dataflow::element::StreamElement;
use weir_dataflow::key_group::KeyPartitioner;
use weir_dataflow::operator::{OperatorError, Schema};
use weir_protocol::job_graph::{JobEdge, JobGraph, Partitioning};

/// The elements on their way from one subtask to another. It also checks that changes take back only rows that came the same way
/// (Q2, Q5), as long as the job was not restored.
pub(super) struct Channel {
    pub(super) elements: VecDeque<StreamElement>,
    pub(super) check: Option<ChangelogCheck>,
}

impl Channel {
    /// An empty channel for rows of this schema.
    pub(super) fn new(schema: &Schema, is_checked: bool) -> Result<Self, OperatorError> {
        let check = kind_column(schema).filter(|_| is_checked).map(|kind| {
            let types = schema.fields()[..kind].iter().map(|field| field.data_type().clone()).collect();
            // Batches are cut, so the two rows of an update may be apart.
            ChangelogCheck::new(types, false)
        });
        Ok(Self { elements: VecDeque::new(), check: check.transpose()? })
    }

    fn push(&mut self, element: StreamElement) -> Result<(), OperatorError> {
        if let (Some(check), StreamElement::Batch(batch)) = (&mut self.check, &element) {
            check.observe(batch)?;
        }
        self.elements.push_back(element);
        Ok(())
    }
}

/// One edge, as one producing subtask sees it.
pub(super) struct Output {
    partitioning: Partitioning,
    partitioner: Option<KeyPartitioner>,
    producer: usize,
    turn: usize,
    /// The channel to each consumer that the producer has one to.
    pub(super) channels: Vec<Option<usize>>,
}

impl Output {
    pub(super) fn new(
        graph: &JobGraph,
        edge: &JobEdge,
        producer: u32,
        schema: &Schema,
        channels: Vec<Option<usize>>,
    ) -> Result<Self, OperatorError> {
        let partitioner = match &edge.partitioning {
            Partitioning::Hash { keys } => Some(KeyPartitioner::new(schema, keys, graph.max_parallelism, channels.len() as u32)?),
            _ => None,
        };
        let producer = producer as usize;
        Ok(Self { partitioning: edge.partitioning.clone(), partitioner, producer, turn: producer, channels })
    }

    /// Puts an element into the channels of those that it is for.
    pub(super) fn deal(&mut self, element: &StreamElement, channels: &mut [Channel]) -> Result<(), OperatorError> {
        let consumers = self.channels.len();
        let StreamElement::Batch(batch) = element else {
            return self.channels.iter().flatten().try_for_each(|channel| channels[*channel].push(element.clone()));
        };
        let parts = match (&self.partitioning, &mut self.partitioner) {
            (_, Some(partitioner)) => partitioner.partition(batch)?,
            (Partitioning::Forward, _) => (0..consumers).map(|to| (to == self.producer).then(|| batch.clone())).collect(),
            (Partitioning::Broadcast, _) => vec![Some(batch.clone()); consumers],
            _ => {
                self.turn = (self.turn + 1) % consumers;
                (0..consumers).map(|to| (to == self.turn).then(|| batch.clone())).collect()
            }
        };
        for (channel, part) in self.channels.iter().zip(parts) {
            if let (Some(channel), Some(part)) = (channel, part) {
                channels[*channel].push(StreamElement::Batch(part))?;
            }
        }
        Ok(())
    }
}
