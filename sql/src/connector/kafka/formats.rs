//! The formats of keys and values, and which columns each of them holds.

use serde_json::{Map, Value, json};

use super::{FORMATS, MESSAGE_FORMATS, list, lower};
use crate::connector::Request;
use crate::connector::format::{Format, option_below};
use crate::script::SqlError;

/// The formats of keys and values.
pub(super) struct Formats<'a> {
    key: Option<Key<'a>>,
    value: Format<'a>,
    value_includes_key: bool,
}

/// How keys are read and written.
struct Key<'a> {
    format: Format<'a>,
    fields: Vec<&'a str>,
    /// What the names of these columns begin with, but not those in messages.
    prefix: &'a str,
}

impl<'a> Formats<'a> {
    /// Those of a table of messages, which need no key. Error: `SQL-OPTION`.
    pub(super) fn of_messages(request: &'a Request<'_>) -> Result<Self, SqlError> {
        let options = &request.options;
        let (prefix, other) = if options.text("value.format").is_some() { ("value.", "") } else { ("", "value.") };
        if options.text("format").is_some() && prefix == "value." {
            return Err(options.invalid("value.format", "and 'format' exclude each other"));
        }
        let value = Format::required(options, &format!("{prefix}format"), prefix)?;
        let key = Key::of_fields(request)?;
        for unused in [Some(other), key.is_none().then_some("key.")].into_iter().flatten() {
            if let Some(option) = option_below(options, unused, MESSAGE_FORMATS) {
                return Err(options.invalid(option, &format!("has no effect: there is no '{unused}format'")));
            }
        }
        Self::new(request, key, value)
    }

    /// Those of a table whose key is its primary key. Errors: `SQL-OPTION`, and `SQL-CATALOG` if it has none.
    pub(super) fn of_upserts(request: &'a Request<'_>) -> Result<Self, SqlError> {
        let fields: Vec<_> = request.table.primary_key.iter().map(String::as_str).collect();
        if fields.is_empty() {
            let message = format!("table {}: connector 'upsert-kafka' needs a PRIMARY KEY", request.path);
            return Err(
                SqlError::new("SQL-CATALOG", message).hint("add PRIMARY KEY (…) NOT ENFORCED; it becomes the key of messages")
            );
        }
        let value = Format::required(&request.options, "value.format", "value.")?;
        let key = Key::new(request, fields, "the primary key")?;
        Self::new(request, Some(key), value)
    }

    fn new(request: &'a Request<'_>, key: Option<Key<'a>>, value: Format<'a>) -> Result<Self, SqlError> {
        let options = &request.options;
        value.refuse_others(MESSAGE_FORMATS)?;
        let value_includes_key = lower(options.text("value.fields-include").unwrap_or("ALL")) == "all";
        if value_includes_key && key.as_ref().is_some_and(|key| !key.prefix.is_empty()) {
            let error = options.invalid("key.fields-prefix", "needs 'value.fields-include' = 'EXCEPT_KEY'");
            return Err(error.hint("the value would have columns with the prefix"));
        }
        Ok(Self { key, value, value_includes_key })
    }

    /// Whether rows are changes.
    pub(super) fn have_changes(&self) -> bool {
        self.value.has_changes()
    }

    /// Whether values that can't be read are NULL.
    pub(super) fn ignore_errors(&self) -> bool {
        self.value.ignores_errors() || self.key.as_ref().is_some_and(|key| key.format.ignores_errors())
    }

    /// The options of the operator.
    pub(super) fn set(
        &self,
        direction: impl Fn(&Format<'a>) -> Result<Map<String, Value>, SqlError>,
    ) -> Result<Map<String, Value>, SqlError> {
        let format = |format: &Format<'a>| {
            let mut set = direction(format)?;
            set.insert("kind".to_owned(), json!(format.name));
            Ok(set)
        };
        let mut set = Map::new();
        if let Some(key) = &self.key {
            let options = json!({"format": format(&key.format)?, "fields": key.fields, "prefix": key.prefix});
            set.insert("key".to_owned(), options);
            set.insert("value_includes_key".to_owned(), json!(self.value_includes_key));
        }
        set.insert("value".to_owned(), json!({"format": format(&self.value)?}));
        Ok(set)
    }
}

impl<'a> Key<'a> {
    /// The key that the option `key.fields` describes. `None` if messages have no keys. Error: `SQL-OPTION`.
    fn of_fields(request: &'a Request<'_>) -> Result<Option<Self>, SqlError> {
        let options = &request.options;
        if options.text("key.format").is_none() {
            return match ["key.fields", "key.fields-prefix"].into_iter().find(|key| options.text(key).is_some()) {
                Some(key) => Err(options.invalid(key, "needs a 'key.format'")),
                None => Ok(None),
            };
        }
        let fields = options.text("key.fields").map(list).unwrap_or_default();
        if fields.is_empty() {
            return Err(options.invalid("key.fields", "is missing").hint("name the columns that the key holds, as in 'a;b'"));
        }
        for (index, field) in fields.iter().enumerate() {
            if !request.stored.iter().any(|stored| stored.name == *field) {
                let names: Vec<_> = request.stored.iter().map(|stored| stored.name.as_str()).collect();
                let error = options.invalid("key.fields", &format!("names '{field}', which is no column that is stored"));
                return Err(error.hint(format!("the stored columns are {}", names.join(", "))));
            }
            if fields[..index].contains(field) {
                return Err(options.invalid("key.fields", &format!("names '{field}' twice")));
            }
        }
        Self::new(request, fields, "'key.fields'").map(Some)
    }

    /// A key of these columns, which `from` names. Error: `SQL-OPTION`.
    fn new(request: &'a Request<'_>, fields: Vec<&'a str>, from: &str) -> Result<Self, SqlError> {
        let options = &request.options;
        let format = Format::required(options, "key.format", "key.")?;
        format.refuse_others(FORMATS)?;
        let prefix = options.text("key.fields-prefix").unwrap_or_default();
        if let Some(field) = fields.iter().find(|field| field.strip_prefix(prefix).is_none_or(str::is_empty)) {
            let why = format!("is '{prefix}', but {from} has '{field}', which is not that and a name");
            return Err(options.invalid("key.fields-prefix", &why));
        }
        Ok(Self { format, fields, prefix })
    }
}
