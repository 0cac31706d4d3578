//! Bounds on what is parsed, so that no input takes unbounded time or stack.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token};

use super::{ScriptToken, SqlError};

/// Longest script, in bytes.
pub(crate) const MAX_SCRIPT: usize = 16 << 20;
/// Longest statement, in bytes.
pub(crate) const MAX_STATEMENT: usize = 1 << 20;
/// Deepest nesting of brackets.
pub(crate) const MAX_DEPTH: usize = 60;
/// Deepest recursion of the parser: every bracket, operand, query and table takes a level or two.
pub(crate) const MAX_RECURSION: usize = 150;
/// Most operators in a row. The parser's tree is as deep as this, since `a + b + c` is `(a + b) + c`. AND and OR don't count.
pub(crate) const MAX_CHAIN: usize = 1_000;
/// The parser tries each bracket before a nested query in more than one way; this bounds the product of the ways.
const MAX_WAYS: u64 = 2_048;
/// Most calls for operands for each token, and in any case. Beyond it, the parser goes over the same text again and again.
pub(crate) const MAX_VISITS_A_TOKEN: usize = 64;
pub(crate) const MIN_VISITS: usize = 20_000;

/// Checks the length of a statement.
pub(crate) fn check_length(bytes: usize, start: Location) -> Result<(), SqlError> {
    if bytes <= MAX_STATEMENT {
        return Ok(());
    }
    Err(SqlError::new("SQL-LIMIT", format!("the statement is {bytes} bytes long; the maximum is {MAX_STATEMENT}")).at(start))
}

struct Bracket {
    close: Token,
    chain: usize,
    unions: usize,
    /// In how many ways the parser may look at what is inside.
    ways: u64,
}

impl Bracket {
    fn new(close: Token, ways: u64) -> Self {
        Self { close, chain: 0, unions: 0, ways }
    }
}

/// Checks nesting and chains of operators, before anything recurses over them.
pub(crate) fn check_shape(tokens: &[ScriptToken]) -> Result<(), SqlError> {
    let mut open = vec![Bracket::new(Token::EOF, 1)];
    for (i, token) in tokens.iter().enumerate() {
        let place = token.token.span.start;
        let depth = open.len();
        let Some(level) = open.last_mut() else { break };
        match &token.token.token {
            Token::LParen | Token::LBracket => {
                if depth > MAX_DEPTH {
                    let message = format!("brackets are nested more than {MAX_DEPTH} deep");
                    return Err(SqlError::new("SQL-LIMIT", message)
                        .at(place)
                        .hint("name inner queries with WITH, or create views"));
                }
                let ways = level.ways.saturating_mul(ways(tokens, i));
                if ways > MAX_WAYS {
                    let message = "too many doubled brackets around nested queries";
                    return Err(SqlError::new("SQL-LIMIT", message).at(place).hint("write one pair of brackets around a query"));
                }
                let close = if token.token.token == Token::LParen { Token::RParen } else { Token::RBracket };
                open.push(Bracket::new(close, ways));
            }
            close @ (Token::RParen | Token::RBracket) => {
                if level.close != *close {
                    return Err(SqlError::new("SQL-PARSE", format!("Encountered \"{close}\", which closes nothing")).at(place));
                }
                open.pop();
            }
            Token::Comma => level.chain = 0,
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::IS | Keyword::IN | Keyword::LIKE | Keyword::BETWEEN | Keyword::SIMILAR | Keyword::AT => level.chain += 1,
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => level.unions += 1,
                Keyword::AND | Keyword::OR | Keyword::SELECT | Keyword::FROM | Keyword::WHERE | Keyword::ON | Keyword::WHEN => {
                    level.chain = 0
                }
                Keyword::THEN | Keyword::ELSE | Keyword::HAVING | Keyword::BY => level.chain = 0,
                _ => {}
            },
            other if is_operator(other) => level.chain += 1,
            _ => {}
        }
        if let Some(level) = open.last()
            && (level.chain > MAX_CHAIN || level.unions > MAX_CHAIN)
        {
            let message = format!("an expression or a query has more than {MAX_CHAIN} operators in a row");
            return Err(SqlError::new("SQL-LIMIT", message).at(place));
        }
    }
    Ok(())
}

fn is_operator(token: &Token) -> bool {
    matches!(
        token,
        Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::Mod
            | Token::StringConcat
            | Token::Eq
            | Token::Neq
            | Token::Lt
            | Token::Gt
            | Token::LtEq
            | Token::GtEq
    )
}

/// In how many ways the parser looks at what follows this bracket: before a query, each further bracket adds one.
fn ways(tokens: &[ScriptToken], at: usize) -> u64 {
    let previous = at.checked_sub(1).map(|i| &tokens[i].token.token);
    if previous == Some(&Token::LParen) {
        return 1;
    }
    let run = tokens[at..].iter().take_while(|token| token.token.token == Token::LParen).count();
    let query = tokens.get(at + run).is_some_and(|token| {
        matches!(&token.token.token, Token::Word(w) if matches!(w.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::TABLE))
    });
    if query { run as u64 } else { 1 }
}
