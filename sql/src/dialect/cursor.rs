//! A position in the tokens of one statement.

use sqlparser::ast::{Expr, Ident, ObjectName, Query};
use sqlparser::parser::{Parser, ParserError, ParserOptions};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};
use weir_protocol::job_graph::DataType;

use super::data_type::{parse_type, type_length, type_text};
use super::flink::FlinkDialect;
use super::refuse::refuse_clauses_within;
use super::{hints, spelling};
use crate::script::limits::{self, MAX_RECURSION};
use crate::script::{ScriptStatement, ScriptToken, SqlError};

/// Reads the tokens of a statement from left to right.
pub(super) struct Cursor<'a> {
    text: &'a str,
    tokens: Vec<ScriptToken>,
    position: usize,
    end: TokenWithSpan,
}

impl<'a> Cursor<'a> {
    /// A cursor before a statement, after the checks that hold for all statements.
    pub(super) fn new(statement: &'a ScriptStatement) -> Result<Self, SqlError> {
        let start = statement.place();
        limits::check_length(statement.text().len(), Location::new(start.line, start.column))?;
        if let Some(problem) = statement.problem() {
            return Err(problem.clone());
        }
        limits::check_shape(statement.tokens())?;
        spelling::check_tokens(statement.tokens(), statement.text())?;
        let tokens = hints::attach(statement.tokens())?;
        Ok(Self { text: statement.text(), tokens, position: 0, end: crate::script::end_of(statement.end()) })
    }

    /// The token that is `n` after the next one; the end of the text after the last.
    pub(super) fn nth(&self, n: usize) -> &TokenWithSpan {
        self.tokens.get(self.position + n).map_or(&self.end, |token| &token.token)
    }

    pub(super) fn peek(&self) -> &Token {
        &self.nth(0).token
    }

    pub(super) fn place(&self) -> Location {
        self.nth(0).span.start
    }

    pub(super) fn advance(&mut self, tokens: usize) {
        self.position += tokens;
    }

    pub(super) fn at_end(&self) -> bool {
        self.position >= self.tokens.len()
    }

    /// Whether the n-th next token is this word, without quotes.
    pub(super) fn is_nth(&self, n: usize, wanted: &str) -> bool {
        word_at(self.nth(n)).is_some_and(|word| word.eq_ignore_ascii_case(wanted))
    }

