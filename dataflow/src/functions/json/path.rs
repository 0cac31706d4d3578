//! Paths into JSON documents, as the JsonPath library of Flink understands them. Filters and functions other than `length()` are
//! not supported.

use super::document::Json;

/// A path with its mode.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path {
    /// Whether a path that leads nowhere is an error rather than an empty result.
    pub(super) strict: bool,
    steps: Vec<Step>,
    /// Whether the path ends with `length()`: the number of elements or members of what it leads to.
    counts: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    /// Counted from the end if it is negative.
    Index(i64),
    /// Every member or element: `*`.
    All,
    Keys(Vec<String>),
    Indexes(Vec<i64>),
    Slice(Option<i64>, Option<i64>),
    /// `..`: the value and all within it.
    Deep,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    Value(Json),
    Nothing,
}

/// Why a path cannot be used.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum PathError {
    Malformed,
    /// Flink knows it.
    Unsupported(String),
}

impl Path {
    /// Reads a path, e.g. `lax $.a[0]['b']`. Without a mode it is strict.
    pub(super) fn parse(text: &str) -> Result<Self, PathError> {
        let trimmed = text.trim();
        let mode =
            |name: &str| trimmed.strip_prefix(name).filter(|rest| rest.starts_with(char::is_whitespace)).map(str::trim_start);
        let (strict, path) = match (mode("strict"), mode("lax")) {
            (Some(path), _) => (true, path),
            (None, Some(path)) => (false, path),
            (None, None) => (true, trimmed),
        };
        if path.is_empty() {
            return Err(PathError::Malformed);
        }
        let rooted = if path.starts_with('$') { path.to_owned() } else { format!("$.{path}") };
        let (places, counts) = match rooted.strip_suffix(".length()") {
            Some(places) => (places, true),
            None => (rooted.as_str(), false),
        };
        Ok(Self { strict, steps: steps(&places[1..])?, counts })
    }

    /// Whether the path leads to one place.
    fn is_definite(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Key(_) | Step::Index(_)))
    }

    /// Follows the path. The values of a path with several places are collected in an array.
    pub(super) fn find(&self, root: &Json) -> Found {
        let mut places = vec![root];
        for step in &self.steps {
            places = places.into_iter().flat_map(|place| follow(step, place)).collect();
        }
        let found = match (self.is_definite(), places.first()) {
            (true, Some(value)) => Found::Value((*value).clone()),
            (true, None) => Found::Nothing,
            (false, _) => Found::Value(Json::Array(places.into_iter().cloned().collect())),
        };
        match found {
            Found::Value(value) if self.counts => match value {
                Json::Array(items) => Found::Value(Json::Number(items.len().to_string())),
                Json::Object(fields) => Found::Value(Json::Number(fields.len().to_string())),
                _ => Found::Value(Json::Null),
            },
            found => found,
        }
    }
}

fn follow<'j>(step: &Step, place: &'j Json) -> Vec<&'j Json> {
    let at = |items: &'j [Json], index: i64| {
        let place = if index < 0 { index + items.len() as i64 } else { index };
        usize::try_from(place).ok().and_then(|place| items.get(place))
    };
    match (step, place) {
        (Step::Key(key), Json::Object(fields)) => fields.get(key).into_iter().collect(),
        (Step::Keys(keys), Json::Object(fields)) => keys.iter().filter_map(|key| fields.get(key)).collect(),
        (Step::Index(index), Json::Array(items)) => at(items, *index).into_iter().collect(),
        (Step::Indexes(indexes), Json::Array(items)) => indexes.iter().filter_map(|index| at(items, *index)).collect(),
        (Step::All, Json::Array(items)) => items.iter().collect(),
        (Step::All, Json::Object(fields)) => fields.values().collect(),
        (Step::Slice(start, end), Json::Array(items)) => {
            let length = items.len() as i64;
            let bound = |bound: i64| (if bound < 0 { bound + length } else { bound }).clamp(0, length) as usize;
            let (start, end) = (start.map_or(0, bound), end.map_or(items.len(), bound));
            items.get(start..end).unwrap_or_default().iter().collect()
        }
        (Step::Deep, place) => {
            let mut found = Vec::new();
            descend(place, &mut found);
            found
        }
        _ => Vec::new(),
    }
}

fn descend<'j>(place: &'j Json, found: &mut Vec<&'j Json>) {
    found.push(place);
    match place {
        Json::Array(items) => items.iter().for_each(|item| descend(item, found)),
        Json::Object(fields) => fields.values().for_each(|value| descend(value, found)),
        _ => {}
    }
}

