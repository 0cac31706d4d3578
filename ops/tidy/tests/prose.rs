//! Holds what a machine can of how we write (CONTRIBUTING.md): citations that a reader can open, a sentence for what others use, no
//! words of our own for what the field has a word for.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

use std::collections::BTreeSet;
use std::path::Path;

use weir_tidy::{check, code_before_tests, files, is_comment, is_test_file, root};

/// Words that hide who does what, or for which the field has another, and what to write instead. In lower case.
const SAY_INSTEAD: [(&str, &str); 12] = [
    ("whoever ", "name the subject"),
    ("so-manieth", "n-th"),
    ("dawdle", "delay"),
    (" deed ", "fault"),
    (" is away", "is unavailable"),
    (" lets go of ", "drops, releases"),
    (" let go of ", "dropped, released"),
    (" without a word", "crashes, or does not answer"),
    (" buried", "finished"),
    (" laid at the door", "blamed on"),
    (" of one that ", "name the subject"),
    (" nothing of it ", "name what"),
];

/// Comments of Rust files, by file and line number.
fn comments() -> Vec<(String, usize, String)> {
    let mut found = Vec::new();
    for (path, text) in files(".rs") {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| is_comment(line)) {
            found.push((path.clone(), number + 1, line.trim().to_owned()));
        }
    }
    found
}

/// What GitHub makes of a heading when it is linked to.
fn anchor_of(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_')
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Words that end in `.md`, with what follows a `#`.
fn documents_named(line: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| c.is_whitespace() || "()[]`\"',;<>{}|".contains(c);
    line.split(ends).map(|word| word.trim_end_matches(['.', ':'])).filter(|word| {
        let path = word.split('#').next().unwrap_or_default();
        path.ends_with(".md") && path.len() > 3 && !word.contains("://") && !path.contains('*') && !path.contains('$')
    })
}

#[test]
fn documents_that_are_named_exist_with_their_anchors() {
    let documents = files(".md");
    let mut lines = comments();
    for (path, text) in &documents {
        lines.extend(text.lines().enumerate().map(|(number, line)| (path.clone(), number + 1, line.to_owned())));
    }
    let mut problems = Vec::new();
    for (path, number, line) in &lines {
        for named in documents_named(line) {
            let (file, anchor) = named.split_once('#').unwrap_or((named, ""));
            let beside = Path::new(path).parent().unwrap_or(Path::new("")).join(file);
            // The nearest of several documents of one name is meant.
            let is_beside = |known: &str| Path::new(known) == lexically_normal(&beside);
            let is_anywhere = |known: &str| !file.contains('/') && known.ends_with(&format!("/{file}"));
            let find = |is_meant: &dyn Fn(&str) -> bool| documents.iter().find(|(known, _)| is_meant(known));
            let meant = find(&is_beside).or_else(|| find(&|known| known == file)).or_else(|| find(&is_anywhere));
            match meant {
                None => problems.push(format!("{path}:{number}: there is no {file}")),
                Some((_, text)) if !anchor.is_empty() => {
                    let headings: BTreeSet<_> = text.lines().filter(|line| line.starts_with('#')).map(anchor_of).collect();
                    if !headings.contains(anchor) {
                        problems.push(format!("{path}:{number}: {file} has no heading #{anchor}"));
                    }
                }
                Some(_) => {}
            }
        }
    }
    check(problems);
}

fn lexically_normal(path: &Path) -> std::path::PathBuf {
    let mut normal = std::path::PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(normal.pop()),
            std::path::Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

#[test]
fn invariants_that_are_cited_are_listed() {
    let listed = std::fs::read_to_string(root().join("docs/invariants.md")).unwrap();
    let known: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next())
        .filter(|word| is_invariant_id(word))
        .collect();
    assert!(known.len() > 30, "docs/invariants.md lists {known:?}");
    let mut problems = Vec::new();
    for (path, number, line) in comments() {
        let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').filter(|word| is_invariant_id(word));
        problems.extend(
            words.filter(|word| !known.contains(word)).map(|id| format!("{path}:{number}: {id} is not in docs/invariants.md")),
        );
    }
    check(problems);
}

/// A capital letter and one or two digits.
fn is_invariant_id(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|first| first.is_ascii_uppercase())
        && (2..=3).contains(&word.len())
        && letters.all(|letter| letter.is_ascii_digit())
}

#[test]
fn public_items_have_a_sentence_and_no_comment_is_a_word_or_two() {
    let mut problems = Vec::new();
    for (path, text) in files(".rs") {
        if is_test_file(&path) || path.contains("/bin/") || path.starts_with("weir/src/cli") {
            continue;
        }
        let lines: Vec<&str> = code_before_tests(&text).map(str::trim).collect();
        let mut words = 0;
        let mut documented = false;
        for (number, line) in lines.iter().enumerate() {
            if let Some(doc) = line.strip_prefix("///") {
                words += doc.split_whitespace().count();
                documented = true;
                continue;
            }
            if line.starts_with("#[") || line.starts_with("#!") {
                continue;
            }
            if documented && words <= 2 {
                problems.push(format!("{path}:{}: a comment of {words} words: say what a user needs, or nothing", number));
            }
            if is_public_item(line) && !documented {
                problems.push(format!("{path}:{}: {line:?} has no sentence", number + 1));
            }
            (words, documented) = (0, false);
        }
    }
    check(problems);
}

fn is_public_item(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("pub ") else { return false };
    let item = rest.split_whitespace().find(|word| !["const", "async", "unsafe"].contains(word)).unwrap_or_default();
    ["fn", "struct", "enum", "trait", "type", "static"].contains(&item) || (rest.starts_with("const ") && rest.contains(':'))
}

#[test]
fn no_words_of_our_own_for_what_the_field_has_a_word_for() {
    let mut problems = Vec::new();
    let mut look = |path: &str, number: usize, line: &str| {
        let line = format!(" {} ", line.to_lowercase());
        for (word, instead) in SAY_INSTEAD {
            if line.contains(word) {
                problems.push(format!("{path}:{number}: {:?}: {instead}", word.trim()));
            }
        }
    };
    for (path, text) in files(".rs").into_iter().chain(files(".md")) {
        if !path.starts_with("ops/tidy") {
            text.lines().enumerate().for_each(|(number, line)| look(&path, number + 1, line));
        }
    }
    check(problems);
}
