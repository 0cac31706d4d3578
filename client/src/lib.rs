//! Client library of Weir: [`ClusterClient`] calls a cluster over REST, [`StreamBuilder`] builds job graphs in Rust,
//! [`sql_client`] runs SQL statements.

mod cluster_client;
mod error;
mod outage;
pub mod sql_client;
mod stream_builder;

pub use cluster_client::ClusterClient;
pub use error::ClientError;
pub use stream_builder::{Aggregate, EventTimes, FileSink, OnMissing, Stream, StreamBuilder, WindowSpec};
