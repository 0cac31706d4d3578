//! Operands that begin with a word: names, calls, and the expressions with a grammar of their own.

use sqlparser::ast::{
    CastKind, DataType, Expr, Function, FunctionArguments, Ident, Interval, ObjectName, TimezoneInfo, TypedString, Value,
    ValueWithSpan,
};
use sqlparser::dialect::{Dialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::data_type::{custom, type_length};
use super::flink::FlinkDialect;
use super::{hints, json, marker};
use crate::script::SqlError;

type Parsed = Result<Expr, ParserError>;

/// Parses the operand at the parser's word.
pub(super) fn parse(dialect: &FlinkDialect, parser: &mut Parser) -> Parsed {
    let token = parser.peek_token_ref().clone();
    let Token::Word(word) = &token.token else { return parser.expected("an expression", token) };
    if word.quote_style.is_some() {
        return name_or_call(dialect, parser);
    }
    let next = parser.peek_nth_token_ref(1).token.clone();
    if let Some(special) = call_with_grammar(dialect, parser, word, &next) {
        return special;
    }
    match word.keyword {
        Keyword::TRUE | Keyword::FALSE | Keyword::NULL => parser.parse_value().map(Expr::Value),
        Keyword::UNKNOWN => {
            parser.advance_token();
            Ok(Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(Expr::Value(Value::Null.with_span(token.span))),
                data_type: custom(&weir_protocol::job_graph::DataType::Boolean),
                array: false,
                format: None,
            })
        }
        Keyword::CASE => {
            parser.advance_token();
            parser.parse_case_expr()
        }
        Keyword::NOT => {
            parser.advance_token();
            parser.parse_not()
        }
        Keyword::INTERVAL => interval(dialect, parser),
        Keyword::DATE | Keyword::TIME | Keyword::TIMESTAMP if matches!(next, Token::SingleQuotedString(_)) => {
            parser.advance_token();
            let data_type = match word.keyword {
                Keyword::DATE => DataType::Date,
                Keyword::TIME => DataType::Time(None, TimezoneInfo::None),
                _ => DataType::Timestamp(None, TimezoneInfo::None),
            };
            Ok(Expr::TypedString(TypedString { data_type, value: parser.parse_value()?, uses_odbc_syntax: false }))
        }
        Keyword::ARRAY if next == Token::LBracket => {
            parser.advance_token();
            parser.advance_token();
            parser.parse_array_expr(true)
        }
        Keyword::MAP if next == Token::LBracket => map(parser),
        Keyword::TABLE => table(dialect, parser),
        _ if is_time_word(word) && next != Token::LParen => {
            parser.advance_token();
            Ok(Expr::Function(marker::function(word.to_ident(token.span), FunctionArguments::None)))
        }
        _ if is_charset(word) && matches!(next, Token::SingleQuotedString(_)) => charset_text(dialect, parser, word),
        _ if begins_clause(word.keyword, &next) => parser.expected("an expression", token),
        _ => name_or_call(dialect, parser),
    }
}

/// The calls whose arguments are not just a list.
fn call_with_grammar(dialect: &FlinkDialect, parser: &mut Parser, word: &Word, next: &Token) -> Option<Parsed> {
    if *next != Token::LParen {
        return None;
    }
    let advance = |parser: &mut Parser| parser.advance_token();
    match word.keyword {
        Keyword::CAST | Keyword::TRY_CAST => {
            advance(parser);
            let kind = if word.keyword == Keyword::CAST { CastKind::Cast } else { CastKind::TryCast };
            return Some(cast(dialect, parser, kind));
        }
        Keyword::EXISTS => {
            advance(parser);
            return Some(parser.parse_exists_expr(false));
        }
        Keyword::EXTRACT => {
            advance(parser);
            return Some(parser.parse_extract_expr());
        }
        Keyword::FLOOR | Keyword::CEIL => {
            advance(parser);
            return Some(parser.parse_ceil_floor_expr(word.keyword == Keyword::CEIL));
        }
        Keyword::POSITION => {
            advance(parser);
            return Some(position(dialect, parser));
        }
        Keyword::SUBSTRING | Keyword::SUBSTR => return Some(parser.parse_substring()),
        Keyword::OVERLAY => {
            advance(parser);
            return Some(parser.parse_overlay_expr());
        }
        Keyword::TRIM => {
            advance(parser);
            return Some(trim(parser));
        }
        Keyword::ARRAY => {
            let error = SqlError::unsupported("ARRAY with a query").at(parser.peek_token_ref().span.start);
            let error = error.hint("write the elements in square brackets: ARRAY[1, 2]");
            return Some(Err(dialect.fail(error)));
        }
        _ => {}
    }
    match word.value.to_ascii_uppercase().as_str() {
        "CEILING" => {
            advance(parser);
            Some(parser.parse_ceil_floor_expr(true))
        }
        "JSON_VALUE" | "JSON_QUERY" | "JSON_EXISTS" | "JSON_OBJECT" | "JSON_ARRAY" | "JSON_OBJECTAGG" | "JSON_ARRAYAGG" => {
            Some(json::parse(dialect, parser))
        }
        _ => None,
    }
}

