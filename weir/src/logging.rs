//! Logs: one line an event, to standard error.

use tracing_subscriber::EnvFilter;

/// Starts logging with `filter`, or what matters to an operator.
pub fn start(filter: Option<&str>) {
    let filter = filter.unwrap_or("info,openraft=warn,h2=warn,hyper=warn,tonic=warn");
    let (filter, complaint) = match EnvFilter::try_new(filter) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    // A second start in one process keeps the first.
    let started = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).try_init();
    if let (Ok(()), Some(error)) = (started, complaint) {
        tracing::warn!(%error, "the log filter can't be used: logging at info");
    }
}
