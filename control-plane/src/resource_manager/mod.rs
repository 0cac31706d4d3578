//! The ResourceManager: which TaskManagers there are, and which job may use which of their slots.

pub mod gateway;
