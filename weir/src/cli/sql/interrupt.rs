//! Ctrl-C.

/// Awaits the work, or nothing more of it once Ctrl-C is pressed: then `None`.
pub(super) async fn or_interrupted<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        // If the signal can't be listened to, it ends the program.
        Ok(()) = tokio::signal::ctrl_c() => None,
    }
}
