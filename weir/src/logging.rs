//! Logging: one line for each event, to standard error.

use tracing_subscriber::EnvFilter;

use crate::config::value::LogFormat;

/// Starts logging with `filter`, in this form. The default filter shows what matters to an operator. An invalid filter is reported
/// and replaced by `info`.
pub fn start(filter: Option<&str>, format: LogFormat) {
    let filter = filter.unwrap_or("info,openraft=error,h2=warn,hyper=warn,tonic=warn");
    let (filter, complaint) = match EnvFilter::try_new(filter) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    // The library reports a line that it can't write with `eprintln!`, which panics if the reader of the log has gone.
    let lines = lines.log_internal_errors(false);
    // If the process has started logging before, its first filter stays.
    let started = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if let (Ok(()), Some(error)) = (started, complaint) {
        tracing::warn!(%error, "the log filter is invalid: logging at level info");
    }
}
