//! Finds functions by name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::Function;

/// The functions of each family.
const FAMILIES: &[&[Function]] = &[
    super::arithmetic::FUNCTIONS,
    super::collection::FUNCTIONS,
    super::comparison::FUNCTIONS,
    super::conditional::FUNCTIONS,
    super::hash::FUNCTIONS,
    super::json::FUNCTIONS,
    super::logic::FUNCTIONS,
    super::math::digits::FUNCTIONS,
    super::math::real::FUNCTIONS,
    super::math::round::FUNCTIONS,
    super::math::sign::FUNCTIONS,
    super::membership::FUNCTIONS,
    super::regexp::FUNCTIONS,
    super::string::build::FUNCTIONS,
    super::string::case::FUNCTIONS,
    super::string::classify::FUNCTIONS,
    super::string::cut::FUNCTIONS,
    super::string::encode::FUNCTIONS,
    super::string::find::FUNCTIONS,
    super::string::like::FUNCTIONS,
    super::string::split::FUNCTIONS,
    super::string::url::FUNCTIONS,
    super::time::convert::FUNCTIONS,
    super::time::extract::FUNCTIONS,
    super::time::now::FUNCTIONS,
    super::time::shift::FUNCTIONS,
];

static BY_CALL_NAME: LazyLock<BTreeMap<String, &'static Function>> =
    LazyLock::new(|| all().map(|function| (function.call_name(), function)).collect());

/// Every function in every version.
pub fn all() -> impl Iterator<Item = &'static Function> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// The function that a program calls by this name, e.g. `split_index@1`.
pub fn by_call_name(name: &str) -> Option<&'static Function> {
    BY_CALL_NAME.get(name).copied()
}

/// The newest version of the function of this name in lower case.
pub fn by_sql_name(name: &str) -> Option<&'static Function> {
    all().filter(|function| function.name == name).max_by_key(|function| function.version)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_function_has_a_name_of_its_own_and_a_sentence() {
        let mut names = BTreeSet::new();
        for function in all() {
            assert!(names.insert(function.call_name()), "{}", function.call_name());
            assert_eq!(function.name, function.name.to_lowercase());
            assert!(function.doc.ends_with('.') && !function.syntax.is_empty(), "{}", function.name);
            assert_eq!(by_call_name(&function.call_name()).map(|found| found.name), Some(function.name));
        }
        assert_eq!(by_sql_name("eq").map(|function| function.version), Some(1));
        assert!(by_sql_name("no_such").is_none() && by_call_name("eq@2").is_none());
    }
}
