//! Says in plain words what is wrong with the JSON of a job graph. The deserialiser's own words name Rust's types.

/// What is wrong with `text`, without the place. The message names the member that has a value of the wrong type.
pub fn explain(text: &str, error: &serde_json::Error) -> String {
    let before = error.line().checked_sub(1).and_then(|line| {
        let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
        // The column counts bytes, and is that of the last byte that was read.
        text.get(..start + error.column())
    });
    in_words(&error.to_string(), before.unwrap_or_default())
}

fn in_words(reason: &str, before: &str) -> String {
    let reason = reason.rsplit_once(" at line ").map_or(reason, |(reason, _)| reason);
    let wrong = reason.strip_prefix("invalid type: ").or_else(|| reason.strip_prefix("invalid value: "));
    let Some((found, expected)) = wrong.and_then(|wrong| wrong.rsplit_once(", expected ")) else {
        return reason.to_owned();
    };
    let member = last_member(before);
    let subject = member.map_or_else(|| "a value".to_owned(), |name| format!("{name:?}"));
    let is_duration = member.is_some_and(|name| name.ends_with("_ms"));
    let unit = if is_duration { ", without a unit, because it is in milliseconds" } else { "" };
    format!("{subject} must be {}{unit}, not {}", expected_in_words(expected), found_in_words(found))
}

fn expected_in_words(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, zero or more",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "string" | "str" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        _ if expected.starts_with("struct ") => "an object",
        _ if expected.contains("enum ") => "an object with a type",
        _ => expected,
    }
}

fn found_in_words(found: &str) -> String {
    let unquoted = found.replace('`', "");
    for (kind, words) in [("string ", "the text "), ("integer ", ""), ("floating point ", ""), ("boolean ", "")] {
        if let Some(value) = unquoted.strip_prefix(kind) {
            return format!("{words}{value}");
        }
    }
    match unquoted.as_str() {
        "sequence" => "a list".to_owned(),
        "map" => "an object".to_owned(),
        _ => unquoted,
    }
}

/// The name of the last member that begins in `before`. A value between can't be mistaken for one, unless it is a text with both
/// a quote and a colon in it.
fn last_member(before: &str) -> Option<&str> {
    let mut rest = before;
    loop {
        let colon = rest.rfind(':')?;
        rest = &rest[..colon];
        let name = rest.trim_end().strip_suffix('"').and_then(|name| Some(&name[name.rfind('"')? + 1..]));
        if let Some(name) = name.filter(|name| !name.is_empty() && name.len() <= 64) {
            return Some(name);
        }
    }
}
