//! Operators that sqlparser reads differently than Flink.

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};
use sqlparser::dialect::{Dialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Span, Token};

use super::flink::FlinkDialect;
use super::marker;

type Parsed = Result<Expr, ParserError>;

/// Parses the operator at the parser and what follows it, or leaves it to sqlparser.
pub(super) fn parse(dialect: &FlinkDialect, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Parsed> {
    let Token::Word(word) = &parser.peek_token_ref().token else { return None };
    match word.keyword {
        Keyword::AND => Some(chain(parser, left, BinaryOperator::And, Keyword::AND, precedence)),
        Keyword::OR => Some(chain(parser, left, BinaryOperator::Or, Keyword::OR, precedence)),
        Keyword::IS => is(dialect, parser, left),
        Keyword::BETWEEN => between(dialect, parser, left, false),
        Keyword::NOT => between(dialect, parser, left, true),
        _ => None,
    }
}

/// A chain of ANDs or ORs as a balanced tree, so that ten thousand of them are not ten thousand levels deep.
fn chain(parser: &mut Parser, left: &Expr, operator: BinaryOperator, keyword: Keyword, precedence: u8) -> Parsed {
    let mut operands = vec![left.clone()];
    while parser.parse_keyword(keyword) {
        operands.push(parser.parse_subexpr(precedence)?);
    }
    while operands.len() > 1 {
        let mut pairs = Vec::with_capacity(operands.len().div_ceil(2));
        let mut rest = operands.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => Expr::BinaryOp { left: Box::new(left), op: operator.clone(), right: Box::new(right) },
                None => left,
            });
        }
        operands = pairs;
    }
    match operands.pop() {
        Some(whole) => Ok(whole),
        None => parser.expected_ref("an expression", parser.peek_token_ref()),
    }
}

/// `IS [NOT] DISTINCT FROM` and `IS [NOT] JSON`.
fn is(dialect: &FlinkDialect, parser: &mut Parser, left: &Expr) -> Option<Parsed> {
    let negated = is_word(parser, 1, "NOT");
    let at = 1 + usize::from(negated);
    if is_word(parser, at, "DISTINCT") {
        advance(parser, at + 1);
        return Some((|| {
            parser.expect_keyword_is(Keyword::FROM)?;
            // sqlparser would take everything up to the end of the condition as the right side.
            let right = Box::new(parser.parse_subexpr(dialect.prec_value(Precedence::Eq))?);
            let left = Box::new(left.clone());
            Ok(if negated { Expr::IsNotDistinctFrom(left, right) } else { Expr::IsDistinctFrom(left, right) })
        })());
    }
    if is_word(parser, at, "JSON") {
        let span = parser.peek_nth_token_ref(at).span;
        advance(parser, at + 1);
        let kind = ["VALUE", "SCALAR", "ARRAY", "OBJECT"].into_iter().find(|kind| is_word(parser, 0, kind));
        if kind.is_some() {
            parser.advance_token();
        }
        let kind = Expr::Value(Value::SingleQuotedString(kind.unwrap_or("VALUE").to_owned()).with_span(span));
        return Some(Ok(not_if(negated, Expr::Function(marker::call(marker::IS_JSON, span, vec![left.clone(), kind])))));
    }
    None
}

/// `BETWEEN SYMMETRIC` and the ASYMMETRIC that changes nothing.
fn between(dialect: &FlinkDialect, parser: &mut Parser, left: &Expr, negated: bool) -> Option<Parsed> {
    let at = usize::from(negated);
    if !is_word(parser, at, "BETWEEN") {
        return None;
    }
    let symmetric = is_word(parser, at + 1, "SYMMETRIC");
    if !symmetric && !is_word(parser, at + 1, "ASYMMETRIC") {
        return None;
    }
    let span: Span = parser.peek_nth_token_ref(at + 1).span;
    advance(parser, at + 2);
    Some((|| {
        let precedence = dialect.prec_value(Precedence::Between);
        let low = parser.parse_subexpr(precedence)?;
        parser.expect_keyword_is(Keyword::AND)?;
        let high = parser.parse_subexpr(precedence)?;
        if symmetric {
            let call = Expr::Function(marker::call(marker::BETWEEN_SYMMETRIC, span, vec![left.clone(), low, high]));
            return Ok(not_if(negated, call));
        }
        Ok(Expr::Between { expr: Box::new(left.clone()), negated, low: Box::new(low), high: Box::new(high) })
    })())
}

fn not_if(negated: bool, expr: Expr) -> Expr {
    if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) } } else { expr }
}

/// Whether the n-th next token is this word.
pub(super) fn is_word(parser: &Parser, n: usize, wanted: &str) -> bool {
    matches!(&parser.peek_nth_token_ref(n).token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

pub(super) fn advance(parser: &mut Parser, tokens: usize) {
    for _ in 0..tokens {
        parser.advance_token();
    }
}
