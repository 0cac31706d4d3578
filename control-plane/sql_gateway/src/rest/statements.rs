//! Handlers of statements and of their completion.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{Session, body, no_timeout, to_its_end};
use crate::error::GatewayError;
use crate::execute::{self, Statement};

/// Longest statement, in bytes: it is kept in the store until its job is submitted.
const MAX_STATEMENT_BYTES: usize = 512 << 10;
/// Longest statement that is completed, in bytes.
const MAX_COMPLETED_BYTES: usize = 64 << 10;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SubmitStatement {
    statement: String,
    execution_timeout: Option<i64>,
    execution_config: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CompleteStatement {
    statement: String,
    /// The cursor's place, counted in UTF-16 units as in Java.
    position: Option<usize>,
}

pub(super) async fn submit(Session { led, live }: Session, bytes: Bytes) -> Result<Json<Value>, GatewayError> {
    let SubmitStatement { statement: text, execution_timeout, execution_config } = body(&bytes)?;
    no_timeout(execution_timeout)?;
    if text.len() > MAX_STATEMENT_BYTES {
        let text = format!("SQL-LIMIT: the statement is {} bytes long; the maximum is {MAX_STATEMENT_BYTES}", text.len());
        return Err(GatewayError::bad_request(text));
    }
    let statement = Statement { text, config: execution_config.unwrap_or_default() };
    let operation = to_its_end(&led.clone(), async move { execute::accept(&led, &live, statement).await }).await?;
    Ok(Json(json!({"operationHandle": operation.to_string()})))
}

pub(super) async fn complete(Session { led, live }: Session, bytes: Bytes) -> Result<Json<Value>, GatewayError> {
    let CompleteStatement { statement, position } = body(&bytes)?;
    let before = before(&statement, position);
    if before.len() > MAX_COMPLETED_BYTES {
        return Ok(Json(json!({"candidates": []})));
    }
    let candidates = led.planner.complete(live.session(), led.snapshot().await?, before.to_owned()).await?;
    // Flink's client puts a space after a word itself.
    let candidates: Vec<_> = candidates.iter().map(|candidate| candidate.trim_end()).collect();
    Ok(Json(json!({"candidates": candidates})))
}

/// The part of a text before this many UTF-16 units; all of it without a position.
fn before(text: &str, position: Option<usize>) -> &str {
    let Some(position) = position else { return text };
    let mut units = 0;
    for (at, c) in text.char_indices() {
        if units >= position {
            return &text[..at];
        }
        units += c.len_utf16();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_cursor_is_counted_as_in_java() {
        assert_eq!(before("SELECT", Some(3)), "SEL");
        assert_eq!(before("é😀x", Some(1)), "é");
        assert_eq!(before("é😀x", Some(3)), "é😀");
        assert_eq!(before("é😀x", Some(2)), "é😀", "not within a character");
        assert_eq!((before("ab", Some(9)), before("ab", None), before("ab", Some(0))), ("ab", "ab", ""));
    }
}
