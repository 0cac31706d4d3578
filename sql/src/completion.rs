//! What may stand at a place in a statement: the words and names that an editor offers.

use crate::catalog::{Catalog, CatalogObject, ObjectPath};
use crate::session::{OPTIONS, Session, function_names};

/// The words that begin and join clauses. Names are offered beside them.
const KEYWORDS: [&str; 105] = [
    "ALTER",
    "AND",
    "ARRAY",
    "AS",
    "ASC",
    "BEGIN",
    "BETWEEN",
    "BIGINT",
    "BOOLEAN",
    "BY",
    "BYTES",
    "CASE",
    "CAST",
    "CATALOG",
    "CATALOGS",
    "CHANGELOG_MODE",
    "COLUMNS",
    "COMMENT",
    "CREATE",
    "CURRENT",
    "DATABASE",
    "DATABASES",
    "DATE",
    "DAY",
    "DECIMAL",
    "DESC",
    "DESCRIBE",
    "DESCRIPTOR",
    "DISTINCT",
    "DOUBLE",
    "DRAIN",
    "DROP",
    "ELSE",
    "END",
    "ENFORCED",
    "EXECUTE",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FILTER",
    "FLOAT",
    "FOR",
    "FROM",
    "FUNCTIONS",
    "GROUP",
    "HAVING",
    "HOP",
    "HOUR",
    "IF",
    "IN",
    "INSERT",
    "INT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOB",
    "JOBS",
    "KEY",
    "LIKE",
    "LIMIT",
    "MAP",
    "METADATA",
    "MINUTE",
    "MONTH",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "PARTITIONED",
    "PLAN",
    "PRIMARY",
    "RESET",
    "ROW",
    "SAVEPOINT",
    "SECOND",
    "SELECT",
    "SET",
    "SHOW",
    "SMALLINT",
    "STATEMENT",
    "STOP",
    "STRING",
    "TABLE",
    "TABLES",
    "TEMPORARY",
    "THEN",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "TINYINT",
    "TRUE",
    "TRY_CAST",
    "TUMBLE",
    "UNION",
    "USE",
    "VALUES",
    "VARCHAR",
    "VIEW",
    "VIEWS",
    "WATERMARK",
    "WHEN",
    "WHERE",
    "WITH",
    "YEAR",
];

/// The words after which the name of a table follows.
const BEFORE_TABLE: [&str; 9] = ["FROM", "JOIN", "INTO", "TABLE", "VIEW", "DESCRIBE", "DESC", "EXISTS", "COLUMNS"];

/// The names that the session knows now.
#[derive(Debug, Default, Clone)]
pub struct Names {
    /// Tables and views of the current database, each with the names of its columns.
    pub tables: Vec<(String, Vec<String>)>,
    /// Functions, in upper case.
    pub functions: Vec<String>,
    /// Commands of the caller, which stand alone.
    pub commands: Vec<String>,
    /// Options of SET.
    pub options: Vec<String>,
}

impl Names {
    /// The names that a session knows now, without commands.
    pub fn of(session: &Session) -> Self {
        Self {
            tables: tables(session),
            functions: function_names().into_iter().map(str::to_uppercase).collect(),
            commands: Vec::new(),
            options: OPTIONS.iter().map(|option| option.name.to_owned()).collect(),
        }
    }
}

/// The tables and views of the session's current database, each with the names of its columns as far as they are written down.
pub fn tables(session: &Session) -> Vec<(String, Vec<String>)> {
    let catalog = &session.catalog;
    let (current, database) = catalog.current();
    let columns = |name: &str| {
        let path = ObjectPath { catalog: current.to_owned(), database: database.to_owned(), name: name.to_owned() };
        match catalog.object(&path) {
            Some(CatalogObject::Table(table)) => table.columns.iter().map(|column| column.name.clone()).collect(),
            Some(CatalogObject::View(view)) => view.columns.clone(),
            None => Vec::new(),
        }
    };
    catalog.names(current, database).into_iter().map(|name| (name.clone(), columns(&name))).collect()
}

