//! Changes of a table, folded to the table.

use std::collections::BTreeMap;

use weir_dataflow::changelog::RowKind;

use crate::{Relation, Row};

/// A row that was added or taken away.
pub type Change = (RowKind, Row);

/// The fold of a changelog. It refuses changes that can't follow.
///
/// - **Q2**: a row that is taken away was added before, equal in every value, and is still there.
/// - **Q3**: of a key there is at most one row at a time, if the changelog has a key.
#[derive(Debug, Clone, Default)]
pub struct Changelog {
    rows: Relation,
    /// The columns of the key, if the changelog has one.
    key: Option<Vec<usize>>,
    /// The row of each key that is there.
    of_key: BTreeMap<Row, Row>,
}

impl Changelog {
    /// An empty changelog in which there is one row for each value of these columns, and in which an update-before is followed by its
    /// update-after before anything else happens to the key.
    pub fn keyed(key: Vec<usize>) -> Self {
        Self { key: Some(key), ..Self::default() }
    }

    /// Applies one change. Error: it can't follow the changes so far.
    pub fn apply(&mut self, kind: RowKind, row: Row) -> Result<(), String> {
        self.apply_to_key(kind, &row)?;
        let weight = if matches!(kind, RowKind::Insert | RowKind::UpdateAfter) { 1 } else { -1 };
        let count = self.rows.get(&row).copied().unwrap_or(0) + weight;
        match count {
            0 => self.rows.remove(&row),
            1.. => self.rows.insert(row, count),
            _ => return Err(format!("Q2: {} takes away a row that is not there", shown(kind, &row))),
        };
        Ok(())
    }

    fn apply_to_key(&mut self, kind: RowKind, row: &Row) -> Result<(), String> {
        let Some(key) = &self.key else { return Ok(()) };
        let key: Row = key.iter().map(|column| row[*column].clone()).collect();
        let known = self.of_key.get(&key);
        match (kind, known) {
            (RowKind::Insert | RowKind::UpdateAfter, Some(known)) => {
                Err(format!("Q3: {} while its key has {}", shown(kind, row), shown(RowKind::Insert, known)))
            }
            (RowKind::Insert | RowKind::UpdateAfter, None) => {
                self.of_key.insert(key, row.clone());
                Ok(())
            }
            (_, Some(known)) if known == row => {
                self.of_key.remove(&key);
                Ok(())
            }
            (_, Some(known)) => Err(format!("Q3: {} does not take away {}", shown(kind, row), shown(RowKind::Insert, known))),
            (_, None) => Err(format!("Q3: {} takes away a row of a key that has none", shown(kind, row))),
        }
    }

    /// The rows that are there now.
    pub fn rows(&self) -> &Relation {
        &self.rows
    }
}

fn shown(kind: RowKind, row: &Row) -> String {
    let values: Vec<_> = row.iter().map(ToString::to_string).collect();
    format!("{}[{}]", kind.short(), values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value::Integer;

    fn folded(mut changelog: Changelog, changes: &[(RowKind, i64, i64)]) -> Result<usize, String> {
        for (kind, key, value) in changes {
            changelog.apply(*kind, vec![Integer(*key), Integer(*value)])?;
        }
        Ok(changelog.rows().len())
    }

    #[test]
    fn only_rows_that_are_there_are_taken_away() {
        use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
        let bag = || Changelog::default();
        assert_eq!(folded(bag(), &[(Insert, 1, 1), (Insert, 1, 2), (UpdateBefore, 1, 1), (UpdateAfter, 1, 2)]), Ok(1));
        assert!(folded(bag(), &[(Insert, 1, 1), (Delete, 1, 2)]).unwrap_err().starts_with("Q2"));
        let keyed = || Changelog::keyed(vec![0]);
        assert_eq!(folded(keyed(), &[(Insert, 1, 1), (UpdateBefore, 1, 1), (UpdateAfter, 1, 2), (Insert, 2, 2)]), Ok(2));
        for wrong in [
            &[(Insert, 1, 1), (Insert, 1, 2)][..],
            &[(Insert, 1, 1), (Delete, 1, 2)],
            &[(Delete, 1, 1)],
            &[(Insert, 1, 1), (UpdateAfter, 1, 2)],
        ] {
            assert!(folded(keyed(), wrong).unwrap_err().starts_with("Q3"), "{wrong:?}");
        }
    }
}
