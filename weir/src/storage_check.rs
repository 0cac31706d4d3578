//! Checks at the start of a process that it can use the configured storage.

use std::time::Duration;

use weir_storage::{ProbeError, StorageOptions};

use crate::config::Config;
use crate::config::option::ConfigOption;
use crate::start_error::StartError;

/// How long the check of one storage may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Checks each of the options that is set. A storage that must be corrected is an error. A storage that is unavailable at the
/// moment is only a warning, because a cluster must be able to start again while its storage fails for a while.
pub(crate) fn check(config: &Config, keys: &[&ConfigOption<Option<String>>], options: &StorageOptions) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = keys.iter().try_for_each(|option| {
        let Some(uri) = config.get(option) else { return Ok(()) };
        let files = weir_storage::open(&uri, options)?;
        match runtime.block_on(weir_storage::probe(&*files, PATIENCE)) {
            Ok(()) => Ok(()),
            Err(source @ ProbeError::Unusable { .. }) => Err(StartError::StorageUnusable { key: option.key, source }),
            Err(error) => {
                tracing::warn!("{error} ({}); starting nevertheless: jobs restart until it is available", option.key);
                Ok(())
            }
        }
    });
    // A thread may still wait for a directory of a server that does not answer.
    runtime.shutdown_background();
    outcome
}
