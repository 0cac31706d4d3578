//! What makes sqlparser read Flink's expressions and queries.

use std::cell::{Cell, RefCell};

use sqlparser::ast::Expr;
use sqlparser::dialect::{Dialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::{infix, prefix};
use crate::script::SqlError;
use crate::script::limits::{MAX_VISITS_A_TOKEN, MIN_VISITS};

/// Flink's dialect for one run of sqlparser's parser.
///
/// It reads every operand that begins with a word itself. sqlparser would try such operands in several ways, one after the other,
/// and for nested ones that takes exponential time.
#[derive(Debug, Default)]
pub struct FlinkDialect {
    /// The errors behind the parser's errors, which can only carry text.
    errors: RefCell<Vec<SqlError>>,
    visits: Cell<usize>,
    max_visits: Cell<usize>,
}

/// Begins the text of a parser's error that stands for one of ours.
const OURS: &str = "weir#";

impl FlinkDialect {
    /// A dialect for the parsing of this many tokens.
    pub(super) fn for_tokens(tokens: usize) -> Self {
        let dialect = Self::default();
        dialect.max_visits.set((tokens * MAX_VISITS_A_TOKEN).max(MIN_VISITS));
        dialect
    }

    /// A parser's error that stands for one of ours.
    pub(super) fn fail(&self, error: SqlError) -> ParserError {
        let mut errors = self.errors.borrow_mut();
        errors.push(error);
        ParserError::ParserError(format!("{OURS}{}", errors.len() - 1))
    }

    /// Our error behind a parser's error.
    pub(super) fn ours(&self, error: &ParserError) -> Option<SqlError> {
        let ParserError::ParserError(text) = error else { return None };
        let index: usize = text.strip_prefix(OURS)?.parse().ok()?;
        self.errors.borrow().get(index).cloned()
    }

    /// Counts the operands that are begun, so that a parser that repeats itself is stopped.
    fn visit(&self) -> Result<(), ParserError> {
        self.visits.set(self.visits.get() + 1);
        // Only this error stops a parser that tries several ways.
        if self.visits.get() > self.max_visits.get() { Err(ParserError::RecursionLimitExceeded) } else { Ok(()) }
    }
}

impl Dialect for FlinkDialect {
    fn is_delimited_identifier_start(&self, c: char) -> bool {
        c == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn is_identifier_start(&self, c: char) -> bool {
        // Names that begin with a dollar sign are the planner's own; a user can quote them.
        c.is_alphabetic() || c == '_'
    }

    fn is_identifier_part(&self, c: char) -> bool {
        c.is_alphanumeric() || c == '_' || c == '$'
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_string_literal_concatenation(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_comment_optimizer_hint(&self) -> bool {
        true
    }

    fn is_table_alias(&self, keyword: &Keyword, _parser: &mut Parser) -> bool {
        !sqlparser::keywords::RESERVED_FOR_TABLE_ALIAS.contains(keyword) && !is_table_clause(*keyword)
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if let Err(error) = self.visit() {
            return Some(Err(error));
        }
        match &parser.peek_token_ref().token {
            Token::Word(_) => Some(prefix::parse(self, parser)),
            Token::Number(..) | Token::SingleQuotedString(_) | Token::UnicodeStringLiteral(_) | Token::HexStringLiteral(_) => {
                None
            }
            Token::LParen | Token::Minus | Token::Plus => None,
            // sqlparser knows more, such as variables and `[1, 2]`.
            _ => Some(parser.expected_ref("an expression", parser.peek_token_ref())),
        }
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        infix::parse(self, parser, left, precedence)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        match &parser.peek_token_ref().token {
            Token::Word(word) if word.quote_style.is_some() => Some(Ok(self.prec_unknown())),
            Token::Word(word) => match word.keyword {
                // Other systems' operators are plain words here.
                Keyword::XOR
                | Keyword::ILIKE
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::MATCH
                | Keyword::OPERATOR
                | Keyword::DIV
                | Keyword::NOTNULL
                | Keyword::OVERLAPS
                | Keyword::MEMBER => Some(Ok(self.prec_unknown())),
                Keyword::NOT => match &parser.peek_nth_token_ref(1).token {
                    Token::Word(next)
                        if matches!(next.keyword, Keyword::IN | Keyword::BETWEEN | Keyword::LIKE | Keyword::SIMILAR) =>
                    {
                        None
                    }
                    _ => Some(Ok(self.prec_unknown())),
                },
                _ => None,
            },
            Token::Eq
            | Token::Neq
            | Token::Lt
            | Token::Gt
            | Token::LtEq
            | Token::GtEq
            | Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::Mod
            | Token::StringConcat
            | Token::Period
            | Token::LBracket => None,
            _ => Some(Ok(self.prec_unknown())),
        }
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        match precedence {
            // As in Flink, `a = b LIKE c` is `a = (b LIKE c)`.
            Precedence::Like => 21,
            Precedence::Between => 21,
            other => sqlparser::dialect::GenericDialect {}.prec_value(other),
        }
    }
}

/// Words that go on with a table expression, so they are not the name of the table before.
fn is_table_clause(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::ON | Keyword::USING | Keyword::VALUES | Keyword::INTO | Keyword::AS | Keyword::AND | Keyword::OR)
}
