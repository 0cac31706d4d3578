//! The JSON functions, whose arguments have clauses. `marker` says what becomes of these.

use sqlparser::ast::{
    CastKind, Expr, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArgumentList, FunctionArguments, Ident, Value,
};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::flink::FlinkDialect;
use super::infix::{advance, is_word};
use super::{marker, prefix};

/// Parses a call of a JSON function, from its name on.
pub(super) fn parse(dialect: &FlinkDialect, parser: &mut Parser) -> Result<Expr, ParserError> {
    let name = parser.parse_identifier()?;
    parser.expect_token(&Token::LParen)?;
    let mut args = Vec::new();
    let keyed = matches!(name.value.to_ascii_uppercase().as_str(), "JSON_OBJECT" | "JSON_OBJECTAGG");
    while parser.peek_token_ref().token != Token::RParen && !begins_clause(parser) {
        if !args.is_empty() {
            parser.expect_token(&Token::Comma)?;
        }
        if keyed {
            entry(parser, &mut args)?;
        } else {
            args.push(unnamed(parser.parse_expr()?));
        }
    }
    while parser.peek_token_ref().token != Token::RParen {
        args.push(clause(dialect, parser)?);
    }
    parser.expect_token(&Token::RParen)?;
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] };
    let mut function = marker::function(name, FunctionArguments::List(list));
    if is_word(parser, 0, "FILTER") {
        parser.advance_token();
        parser.expect_token(&Token::LParen)?;
        parser.expect_keyword_is(Keyword::WHERE)?;
        function.filter = Some(Box::new(parser.parse_expr()?));
        parser.expect_token(&Token::RParen)?;
    }
    Ok(Expr::Function(function))
}

fn unnamed(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}

/// `[KEY] k VALUE v` or `k : v`.
fn entry(parser: &mut Parser, args: &mut Vec<FunctionArg>) -> Result<(), ParserError> {
    // KEY may also be a column's name.
    if is_word(parser, 0, "KEY") && !is_word(parser, 1, "VALUE") && parser.peek_nth_token_ref(1).token != Token::Colon {
        parser.advance_token();
    }
    args.push(unnamed(parser.parse_expr()?));
    if is_word(parser, 0, "VALUE") || parser.peek_token_ref().token == Token::Colon {
        parser.advance_token();
    } else {
        return parser.expected_ref("VALUE and the value of the key", parser.peek_token_ref());
    }
    args.push(unnamed(parser.parse_expr()?));
    Ok(())
}

fn begins_clause(parser: &Parser) -> bool {
    ["RETURNING", "WITH", "WITHOUT", "DEFAULT", "EMPTY", "ERROR", "ABSENT"].iter().any(|word| is_word(parser, 0, word))
        || (["NULL", "TRUE", "FALSE", "UNKNOWN"].iter().any(|word| is_word(parser, 0, word)) && is_word(parser, 1, "ON"))
}

fn clause(dialect: &FlinkDialect, parser: &mut Parser) -> Result<FunctionArg, ParserError> {
    let span = parser.peek_token_ref().span;
    let text = |text: &str| Expr::Value(Value::SingleQuotedString(text.to_owned()).with_span(span));
    let named = |name: &str, expr: Expr| FunctionArg::Named {
        name: Ident { value: name.to_owned(), quote_style: None, span },
        arg: FunctionArgExpr::Expr(expr),
        operator: FunctionArgOperator::RightArrow,
    };
    if is_word(parser, 0, "RETURNING") {
        parser.advance_token();
        let data_type = prefix::data_type(dialect, parser)?;
        let null = Box::new(Expr::Value(Value::Null.with_span(span)));
        return Ok(named(
            marker::RETURNING,
            Expr::Cast { kind: CastKind::Cast, expr: null, data_type, array: false, format: None },
        ));
    }
    if is_word(parser, 0, "WITH") || is_word(parser, 0, "WITHOUT") {
        return Ok(named(marker::WRAPPER, text(wrapper(parser)?)));
    }
    let value = if is_word(parser, 0, "DEFAULT") {
        parser.advance_token();
        Expr::Nested(Box::new(parser.parse_expr()?))
    } else if is_word(parser, 0, "EMPTY") {
        let kind = ["ARRAY", "OBJECT"].into_iter().find(|kind| is_word(parser, 1, kind));
        let Some(kind) = kind else { return parser.expected_ref("ARRAY or OBJECT after EMPTY", parser.peek_nth_token_ref(1)) };
        advance(parser, 2);
        text(&format!("EMPTY {kind}"))
    } else {
        let word = ["NULL", "ERROR", "ABSENT", "TRUE", "FALSE", "UNKNOWN"].into_iter().find(|word| is_word(parser, 0, word));
        let Some(word) = word else { return parser.expected_ref(") or a clause such as NULL ON ERROR", parser.peek_token_ref()) };
        parser.advance_token();
        text(word)
    };
    parser.expect_keyword_is(Keyword::ON)?;
    let name = [("EMPTY", marker::ON_EMPTY), ("ERROR", marker::ON_ERROR), ("NULL", marker::ON_NULL)];
    match name.into_iter().find(|(word, _)| is_word(parser, 0, word)) {
        Some((_, name)) => {
            parser.advance_token();
            Ok(named(name, value))
        }
        None => parser.expected_ref("EMPTY, ERROR or NULL", parser.peek_token_ref()),
    }
}

/// `WITHOUT [ARRAY] WRAPPER` or `WITH [CONDITIONAL | UNCONDITIONAL] [ARRAY] WRAPPER`.
fn wrapper(parser: &mut Parser) -> Result<&'static str, ParserError> {
    let without = is_word(parser, 0, "WITHOUT");
    parser.advance_token();
    let kind = if without {
        "WITHOUT"
    } else if is_word(parser, 0, "CONDITIONAL") {
        parser.advance_token();
        "CONDITIONAL"
    } else {
        if is_word(parser, 0, "UNCONDITIONAL") {
            parser.advance_token();
        }
        "UNCONDITIONAL"
    };
    if is_word(parser, 0, "ARRAY") {
        parser.advance_token();
    }
    if !is_word(parser, 0, "WRAPPER") {
        return parser.expected_ref("WRAPPER", parser.peek_token_ref());
    }
    parser.advance_token();
    Ok(kind)
}
