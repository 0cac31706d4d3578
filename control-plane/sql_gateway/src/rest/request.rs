//! What requests have in common: the session and the operation of the path, and bodies that may be missing.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use weir_control_plane::Leading;
use weir_ha::SqlHandle;

use crate::error::GatewayError;
use crate::led::{Led, over};
use crate::live::LiveSession;
use crate::service::SqlGateway;

/// The gateway of this leadership.
pub(super) struct Gateway(pub(super) Arc<Led>);

/// The session in the path. The request counts as a use of it.
pub(super) struct Session {
    pub(super) led: Arc<Led>,
    pub(super) live: Arc<LiveSession>,
}

/// The operation in the path, and its session.
pub(super) struct Operation {
    pub(super) session: Session,
    pub(super) id: SqlHandle,
}

impl FromRequestParts<SqlGateway> for Gateway {
    type Rejection = GatewayError;

    async fn from_request_parts(parts: &mut Parts, gateway: &SqlGateway) -> Result<Self, GatewayError> {
        let leading = parts.extensions.get::<Leading>();
        let leading = leading.ok_or_else(|| GatewayError::unavailable("NO-LEADER: this JobManager does not lead; try again"))?;
        Ok(Self(gateway.led(leading)))
    }
}

impl FromRequestParts<SqlGateway> for Session {
    type Rejection = GatewayError;

    async fn from_request_parts(parts: &mut Parts, gateway: &SqlGateway) -> Result<Self, GatewayError> {
        let id = parameter(parts, "session", "SQL-SESSION").await?;
        let Gateway(led) = Gateway::from_request_parts(parts, gateway).await?;
        let live = led.session(id).await?;
        Ok(Self { led, live })
    }
}

impl FromRequestParts<SqlGateway> for Operation {
    type Rejection = GatewayError;

    async fn from_request_parts(parts: &mut Parts, gateway: &SqlGateway) -> Result<Self, GatewayError> {
        let id = parameter(parts, "operation", "SQL-OPERATION").await?;
        Ok(Self { session: Session::from_request_parts(parts, gateway).await?, id })
    }
}

/// A part of the path.
async fn parameter<T: FromStr<Err: ToString>>(parts: &mut Parts, name: &str, code: &str) -> Result<T, GatewayError> {
    let path: Result<Path<BTreeMap<String, String>>, _> = Path::from_request_parts(parts, &()).await;
    let Path(parameters) = path.map_err(|error| GatewayError::bad_request(format!("{code}: {error}")))?;
    let text = parameters.get(name).map_or("", String::as_str);
    text.parse().map_err(|error: T::Err| GatewayError::bad_request(format!("{code}: {}", error.to_string())))
}

/// The body of a request. A missing one is empty.
pub(super) fn body<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, GatewayError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(bytes).map_err(|error| GatewayError::bad_request(format!("REST-JSON: {error}")))
}

/// Refuses a limit on the time that a statement may take, in milliseconds, as Flink's gateway does. Zero or less means none.
pub(super) fn no_timeout(execution_timeout: Option<i64>) -> Result<(), GatewayError> {
    if execution_timeout.is_none_or(|ms| ms <= 0) {
        return Ok(());
    }
    let text = "SQL-UNSUPPORTED: executionTimeout is not supported; cancel the operation when its time is over";
    Err(GatewayError::bad_request(text))
}

/// Carries out a request to its end, also if the client does not wait for it. A refusal by a former leader says nothing: it does not
/// see what becomes of its jobs.
pub(super) async fn to_its_end<T: Send + 'static>(
    led: &Arc<Led>,
    work: impl Future<Output = Result<T, GatewayError>> + Send + 'static,
) -> Result<T, GatewayError> {
    let ended = weir_world::spawn("sql-request", work).await;
    let outcome = ended
        .unwrap_or_else(|error| Err(GatewayError::internal(format!("SQL-PANIC: the request can't be carried out: {error}"))));
    outcome.map_err(|error| if led.is_over() && !error.is_passing() { over() } else { error })
}