/// Reads what follows `$`.
fn steps(mut rest: &str) -> Result<Vec<Step>, PathError> {
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("..") {
            if steps.contains(&Step::Deep) {
                // Each one multiplies the places.
                return Err(PathError::Unsupported("a second ..".into()));
            }
            steps.push(Step::Deep);
            rest = after;
            if rest.is_empty() {
                return Err(PathError::Malformed);
            }
            if !rest.starts_with('[') {
                rest = name(rest, &mut steps)?;
            }
        } else if let Some(after) = rest.strip_prefix('.') {
            rest = if after.starts_with('[') { after } else { name(after, &mut steps)? };
        } else if rest.starts_with('[') {
            let end = end_of_brackets(rest).ok_or(PathError::Malformed)?;
            steps.push(brackets(rest[1..end].trim())?);
            rest = &rest[end + 1..];
        } else {
            return Err(PathError::Malformed);
        }
    }
    Ok(steps)
}

/// Reads a plain name or `*`, and returns what follows.
fn name<'t>(text: &'t str, steps: &mut Vec<Step>) -> Result<&'t str, PathError> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    match name {
        "" => return Err(PathError::Malformed),
        "*" => steps.push(Step::All),
        name if name.ends_with(')') => return Err(PathError::Unsupported(format!("the function {name}"))),
        name if name.contains(char::is_whitespace) => return Err(PathError::Malformed),
        name => steps.push(Step::Key(name.into())),
    }
    Ok(rest)
}

/// The place of the bracket that closes the first one.
fn end_of_brackets(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, ']') => return Some(at),
            _ => {}
        }
    }
    None
}

fn brackets(content: &str) -> Result<Step, PathError> {
    if content == "*" {
        return Ok(Step::All);
    }
    if content.starts_with('?') {
        return Err(PathError::Unsupported("a filter".into()));
    }
    if content.starts_with(['\'', '"']) {
        let keys = keys(content).ok_or(PathError::Malformed)?;
        return Ok(Step::Keys(keys).single());
    }
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| PathError::Malformed);
    if let Some((start, end)) = content.split_once(':') {
        let bound = |text: &str| if text.trim().is_empty() { Ok(None) } else { number(text).map(Some) };
        return Ok(Step::Slice(bound(start)?, bound(end)?));
    }
    let indexes = content.split(',').map(number).collect::<Result<Vec<_>, _>>()?;
    Ok(if let [index] = indexes.as_slice() { Step::Index(*index) } else { Step::Indexes(indexes) })
}

impl Step {
    /// One of several keys as a single one, if there is one only.
    fn single(self) -> Self {
        match self {
            Self::Keys(mut keys) if keys.len() == 1 => keys.pop().map_or(Self::Keys(keys), Self::Key),
            other => other,
        }
    }
}

/// Reads quoted names with commas between them.
fn keys(content: &str) -> Option<Vec<String>> {
    let mut keys = Vec::new();
    let mut chars = content.chars().peekable();
    loop {
        let quote = chars.find(|c| !c.is_whitespace()).filter(|c| matches!(c, '\'' | '"'))?;
        let mut key = String::new();
        loop {
            match chars.next()? {
                '\\' => key.push(chars.next()?),
                c if c == quote => break,
                c => key.push(c),
            }
        }
        keys.push(key);
        match chars.find(|c| !c.is_whitespace()) {
            None => return Some(keys),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, json: &str) -> String {
        match Path::parse(path).unwrap().find(&Json::parse(json).unwrap()) {
            Found::Nothing => "nothing".into(),
            Found::Value(value) => {
                let mut out = String::new();
                value.write(&mut out);
                out
            }
        }
    }

    #[test]
    fn paths_lead_to_keys_indexes_slices_and_everything_below() {
        let json = r#"{"a":[{"b":1},{"b":2},{"c":3}],"x y":{"b":4}}"#;
        for (path, expected) in [
            ("$", "{\"a\":[{\"b\":1},{\"b\":2},{\"c\":3}],\"x y\":{\"b\":4}}"),
            ("$.a[0].b", "1"),
            ("$.a[-1].c", "3"),
            ("$.a[3]", "nothing"),
            ("$['x y'].b", "4"),
            ("$.[\"x y\"]['b']", "4"),
            ("$.a[*].b", "[1,2]"),
            ("$..b", "[1,2,4]"),
            ("$.a[0:2].b", "[1,2]"),
            ("$.a[0,2]", "[{\"b\":1},{\"c\":3}]"),
            ("$.*.b", "[4]"),
            ("a[1].b", "2"),
            ("$.a.b", "nothing"),
            ("$.a[9:5]", "[]"),
            ("$.a.length()", "3"),
            ("$.length()", "2"),
            ("$.a[0].b.length()", "null"),
            ("$.z.length()", "nothing"),
        ] {
            assert_eq!(found(path, json), expected, "{path}");
        }
    }

    #[test]
    fn malformed_paths_and_those_with_filters_are_refused() {
        for path in ["", "$.", "$..", "$[", "$['a", "$[x]", "$a"] {
            assert_eq!(Path::parse(path), Err(PathError::Malformed), "{path}");
        }
        assert!(matches!(Path::parse("$.a[?(@.b > 1)]"), Err(PathError::Unsupported(_))));
        assert!(matches!(Path::parse("$.a.keys()"), Err(PathError::Unsupported(_))));
    }
}
