//! From a script to statements, and from errors back to places in the script.

mod error;
pub(crate) mod limits;
mod split;

pub use error::{Place, SqlError};
pub use split::{ScriptStatement, split};
pub(crate) use split::{ScriptToken, end_of, fragment};

#[cfg(test)]
mod tests;