/// A column, a qualified column, or a call.
fn name_or_call(dialect: &FlinkDialect, parser: &mut Parser) -> Parsed {
    let mut parts = vec![parser.parse_identifier()?];
    while parser.peek_token_ref().token == Token::Period && matches!(parser.peek_nth_token_ref(1).token, Token::Word(_)) {
        parser.advance_token();
        let part = parser.parse_identifier()?;
        if hints::is_hint(&part) {
            let error = SqlError::new("SQL-PARSE", "a hint can't stand here: hints follow SELECT or the name of a table")
                .at(part.span.start);
            return Err(dialect.fail(error));
        }
        parts.push(part);
    }
    if parser.peek_token_ref().token == Token::LParen {
        return parser.parse_function(ObjectName::from(parts));
    }
    match <[Ident; 1]>::try_from(parts) {
        Ok([only]) => Ok(Expr::Identifier(only)),
        Err(parts) => Ok(Expr::CompoundIdentifier(parts)),
    }
}

/// `CAST(e AS type)`, from the bracket on. The type becomes a custom type with Flink's text of it.
fn cast(dialect: &FlinkDialect, parser: &mut Parser, kind: CastKind) -> Parsed {
    parser.expect_token(&Token::LParen)?;
    let expr = parser.parse_expr()?;
    parser.expect_keyword_is(Keyword::AS)?;
    let data_type = data_type(dialect, parser)?;
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Cast { kind, expr: Box::new(expr), data_type, array: false, format: None })
}

/// Reads one of Flink's types.
pub(super) fn data_type(dialect: &FlinkDialect, parser: &mut Parser) -> Result<DataType, ParserError> {
    let start = parser.index();
    let length = type_length(|i| Some(&parser.token_at(start + i).token).filter(|token| **token != Token::EOF));
    let Some(length) = length else { return parser.expected_ref("a type", parser.peek_token_ref()) };
    let text = super::data_type::type_text((0..length).map(|i| &parser.token_at(start + i).token));
    let place = parser.token_at(start).span.start;
    for _ in 0..length {
        parser.advance_token();
    }
    let read = super::data_type::parse_type(&text).map_err(|error| dialect.fail(error.at(place)))?;
    Ok(custom(&read))
}

/// `POSITION(a IN b)`, from the bracket on.
fn position(dialect: &FlinkDialect, parser: &mut Parser) -> Parsed {
    parser.expect_token(&Token::LParen)?;
    let expr = parser.parse_subexpr(dialect.prec_value(Precedence::Between))?;
    parser.expect_keyword_is(Keyword::IN)?;
    let within = parser.parse_expr()?;
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Position { expr: Box::new(expr), r#in: Box::new(within) })
}

/// `TRIM([BOTH | LEADING | TRAILING] [characters] [FROM] text)`, from the bracket on.
fn trim(parser: &mut Parser) -> Parsed {
    parser.expect_token(&Token::LParen)?;
    let is_where = |token: &Token| matches!(token, Token::Word(w) if w.quote_style.is_none() && matches!(w.keyword, Keyword::BOTH | Keyword::LEADING | Keyword::TRAILING));
    let trim_where = if is_where(&parser.peek_token_ref().token) { Some(parser.parse_trim_where()?) } else { None };
    let mut trim_what = None;
    let mut expr = None;
    if !(trim_where.is_some() && parser.parse_keyword(Keyword::FROM)) {
        let first = parser.parse_expr()?;
        if parser.parse_keyword(Keyword::FROM) {
            trim_what = Some(Box::new(first));
        } else {
            expr = Some(first);
        }
    }
    let expr = match expr {
        Some(expr) => expr,
        None => parser.parse_expr()?,
    };
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Trim { expr: Box::new(expr), trim_where, trim_what, trim_characters: None })
}

/// `INTERVAL [+ | -] 'text' unit [TO unit]`. The sign becomes part of the text.
fn interval(dialect: &FlinkDialect, parser: &mut Parser) -> Parsed {
    parser.advance_token();
    let minus = parser.consume_token(&Token::Minus);
    let _ = !minus && parser.consume_token(&Token::Plus);
    let value = match parser.next_token() {
        TokenWithSpan { token: Token::SingleQuotedString(text), span } => {
            let text = if minus { format!("-{text}") } else { text };
            Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span })
        }
        TokenWithSpan { token: Token::Number(digits, false), span } if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            let text = if minus { format!("-{digits}") } else { digits };
            Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span })
        }
        other => return parser.expected("a text such as '5' after INTERVAL", other),
    };
    if !parser.next_token_is_temporal_unit() {
        return parser.expected_ref("a unit such as MINUTE", parser.peek_token_ref());
    }
    let leading_field = Some(parser.parse_date_time_field()?);
    let leading = precision(dialect, parser)?;
    let mut last_field = None;
    let mut fraction = leading.1;
    if parser.parse_keyword(Keyword::TO) {
        last_field = Some(parser.parse_date_time_field()?);
        fraction = precision(dialect, parser)?.0;
    }
    Ok(Expr::Interval(Interval {
        value: Box::new(value),
        leading_field,
        leading_precision: leading.0,
        last_field,
        fractional_seconds_precision: fraction,
    }))
}

