//! What a statement changed, for the store of the catalogue.

use serde::{Deserialize, Serialize};

use super::{CatalogObject, MemoryCatalog, ObjectPath};

/// A change of the permanent part of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "change", deny_unknown_fields)]
pub enum CatalogChange {
    /// The database now exists.
    PutDatabase { catalog: String, database: String },
    /// The database no longer exists. Changes for its tables stand before it.
    RemoveDatabase { catalog: String, database: String },
    /// The table or view is now this.
    PutObject { path: ObjectPath, object: CatalogObject },
    /// The table or view no longer exists.
    RemoveObject { path: ObjectPath },
}

/// What a catalogue tells of changes whose outcome is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Made,
    NotMade,
    /// Others have changed the same names since.
    Unclear,
}

/// Whether changes that were decided on the catalogue `before` are in the catalogue `now`. All of them are made at once, or none.
pub fn standing(changes: &[CatalogChange], before: &MemoryCatalog, now: &MemoryCatalog) -> Standing {
    if changes.iter().all(|change| change.is_in(now)) {
        Standing::Made
    } else if changes.iter().all(|change| change.is_as_before(before, now)) {
        Standing::NotMade
    } else {
        Standing::Unclear
    }
}

impl CatalogChange {
    /// Whether the catalogue is as after this change.
    fn is_in(&self, catalog: &MemoryCatalog) -> bool {
        match self {
            Self::PutDatabase { database, .. } => catalog.has_database(database),
            Self::RemoveDatabase { database, .. } => !catalog.has_database(database),
            Self::PutObject { path, object } => catalog.permanent_object(path) == Some(object),
            Self::RemoveObject { path } => catalog.permanent_object(path).is_none(),
        }
    }

    /// Whether what this changes is the same in both catalogues.
    fn is_as_before(&self, before: &MemoryCatalog, now: &MemoryCatalog) -> bool {
        match self {
            Self::PutDatabase { database, .. } | Self::RemoveDatabase { database, .. } => {
                before.has_database(database) == now.has_database(database)
            }
            Self::PutObject { path, .. } | Self::RemoveObject { path } => {
                before.permanent_object(path) == now.permanent_object(path)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::decided;
    use crate::script::split;
    use crate::session::Session;

    /// The session after a script, and the changes of its last statement.
    fn after(session: &Session, script: &str) -> (Session, Vec<CatalogChange>) {
        let mut last = (session.clone(), Vec::new());
        for statement in split(script).unwrap() {
            let decided = decided(last.0, &statement).unwrap_or_else(|error| panic!("{script}: {error}"));
            last = (decided.session, decided.changes);
        }
        last
    }

    #[test]
    fn the_catalogue_tells_whether_changes_of_unknown_outcome_were_made() {
        let before = after(
            &Session::default(),
            "CREATE DATABASE d; CREATE TABLE t (n INT) WITH ('connector' = 'datagen');
             CREATE TABLE d.u (n INT) WITH ('connector' = 'datagen')",
        )
        .0;
        for (statement, of_others) in [
            ("CREATE TABLE x (n INT) WITH ('connector' = 'datagen')", "CREATE VIEW x AS SELECT 1 AS n"),
            ("ALTER TABLE t SET ('number-of-rows' = '1')", "ALTER TABLE t SET ('number-of-rows' = '2')"),
            ("ALTER TABLE t RENAME TO s", "CREATE TABLE s (m INT) WITH ('connector' = 'datagen')"),
            ("DROP TABLE t", "ALTER TABLE t SET ('number-of-rows' = '2')"),
            ("DROP DATABASE d CASCADE", "DROP TABLE d.u"),
        ] {
            let (made, changes) = after(&before, statement);
            assert!(!changes.is_empty(), "{statement}");
            let standing = |now: &Session| standing(&changes, &before.catalog, &now.catalog);
            assert_eq!(standing(&made), Standing::Made, "{statement}");
            assert_eq!(standing(&before), Standing::NotMade, "{statement}");
            let unrelated = "CREATE VIEW unrelated AS SELECT 1 AS n";
            assert_eq!(standing(&after(&made, unrelated).0), Standing::Made, "{statement}");
            assert_eq!(standing(&after(&before, unrelated).0), Standing::NotMade, "{statement}");
            assert_eq!(standing(&after(&before, of_others).0), Standing::Unclear, "{statement}");
        }
        let (made, changes) = after(&before, "CREATE DATABASE e");
        assert_eq!(standing(&changes, &before.catalog, &made.catalog), Standing::Made);
        assert_eq!(standing(&changes, &before.catalog, &before.catalog), Standing::NotMade);
    }

    #[test]
    fn the_written_form_of_changes_stays_readable() {
        let (_, changes) = after(&Session::default(), "CREATE DATABASE d");
        let text = r#"[{"change":"put_database","catalog":"default_catalog","database":"d"}]"#;
        assert_eq!(serde_json::to_string(&changes).unwrap(), text);
        for script in
            ["CREATE VIEW v AS SELECT 1 AS n", "CREATE DATABASE d; DROP DATABASE d", "CREATE VIEW v AS SELECT 1; DROP VIEW v"]
        {
            let (_, changes) = after(&Session::default(), script);
            let text = serde_json::to_string(&changes).unwrap();
            assert_eq!(serde_json::from_str::<Vec<CatalogChange>>(&text).unwrap(), changes, "{text}");
        }
        assert!(serde_json::from_str::<CatalogChange>(&text[1..text.len() - 1].replace("\"d\"", "\"d\",\"more\":1")).is_err());
    }
}
