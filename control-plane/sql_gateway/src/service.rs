//! The gateway as a service of the leader.

use std::sync::{Arc, Mutex, PoisonError};

use axum::routing::get;
use axum::{Json, Router};
use futures::future::BoxFuture;
use serde_json::json;
use weir_control_plane::{Leading, LedService};
use weir_protocol::LeaderEpoch;

use crate::rest::queries;
use crate::results::{ResultPlace, Results};

/// The SQL gateway of a process.
#[derive(Debug)]
pub struct SqlGateway {
    shared: Arc<Shared>,
}

/// What the handlers of requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    place: ResultPlace,
    /// The queries of the newest leadership of this process.
    results: Mutex<Option<(LeaderEpoch, Results)>>,
}

impl SqlGateway {
    /// A gateway whose queries keep their rows in `place`.
    pub fn new(place: ResultPlace) -> Self {
        Self { shared: Arc::new(Shared { place, results: Mutex::new(None) }) }
    }
}

impl Shared {
    /// The queries of this leader.
    pub(crate) fn results(&self, leading: &Leading) -> Results {
        let mut known = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((epoch, results)) if *epoch == leading.epoch() => results.clone(),
            _ => {
                let results = Results::new(leading.clone(), self.place.clone());
                *known = Some((leading.epoch(), results.clone()));
                results
            }
        }
    }
}

impl LedService for SqlGateway {
    fn routes(&self) -> Router {
        let info = || async { Json(json!({"productName": "Weir", "version": env!("CARGO_PKG_VERSION")})) };
        Router::new().route("/info", get(info)).merge(queries::routes()).with_state(Arc::clone(&self.shared))
    }

    fn lead(&self, leading: Leading) -> BoxFuture<'static, ()> {
        let results = self.shared.results(&leading);
        Box::pin(async move { results.keep_sweeping().await })
    }
}
