//! Checks the invariants of changes on one edge.

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{ArrayRef, RecordBatch};

use super::{RowKind, kind_column};
use crate::operator::OperatorError;
use crate::state::RowFormat;

/// Remembers the rows of an edge, and refuses a change that can't follow.
///
/// - **Q2**: every row that is taken away was added, equal in every byte, and not taken away yet.
/// - **Q4**: an update-before is followed by its update-after in the same batch, with nothing of the same key between, if both are
///   emitted. This holds only where the edge keeps the order of changes: behind an exchange by other columns a pair may part.
pub struct ChangelogCheck {
    format: RowFormat,
    live: HashMap<Vec<u8>, i64>,
    pairs_stay_together: bool,
}

impl ChangelogCheck {
    /// A check for rows of these column types, the kind not among them. Error: `SCHEMA-TYPE` for a type that state can't hold.
    pub fn new(types: Vec<arrow_schema::DataType>, pairs_stay_together: bool) -> Result<Self, OperatorError> {
        Ok(Self { format: RowFormat::of_values(types)?, live: HashMap::new(), pairs_stay_together })
    }

    /// Takes the next batch. Rows without a kind are inserts. Error: `CHANGELOG` with the invariant that does not hold.
    pub fn observe(&mut self, batch: &RecordBatch) -> Result<(), OperatorError> {
        let kind = kind_column(&batch.schema());
        let columns: Vec<ArrayRef> = batch.columns()[..kind.unwrap_or(batch.num_columns())].to_vec();
        let rows = self.format.encode(&columns, batch.num_rows());
        let mut before = false;
        for index in 0..batch.num_rows() {
            let code = kind.map_or(0, |kind| batch.column(kind).as_primitive::<Int8Type>().value(index));
            let Some(kind) = RowKind::of(code) else { return Err(broken(&format!("row {index} has the kind {code}"))) };
            if self.pairs_stay_together && before && kind != RowKind::UpdateAfter {
                return Err(broken(&format!("Q4: row {index} follows an update-before and is {}", kind.short())));
            }
            before = kind == RowKind::UpdateBefore;
            let live = self.live.entry(rows.row(index).to_vec()).or_insert(0);
            *live += kind.weight();
            match *live {
                0 => {
                    self.live.remove(rows.row(index));
                }
                count if count < 0 => {
                    return Err(broken(&format!("Q2: row {index} ({}) takes away a row that is not there", kind.short())));
                }
                _ => {}
            }
        }
        if self.pairs_stay_together && before {
            return Err(broken("Q4: the batch ends with an update-before"));
        }
        Ok(())
    }

    /// The rows that are there now, encoded, with their number.
    pub fn live(&self) -> &HashMap<Vec<u8>, i64> {
        &self.live
    }
}

fn broken(what: &str) -> OperatorError {
    OperatorError::fatal("CHANGELOG", what.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int8Array, Int64Array};
    use arrow_schema::{DataType, Field, Schema};

    use super::*;
    use crate::changelog::kind_field;

    fn changes(rows: &[(i64, i8)]) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, false), kind_field()]);
        let values = Int64Array::from_iter_values(rows.iter().map(|(value, _)| *value));
        let kinds = Int8Array::from_iter_values(rows.iter().map(|(_, kind)| *kind));
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(values), Arc::new(kinds)]).unwrap()
    }

    fn check(batches: &[&[(i64, i8)]]) -> Result<usize, String> {
        let mut check = ChangelogCheck::new(vec![DataType::Int64], true).unwrap();
        for batch in batches {
            check.observe(&changes(batch)).map_err(|error| error.message)?;
        }
        Ok(check.live().len())
    }

    #[test]
    fn only_rows_that_are_there_can_be_taken_away() {
        assert_eq!(check(&[&[(1, 0), (2, 0)], &[(1, 1), (3, 2)], &[(2, 3)]]), Ok(1));
        assert!(check(&[&[(1, 0)], &[(2, 3)]]).unwrap_err().starts_with("Q2"));
        assert!(check(&[&[(1, 0), (1, 3), (1, 3)]]).unwrap_err().starts_with("Q2"));
        assert!(check(&[&[(1, 9)]]).unwrap_err().contains("kind 9"));
    }

    #[test]
    fn the_two_rows_of_an_update_stay_together() {
        assert!(check(&[&[(1, 0)], &[(1, 1), (2, 0)]]).unwrap_err().starts_with("Q4"));
        assert!(check(&[&[(1, 0)], &[(1, 1)]]).unwrap_err().starts_with("Q4"));
    }
}
