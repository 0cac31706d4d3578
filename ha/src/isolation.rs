//! Cut off from the store on order, for drills: no connection is made then, and none that there is stays.

use std::future::{Future, pending};

use tokio::sync::watch;

/// Whether this process is cut off.
#[derive(Debug, Default)]
pub(crate) struct Isolation(watch::Sender<bool>);

impl Isolation {
    pub(crate) fn set(&self, isolated: bool) {
        self.0.send_replace(isolated);
    }

    /// Ends once this process is cut off: at once if it is. Holds on to nothing.
    pub(crate) fn begins(&self) -> impl Future<Output = ()> + Send + use<> {
        turned(self.0.subscribe(), true)
    }

    /// Ends once it is not.
    pub(crate) fn ends(&self) -> impl Future<Output = ()> + Send + use<> {
        turned(self.0.subscribe(), false)
    }
}

async fn turned(mut isolated: watch::Receiver<bool>, on: bool) {
    if isolated.wait_for(|isolated| *isolated == on).await.is_err() {
        // Nobody is left to turn it.
        pending::<()>().await;
    }
}
