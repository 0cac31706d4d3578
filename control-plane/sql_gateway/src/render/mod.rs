//! Rows in the forms that clients ask for.

pub(crate) mod text;
