//! From a script to statements, and from errors back to places in the script.

mod error;

pub use error::{Place, SqlError};
