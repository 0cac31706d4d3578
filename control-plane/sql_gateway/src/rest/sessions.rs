//! Handlers of sessions.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_sql::session::OPTIONS;
use weir_world::wall_clock_ms;

use super::request::{Gateway, Session, body, no_timeout, to_its_end};
use crate::error::GatewayError;
use crate::execute;
use crate::records::SessionRecord;
use crate::service::GatewayOptions;

/// The property with which a client chooses after which time without a request its session is closed. It is Flink's.
const IDLE_TIMEOUT: &str = "sql-gateway.session.idle-timeout";
/// Shortest and longest such time, in milliseconds.
const IDLE_TIMEOUTS_MS: std::ops::RangeInclusive<u64> = 10_000..=7 * 86_400_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OpenSession {
    session_name: Option<String>,
    properties: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConfigureSession {
    statement: String,
    execution_timeout: Option<i64>,
}

pub(super) async fn open(Gateway(led): Gateway, bytes: Bytes) -> Result<Json<Value>, GatewayError> {
    let record = new_session(body(&bytes)?, &led.options, wall_clock_ms())?;
    let session = to_its_end(&led.clone(), async move { led.open(record).await }).await?;
    Ok(Json(json!({"sessionHandle": session.to_string()})))
}

/// The session that a client asks for. What it gives that is no option of Weir's has no effect: Flink's clients send all that is in
/// their configuration.
fn new_session(request: OpenSession, options: &GatewayOptions, now_ms: u64) -> Result<SessionRecord, GatewayError> {
    let mut record = SessionRecord::new(request.session_name, options.idle_timeout_ms, now_ms);
    for (key, value) in request.properties.unwrap_or_default() {
        let is_option = OPTIONS.iter().any(|option| option.name == key || option.aliases.contains(&key.as_str()));
        if key == IDLE_TIMEOUT {
            record.idle_timeout_ms =
                weir_sql::duration_ms(&value).filter(|ms| IDLE_TIMEOUTS_MS.contains(ms)).ok_or_else(|| {
                    GatewayError::bad_request(format!("SQL-OPTION: '{key}' is '{value}'; it must be a time from 10 s to 7 d"))
                })?;
        }
        if is_option {
            record.options.set(&key, &value).map_err(|error| GatewayError::bad_request(error.render("")))?;
        } else {
            record.properties.insert(key, value);
        }
    }
    Ok(record)
}

pub(super) async fn properties(session: Session) -> Json<Value> {
    Json(json!({"properties": session.live.session().shown()}))
}

pub(super) async fn close(Session { led, live }: Session) -> Result<Json<Value>, GatewayError> {
    to_its_end(&led.clone(), async move { led.close(&live).await }).await?;
    Ok(Json(json!({"status": "CLOSED"})))
}

/// Whatever names the session in its path keeps it open. This does nothing else.
pub(super) async fn heartbeat(_: Session) -> Json<Value> {
    Json(json!({}))
}

pub(super) async fn configure(Session { led, live }: Session, bytes: Bytes) -> Result<Json<Value>, GatewayError> {
    let ConfigureSession { statement, execution_timeout } = body(&bytes)?;
    no_timeout(execution_timeout)?;
    to_its_end(&led.clone(), async move { execute::configure(&led, &live, &statement).await }).await?;
    Ok(Json(json!({})))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(body: Value) -> Result<SessionRecord, GatewayError> {
        new_session(serde_json::from_value(body).unwrap(), &GatewayOptions::default(), 0)
    }

    #[test]
    fn a_client_may_give_anything_and_only_options_of_ours_have_an_effect() {
        let given =
            json!({"sessionName": "mine", "properties": {"execution.target": "remote", "parallelism.default": "2"}, "more": 1});
        let record = opened(given).unwrap();
        assert_eq!((record.name.as_deref(), record.options.parallelism()), (Some("mine"), 2));
        assert_eq!(record.shown().len(), 2);
        assert_eq!(opened(json!({})).unwrap(), SessionRecord::new(None, 600_000, 0));
        let wrong = opened(json!({"properties": {"parallelism.default": "x"}})).unwrap_err();
        assert!(wrong.text().starts_with("SQL-OPTION"), "{wrong:?}");
    }

    #[test]
    fn a_client_chooses_how_long_its_session_may_be_idle() {
        let idle = |time: &str| opened(json!({"properties": {IDLE_TIMEOUT: time}})).map(|record| record.idle_timeout_ms);
        assert_eq!(idle("1 h"), Ok(3_600_000));
        for wrong in ["1 s", "0", "x", "30 d"] {
            assert!(idle(wrong).is_err(), "{wrong}");
        }
    }
}
