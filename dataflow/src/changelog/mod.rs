//! Changes of a table: rows with a kind.
//!
//! On an edge that carries changes, the last column says the kind of each row. It is called [`KIND`], and holds Flink's codes. A
//! consumer reads an insert and an update-after as a row that is added, and an update-before and a delete as one that is taken
//! away; only sinks tell updates from inserts and deletes.

mod check;

use arrow_schema::{DataType, Field, Schema};

pub use check::ChangelogCheck;

/// The name of the column with the kind of each row.
pub const KIND: &str = "__kind";

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i8)]
pub enum RowKind {
    /// `+I`: a new row.
    Insert = 0,
    /// `-U`: the row as it was before an update.
    UpdateBefore = 1,
    /// `+U`: the row as it is after an update.
    UpdateAfter = 2,
    /// `-D`: a row that is gone.
    Delete = 3,
}

impl RowKind {
    /// The kind of this code; `None` for a code that does not exist.
    pub fn of(code: i8) -> Option<Self> {
        [Self::Insert, Self::UpdateBefore, Self::UpdateAfter, Self::Delete].into_iter().find(|kind| *kind as i8 == code)
    }

    /// The kind as Flink prints it.
    pub fn short(self) -> &'static str {
        match self {
            Self::Insert => "+I",
            Self::UpdateBefore => "-U",
            Self::UpdateAfter => "+U",
            Self::Delete => "-D",
        }
    }

    /// 1 for a row that is added, -1 for one that is taken away.
    pub fn weight(self) -> i64 {
        match self {
            Self::Insert | Self::UpdateAfter => 1,
            Self::UpdateBefore | Self::Delete => -1,
        }
    }
}

/// The column with the kinds.
pub fn kind_field() -> Field {
    Field::new(KIND, DataType::Int8, false)
}

/// The position of the column with the kinds, if rows of this schema are changes.
pub fn kind_column(schema: &Schema) -> Option<usize> {
    let last = schema.fields().len().checked_sub(1)?;
    (schema.field(last).name() == KIND && schema.field(last).data_type() == &DataType::Int8).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_of_kinds_are_part_of_the_formats() {
        let codes: Vec<_> = (0..4).filter_map(RowKind::of).map(|kind| (kind as i8, kind.short(), kind.weight())).collect();
        assert_eq!(codes, [(0, "+I", 1), (1, "-U", -1), (2, "+U", 1), (3, "-D", -1)]);
        assert_eq!(RowKind::of(4), None);
        assert_eq!(RowKind::of(-1), None);
    }
}
