//! Registers the schemas of a sink before its first row.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Waker;

use tokio::task::JoinHandle;
use weir_connectors::formats::avro::SchemaId;
use weir_dataflow::operator::OperatorError;

use super::client::Registry;
use crate::client::io_runtime;

/// The schemas of a sink: of its keys, and of its values.
#[derive(Default)]
pub(crate) struct Registrations {
    all: Vec<Registration>,
}

struct Registration {
    registry: Arc<Registry>,
    subject: String,
    schema: String,
    id: Arc<OnceLock<SchemaId>>,
    failure: Arc<Mutex<Option<OperatorError>>>,
    task: Option<JoinHandle<()>>,
}

impl Registrations {
    pub(super) fn add(&mut self, registry: Arc<Registry>, subject: String, schema: String, id: Arc<OnceLock<SchemaId>>) {
        self.all.push(Registration { registry, subject, schema, id, failure: Arc::default(), task: None });
    }

    /// Sends those that were not sent yet. `waker` is woken when one is answered.
    pub(crate) fn begin(&mut self, waker: &Waker) -> Result<(), OperatorError> {
        for registration in self.all.iter_mut().filter(|registration| registration.task.is_none()) {
            let runtime = io_runtime()?;
            let _guard = runtime.enter();
            let (registry, id) = (Arc::clone(&registration.registry), Arc::clone(&registration.id));
            let (failure, waker) = (Arc::clone(&registration.failure), waker.clone());
            let (subject, schema) = (registration.subject.clone(), registration.schema.clone());
            registration.task = Some(weir_world::spawn("kafka-schema", async move {
                match registry.register(&subject, &schema).await {
                    Ok(registered) => {
                        id.get_or_init(|| registered);
                    }
                    Err(error) => *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
                }
                waker.wake();
            }));
        }
        Ok(())
    }

    /// Whether rows can be written.
    pub(crate) fn are_complete(&self) -> bool {
        self.all.iter().all(|registration| registration.id.get().is_some())
    }

    /// Errors: `KAFKA-REGISTRY`, `KAFKA-REGISTRY-REFUSED`.
    pub(crate) fn check(&self) -> Result<(), OperatorError> {
        let failure = |registration: &Registration| registration.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.all.iter().find_map(failure).map_or(Ok(()), Err)
    }
}

impl Drop for Registrations {
    fn drop(&mut self) {
        self.all.iter().filter_map(|registration| registration.task.as_ref()).for_each(JoinHandle::abort);
    }
}
