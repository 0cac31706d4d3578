//! Which names the newest changes of the catalogue were about. A change that was decided before them conflicts only with those of the
//! same names: a client that reads the catalogue over the network would otherwise never be first among others that change it all the
//! time.

use std::collections::VecDeque;

use weir_sql::catalog::CatalogChange;

/// Changes that are known. One that was decided before the oldest of them is decided again.
const KNOWN: usize = 256;

/// The newest changes under a leader.
#[derive(Debug)]
pub(crate) struct RecentChanges {
    /// The oldest generation after which all changes are known.
    since: u64,
    newest: u64,
    /// The names of each change, and the generation after it.
    known: VecDeque<(u64, Vec<Name>)>,
}

/// A database, or a table or view in it.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    database: String,
    object: Option<String>,
}

impl RecentChanges {
    /// None since this generation.
    pub(crate) fn new(generation: u64) -> Self {
        Self { since: generation, newest: generation, known: VecDeque::new() }
    }

    /// Whether changes that were decided on this generation can still be made: none of their names was changed since.
    pub(crate) fn allow(&self, generation: u64, changes: &[CatalogChange]) -> bool {
        let names: Vec<_> = changes.iter().map(Name::of).collect();
        let meets = |changed: &Name| names.iter().any(|name| name.meets(changed));
        (self.since..=self.newest).contains(&generation)
            && !self.known.iter().any(|(after, changed)| *after > generation && changed.iter().any(meets))
    }

    /// Notes changes that led to this generation.
    pub(crate) fn note(&mut self, generation: u64, changes: &[CatalogChange]) {
        self.known.push_back((generation, changes.iter().map(Name::of).collect()));
        self.newest = generation;
        if self.known.len() > KNOWN
            && let Some((forgotten, _)) = self.known.pop_front()
        {
            self.since = forgotten;
        }
    }
}

impl Name {
    fn of(change: &CatalogChange) -> Self {
        match change {
            CatalogChange::PutDatabase { database, .. } | CatalogChange::RemoveDatabase { database, .. } => {
                Self { database: database.clone(), object: None }
            }
            CatalogChange::PutObject { path, .. } | CatalogChange::RemoveObject { path } => {
                Self { database: path.database.clone(), object: Some(path.name.clone()) }
            }
        }
    }

    /// Whether the names are the same, or one is the database of the other.
    fn meets(&self, other: &Self) -> bool {
        self.database == other.database && (self.object.is_none() || other.object.is_none() || self.object == other.object)
    }
}

#[cfg(test)]
mod tests {
    use weir_sql::catalog::{DEFAULT_CATALOG, ObjectPath};

    use super::*;

    fn table(database: &str, name: &str) -> [CatalogChange; 1] {
        let [catalog, database, name] = [DEFAULT_CATALOG, database, name].map(str::to_owned);
        [CatalogChange::RemoveObject { path: ObjectPath { catalog, database, name } }]
    }

    fn database(database: &str) -> [CatalogChange; 1] {
        [CatalogChange::RemoveDatabase { catalog: DEFAULT_CATALOG.to_owned(), database: database.to_owned() }]
    }

    #[test]
    fn only_changes_of_the_same_names_conflict() {
        let mut recent = RecentChanges::new(3);
        recent.note(5, &table("d", "t"));
        recent.note(6, &database("e"));
        for (changes, on, is_allowed) in [
            (table("d", "t"), 6, true),
            (table("d", "t"), 5, true),
            (table("d", "t"), 3, false),
            (table("d", "u"), 3, true),
            (database("d"), 3, false),
            (database("d"), 5, true),
            (table("e", "t"), 5, false),
            (table("e", "t"), 6, true),
            (table("f", "t"), 3, true),
            (table("f", "t"), 2, false),
            (table("f", "t"), 7, false),
        ] {
            assert_eq!(recent.allow(on, &changes), is_allowed, "{changes:?} on {on}");
        }
    }

    #[test]
    fn what_was_decided_before_the_known_changes_is_decided_again() {
        let mut recent = RecentChanges::new(0);
        for generation in 1..=KNOWN as u64 + 2 {
            recent.note(generation, &table("d", "t"));
        }
        assert_eq!(recent.known.len(), KNOWN);
        assert!(!recent.allow(1, &table("f", "t")) && recent.allow(2, &table("f", "t")));
    }
}
