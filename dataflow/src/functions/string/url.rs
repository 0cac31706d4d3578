//! URL_ENCODE, URL_DECODE, PARSE_URL, as Java understands URLs.

use std::sync::Arc;

use weir_protocol::job_graph::DataType;

use super::{text_to_text, texts};
use crate::functions::operand::{joint_nulls, kernel_of, map_text};
use crate::functions::typing::typing;
use crate::functions::{Function, Kernel};

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first(
        "url_encode",
        "URL_ENCODE(text)",
        "The text in UTF-8 as part of the query of a URL.",
        |given| typing(given, 1, 1)?.text()?.gives_nullable(DataType::String),
        |_, _| {
            Ok(text_to_text(|text, out| {
                text.bytes().for_each(|byte| encode(byte, out));
                Ok(true)
            }))
        },
    ),
    Function::first(
        "url_decode",
        "URL_DECODE(text)",
        "The text, in UTF-8, that a part of a query of a URL encodes; NULL if it is malformed.",
        |given| typing(given, 1, 1)?.text()?.gives_nullable(DataType::String),
        |_, _| {
            Ok(text_to_text(|text, out| {
                let decoded = decode(text);
                out.push_str(&String::from_utf8_lossy(decoded.as_deref().unwrap_or_default()));
                Ok(decoded.is_some())
            }))
        },
    ),
    Function::first(
        "parse_url",
        "PARSE_URL(url, part[, key])",
        "A part of a URL: HOST, PATH, QUERY, REF, PROTOCOL, AUTHORITY, FILE or USERINFO; of QUERY, the value of `key` if given.",
        |given| typing(given, 2, 3)?.texts()?.gives_nullable(DataType::String),
        |_, _| Ok(parse_url()),
    ),
];

fn encode(byte: u8, out: &mut String) {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => out.push(char::from(byte)),
        b' ' => out.push('+'),
        _ => {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        match first {
            b'+' => decoded.push(b' '),
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                decoded.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            other => decoded.push(*other),
        }
    }
    Some(decoded)
}

fn parse_url() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let (url, part) = (texts(operands, 0)?, texts(operands, 1)?);
        let key = if operands.len() > 2 { Some(texts(operands, 2)?) } else { None };
        let nulls = joint_nulls(operands, rows);
        let column = map_text(rows, nulls.as_ref(), |row, out| {
            let part = part.value(row);
            if part == "PROTOCOL" && key.is_none() {
                let protocol = Url::parse(url.value(row)).map(|url| url.protocol.to_ascii_lowercase());
                out.push_str(protocol.as_deref().unwrap_or_default());
                return Ok(protocol.is_some());
            }
            let found = Url::parse(url.value(row)).and_then(|url| match &key {
                Some(key) if part == "QUERY" => url.query.and_then(|query| value_of(query, key.value(row))),
                Some(_) => None,
                None => url.part(part),
            });
            out.push_str(found.unwrap_or_default());
            Ok(found.is_some())
        })?;
        Ok(Arc::new(column))
    })
}

fn value_of<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

/// A URL as `java.net.URL` takes it apart.
struct Url<'a> {
    protocol: &'a str,
    authority: Option<&'a str>,
    user: Option<&'a str>,
    host: &'a str,
    path: &'a str,
    /// Path and query.
    file: &'a str,
    query: Option<&'a str>,
    reference: Option<&'a str>,
}

impl<'a> Url<'a> {
    /// `None` if the URL is malformed, or its protocol is none that Java knows.
    fn parse(url: &'a str) -> Option<Self> {
        let url = url.trim_matches(|c: char| c <= ' ');
        let url = url.get(..4).filter(|start| start.eq_ignore_ascii_case("url:")).map_or(url, |_| &url[4..]);
        let (protocol, rest) = url.split_once(':')?;
        if !["http", "https", "ftp", "file", "mailto"].iter().any(|known| protocol.eq_ignore_ascii_case(known)) {
            return None;
        }
        let (rest, reference) = rest.split_once('#').map_or((rest, None), |(rest, reference)| (rest, Some(reference)));
        let mut parsed = Self { protocol, authority: None, user: None, host: "", path: rest, file: rest, query: None, reference };
        if protocol.eq_ignore_ascii_case("mailto") {
            return Some(parsed);
        }
        if let Some(rest) = rest.strip_prefix("//") {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, file) = rest.split_at(end);
            parsed.file = file;
            parsed.authority = Some(authority);
            let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
            parsed.user = user;
            parsed.host = host_of(host)?;
        }
        let (path, query) = parsed.file.split_once('?').map_or((parsed.file, None), |(path, query)| (path, Some(query)));
        (parsed.path, parsed.query) = (path, query);
        Some(parsed)
    }

    fn part(&self, name: &str) -> Option<&'a str> {
        match name {
            "HOST" => Some(self.host),
            "PATH" => Some(self.path),
            "QUERY" => self.query,
            "REF" => self.reference,
            "FILE" => Some(self.file),
            "AUTHORITY" => self.authority,
            "USERINFO" => self.user,
            _ => None,
        }
    }
}

/// The host without its port; `None` if the port is not a number.
fn host_of(text: &str) -> Option<&str> {
    let length = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, port) = text.split_at(length);
    match port.strip_prefix(':') {
        None => port.is_empty().then_some(host),
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(host),
    }
}
