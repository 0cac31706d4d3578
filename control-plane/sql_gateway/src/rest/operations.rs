//! Handlers of operations and their results.

use std::collections::BTreeMap;

use axum::extract::{Extension, Path, Query};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Body};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Version;
use super::request::{Operation, Session, to_its_end};
use crate::error::GatewayError;
use crate::execute;
use crate::fetch::{Page, ReadyPage, fetch};
use crate::records::ResultKind;
use crate::render::RowFormat;

#[derive(Debug, Deserialize)]
pub(super) struct Format {
    #[serde(rename = "rowFormat")]
    row_format: Option<String>,
}

pub(super) async fn status(Operation { session: Session { led, live }, id }: Operation) -> Result<Json<Value>, GatewayError> {
    let state = to_its_end(&led.clone(), async move { execute::state(&led, &live, id).await }).await?;
    Ok(Json(json!({"status": state.word()})))
}

pub(super) async fn cancel(Operation { session: Session { led, live }, id }: Operation) -> Result<Json<Value>, GatewayError> {
    let status = to_its_end(&led.clone(), async move { execute::cancel(&led, &live, id).await }).await?;
    Ok(Json(json!({"status": status})))
}

pub(super) async fn close(Operation { session: Session { led, live }, id }: Operation) -> Result<Json<Value>, GatewayError> {
    let status = to_its_end(&led.clone(), async move { execute::close(&led, &live, id).await }).await?;
    Ok(Json(json!({"status": status})))
}

pub(super) async fn result(
    Operation { session: Session { led, live }, id }: Operation,
    Extension(version): Extension<Version>,
    Path(parameters): Path<BTreeMap<String, String>>,
    Query(Format { row_format }): Query<Format>,
) -> Result<Response, GatewayError> {
    let token = parameters.get("token").map_or("", String::as_str);
    let token: u64 = token.parse().map_err(|_| GatewayError::bad_request("SQL-TOKEN: the token of a page is a number"))?;
    // Version 1 does not know the parameter.
    let format = row_format.filter(|_| version > Version::V1).map_or(Ok(RowFormat::Json), |format| format.parse());
    let format = format.map_err(GatewayError::bad_request)?;
    let next = Next { operation: format!("/sessions/{}/operations/{id}", live.id), version, format };
    let page = to_its_end(&led.clone(), async move { fetch(&led, &live, id, token, format).await }).await?;
    let body = page_json(&page, token, &next);
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response())
}

/// How pages of a result are reached.
struct Next {
    operation: String,
    version: Version,
    format: RowFormat,
}

impl Next {
    fn uri(&self, token: u64) -> String {
        let Self { operation, version, format } = self;
        let query = if *version == Version::V1 { String::new() } else { format!("?rowFormat={}", format.word()) };
        format!("{}{operation}/result/{token}{query}", version.prefix())
    }
}

/// A page in Flink's form. Clients rely on what is left out: a page that is not ready has no columns, and the end no next page.
fn page_json(page: &Page, token: u64, next: &Next) -> String {
    let Page::Ready(page) = page else {
        return format!(r#"{{"resultType":"NOT_READY","nextResultUri":"{}"}}"#, next.uri(token));
    };
    let ReadyPage { next: next_token, is_query, job, kind, rows } = page;
    let job = job.map(|job| format!(r#","jobID":"{job}""#)).unwrap_or_default();
    let kind = match kind {
        ResultKind::Success => "SUCCESS",
        ResultKind::SuccessWithContent => "SUCCESS_WITH_CONTENT",
    };
    let (result_type, next) = match next_token {
        None => ("EOS", String::new()),
        Some(token) => ("PAYLOAD", format!(r#","nextResultUri":"{}""#, next.uri(*token))),
    };
    format!(
        r#"{{"resultType":"{result_type}","isQueryResult":{is_query}{job},"resultKind":"{kind}","results":{}{next}}}"#,
        rows.json()
    )
}

#[cfg(test)]
mod tests {
    use weir_protocol::JobId;

    use super::*;
    use crate::records::Outcome;
    use crate::render::Rows;

    fn next(version: Version) -> Next {
        Next { operation: "/sessions/s/operations/o".to_owned(), version, format: RowFormat::PlainText }
    }

    fn page(next: Option<u64>, job: Option<JobId>) -> Page {
        let rows = Rows::of_table(&Outcome::ok().table, next.is_some(), RowFormat::PlainText);
        Page::Ready(ReadyPage { next, is_query: false, job, kind: ResultKind::Success, rows })
    }

    fn shown(page: &Page, version: Version) -> Value {
        serde_json::from_str(&page_json(page, 3, &next(version))).unwrap()
    }

    #[test]
    fn a_page_has_the_fields_that_clients_expect_and_no_others() {
        let results = |data: Value| {
            json!({"columns": [{"name": "result", "logicalType": {"type": "VARCHAR", "nullable": true, "length": 2147483647},
                "comment": null}], "rowFormat": "PLAIN_TEXT", "data": data})
        };
        let row = json!([{"kind": "INSERT", "fields": ["OK"]}]);
        assert_eq!(
            shown(&page(Some(4), Some(JobId(10))), Version::V2),
            json!({"resultType": "PAYLOAD", "isQueryResult": false, "jobID": "0000000000000000000000000000000a",
                "resultKind": "SUCCESS", "results": results(row),
                "nextResultUri": "/v2/sessions/s/operations/o/result/4?rowFormat=PLAIN_TEXT"})
        );
        assert_eq!(
            shown(&page(None, None), Version::V4),
            json!({"resultType": "EOS", "isQueryResult": false, "resultKind": "SUCCESS", "results": results(json!([]))})
        );
        assert_eq!(
            shown(&Page::NotReady, Version::V1),
            json!({"resultType": "NOT_READY", "nextResultUri": "/v1/sessions/s/operations/o/result/3"})
        );
    }
}
