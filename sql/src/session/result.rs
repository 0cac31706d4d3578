//! What a statement gives back.

use weir_protocol::job_graph::DataType;

/// Rows that are known at once.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultTable {
    /// Name and type of each column.
    pub columns: Vec<(String, DataType)>,
    /// The rows. A value is the text that a cast to STRING gives; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

impl ResultTable {
    /// A table with one column of texts.
    pub(crate) fn of_texts(column: &str, texts: impl IntoIterator<Item = String>) -> Self {
        let rows = texts.into_iter().map(|text| vec![Some(text)]).collect();
        Self { columns: vec![(column.to_owned(), DataType::String)], rows }
    }
}

/// The outcome of a statement that concerns only the session.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is done, and there is nothing to show.
    Done,
    /// It shows rows.
    Table(ResultTable),
}
