//! The table that changes add up to.

use std::collections::{BTreeMap, HashMap};

use weir_protocol::rest::QueryRow;

/// The values of a row.
type Row = Vec<Option<String>>;

/// The rows of a table whose changes arrive one after the other. A row that is updated keeps its place.
#[derive(Debug, Default)]
pub(super) struct FoldedTable {
    rows: BTreeMap<u64, Row>,
    /// Where rows with these values are.
    places: HashMap<Row, Vec<u64>>,
    next: u64,
    /// The place of the row that the next update-after replaces.
    vacant: Option<u64>,
}

impl FoldedTable {
    /// Applies a change. Error: it takes back a row that is not there.
    pub(super) fn apply(&mut self, change: QueryRow) -> Result<(), String> {
        match change.kind.as_str() {
            "-U" => self.vacant = Some(self.remove(&change.fields)?),
            "-D" => {
                self.remove(&change.fields)?;
            }
            kind => {
                let place = self.vacant.take().filter(|_| kind == "+U");
                let place = place.unwrap_or_else(|| {
                    self.next += 1;
                    self.next
                });
                self.places.entry(change.fields.clone()).or_default().push(place);
                self.rows.insert(place, change.fields);
            }
        }
        Ok(())
    }

    fn remove(&mut self, row: &Row) -> Result<u64, String> {
        let unknown = || format!("the query takes back a row that it never gave: {row:?}; this is a bug, please report it");
        let places = self.places.get_mut(row).ok_or_else(unknown)?;
        let place = places.pop().ok_or_else(unknown)?;
        if places.is_empty() {
            self.places.remove(row);
        }
        self.rows.remove(&place);
        Ok(place)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The last `count` rows, in order.
    pub(super) fn last(&self, count: usize) -> Vec<Row> {
        let mut rows: Vec<_> = self.rows.values().rev().take(count).cloned().collect();
        rows.reverse();
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: &str, text: &str) -> QueryRow {
        QueryRow { kind: kind.to_owned(), fields: text.split(' ').map(|field| Some(field.to_owned())).collect() }
    }

    fn shown(table: &FoldedTable) -> Vec<String> {
        table.last(usize::MAX).into_iter().map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn updates_stay_in_place_and_equal_rows_are_counted() {
        let mut table = FoldedTable::default();
        for (kind, text) in
            [("+I", "a 1"), ("+I", "b 1"), ("+I", "b 1"), ("-U", "a 1"), ("+U", "a 2"), ("-D", "b 1"), ("+I", "c 1")]
        {
            table.apply(change(kind, text)).unwrap();
        }
        assert_eq!(shown(&table), ["a 2", "b 1", "c 1"]);
        assert_eq!(table.last(1).len(), 1);
        table.apply(change("-D", "b 1")).unwrap();
        assert!(table.apply(change("-D", "b 1")).unwrap_err().contains("bug"));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn an_update_without_its_former_row_is_a_new_row() {
        let mut table = FoldedTable::default();
        table.apply(change("+U", "a 1")).unwrap();
        table.apply(change("-U", "a 1")).unwrap();
        table.apply(change("+I", "b 1")).unwrap();
        table.apply(change("+U", "a 2")).unwrap();
        assert_eq!(shown(&table), ["b 1", "a 2"]);
    }
}
