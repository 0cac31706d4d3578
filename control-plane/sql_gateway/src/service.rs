//! The gateway as a service of the leader.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use weir_control_plane::{Leading, LedService};
use weir_protocol::LeaderEpoch;

use crate::decide::{GraphCheck, Planner};
use crate::led::Led;
use crate::results::ResultPlace;
use crate::{rest, sweep};

/// The settings of the gateway.
#[derive(Debug, Clone, Copy)]
pub struct GatewayOptions {
    /// Most sessions at a time.
    pub max_sessions: usize,
    /// A session without requests is closed after this time, in milliseconds, if the client does not choose another.
    pub idle_timeout_ms: u64,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self { max_sessions: 1_000, idle_timeout_ms: 600_000 }
    }
}

/// The SQL gateway of a process. Clones share it.
#[derive(Clone)]
pub struct SqlGateway {
    options: GatewayOptions,
    place: ResultPlace,
    planner: Planner,
    present: Arc<Mutex<Present>>,
}

/// The gateway of the present leadership.
#[derive(Default)]
struct Present {
    led: Option<Arc<Led>>,
    /// The last leadership of this process that has ended.
    ended: Option<LeaderEpoch>,
}

impl fmt::Debug for SqlGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlGateway").field("options", &self.options).finish_non_exhaustive()
    }
}

impl SqlGateway {
    /// A gateway that submits only jobs whose graphs pass the check, and whose queries keep their rows in `place`.
    pub fn new(options: GatewayOptions, place: ResultPlace, check: GraphCheck) -> Self {
        Self { options, place, planner: Planner::new(check), present: Arc::default() }
    }

    /// The gateway of this leadership. Nothing of a former one is used again (E6).
    pub(crate) fn led(&self, leading: &Leading) -> Arc<Led> {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(led) = &present.led
            && led.leading.epoch() == leading.epoch()
        {
            return led.clone();
        }
        let led = Arc::new(Led::new(leading.clone(), self.planner.clone(), self.options, self.place.clone()));
        // A late request of a former leadership gets a gateway of its own, which records nothing.
        if present.ended.is_some_and(|ended| leading.epoch() <= ended) {
            led.end();
        } else if present.led.as_ref().is_none_or(|present| present.leading.epoch() < leading.epoch()) {
            present.led = Some(led.clone());
        }
        led
    }
}

/// Ends the gateway of a leadership when it is dropped.
struct Leadership {
    gateway: SqlGateway,
    led: Arc<Led>,
    work: JoinHandle<()>,
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.led.end();
        self.work.abort();
        let mut present = self.gateway.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.ended = present.ended.max(Some(self.led.leading.epoch()));
        if present.led.as_ref().is_some_and(|present| Arc::ptr_eq(present, &self.led)) {
            present.led = None;
        }
    }
}

impl LedService for SqlGateway {
    fn routes(&self) -> Router {
        rest::router(self.clone())
    }

    fn lead(&self, leading: Leading) -> BoxFuture<'static, ()> {
        let (gateway, led) = (self.clone(), self.led(&leading));
        Box::pin(async move {
            // A task of its own, so that many sessions do not delay what else the leader does.
            let swept = led.clone();
            let work = weir_world::spawn("sql-gateway", async move {
                tokio::join!(sweep::run(&swept), swept.results.keep_sweeping());
            });
            let _leadership = Leadership { gateway, led, work };
            std::future::pending::<()>().await;
        })
    }
}
