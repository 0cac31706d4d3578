//! Reads the text of a column type.

use std::collections::BTreeSet;

use super::catalog::closest;
use super::data_type::{DataType, ElementType, MAX_TYPE_NESTING, MAX_TYPE_TEXT, RowField};

const NAMES: &[&str] = &[
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "INTEGER",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "DEC",
    "NUMERIC",
    "CHAR",
    "VARCHAR",
    "STRING",
    "BINARY",
    "VARBINARY",
    "BYTES",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "ARRAY",
    "MAP",
    "MULTISET",
    "ROW",
];

/// Reads a whole type. The error says what is wrong.
pub(super) fn parse(text: &str) -> Result<DataType, String> {
    if text.len() > MAX_TYPE_TEXT {
        return Err(format!("the type is {} bytes long; the maximum is {MAX_TYPE_TEXT}", text.len()));
    }
    // The name that job graphs of the first version use; Flink has no such type.
    if text.eq_ignore_ascii_case("timestamp_ms") {
        return Ok(DataType::TIMESTAMP_MS);
    }
    let mut parser = Parser { tokens: tokens(text)?, position: 0 };
    let data_type = parser.data_type(0)?;
    match parser.peek() {
        None => Ok(data_type),
        Some(token) => Err(format!("unexpected {} after the type", token.shown())),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Text,
    Number(String),
    Sign(char),
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Self::Word(word) | Self::Number(word) => word.clone(),
            Self::Quoted(name) => format!("`{name}`"),
            Self::Text => "a text".into(),
            Self::Sign(sign) => sign.to_string(),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length;
        match first {
            '<' | '>' | '(' | ')' | ',' => {
                length = 1;
                tokens.push(Token::Sign(first));
            }
            '`' | '\'' => {
                let (content, end) = quoted(&rest[1..], first).ok_or_else(|| format!("a {first} is not closed"))?;
                length = end + 1;
                tokens.push(if first == '`' { Token::Quoted(content) } else { Token::Text });
            }
            c if c.is_alphanumeric() || c == '_' => {
                length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let word = rest[..length].to_owned();
                tokens.push(if c.is_ascii_digit() { Token::Number(word) } else { Token::Word(word) });
            }
            other => {
                length = other.len_utf8();
                tokens.push(Token::Sign(other));
            }
        }
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// The content up to the closing quote, in which a doubled quote stands for one, and the length with that quote.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut content = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            content.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            content.push(quote);
        } else {
            return Some((content, at + 1));
        }
    }
    None
}