/// What may stand before the cursor: where the word begins, in bytes, and the words that it can become.
pub fn complete(before: &str, names: &Names) -> (usize, Vec<String>) {
    let statement_start = before.rfind(';').map_or(0, |at| at + 1);
    let statement = &before[statement_start..];
    let names_option = statement.split_whitespace().next().is_some_and(|word| is_first_of(&[word], &["SET", "RESET"]));
    let belongs = |c: char| is_name(c) || c == '.' || (names_option && c == '-');
    let word_start = before.rfind(|c: char| !belongs(c)).map_or(0, |at| at + next_length(before, at));
    let word_start = word_start.max(statement_start);
    let earlier: Vec<&str> =
        before[statement_start..word_start].split(|c: char| !is_name(c)).filter(|word| !word.is_empty()).collect();
    let is = |n: usize, expected: &str| {
        earlier.len().checked_sub(n).and_then(|at| earlier.get(at)).is_some_and(|word| word.eq_ignore_ascii_case(expected))
    };

    // The name of an option, in quotes or without.
    if names_option && earlier.len() == 1 && !before[statement_start..word_start].contains('=') {
        let quoted = before[..word_start].ends_with('\'');
        let candidates = starting(&before[word_start..], names.options.iter().map(String::as_str));
        let value = if is_first_of(&earlier, &["SET"]) { "' = '" } else { "'" };
        let open = if quoted { "" } else { "'" };
        return (word_start, candidates.into_iter().map(|name| format!("{open}{name}{value}")).collect());
    }
    // Nothing is known of other texts.
    if statement.matches('\'').count() % 2 == 1 {
        return (before.len(), Vec::new());
    }
    let word = &before[word_start..];
    if let Some((table, column)) = word.rsplit_once('.') {
        let start = before.len() - column.len();
        let columns =
            names.tables.iter().filter(|(name, _)| same(name, table)).flat_map(|(_, columns)| columns.iter().map(String::as_str));
        return (start, starting(column, columns).into_iter().map(|name| quoted(&name)).collect());
    }
    let quote = before[..word_start].ends_with('`');
    let tables = || starting(word, names.tables.iter().map(|(name, _)| name.as_str()));
    if quote || BEFORE_TABLE.iter().any(|keyword| is(1, keyword)) {
        let mut candidates: Vec<_> =
            tables().into_iter().map(|name| if quote { format!("{name}`") } else { quoted(&name) }).collect();
        if is(1, "TABLE") || is(1, "VIEW") {
            candidates.extend(keywords(word).into_iter().filter(|word| word.trim_end().eq_ignore_ascii_case("IF")));
        }
        return (word_start, candidates);
    }
    let mut candidates = Vec::new();
    if !earlier.is_empty() {
        let mut columns: Vec<&str> = names.tables.iter().flat_map(|(_, columns)| columns.iter().map(String::as_str)).collect();
        columns.sort_unstable();
        columns.dedup();
        candidates.extend(starting(word, columns).into_iter().map(|name| quoted(&name)));
        // Without a letter, there would be more than anyone reads.
        if !word.is_empty() {
            candidates.extend(functions(word, names));
            candidates.extend(tables().into_iter().map(|name| quoted(&name)));
        }
    } else {
        candidates
            .extend(starting(word, names.commands.iter().map(String::as_str)).into_iter().map(|command| format!("{command};")));
    }
    if !word.is_empty() || earlier.is_empty() {
        candidates.extend(keywords(word));
    }
    (word_start, candidates)
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}

/// The length of the character at this place, in bytes.
fn next_length(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(1, char::len_utf8)
}

fn is_first_of(words: &[&str], expected: &[&str]) -> bool {
    words.first().is_some_and(|word| expected.iter().any(|expected| word.eq_ignore_ascii_case(expected)))
}

fn same(name: &str, written: &str) -> bool {
    name == written.rsplit('.').next().unwrap_or(written).trim_matches('`')
}

/// The names that begin as the word does, whatever the case.
fn starting<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let begins = |name: &&str| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    names.into_iter().filter(begins).map(str::to_owned).collect()
}

