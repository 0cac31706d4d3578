//! The SQL gateway: sessions, statements and their results over Flink's REST protocol, versions 1 to 4. The leader answers; its
//! coordination store holds sessions and operations, so that they survive it.

mod error;
mod render;
mod rest;
pub mod results;
mod service;

pub use error::GatewayError;
pub use service::SqlGateway;
