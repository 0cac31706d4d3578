//! Opens each checkpoint storage once, by URI.

use std::collections::BTreeMap;

use tokio::sync::Mutex;
use weir_protocol::link::TaskFailure;
use weir_storage::StorageOptions;
use weir_storage::checkpoint::CheckpointStorage;

use crate::task::report::failure;

/// Most storages that stay open. Jobs rarely use more than one.
const LIMIT: usize = 64;

/// The open checkpoint storages of a TaskManager.
pub struct CheckpointStorages {
    options: StorageOptions,
    open: Mutex<BTreeMap<String, CheckpointStorage>>,
}

impl CheckpointStorages {
    /// No storage is open yet.
    pub fn new(options: StorageOptions) -> Self {
        Self { options, open: Mutex::new(BTreeMap::new()) }
    }

    /// The storage at `uri`, the root of all checkpoints. Its first use opens it.
    pub async fn open(&self, uri: &str) -> Result<CheckpointStorage, TaskFailure> {
        let mut open = self.open.lock().await;
        if let Some(storage) = open.get(uri) {
            return Ok(storage.clone());
        }
        let (at, options) = (uri.to_owned(), self.options.clone());
        let opened = weir_world::blocking(move || weir_storage::open(&at, &options)).await;
        let files = match opened {
            Ok(Ok(files)) => files,
            Ok(Err(error)) => {
                let message = format!("checkpoint directory {uri:?} can't be opened: {error}");
                return Err(failure("TASK-STORAGE", message, true));
            }
            Err(_) => return Err(failure("TASK-STORAGE", format!("opening {uri:?} panicked"), true)),
        };
        if open.len() >= LIMIT {
            open.pop_first();
        }
        let storage = CheckpointStorage::new(files);
        open.insert(uri.to_owned(), storage.clone());
        Ok(storage)
    }
}