    /// Whether these words are next.
    pub(super) fn is(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| self.is_nth(n, word))
    }

    /// Takes these words if they are next.
    pub(super) fn take(&mut self, words: &[&str]) -> bool {
        let found = self.is(words);
        if found {
            self.advance(words.len());
        }
        found
    }

    pub(super) fn expect(&mut self, words: &[&str]) -> Result<(), SqlError> {
        for word in words {
            if !self.take(&[word]) {
                return Err(self.unexpected(word));
            }
        }
        Ok(())
    }

    pub(super) fn take_sign(&mut self, sign: &Token) -> bool {
        let found = self.peek() == sign;
        self.advance(usize::from(found));
        found
    }

    pub(super) fn expect_sign(&mut self, sign: &Token) -> Result<(), SqlError> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected(&sign.to_string())) }
    }

    pub(super) fn expect_end(&self) -> Result<(), SqlError> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected("the end of the statement")) }
    }

    /// The error that the next token is not what the grammar expects.
    pub(super) fn unexpected(&self, expected: &str) -> SqlError {
        let previous = self.position.checked_sub(1).and_then(|i| self.tokens.get(i)).map(|token| &token.token.token);
        spelling::encountered(self.nth(0), previous, &self.end, expected)
    }

    /// A name without dots.
    pub(super) fn ident(&mut self) -> Result<Ident, SqlError> {
        match &self.nth(0).token {
            Token::Word(word) if word.quote_style.is_some() || !spelling::is_reserved(word.keyword) => {
                let ident = word.to_ident(self.nth(0).span);
                self.advance(1);
                Ok(ident)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    /// A name with at most two dots; the hint of a table may follow it.
    pub(super) fn name(&mut self) -> Result<ObjectName, SqlError> {
        let place = self.place();
        let mut parts = vec![self.ident()?];
        while self.take_sign(&Token::Period) {
            parts.push(self.ident()?);
        }
        let named = parts.iter().filter(|part| !hints::is_hint(part)).count();
        if named > 3 {
            let message = "a name has at most three parts: catalog, database and table";
            return Err(SqlError::new("SQL-PARSE", message).at(place));
        }
        Ok(ObjectName::from(parts))
    }

    /// A name that no hint follows.
    pub(super) fn plain_name(&mut self) -> Result<ObjectName, SqlError> {
        let name = self.name()?;
        if let Some(part) = name.0.iter().filter_map(|part| part.as_ident()).find(|part| hints::is_hint(part)) {
            return Err(SqlError::new("SQL-PARSE", "a hint can't stand here").at(part.span.start));
        }
        Ok(name)
    }

    /// `(a, b, …)`.
    pub(super) fn ident_list(&mut self) -> Result<Vec<Ident>, SqlError> {
        self.list(Self::ident)
    }

    /// A list in brackets.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, SqlError>) -> Result<Vec<T>, SqlError> {
        self.expect_sign(&Token::LParen)?;
        let mut items = vec![item(self)?];
        while self.take_sign(&Token::Comma) {
            items.push(item(self)?);
        }
        if !self.take_sign(&Token::RParen) {
            return Err(self.unexpected(", or )"));
        }
        Ok(items)
    }

    /// A text in single quotes.
    pub(super) fn string(&mut self) -> Result<String, SqlError> {
        match self.peek() {
            Token::SingleQuotedString(text) | Token::UnicodeStringLiteral(text) => {
                let text = text.clone();
                self.advance(1);
                Ok(text)
            }
            _ => Err(self.unexpected("a text in single quotes")),
        }
    }

    /// `'key' = 'value'`.
    pub(super) fn option(&mut self) -> Result<(String, String), SqlError> {
        let key = self.string()?;
        self.expect_sign(&Token::Eq)?;
        Ok((key, self.string()?))
    }

    /// One of Flink's types.
    pub(super) fn data_type(&mut self) -> Result<DataType, SqlError> {
        let place = self.place();
        if let Token::Word(word) = self.peek()
            && word.quote_style.is_none()
            && spelling::is_reserved(word.keyword)
        {
            return Err(self.unexpected("a type"));
        }
        let token = |i: usize| self.tokens.get(self.position + i).map(|token| &token.token.token);
        let Some(length) = type_length(token) else { return Err(self.unexpected("a type")) };
        let text = type_text((0..length).filter_map(token));
        self.advance(length);
        parse_type(&text).map_err(|error| error.at(place))
    }

    /// An expression that ends before a comma or a closing bracket, or before one of these words, and its text.
    pub(super) fn expression(&mut self, until: &[&str]) -> Result<(Box<Expr>, String), SqlError> {
        let end = self.element_end(until);
        let text = self.text_until(end);
        let expr = self.run(end, |parser| parser.parse_expr())?;
        Ok((Box::new(expr), text))
    }

    /// The query up to the n-th token, and its text.
    pub(super) fn query(&mut self, end: usize) -> Result<(Box<Query>, String), SqlError> {
        let text = self.text_until(end);
        let query = self.run(end, |parser| parser.parse_query())?;
        refuse_clauses_within(&query)?;
        Ok((query, text))
    }

    /// The number of the statement's tokens.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The text from here up to the token `end`.
    pub(super) fn text_until(&self, end: usize) -> String {
        let from = self.tokens.get(self.position).map(|token| token.bytes.start);
        let until = end.checked_sub(1).and_then(|last| self.tokens.get(last)).map(|token| token.bytes.end);
        match (from, until) {
            (Some(from), Some(until)) => self.text.get(from..until).unwrap_or_default().to_owned(),
            _ => String::new(),
        }
    }

    /// The text of the statement up to here, if `before` tokens were read.
    pub(super) fn find(&self, wanted: impl Fn(&Self, usize) -> bool) -> Option<usize> {
        let mut depth = 0_usize;
        (self.position..self.tokens.len()).find(|i| match &self.tokens[*i].token.token {
            Token::LParen | Token::LBracket => {
                depth += 1;
                false
            }
            Token::RParen | Token::RBracket => {
                depth = depth.saturating_sub(1);
                false
            }
            _ => depth == 0 && wanted(self, *i - self.position),
        })
    }

    /// Where the element of a list ends that begins here.
    fn element_end(&self, until: &[&str]) -> usize {
        let mut depth = 0_usize;
        for (i, token) in self.tokens.iter().enumerate().skip(self.position) {
            match &token.token.token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket if depth == 0 => return i,
                Token::RParen | Token::RBracket => depth -= 1,
                Token::Comma if depth == 0 => return i,
                _ if depth == 0 && i > self.position && until.iter().any(|word| self.is_nth(i - self.position, word)) => {
                    return i;
                }
                _ => {}
            }
        }
        self.tokens.len()
    }

    /// Runs sqlparser over the tokens up to `end`, all of which must belong together.
    fn run<T>(&mut self, end: usize, parse: impl Fn(&mut Parser) -> Result<T, ParserError>) -> Result<T, SqlError> {
        let end = end.min(self.tokens.len());
        let tokens = self.tokens[self.position.min(end)..end].iter().map(|token| token.token.clone()).collect();
        let following = self.tokens.get(end).map_or_else(|| self.end.clone(), |token| token.token.clone());
        let (outcome, tokens) = run(tokens, &following, &parse);
        let parsed = outcome.map_err(|error| innermost(&tokens).unwrap_or(error))?;
        self.position = end;
        Ok(parsed)
    }
}

