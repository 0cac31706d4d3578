//! The paths of the gateway.

pub(crate) mod queries;
