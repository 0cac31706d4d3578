//! Asks for schemas beside the slot's thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use tokio::task::JoinHandle;
use weir_connectors::formats::avro::{SchemaAnswer, SchemaId, SchemaSource};
use weir_dataflow::operator::OperatorError;

use super::client::Registry;
use crate::client::io_runtime;

/// Tells a source that a schema has come.
pub(crate) struct Bell {
    waker: Waker,
    has_rung: AtomicBool,
}

impl Bell {
    pub(crate) fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self { waker, has_rung: AtomicBool::new(false) })
    }

    fn ring(&self) {
        self.has_rung.store(true, Ordering::Release);
        self.waker.wake_by_ref();
    }

    pub(crate) fn has_rung(&self) -> bool {
        self.has_rung.load(Ordering::Acquire)
    }

    /// Call it before what it has rung for is looked at.
    pub(crate) fn silence(&self) {
        self.has_rung.store(false, Ordering::Release);
    }
}

type Answer = Result<SchemaAnswer, OperatorError>;

/// The schemas of a registry.
pub(super) struct Lookups {
    registry: Arc<Registry>,
    bell: Arc<Bell>,
    /// What was answered and not yet fetched.
    answers: Arc<Mutex<BTreeMap<SchemaId, Answer>>>,
    under_way: BTreeMap<SchemaId, JoinHandle<()>>,
}

impl Lookups {
    pub(super) fn new(registry: Arc<Registry>, bell: Arc<Bell>) -> Self {
        Self { registry, bell, answers: Arc::default(), under_way: BTreeMap::new() }
    }
}

impl SchemaSource for Lookups {
    fn schema(&mut self, id: SchemaId) -> Answer {
        let answer = self.answers.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(answer) = answer {
            self.under_way.remove(&id);
            return answer;
        }
        if self.under_way.contains_key(&id) {
            return Ok(SchemaAnswer::Pending);
        }
        let runtime = io_runtime()?;
        let _guard = runtime.enter();
        let (registry, answers, bell) = (Arc::clone(&self.registry), Arc::clone(&self.answers), Arc::clone(&self.bell));
        let task = weir_world::spawn("kafka-schema", async move {
            let answer = registry.schema(id).await;
            answers.lock().unwrap_or_else(PoisonError::into_inner).insert(id, answer);
            bell.ring();
        });
        self.under_way.insert(id, task);
        Ok(SchemaAnswer::Pending)
    }
}

impl Drop for Lookups {
    fn drop(&mut self) {
        self.under_way.values().for_each(JoinHandle::abort);
    }
}
