//! Reads an operator's options, with errors that name the option.

use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_protocol::job_graph::OperatorDescriptor;

use crate::operator::OperatorError;

/// The options of one operator, read by their required types. The catalog checks for unknown options.
///
/// Errors: `OPT-MISSING` if a required option is absent, `OPT-TYPE` for a wrong type, `OPT-VALUE` for a value out of range.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    descriptor: &'a OperatorDescriptor,
}

impl<'a> Options<'a> {
    /// Takes the options of `descriptor`.
    pub fn of(descriptor: &'a OperatorDescriptor) -> Self {
        Self { descriptor }
    }

    /// The option's JSON value; null counts as absent.
    pub fn raw(&self, name: &str) -> Option<&'a Value> {
        self.descriptor.options.get(name).filter(|value| !value.is_null())
    }

    /// Reads a required text.
    pub fn string(&self, name: &str) -> Result<&'a str, OperatorError> {
        self.optional_string(name)?.ok_or_else(|| self.missing(name))
    }

    /// Reads a text; `None` if absent.
    pub fn optional_string(&self, name: &str) -> Result<Option<&'a str>, OperatorError> {
        self.read(name, "text", Value::as_str)
    }

    /// Reads true or false; `otherwise` is the default if the option is absent.
    pub fn boolean_or(&self, name: &str, otherwise: bool) -> Result<bool, OperatorError> {
        Ok(self.read(name, "true or false", Value::as_bool)?.unwrap_or(otherwise))
    }

    /// Reads a required whole number, zero or more.
    pub fn unsigned(&self, name: &str) -> Result<u64, OperatorError> {
        self.optional_unsigned(name)?.ok_or_else(|| self.missing(name))
    }

    /// Reads a whole number, zero or more; `None` if absent.
    pub fn optional_unsigned(&self, name: &str) -> Result<Option<u64>, OperatorError> {
        self.read(name, "a whole number, zero or more", Value::as_u64)
    }

    /// Reads a required duration in milliseconds, at least `least` and at most 100 years.
    pub fn millis(&self, name: &str, least: i64) -> Result<i64, OperatorError> {
        self.optional_millis(name, least)?.ok_or_else(|| self.missing(name))
    }

    /// Reads a duration in milliseconds, at least `least` and at most 100 years; `None` if absent.
    pub fn optional_millis(&self, name: &str, least: i64) -> Result<Option<i64>, OperatorError> {
        let Some(value) = self.read(name, "a whole number of milliseconds", Value::as_i64)? else { return Ok(None) };
        // No window needs more than a century, and arithmetic on event time stays far from overflow.
        const MOST: i64 = 100 * 366 * 24 * 3_600_000;
        if value < least || value > MOST {
            return Err(self.out_of_range(name, &format!("must lie between {least} and {MOST} ms, not {value}")));
        }
        Ok(Some(value))
    }

    /// Reads a list of texts; empty if absent.
    pub fn strings(&self, name: &str) -> Result<Vec<String>, OperatorError> {
        Ok(self.parse(name)?.unwrap_or_default())
    }

    /// Deserialises the option's JSON value; `None` if absent.
    pub fn parse<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, OperatorError> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        T::deserialize(value).map(Some).map_err(|e| self.error("OPT-TYPE", name, &e.to_string()))
    }

    /// The error (`OPT-MISSING`) for a required option that is absent.
    pub fn missing(&self, name: &str) -> OperatorError {
        self.error("OPT-MISSING", name, "is required")
    }

    /// The error (`OPT-VALUE`) for an option whose value can't be used.
    pub fn out_of_range(&self, name: &str, why: &str) -> OperatorError {
        self.error("OPT-VALUE", name, why)
    }

    fn read<T>(&self, name: &str, expected: &str, as_type: fn(&'a Value) -> Option<T>) -> Result<Option<T>, OperatorError> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let shown: String = value.to_string().chars().take(64).collect();
        as_type(value).map(Some).ok_or_else(|| self.error("OPT-TYPE", name, &format!("must be {expected}, not {shown}")))
    }

    fn error(&self, code: &'static str, name: &str, what: &str) -> OperatorError {
        OperatorError::fatal(code, format!("option {name:?} of {}: {what}", self.descriptor.kind))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn descriptor(options: Value) -> OperatorDescriptor {
        serde_json::from_value(json!({"kind": "filter", "options": options})).unwrap()
    }

    #[test]
    fn an_error_names_the_operator_the_option_and_the_expected_type() {
        let descriptor = descriptor(json!({"a": 7, "size_ms": 0, "none": null}));
        let options = Options::of(&descriptor);
        assert_eq!(options.string("a").unwrap_err().to_string(), "OPT-TYPE: option \"a\" of filter: must be text, not 7");
        assert_eq!(options.string("b").unwrap_err().code, "OPT-MISSING");
        assert_eq!(options.optional_string("none").unwrap(), None);
        assert_eq!(options.millis("size_ms", 1).unwrap_err().code, "OPT-VALUE");
        assert_eq!(options.strings("a").unwrap_err().code, "OPT-TYPE");
        assert_eq!(options.unsigned("a").unwrap(), 7);
    }
}
