//! `weir ha accept-restore`: lets leaders act on a coordination store that is older than the files, or another one.

use clap::Args;
use weir_ha::store_identity::{Markers, accept};
use weir_world::out_line;

use super::ConfigArguments;
use super::exit_code::Failure;
use crate::assembly::storage_options;
use crate::config::option;

#[derive(Debug, Args)]
pub(super) struct AcceptArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Accept it. Without this flag, the command only says what would be accepted.
    #[arg(long)]
    yes: bool,
}

/// Looks for the newest leader that file storage knows, and records that the store need not know it.
pub(super) async fn run(arguments: &AcceptArguments) -> Result<(), Failure> {
    let config = arguments.config.load()?;
    let directory = config.require("this command", &option::HA_STORAGE_DIR).map_err(Failure::usage)?;
    let files = weir_storage::open(&directory, &storage_options(&config)).map_err(|error| Failure::usage(error.to_string()))?;
    let markers = Markers::read(&*files).await.map_err(|error| Failure::error(format!("{directory} can't be read: {error}")))?;
    let Some(newest) = markers.to_accept() else {
        out_line!("nothing to accept: {directory} knows no leader that was not accepted before");
        return Ok(());
    };
    if !arguments.yes {
        return Err(Failure::usage(format!(
            "{directory} knows the announcement {newest} of a leader. After acceptance a coordination store that does not know it is \
             used: jobs that it holds run from their newest checkpoint there, also those that have ended since, and jobs that it \
             does not hold are lost. Put the newest store back if there is one. Otherwise run this command again with --yes"
        )));
    }
    accept(&*files, newest).await.map_err(|error| Failure::error(format!("{directory} can't be written: {error}")))?;
    out_line!("accepted: start the JobManagers; the next leader acts under an epoch above {}", newest.epoch);
    Ok(())
}