/// The word of a token without quotes.
fn word_at(token: &TokenWithSpan) -> Option<&str> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
        _ => None,
    }
}

type Ran<T> = (Result<T, SqlError>, Vec<TokenWithSpan>);

/// Runs sqlparser over these tokens, before `following`.
fn run<T>(
    tokens: Vec<TokenWithSpan>,
    following: &TokenWithSpan,
    parse: impl Fn(&mut Parser) -> Result<T, ParserError>,
) -> Ran<T> {
    let dialect = FlinkDialect::for_tokens(tokens.len());
    let mut parser = Parser::new(&dialect)
        .with_options(ParserOptions::new().with_unescape(true))
        .with_recursion_limit(MAX_RECURSION)
        .with_tokens_with_locations(tokens);
    let outcome = match parse(&mut parser) {
        Ok(parsed) if parser.peek_token_ref().token == Token::EOF => Ok(parsed),
        Ok(_) => {
            let token = parser.peek_token_ref().clone();
            let previous = parser.index().checked_sub(1).map(|i| parser.token_at(i).token.clone());
            Err(spelling::encountered(&token, previous.as_ref(), following, "the end of the statement"))
        }
        Err(error) => Err(dialect.ours(&error).unwrap_or_else(|| spelling::translate(&error, &parser, following))),
    };
    (outcome, parser.into_tokens())
}

/// The error of the innermost query in brackets that can't be parsed. sqlparser does not report it: it goes on to try whether
/// the bracket means something else.
fn innermost(tokens: &[TokenWithSpan]) -> Option<SqlError> {
    let mut open = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => open.push(i),
            Token::RParen => {
                let Some(start) = open.pop() else { continue };
                let begins = tokens.get(start + 1).and_then(word_at);
                if !begins.is_some_and(|word| word.eq_ignore_ascii_case("SELECT") || word.eq_ignore_ascii_case("WITH")) {
                    continue;
                }
                if let (Err(error), _) = run(tokens[start + 1..i].to_vec(), token, |parser| parser.parse_query()) {
                    return Some(error);
                }
            }
            _ => {}
        }
    }
    None
}
