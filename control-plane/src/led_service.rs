//! Services beside the control plane that only the leader carries out, such as the SQL gateway.

use std::sync::Arc;

use axum::Router;
use futures::future::BoxFuture;

use crate::leading::Leading;

/// A service of the leader, which this crate does not know.
pub trait LedService: Send + Sync + 'static {
    /// The paths of the service. The leader answers them; other JobManagers pass requests on to it. Handlers get the leader as
    /// `Extension<Leading>`.
    fn routes(&self) -> Router;

    /// What the service does while this process leads. It starts when clients can find the leader, and is dropped when the
    /// leadership ends. It may end earlier.
    fn lead(&self, leading: Leading) -> BoxFuture<'static, ()>;
}

/// The services of a process.
pub type LedServices = Arc<[Arc<dyn LedService>]>;