/// `(p)` or `(p, s)` after a unit.
fn precision(dialect: &FlinkDialect, parser: &mut Parser) -> Result<(Option<u64>, Option<u64>), ParserError> {
    if !parser.consume_token(&Token::LParen) {
        return Ok((None, None));
    }
    let number = |parser: &mut Parser| match parser.next_token() {
        TokenWithSpan { token: Token::Number(text, false), span } => text
            .parse()
            .map_err(|_| dialect.fail(SqlError::new("SQL-PARSE", format!("{text} is not a precision")).at(span.start))),
        other => parser.expected("a number", other),
    };
    let first = number(parser)?;
    let second = if parser.consume_token(&Token::Comma) { Some(number(parser)?) } else { None };
    parser.expect_token(&Token::RParen)?;
    Ok((Some(first), second))
}

/// `MAP[k, v, …]`.
fn map(parser: &mut Parser) -> Parsed {
    let token = parser.next_token();
    parser.expect_token(&Token::LBracket)?;
    let elements = parser.parse_comma_separated0(Parser::parse_expr, Token::RBracket)?;
    parser.expect_token(&Token::RBracket)?;
    Ok(Expr::Function(marker::call(marker::MAP, token.span, elements)))
}

/// `TABLE t` or `TABLE (query)` as an argument.
fn table(dialect: &FlinkDialect, parser: &mut Parser) -> Parsed {
    let token = parser.next_token();
    let function: Function = if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        marker::function(marker::ident(marker::TABLE, token.span), FunctionArguments::Subquery(query))
    } else {
        let name = parser.parse_object_name(false)?;
        let mut parts = Vec::new();
        for part in name.0 {
            match part.as_ident() {
                Some(part) => parts.push(part.clone()),
                None => return parser.expected_ref("the name of a table", parser.peek_token_ref()),
            }
        }
        let name = if parts.len() == 1 { Expr::Identifier(parts.remove(0)) } else { Expr::CompoundIdentifier(parts) };
        marker::call(marker::TABLE, token.span, vec![name])
    };
    let after = parser.peek_token_ref();
    if let Token::Word(word) = &after.token
        && matches!(word.keyword, Keyword::PARTITION | Keyword::ORDER)
    {
        let error = SqlError::unsupported(format!("{} BY in an argument of a table function", word.value.to_ascii_uppercase()));
        return Err(dialect.fail(error.at(after.span.start)));
    }
    Ok(Expr::Function(function))
}

fn is_charset(word: &Word) -> bool {
    word.value.starts_with('_')
}

/// `_UTF16'text'`: the text.
fn charset_text(dialect: &FlinkDialect, parser: &mut Parser, word: &Word) -> Parsed {
    let token = parser.next_token();
    if !["_UTF16", "_UTF8", "_UTF-8"].contains(&word.value.to_ascii_uppercase().as_str()) {
        let error = SqlError::unsupported(format!("the character set {}", &word.value[1..])).at(token.span.start);
        return Err(dialect.fail(error.hint("texts are Unicode: leave the character set out")));
    }
    parser.parse_value().map(Expr::Value)
}

/// The functions that are called without brackets.
fn is_time_word(word: &Word) -> bool {
    matches!(
        word.keyword,
        Keyword::CURRENT_DATE | Keyword::CURRENT_TIME | Keyword::CURRENT_TIMESTAMP | Keyword::LOCALTIME | Keyword::LOCALTIMESTAMP
    )
}

/// Whether the word can't begin an operand. Some can if a bracket follows, because functions have these names.
fn begins_clause(keyword: Keyword, next: &Token) -> bool {
    match keyword {
        Keyword::SELECT
        | Keyword::FROM
        | Keyword::WHERE
        | Keyword::GROUP
        | Keyword::HAVING
        | Keyword::ORDER
        | Keyword::UNION
        | Keyword::EXCEPT
        | Keyword::INTERSECT
        | Keyword::AND
        | Keyword::OR
        | Keyword::AS
        | Keyword::ON
        | Keyword::USING
        | Keyword::IN
        | Keyword::IS
        | Keyword::LIKE
        | Keyword::BETWEEN
        | Keyword::WHEN
        | Keyword::THEN
        | Keyword::ELSE
        | Keyword::END
        | Keyword::WITH
        | Keyword::JOIN
        | Keyword::INNER
        | Keyword::CROSS
        | Keyword::FULL
        | Keyword::NATURAL
        | Keyword::LATERAL
        | Keyword::BY
        | Keyword::INTO
        | Keyword::CREATE
        | Keyword::DROP
        | Keyword::ALTER
        | Keyword::FETCH
        | Keyword::DISTINCT
        | Keyword::ALL => true,
        Keyword::LEFT | Keyword::RIGHT | Keyword::LIMIT | Keyword::OFFSET | Keyword::VALUES | Keyword::SET | Keyword::INSERT => {
            *next != Token::LParen
        }
        _ => false,
    }
}
