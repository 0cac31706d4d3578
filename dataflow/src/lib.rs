//! The programming model: what flows, and what operators do with it.
//!
//! Plain synchronous code over Arrow batches. Knows no network, no RPC, no storage and no async runtime: the
//! worker's slot threads drive it, batch by batch.

pub mod chain;
pub mod check;
pub mod codec;
pub mod element;
pub mod key_group;
pub mod operator;
pub mod operators;
pub mod options;
pub mod registry;
pub mod schema;
pub mod source;
pub mod state;
pub mod watermark;
