//! Logging: one line for each event, to standard error.

use tracing_subscriber::EnvFilter;

/// Starts logging with `filter`. The default filter shows what matters to an operator. An invalid filter is reported and replaced
/// by `info`.
pub fn start(filter: Option<&str>) {
    let filter = filter.unwrap_or("info,openraft=warn,h2=warn,hyper=warn,tonic=warn");
    let (filter, complaint) = match EnvFilter::try_new(filter) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    // If the process has started logging before, its first filter stays.
    let started = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).try_init();
    if let (Ok(()), Some(error)) = (started, complaint) {
        tracing::warn!(%error, "the log filter is invalid: logging at level info");
    }
}
