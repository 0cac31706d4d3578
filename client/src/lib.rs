//! How programs talk to a Weir cluster: [`ClusterClient`] over REST, and [`StreamBuilder`] to make job graphs in Rust.

mod cluster_client;
mod error;
mod stream_builder;

pub use cluster_client::ClusterClient;
pub use error::ClientError;
pub use stream_builder::{Aggregate, Stream, StreamBuilder, WindowSpec};
