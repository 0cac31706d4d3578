//! The rows of an answer.

use weir_protocol::job_graph::DataType;

/// The answer to a statement that has rows, such as SHOW TABLES.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultTable {
    pub columns: Vec<ResultColumn>,
    /// One cell for each column, as text in Flink's spelling. `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// A column of a [`ResultTable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultColumn {
    pub name: String,
    pub data_type: DataType,
}

impl ResultColumn {
    /// A column of this name and type.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type }
    }
}

impl ResultTable {
    /// A table without rows, whose columns are all STRING.
    pub fn of_texts(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|name| ResultColumn::new(*name, DataType::String)).collect(), rows: Vec::new() }
    }

    /// The text of a table that holds nothing but one text of several lines, such as the answer to EXPLAIN.
    pub fn lone_text(&self) -> Option<&str> {
        match (self.columns.as_slice(), self.rows.as_slice()) {
            ([_], [row]) => row.first()?.as_deref().filter(|text| text.contains('\n')),
            _ => None,
        }
    }
}
