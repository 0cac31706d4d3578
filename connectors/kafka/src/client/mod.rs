//! A client of Kafka's protocol: connections to brokers, and the requests that the source and the sink need.
//!
//! It exists because no library can end a transaction that another process began (decision 0020). `kafka-protocol` has the
//! messages; connecting, retrying and reading the answers is ours.

mod calls;
mod cluster_view;
mod connection;
mod coordinator;
mod error;
mod fetch;
mod metadata;
mod offsets;
mod patience;
mod runtime;
mod sasl;
mod settings;
mod tls;
mod transactions;

pub(crate) use calls::{BrokerCalls, Call};
pub(crate) use cluster_view::ClusterView;
pub(crate) use connection::Connection;
pub(crate) use coordinator::Coordinator;
pub(crate) use error::{ClientError, describe};
pub(crate) use fetch::{FETCH_VERSIONS, FetchLimits};
pub(crate) use metadata::{Metadata, UNKNOWN_TOPIC_PATIENCE};
pub(crate) use offsets::{OffsetSpec, TopicPartition, commit_offsets, committed_offsets, list_offsets};
pub(crate) use patience::Patience;
pub(crate) use runtime::io_runtime;
pub(crate) use settings::{ClientSettings, Properties, PropertyError};
pub(crate) use tls::{configuration as tls_configuration, is_tls_refusal};
pub(crate) use transactions::{
    DescribedTransaction, EndOutcome, ProducerIdentity, TransactionState, init_idempotent_producer, open_transactions,
};
