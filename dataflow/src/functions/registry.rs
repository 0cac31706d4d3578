//! Finds functions by name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::Function;

/// The functions of each family.
const FAMILIES: &[&[Function]] = &[
    super::arithmetic::FUNCTIONS,
    super::chance::FUNCTIONS,
    super::collection::FUNCTIONS,
    super::collection::arrays::FUNCTIONS,
    super::collection::maps::FUNCTIONS,
    super::comparison::FUNCTIONS,
    super::conditional::FUNCTIONS,
    super::hash::FUNCTIONS,
    super::json::FUNCTIONS,
    super::json::build::FUNCTIONS,
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
    super::string::printf::FUNCTIONS,
    super::string::split::FUNCTIONS,
    super::string::url::FUNCTIONS,
    super::time::convert::FUNCTIONS,
    super::time::extract::FUNCTIONS,
    super::time::interval::FUNCTIONS,
    super::time::now::FUNCTIONS,
    super::time::shift::FUNCTIONS,
    super::type_of::FUNCTIONS,
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
