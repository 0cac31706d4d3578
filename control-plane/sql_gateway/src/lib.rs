//! The SQL gateway: sessions, statements and their results over Flink's REST protocol, versions 1 to 4. The leader answers; its
//! coordination store holds sessions and operations, so that they survive it.

mod catalogue;
mod client_catalogue;
mod decide;
mod error;
mod execute;
mod fetch;
mod led;
mod live;
mod page;
mod recent_changes;
mod records;
mod render;
mod rest;
pub mod results;
mod service;
mod sweep;

pub use decide::GraphCheck;
pub use error::GatewayError;
pub use service::{GatewayOptions, SqlGateway};
