//! The signature of keys and aggregates: saved state must have the same one as the operator that restores it.

use super::Layout;
use crate::operator::OperatorError;

/// The parts of a signature, each in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::operators) struct NamedSignature {
    pub(in crate::operators) window: String,
    pub(in crate::operators) keys: Vec<String>,
    pub(in crate::operators) aggregates: Vec<String>,
}

impl NamedSignature {
    /// The form that is saved. Parts are separated by characters that no part contains.
    pub(in crate::operators) fn text(&self) -> String {
        format!("{}\u{1e}{}\u{1e}{}", self.window, self.keys.join("\u{1f}"), self.aggregates.join("\u{1f}"))
    }

    pub(in crate::operators) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('\u{1e}');
        let list = |part: &str| if part.is_empty() { Vec::new() } else { part.split('\u{1f}').map(str::to_owned).collect() };
        let (window, keys, aggregates) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { window: window.to_owned(), keys: list(keys), aggregates: list(aggregates) })
    }

    /// The error for state of another signature.
    ///
    /// `first` says what the first part is.
    pub(in crate::operators) fn refuse(&self, saved: &Self, first: &str) -> OperatorError {
        let list = |items: &[String]| format!("[{}]", items.join(", "));
        let (what, was, is) = if self.window != saved.window {
            (first, saved.window.clone(), self.window.clone())
        } else if self.keys != saved.keys {
            ("key types", list(&saved.keys), list(&self.keys))
        } else {
            ("aggregates", list(&saved.aggregates), list(&self.aggregates))
        };
        let message = format!(
            "the saved state has {what} {was}, this job has {is}; use the former, or give the vertex a new id and submit with \
             --allow-non-restored-state to start it without state"
        );
        OperatorError::fatal("STATE-INCOMPATIBLE", message)
    }
}

impl Layout {
    /// The signature of keys and aggregates, after a first part.
    pub(in crate::operators) fn signature(&self, first: String) -> NamedSignature {
        NamedSignature {
            window: first,
            keys: self.keys.format.types().iter().map(crate::schema::type_name).collect(),
            // A delimiter of LISTAGG is quoted, so that it can't contain a separator of parts.
            aggregates: self.aggregates.iter().map(|aggregate| aggregate.signature().to_owned()).collect(),
        }
    }
}
