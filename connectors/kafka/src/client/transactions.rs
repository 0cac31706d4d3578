//! Requests about transactions. Every one may be sent by another process than the one that wrote.
//!
//! Only the newer protocol of Kafka 4 is used (KIP-890, `transaction.version` 2): each transaction has an epoch of its own there, so a
//! repeated commit never meets a later transaction.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, EndTxnRequest, InitProducerIdRequest, ListTransactionsRequest,
    TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::metadata::ask_any;
use super::settings::ClientSettings;
use super::{ClientError, Connection, Coordinator, Metadata};

/// How a cluster knows a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ProducerIdentity {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// What a coordinator said when a transaction was to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndOutcome {
    /// It has ended as wanted, now or before. The identity is for the next transaction.
    Ended(ProducerIdentity),
    /// It has ended otherwise: the broker timed it out.
    EndedOtherwise,
    /// A newer writer of the same transactional id has come since. What it found open it has aborted.
    Superseded,
    /// The cluster does not know the transactional id, or not with this producer.
    Unknown,
}

/// How a transactional id stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DescribedTransaction {
    /// The newest writer; `None` if the id was never used, or not for days.
    pub(crate) writer: Option<ProducerIdentity>,
    pub(crate) state: TransactionState,
}

/// The state of a transactional id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionState {
    /// The last transaction was committed, and no writer has asked for the id since.
    Committed,
    /// There is a transaction that has not ended.
    Open,
    /// Neither: the newest writer has written nothing, or what it wrote was aborted.
    None,
}

/// The feature that finalizes the newer protocol.
const FEATURE: &str = "transaction.version";

impl Coordinator {
    /// Gets an identity for new transactions of the coordinator's transactional id. What is open under that id is aborted, and
    /// writers with older identities are refused from now on.
    pub(crate) async fn init_producer(&mut self, timeout_ms: u32, deadline: Instant) -> Result<ProducerIdentity, ClientError> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.transactional_id()))
            .with_transaction_timeout_ms(timeout_ms.min(i32::MAX as u32) as i32)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let answer = self.call((4, 5), &request, deadline, |answer| answer.error_code).await?;
        if answer.error_code != 0 {
            return Err(ClientError::refused(format!("InitProducerId for {:?}", self.key()), answer.error_code));
        }
        if self.feature(FEATURE).is_some_and(|level| level < 2) {
            return Err(ClientError::Protocol {
                address: self.key().to_owned(),
                reason: format!(
                    "exactly-once needs a cluster with the feature {FEATURE} 2 (Kafka 4.0 and later; upgraded clusters: \
                     kafka-features.sh upgrade --feature {FEATURE}=2); or choose the guarantee at-least-once"
                ),
            });
        }
        Ok(ProducerIdentity { id: answer.producer_id.0, epoch: answer.producer_epoch })
    }

    /// Commits or aborts the transaction of a writer. May be repeated.
    pub(crate) async fn end_transaction(
        &mut self,
        writer: ProducerIdentity,
        commit: bool,
        deadline: Instant,
    ) -> Result<EndOutcome, ClientError> {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(writer.id.into())
            .with_producer_epoch(writer.epoch)
            .with_committed(commit);
        let answer = self.call((5, 5), &request, deadline, |answer| answer.error_code).await?;
        Ok(match ResponseError::try_from_code(answer.error_code) {
            None => EndOutcome::Ended(ProducerIdentity { id: answer.producer_id.0, epoch: answer.producer_epoch }),
            Some(ResponseError::InvalidTxnState) => EndOutcome::EndedOtherwise,
            Some(ResponseError::ProducerFenced | ResponseError::InvalidProducerEpoch) => EndOutcome::Superseded,
            Some(ResponseError::InvalidProducerIdMapping | ResponseError::TransactionalIdNotFound) => EndOutcome::Unknown,
            Some(_) => return Err(ClientError::refused(format!("EndTxn for {:?}", self.key()), answer.error_code)),
        })
    }

    /// How the coordinator's transactional id stands.
    pub(crate) async fn describe_transaction(&mut self, deadline: Instant) -> Result<DescribedTransaction, ClientError> {
        let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![self.transactional_id()]);
        let code = |answer: &DescribeTransactionsResponse| answer.transaction_states.first().map_or(0, |state| state.error_code);
        let answer = self.call((0, 0), &request, deadline, code).await?;
        let never = DescribedTransaction { writer: None, state: TransactionState::None };
        match ResponseError::try_from_code(code(&answer)) {
            None => {}
            Some(ResponseError::TransactionalIdNotFound) => return Ok(never),
            Some(_) => return Err(ClientError::refused(format!("the transaction of {:?}", self.key()), code(&answer))),
        }
        let Some(found) = answer.transaction_states.first() else { return Ok(never) };
        let state = match found.transaction_state.as_str() {
            // Once the decision is in the coordinator's log, the transaction is committed, though readers may not see it yet.
            "PrepareCommit" | "CompleteCommit" => TransactionState::Committed,
            "Empty" | "CompleteAbort" | "Dead" => TransactionState::None,
            _ => TransactionState::Open,
        };
        let writer = ProducerIdentity { id: found.producer_id.0, epoch: found.producer_epoch };
        Ok(DescribedTransaction { writer: Some(writer), state })
    }

    fn transactional_id(&self) -> TransactionalId {
        StrBytes::from_string(self.key().to_owned()).into()
    }
}

/// Gets an identity for a writer without transactions, so that brokers can tell a repeated batch.
pub(crate) async fn init_idempotent_producer(settings: &ClientSettings) -> Result<ProducerIdentity, ClientError> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let answer = ask_any(settings, &Metadata::default(), (4, 5), &request).await?;
    match answer.error_code {
        0 => Ok(ProducerIdentity { id: answer.producer_id.0, epoch: answer.producer_epoch }),
        code => Err(ClientError::refused("InitProducerId", code)),
    }
}

/// The transactional ids that begin with `prefix` and have a transaction about whose end nothing is decided. All brokers are asked, because each knows only those that it coordinates; if one can't be asked, that is an error.
pub(crate) async fn open_transactions(settings: &ClientSettings, prefix: &str) -> Result<Vec<String>, ClientError> {
    let metadata = Metadata::ask(settings, &Metadata::default(), &[]).await?;
    let request = ListTransactionsRequest::default().with_state_filters(vec![StrBytes::from_static_str("Ongoing")]);
    let mut found = Vec::new();
    for address in metadata.brokers.values() {
        let mut connection = Connection::open(settings, address).await?;
        let answer = connection.call((0, 0), &request).await?;
        if answer.error_code != 0 {
            return Err(ClientError::refused("ListTransactions", answer.error_code));
        }
        let ids = answer.transaction_states.into_iter().map(|state| state.transactional_id.to_string());
        found.extend(ids.filter(|id| id.starts_with(prefix)));
    }
    Ok(found)
}
