//! The transactional ids of a sink.

use crate::client::ProducerIdentity;

/// The ids of one subtask: `<prefix>-<subtask>-<number>`.
#[derive(Debug, Clone)]
pub(crate) struct TransactionalIds {
    prefix: String,
    subtask: u32,
    parallelism: u32,
}

/// An id, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ParsedId {
    pub(super) subtask: u32,
    pub(super) number: u32,
    /// Whether it is one under which the records of a timed-out transaction are written again.
    pub(super) is_again: bool,
}

impl TransactionalIds {
    pub(crate) fn new(prefix: String, subtask: u32, parallelism: u32) -> Self {
        Self { prefix, subtask, parallelism }
    }

    pub(super) fn id(&self, number: u32) -> String {
        format!("{}-{}-{number}", self.prefix, self.subtask)
    }

    /// What the ids of all subtasks begin with.
    pub(super) fn beginning(&self) -> String {
        format!("{}-", self.prefix)
    }

    /// Whether this subtask looks after an id. Each id of the sink, also of subtasks that there are no more, has one such subtask. It is
    /// also the one that gets the state of the id's subtask when the parallelism changes.
    pub(super) fn looks_after(&self, id: &str) -> Option<ParsedId> {
        let parsed = parse(id.strip_prefix(&self.beginning())?)?;
        (parsed.subtask % self.parallelism.max(1) == self.subtask).then_some(parsed)
    }
}

/// The id under which the records of a transaction are written again. Only one transaction has it, so its state tells whether that was
/// done.
pub(super) fn again(id: &str, writer: ProducerIdentity) -> String {
    format!("{id}-again-{}-{}", writer.id, writer.epoch)
}

fn parse(rest: &str) -> Option<ParsedId> {
    let parts: Vec<&str> = rest.split('-').collect();
    let (subtask, number, is_again) = match parts.as_slice() {
        [subtask, number] => (subtask, number, false),
        [subtask, number, "again", id, epoch] if id.parse::<u64>().is_ok() && epoch.parse::<u16>().is_ok() => {
            (subtask, number, true)
        }
        _ => return None,
    };
    Some(ParsedId { subtask: subtask.parse().ok()?, number: number.parse().ok()?, is_again })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_has_one_subtask_that_looks_after_it_at_any_parallelism() {
        for parallelism in 1..5 {
            for former in 0..7 {
                let id = TransactionalIds::new("p".to_owned(), former, 7).id(3);
                let subtasks = (0..parallelism).map(|subtask| TransactionalIds::new("p".to_owned(), subtask, parallelism));
                let caring: Vec<_> = subtasks.filter_map(|ids| ids.looks_after(&id)).collect();
                assert_eq!(caring, [ParsedId { subtask: former, number: 3, is_again: false }]);
            }
        }
    }

    #[test]
    fn ids_of_other_sinks_are_left_alone() {
        let ids = TransactionalIds::new("orders".to_owned(), 0, 1);
        let writer = ProducerIdentity { id: 12, epoch: 3 };
        assert!(ids.looks_after(&again(&ids.id(1), writer)).is_some_and(|id| id.is_again));
        for other in ["orders-1-0-0", "orders-x-0", "orders-0", "orders", "order-0-0", "orders-0-0-again", "orders-0-0-again-x-1"]
        {
            assert_eq!(ids.looks_after(other), None, "{other}");
        }
    }
}
