//! What a task knows about the leaders of partitions, and when it asks again.

use std::time::Duration;

use tokio::time::Instant;
use weir_world::Backoff;

use super::{ClientError, ClientSettings, Metadata};

/// Waits between questions that bring nothing.
const RETRY: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));
/// The shortest time between two questions while a broker does not answer.
const SUSPICIOUS: Duration = Duration::from_secs(1);

/// The newest metadata of some topics. At most one question about them is under way.
pub(crate) struct ClusterView {
    settings: ClientSettings,
    topics: Vec<String>,
    max_age: Duration,
    metadata: Metadata,
    answered_at: Option<Instant>,
    is_wanted: bool,
    is_asking: bool,
    backoff: Backoff,
    failing_since: Option<Instant>,
}

impl ClusterView {
    /// Asks again after `max_age`, and whenever it is wanted.
    pub(crate) fn new(settings: ClientSettings, topics: Vec<String>, max_age: Duration) -> Self {
        Self {
            settings,
            topics,
            max_age,
            metadata: Metadata::default(),
            answered_at: None,
            is_wanted: true,
            is_asking: false,
            backoff: RETRY,
            failing_since: None,
        }
    }

    /// The newest metadata; empty before the first answer.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Something is missing, or a broker did not lead what it was thought to lead.
    pub(crate) fn want(&mut self) {
        self.is_wanted = true;
    }

    /// Begins the question that is due now, if any. `is_suspicious` says that a broker does not answer. The answer is for
    /// [`Self::learn`].
    pub(crate) fn ask(
        &mut self,
        now: Instant,
        is_suspicious: bool,
    ) -> Option<impl Future<Output = Result<Metadata, ClientError>> + Send + use<>> {
        let max_age = if is_suspicious { self.max_age.min(SUSPICIOUS) } else { self.max_age };
        let is_old = self.answered_at.is_some_and(|at| now >= at + max_age);
        if self.is_asking || !(self.is_wanted || is_old) {
            return None;
        }
        self.is_asking = true;
        let delay = if self.failing_since.is_some() { self.backoff.next_delay() } else { Duration::ZERO };
        let (settings, known, topics) = (self.settings.clone(), self.metadata.clone(), self.topics.clone());
        Some(async move {
            tokio::time::sleep(delay).await;
            Metadata::ask(&settings, &known, &topics).await
        })
    }

    /// Takes the answer to a question. `missing` says what is wanted, but not in an answer. Returns the error if it is not temporary,
    /// or if there has been nothing but errors for longer than `patience`.
    pub(crate) fn learn(
        &mut self,
        answer: Result<Metadata, ClientError>,
        now: Instant,
        patience: Duration,
        missing: impl FnOnce(&Metadata) -> Option<ClientError>,
    ) -> Result<(), ClientError> {
        self.is_asking = false;
        self.is_wanted = false;
        let error = match answer {
            Ok(metadata) => {
                self.metadata = metadata;
                self.answered_at = Some(now);
                missing(&self.metadata)
            }
            Err(error) => Some(error),
        };
        let Some(error) = error else {
            self.failing_since = None;
            self.backoff.reset();
            return Ok(());
        };
        self.is_wanted = true;
        let since = *self.failing_since.get_or_insert(now);
        if error.is_temporary() && now < since + patience { Ok(()) } else { Err(error) }
    }
}
