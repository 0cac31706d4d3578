//! Declares functions in few words: the fields that most share, and the types of a call argument by argument.

use weir_protocol::job_graph::DataType;

use super::signature::{any_nullable, count, expect};
use super::{Argument, Function, Kernel, Resolved};

/// How a function types a call: [`Function::resolve`].
pub(super) type Resolve = fn(&[Argument<'_>]) -> Result<Resolved, String>;
/// How a function prepares a call: [`Function::kernel`].
pub(super) type Prepare = fn(&[Argument<'_>], &DataType) -> Result<Box<dyn Kernel>, String>;

impl Function {
    /// The first version of a deterministic function that needs no time zone.
    pub(super) const fn first(
        name: &'static str,
        syntax: &'static str,
        doc: &'static str,
        resolve: Resolve,
        kernel: Prepare,
    ) -> Self {
        Self { name, version: 1, syntax, doc, takes_zone: false, deterministic: true, resolve, kernel }
    }

    /// The same, but the planner adds the session's time zone as the last argument.
    pub(super) const fn with_zone(mut self) -> Self {
        self.takes_zone = true;
        self
    }

    /// The same, but equal arguments can give different results.
    pub(super) const fn volatile(mut self) -> Self {
        self.deterministic = false;
        self
    }
}

/// The types of a call, checked from the first argument to the last. Arguments that are left out are skipped.
pub(super) struct Typing<'a> {
    given: &'a [Argument<'a>],
    to: Vec<DataType>,
}

/// Starts to type a call with `least` to `most` arguments.
pub(super) fn typing<'a>(given: &'a [Argument<'a>], least: usize, most: usize) -> Result<Typing<'a>, String> {
    count(given, least, most)?;
    Ok(Typing { given, to: Vec::with_capacity(given.len()) })
}

impl Typing<'_> {
    /// The next argument is one for which `fits` holds. It keeps its type.
    pub(super) fn a(self, expected: &str, fits: impl Fn(&DataType) -> bool) -> Result<Self, String> {
        self.cast(expected, fits, None)
    }

    /// The next argument is one for which `fits` holds. It is cast to `to`.
    fn cast(mut self, expected: &str, fits: impl Fn(&DataType) -> bool, to: Option<DataType>) -> Result<Self, String> {
        if self.to.len() < self.given.len() {
            let kept = expect(self.given, self.to.len(), expected, fits)?;
            self.to.push(to.unwrap_or(kept));
        }
        Ok(self)
    }

    /// The next argument is a text.
    pub(super) fn text(self) -> Result<Self, String> {
        self.a("a text", DataType::is_text)
    }

    /// All further arguments are texts.
    pub(super) fn texts(mut self) -> Result<Self, String> {
        while self.to.len() < self.given.len() {
            self = self.text()?;
        }
        Ok(self)
    }

    /// The next argument is bytes.
    pub(super) fn bytes(self) -> Result<Self, String> {
        self.a("bytes", DataType::is_binary)
    }

    /// The next argument is an INT. A BIGINT is refused, as its value could be lost.
    pub(super) fn int(self) -> Result<Self, String> {
        let fits = |t: &DataType| matches!(t, DataType::Tinyint | DataType::Smallint | DataType::Int);
        self.cast("an INT", fits, Some(DataType::Int))
    }

    /// The next argument is a whole number, which is cast to BIGINT.
    pub(super) fn bigint(self) -> Result<Self, String> {
        self.cast("a whole number", DataType::is_integer, Some(DataType::Bigint))
    }

    /// The next argument is a number, which is cast to DOUBLE.
    pub(super) fn double(self) -> Result<Self, String> {
        self.cast("a number", DataType::is_numeric, Some(DataType::Double))
    }

    /// The next argument is a number.
    pub(super) fn number(self) -> Result<Self, String> {
        self.a("a number", DataType::is_numeric)
    }

    /// The next argument is of any type.
    pub(super) fn any(self) -> Result<Self, String> {
        self.a("a value", |_| true)
    }

    /// The result is NULL exactly if an argument is.
    pub(super) fn gives(self, result: DataType) -> Result<Resolved, String> {
        let nullable = any_nullable(self.given);
        Ok(Resolved { arguments: self.to, result, nullable })
    }

    /// The result can be NULL even if no argument is.
    pub(super) fn gives_nullable(self, result: DataType) -> Result<Resolved, String> {
        Ok(Resolved { arguments: self.to, result, nullable: true })
    }

    /// The result is never NULL.
    pub(super) fn gives_not_null(self, result: DataType) -> Result<Resolved, String> {
        Ok(Resolved { arguments: self.to, result, nullable: false })
    }
}

/// Checks that an argument is a constant that is not NULL, and returns it. `position` counts from 0.
pub(super) fn constant<'a>(given: &[Argument<'a>], position: usize) -> Result<&'a str, String> {
    match given.get(position).and_then(|argument| argument.constant) {
        Some(Some(value)) => Ok(value),
        _ => Err(format!("takes a constant as argument {}", position + 1)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::functions::all;

    #[test]
    fn every_function_has_a_name_of_its_own_and_a_sentence() {
        let mut names = BTreeSet::new();
        for function in all() {
            assert!(names.insert(function.call_name()), "{} stands twice in the list", function.call_name());
            assert!(function.doc.ends_with('.') && !function.syntax.is_empty(), "{}", function.name);
            assert!(
                function.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{}",
                function.name
            );
        }
    }
}