/// The keywords that begin as the word does, in its case. A space follows each.
fn keywords(word: &str) -> Vec<String> {
    starting(word, KEYWORDS).into_iter().map(|keyword| format!("{} ", in_case_of(word, keyword))).collect()
}

fn functions(word: &str, names: &Names) -> Vec<String> {
    let call = |name: String| format!("{}(", in_case_of(word, name));
    starting(word, names.functions.iter().map(String::as_str)).into_iter().map(call).collect()
}

fn in_case_of(word: &str, candidate: String) -> String {
    if word.chars().any(char::is_lowercase) { candidate.to_lowercase() } else { candidate }
}

/// The name, in backticks if it needs them.
fn quoted(name: &str) -> String {
    let is_plain =
        name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let is_keyword = KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(name));
    if is_plain && !is_keyword { name.to_owned() } else { format!("`{}`", name.replace('`', "``")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let table = |name: &str, columns: &[&str]| (name.to_owned(), columns.iter().map(|column| (*column).to_owned()).collect());
        Names {
            tables: vec![table("flights", &["origin", "dep_delay", "date"]), table("hourly", &["origin", "departures"])],
            functions: ["UPPER", "DATE_FORMAT"].map(str::to_owned).to_vec(),
            commands: vec!["quit".to_owned()],
            options: ["table.dml-sync", "table.local-time-zone", "parallelism.default"].map(str::to_owned).to_vec(),
        }
    }

    fn completed(before: &str) -> Vec<String> {
        let (start, candidates) = complete(before, &names());
        candidates.into_iter().map(|candidate| format!("{}{candidate}", &before[..start])).collect()
    }

    #[test]
    fn tables_follow_the_words_that_name_them() {
        assert_eq!(completed("SELECT * FROM f"), ["SELECT * FROM flights"]);
        assert_eq!(completed("insert into "), ["insert into flights", "insert into hourly"]);
        assert_eq!(completed("DROP TABLE I"), ["DROP TABLE IF "]);
        assert_eq!(completed("SELECT 1; DESCRIBE ho"), ["SELECT 1; DESCRIBE hourly"]);
        assert_eq!(completed("SELECT * FROM `fl"), ["SELECT * FROM `flights`"]);
    }

    #[test]
    fn columns_are_offered_of_all_tables_or_of_the_one_that_is_named() {
        assert_eq!(completed("SELECT ori"), ["SELECT origin"]);
        assert_eq!(completed("SELECT hourly.d"), ["SELECT hourly.departures"]);
        assert_eq!(completed("SELECT flights.da"), ["SELECT flights.`date`"]);
        assert_eq!(completed("SELECT nothing.d"), [""; 0]);
    }

    #[test]
    fn keywords_and_functions_take_the_case_of_what_was_typed() {
        assert_eq!(completed("sel"), ["select "]);
        assert_eq!(completed("SELECT upp"), ["SELECT upper("]);
        assert_eq!(completed("SELECT DATE_"), ["SELECT DATE_FORMAT("]);
    }

    #[test]
    fn options_are_offered_in_their_quotes() {
        assert_eq!(completed("SET par"), ["SET 'parallelism.default' = '"]);
        assert_eq!(completed("SET 'table.d"), ["SET 'table.dml-sync' = '"]);
        assert_eq!(completed("reset 'table.local-"), ["reset 'table.local-time-zone'"]);
        assert_eq!(completed("SET 'table.dml-sync' = 't"), [""; 0]);
    }

    #[test]
    fn nothing_is_offered_inside_other_texts() {
        assert_eq!(completed("SELECT 'sel"), [""; 0]);
        assert_eq!(completed("CREATE TABLE t (a INT) WITH ('conn"), [""; 0]);
    }

    #[test]
    fn any_text_before_the_cursor_is_taken() {
        for text in ["", ";", "'", "`", ".", "é", "SELECT é.", "東京 ", "SET '", "a.b.c."] {
            let (start, _) = complete(text, &names());
            assert!(text.is_char_boundary(start), "{text:?}");
        }
    }
}