struct Parser {
    tokens: Vec<Token>,
    position: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position)
    }

    fn takes(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(&Token::Sign(sign));
        self.position += usize::from(found);
        found
    }

    fn word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        self.position += usize::from(found);
        found
    }

    fn words(&mut self, wanted: &[&str]) -> bool {
        let start = self.position;
        let found = wanted.iter().all(|word| self.word(word));
        if !found {
            self.position = start;
        }
        found
    }

    fn expect(&mut self, sign: char) -> Result<(), String> {
        if self.takes(sign) { Ok(()) } else { Err(format!("{sign} is missing{}", self.before())) }
    }

    fn before(&self) -> String {
        self.peek().map_or_else(|| " at the end".into(), |token| format!(" before {}", token.shown()))
    }

    fn data_type(&mut self, depth: usize) -> Result<DataType, String> {
        if depth > MAX_TYPE_NESTING {
            return Err(format!("types are nested more than {MAX_TYPE_NESTING} deep"));
        }
        let mut data_type = self.simple(depth)?;
        let mut depth = depth;
        loop {
            // Flink also writes `INT ARRAY` and `INT MULTISET`.
            let nullable = true;
            let element = |data_type| Box::new(ElementType { data_type, nullable });
            if self.word("ARRAY") {
                data_type = DataType::Array(element(data_type));
            } else if self.word("MULTISET") {
                data_type = DataType::Multiset(element(data_type));
            } else {
                return Ok(data_type);
            }
            depth += 1;
            if depth > MAX_TYPE_NESTING {
                return Err(format!("types are nested more than {MAX_TYPE_NESTING} deep"));
            }
        }
    }

    fn simple(&mut self, depth: usize) -> Result<DataType, String> {
        let Some(Token::Word(name)) = self.peek().cloned() else {
            return Err(format!("a type is missing{}", self.before()));
        };
        self.position += 1;
        match name.to_ascii_uppercase().as_str() {
            "BOOLEAN" => Ok(DataType::Boolean),
            "TINYINT" => Ok(DataType::Tinyint),
            "SMALLINT" => Ok(DataType::Smallint),
            "INT" | "INTEGER" => Ok(DataType::Int),
            "BIGINT" => Ok(DataType::Bigint),
            "FLOAT" => Ok(DataType::Float),
            "DOUBLE" => {
                self.word("PRECISION");
                Ok(DataType::Double)
            }
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal(),
            "CHAR" => Ok(DataType::Char(self.length_or(1)?)),
            "VARCHAR" => Ok(match self.length_or(MAX_LENGTH)? {
                MAX_LENGTH => DataType::String,
                length => DataType::Varchar(length),
            }),
            "STRING" => Ok(DataType::String),
            "BINARY" => Ok(DataType::Binary(self.length_or(1)?)),
            "VARBINARY" => Ok(match self.length_or(MAX_LENGTH)? {
                MAX_LENGTH => DataType::Bytes,
                length => DataType::Varbinary(length),
            }),
            "BYTES" => Ok(DataType::Bytes),
            "DATE" => Ok(DataType::Date),
            "TIME" => {
                let precision = self.fraction_digits(0)?;
                self.words(&["WITHOUT", "TIME", "ZONE"]);
                Ok(DataType::Time(precision))
            }
            "TIMESTAMP" => self.timestamp(),
            "TIMESTAMP_LTZ" => Ok(DataType::TimestampLtz(self.fraction_digits(6)?)),
            "ARRAY" => Ok(DataType::Array(self.only_element(depth)?)),
            "MULTISET" => Ok(DataType::Multiset(self.only_element(depth)?)),
            "MAP" => {
                self.expect('<')?;
                let key = self.element(depth)?;
                self.expect(',')?;
                let value = self.element(depth)?;
                self.expect('>')?;
                Ok(DataType::Map(key, value))
            }
            "ROW" => self.row(depth),
            "INTERVAL" if self.word("MONTH") => Ok(DataType::IntervalMonths),
            "INTERVAL" if self.word("SECOND") => match self.fraction_digits(3)? {
                3 => Ok(DataType::IntervalMillis),
                other => Err(format!("an interval has 3 digits after the second, not {other}")),
            },
            "INTERVAL" => Err("an interval can't be the type of a column; store its length in a BIGINT".into()),
            other => {
                let shown: String = name.chars().take(64).collect();
                let hint = closest(other, NAMES.iter().copied()).map(|close| format!("; did you mean {close}?"));
                Err(format!("no type is called {shown}{}", hint.unwrap_or_default()))
            }
        }
    }

    fn number(&mut self) -> Result<u64, String> {
        match self.peek() {
            // A number that is too large for 64 bits is too large for every use.
            Some(Token::Number(digits)) if digits.chars().all(|c| c.is_ascii_digit()) => {
                let number = digits.parse().unwrap_or(u64::MAX);
                self.position += 1;
                Ok(number)
            }
            _ => Err(format!("a whole number is missing{}", self.before())),
        }
    }

    fn decimal(&mut self) -> Result<DataType, String> {
        let (mut precision, mut scale) = (10, 0);
        if self.takes('(') {
            precision = self.number()?;
            if self.takes(',') {
                scale = self.number()?;
            }
            self.expect(')')?;
        }
        if !(1..=u64::from(DataType::MAX_DECIMAL_PRECISION)).contains(&precision) {
            return Err(format!("the precision of a decimal is 1 to {}, not {precision}", DataType::MAX_DECIMAL_PRECISION));
        }
        if scale > precision {
            return Err(format!("the scale of a decimal is 0 to its precision {precision}, not {scale}"));
        }
        Ok(DataType::Decimal { precision: precision as u8, scale: scale as u8 })
    }

    /// A length in brackets. Flink's DDL takes VARCHAR and VARBINARY without length as STRING and BYTES.
    fn length_or(&mut self, default: u32) -> Result<u32, String> {
        if !self.takes('(') {
            return Ok(default);
        }
        let length = self.number()?;
        self.expect(')')?;
        u32::try_from(length)
            .ok()
            .filter(|length| (1..=MAX_LENGTH).contains(length))
            .ok_or_else(|| format!("the length is 1 to {MAX_LENGTH}, not {length}"))
    }

    fn fraction_digits(&mut self, default: u8) -> Result<u8, String> {
        if !self.takes('(') {
            return Ok(default);
        }
        let digits = self.number()?;
        self.expect(')')?;
        if digits > 9 {
            return Err(format!("the precision of a time is 0 to 9, not {digits}"));
        }
        Ok(digits as u8)
    }

    fn timestamp(&mut self) -> Result<DataType, String> {
        let precision = self.fraction_digits(6)?;
        if self.words(&["WITH", "LOCAL", "TIME", "ZONE"]) {
            return Ok(DataType::TimestampLtz(precision));
        }
        if self.words(&["WITH", "TIME", "ZONE"]) {
            return Err("no column stores a time zone with each value; take TIMESTAMP_LTZ, a point in time".into());
        }
        self.words(&["WITHOUT", "TIME", "ZONE"]);
        Ok(DataType::Timestamp(precision))
    }

    fn element(&mut self, depth: usize) -> Result<Box<ElementType>, String> {
        let data_type = self.data_type(depth + 1)?;
        Ok(Box::new(ElementType { data_type, nullable: self.nullable() }))
    }

    fn only_element(&mut self, depth: usize) -> Result<Box<ElementType>, String> {
        self.expect('<')?;
        let element = self.element(depth)?;
        self.expect('>')?;
        Ok(element)
    }

    fn nullable(&mut self) -> bool {
        if self.words(&["NOT", "NULL"]) {
            return false;
        }
        self.word("NULL");
        true
    }

    fn row(&mut self, depth: usize) -> Result<DataType, String> {
        let close = if self.takes('(') {
            ')'
        } else {
            self.expect('<')?;
            '>'
        };
        let mut fields = Vec::new();
        let mut names = BTreeSet::new();
        if self.takes(close) {
            return Ok(DataType::Row(fields));
        }
        loop {
            let name = match self.peek() {
                Some(Token::Word(name) | Token::Quoted(name)) => name.clone(),
                _ => return Err(format!("the name of a field is missing{}", self.before())),
            };
            self.position += 1;
            if !names.insert(name.clone()) {
                return Err(format!("the row has the field {name:?} twice"));
            }
            let data_type = self.data_type(depth + 1)?;
            fields.push(RowField { name, data_type, nullable: self.nullable() });
            // A description of the field.
            self.position += usize::from(self.peek() == Some(&Token::Text));
            if !self.takes(',') {
                break;
            }
        }
        self.expect(close)?;
        Ok(DataType::Row(fields))
    }
}

/// Flink's longest text or byte string, which it also calls STRING and BYTES.
const MAX_LENGTH: u32 = i32::MAX as u32;
