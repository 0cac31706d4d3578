//! The programming model: the elements of a stream, and the operators that process them.
//!
//! Plain synchronous code over Arrow batches, without network, RPC, storage or async runtime. The worker's slot threads call it
//! for each batch.

pub mod calendar;
pub mod chain;
pub mod check;
pub mod codec;
pub mod element;
pub mod functions;
pub mod key_group;
pub mod operator;
pub mod operators;
pub mod options;
pub mod program;
pub mod registry;
pub mod schema;
pub mod source;
pub mod state;
pub mod watermark;
