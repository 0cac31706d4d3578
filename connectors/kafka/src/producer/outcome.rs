//! What a broker's answer to a batch means.

use kafka_protocol::ResponseError;
use weir_dataflow::operator::OperatorError;

use crate::client::describe;

/// What to do about a batch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is in the log.
    Done,
    /// Send the same bytes again.
    Again {
        /// Whether another broker may lead the partition by now.
        moved: bool,
    },
    Failed(OperatorError),
}

/// Decides by the error code of a partition in the answer to Produce.
pub(super) fn of_code(topic: &str, partition: usize, code: i16) -> Outcome {
    use ResponseError as R;
    let place = format!("{topic}-{partition}");
    match ResponseError::try_from_code(code) {
        None => Outcome::Done,
        // A coordinator that is busy adding another partition to the transaction is reported as too few replicas.
        Some(R::NotEnoughReplicas | R::NotEnoughReplicasAfterAppend | R::RequestTimedOut | R::ConcurrentTransactions) => {
            Outcome::Again { moved: false }
        }
        Some(R::CoordinatorNotAvailable | R::NotCoordinator | R::CoordinatorLoadInProgress | R::ThrottlingQuotaExceeded) => {
            Outcome::Again { moved: false }
        }
        Some(
            R::NotLeaderOrFollower
            | R::LeaderNotAvailable
            | R::UnknownTopicOrPartition
            | R::NetworkException
            | R::FencedLeaderEpoch
            | R::UnknownLeaderEpoch
            | R::KafkaStorageError
            | R::ReplicaNotAvailable
            | R::BrokerNotAvailable,
        ) => Outcome::Again { moved: true },
        // A newer attempt has taken over, or the broker has ended the transaction. A restart finds out which.
        Some(
            R::InvalidProducerEpoch
            | R::ProducerFenced
            | R::InvalidTxnState
            | R::InvalidProducerIdMapping
            | R::TransactionAbortable
            | R::TransactionCoordinatorFenced
            | R::OutOfOrderSequenceNumber
            | R::UnknownProducerId
            | R::DuplicateSequenceNumber,
        ) => Outcome::Failed(OperatorError::retryable(
            "KAFKA-WRITER",
            format!("sink.kafka: {place}: the broker does not take records of this writer any more: {}", describe(code)),
        )),
        Some(R::MessageTooLarge | R::RecordListTooLarge) => Outcome::Failed(OperatorError::fatal(
            "KAFKA-TOO-LARGE",
            format!(
                "sink.kafka: {place}: a batch has more bytes than the topic's max.message.bytes; raise that, or set the property \
                 batch.size (now at most that many bytes before compression) lower"
            ),
        )),
        Some(error) => Outcome::Failed(OperatorError {
            code: "KAFKA-REFUSED",
            message: format!("sink.kafka: {place}: {}", describe(code)),
            retryable: error.is_retriable(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_counts_as_success() {
        for code in (-1..200).filter(|code| *code != 0) {
            assert!(!matches!(of_code("t", 0, code), Outcome::Done), "{code}");
        }
        assert!(matches!(of_code("t", 0, 0), Outcome::Done));
    }

    #[test]
    fn a_writer_that_was_replaced_restarts_and_a_batch_that_is_too_large_fails() {
        let failure = |code: ResponseError| match of_code("t", 0, code.code()) {
            Outcome::Failed(error) => error,
            other => panic!("{other:?}"),
        };
        assert!(failure(ResponseError::ProducerFenced).retryable);
        assert!(!failure(ResponseError::MessageTooLarge).retryable);
        assert!(!failure(ResponseError::TopicAuthorizationFailed).retryable);
    }
}
