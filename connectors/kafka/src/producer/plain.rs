//! The writer of a producer without transactions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use weir_dataflow::operator::OperatorError;

use super::writer::Writer;
use crate::client::{ClientSettings, Patience, ProducerIdentity, init_idempotent_producer, io_runtime};

/// How long brokers are asked for an identity before the producer fails.
const PATIENCE: Duration = Duration::from_secs(60);

type Outcome = Result<Arc<Writer>, OperatorError>;

/// Gets an identity in the background, so that brokers can tell repeated batches.
pub(crate) struct PlainWriter {
    outcome: Arc<Mutex<Option<Outcome>>>,
    task: JoinHandle<()>,
}

impl PlainWriter {
    pub(crate) fn start(settings: ClientSettings, wake: std::task::Waker) -> Result<Self, OperatorError> {
        let runtime = io_runtime()?;
        let _guard = runtime.enter();
        let outcome = Arc::new(Mutex::new(None));
        let told = Arc::clone(&outcome);
        let task = weir_world::spawn("kafka-identity", async move {
            let writer = identity(&settings).await.map(|identity| Arc::new(Writer::new(None, identity)));
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
            wake.wake();
        });
        Ok(Self { outcome, task })
    }

    fn outcome(&self) -> Option<Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn writer(&self) -> Option<Arc<Writer>> {
        self.outcome()?.ok()
    }

    pub(crate) fn failure(&self) -> Option<OperatorError> {
        self.outcome()?.err()
    }
}

impl Drop for PlainWriter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn identity(settings: &ClientSettings) -> Result<ProducerIdentity, OperatorError> {
    let mut patience = Patience::of(PATIENCE);
    loop {
        match init_idempotent_producer(settings).await {
            Ok(identity) => return Ok(identity),
            Err(error) => patience.bear(error).await.map_err(|error| error.for_operator("sink.kafka"))?,
        }
    }
}
