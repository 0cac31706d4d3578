//! The options of a table, checked against its connector.

use std::cell::RefCell;

use weir_protocol::job_graph::catalog::closest;

use super::Connector;
use super::format::advice;
use crate::OptionValue;
use crate::catalog::{CatalogTable, ObjectPath};
use crate::option;
use crate::script::SqlError;

/// An option of a connector.
#[derive(Debug, Clone, Copy)]
pub struct ConnectorOption {
    /// Its name. `#` stands for the name of a column, or of a part of one, and a `*` at the end for anything.
    pub name: &'static str,
    pub value: OptionValue,
    /// What holds without it, for people; empty if it is required or there is nothing to say.
    pub default: &'static str,
    /// One sentence that says what it does.
    pub doc: &'static str,
    pub effect: Effect,
}

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does what `doc` says.
    Used,
    /// It is taken, but has no effect.
    Ignored,
    /// Only this value is taken, which is the default.
    Only(&'static str),
    /// It is refused, because leaving it out would change the result.
    Refused,
}

/// Options that a table can have below each of these prefixes.
#[derive(Debug, Clone, Copy)]
pub struct OptionGroup {
    /// Each is empty or ends with a point.
    pub prefixes: &'static [&'static str],
    pub options: &'static [ConnectorOption],
}

impl OptionGroup {
    /// Options without a prefix.
    pub(super) const fn plain(options: &'static [ConnectorOption]) -> Self {
        Self { prefixes: &[""], options }
    }

    /// The option that `key` is.
    fn find(&self, key: &str, table: &CatalogTable) -> Option<&'static ConnectorOption> {
        let rests = self.prefixes.iter().filter_map(|prefix| key.strip_prefix(prefix));
        rests.flat_map(|rest| self.options.iter().find(|option| matches(option.name, rest, table))).next()
    }

    /// The names of all options, with their prefixes.
    fn names(&self) -> impl Iterator<Item = String> {
        self.prefixes.iter().flat_map(|prefix| self.options.iter().map(move |option| format!("{prefix}{}", option.name)))
    }
}

/// An option that does what it says.
pub(super) const fn used(name: &'static str, value: OptionValue, default: &'static str, doc: &'static str) -> ConnectorOption {
    ConnectorOption { name, value, default, doc, effect: Effect::Used }
}

/// An option without effect. `doc` says why.
pub(super) const fn ignored(name: &'static str, value: OptionValue, doc: &'static str) -> ConnectorOption {
    ConnectorOption { name, value, default: "", doc, effect: Effect::Ignored }
}

/// An option of which only the default is taken.
pub(super) const fn only(name: &'static str, value: OptionValue, default: &'static str, doc: &'static str) -> ConnectorOption {
    ConnectorOption { name, value, default, doc, effect: Effect::Only(default) }
}

/// An option that Flink has and Weir has not.
pub(super) const fn refused(name: &'static str, doc: &'static str) -> ConnectorOption {
    ConnectorOption { name, value: OptionValue::Text, default: "", doc, effect: Effect::Refused }
}

/// The checked options of a table.
pub(super) struct Options<'a> {
    path: &'a ObjectPath,
    table: &'a CatalogTable,
    notices: RefCell<Vec<String>>,
}

impl<'a> Options<'a> {
    /// Checks every option of the table. Errors: `SQL-OPTION`, `SQL-UNSUPPORTED`.
    pub(super) fn check(path: &'a ObjectPath, table: &'a CatalogTable, connector: &Connector) -> Result<Self, SqlError> {
        let checked = Self { path, table, notices: RefCell::default() };
        for (key, value) in table.options.iter().filter(|(key, _)| *key != "connector") {
            let Some(option) = connector.options.iter().find_map(|group| group.find(key, table)) else {
                return Err(checked.unknown(key, connector));
            };
            if !option.value.accepts(value) {
                let error = checked.invalid(key, &format!("is '{value}'; it must be {}", option.value.expects()));
                let advice = advice(value).filter(|_| option.name.ends_with("format"));
                return Err(advice.map_or_else(|| error.clone(), |advice| error.clone().hint(advice)));
            }
            match option.effect {
                Effect::Used => {}
                Effect::Only(default) if value.trim().eq_ignore_ascii_case(default) => {}
                Effect::Only(default) => {
                    let error =
                        SqlError::unsupported(format!("option '{key}' of table {path} with another value than '{default}'"));
                    return Err(error.hint(option.doc));
                }
                Effect::Refused => return Err(SqlError::unsupported(format!("option '{key}' of table {path}")).hint(option.doc)),
                Effect::Ignored => checked.notice(format!("table {path}: option '{key}' has no effect. {}", option.doc)),
            }
        }
        Ok(checked)
    }

    fn unknown(&self, key: &str, connector: &Connector) -> SqlError {
        let error =
            SqlError::new("SQL-OPTION", format!("table {}: connector '{}' has no option '{key}'", self.path, connector.name));
        // Options of columns are compared with the name of their column.
        let column = key.split('.').nth(1).unwrap_or_default();
        let names: Vec<_> = connector.options.iter().flat_map(OptionGroup::names).map(|name| name.replace('#', column)).collect();
        match closest(key, names.iter().map(String::as_str)) {
            Some(other) => error.hint(format!("did you mean '{other}'?")),
            None => {
                let options = connector.options.iter().flat_map(|group| group.options);
                let names: Vec<_> = options.filter(|option| option.effect == Effect::Used).map(|option| option.name).collect();
                error.hint(format!("its options are {}", names.join(", ")))
            }
        }
    }

    /// The error that an option's value is not usable.
    pub(super) fn invalid(&self, key: &str, why: &str) -> SqlError {
        SqlError::new("SQL-OPTION", format!("table {}: option '{key}' {why}", self.path))
    }

    /// Adds something that a user should know.
    pub(super) fn notice(&self, text: String) {
        self.notices.borrow_mut().push(text);
    }

    pub(super) fn take_notices(&self) -> Vec<String> {
        self.notices.take()
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.table.options.get(key).map(String::as_str)
    }

    /// The names of the options that are given.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.table.options.keys().map(String::as_str)
    }

    /// The value of a required option.
    pub(super) fn required(&self, key: &str) -> Result<&str, SqlError> {
        self.text(key).ok_or_else(|| self.invalid(key, "is missing").hint(format!("add '{key}' = '…' to WITH")))
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.text(key).and_then(option::flag).unwrap_or_default()
    }

    pub(super) fn integer(&self, key: &str) -> Option<i64> {
        self.text(key).and_then(|text| text.trim().parse().ok())
    }
}

/// Whether a place is the column of this name, or a part of it such as `column.element`.
fn begins_with(place: &str, column: &str) -> bool {
    place.strip_prefix(column).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether `key` is the option of this name.
fn matches(name: &str, key: &str, table: &CatalogTable) -> bool {
    if let Some(prefix) = name.strip_suffix('*') {
        return key.starts_with(prefix);
    }
    match name.split_once('#') {
        None => name == key,
        Some((before, after)) => key
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|place| table.columns.iter().any(|known| begins_with(place, &known.name))),
    }
}
