//! Finds the files that appear in the directory of a source that watches it without an end.
//!
//! Each subtask lists the directory by itself and takes the files that it owns ([`owner`]). No subtask needs to know what others
//! have found, and none depends on how fresh the listing of another is.

use std::collections::BTreeMap;
use std::path::Path;

use weir_dataflow::operator::OperatorError;

use super::lines::changed;
use super::listing::{Step, Unlisted, Walk};
use super::seen::{SeenFiles, Sighting, owner};
use super::split::Split;

/// How many names one call looks at, so that it takes about a millisecond.
const STEP_NAMES: usize = if cfg!(test) { 3 } else { 500 };

/// For each this many names, a millisecond passes until the next listing. So listings take some percent of a core at most.
const NAMES_PER_MS: u64 = 10;

/// The outcome of [`Discovery::look`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// New files, the oldest first, which are remembered from now on.
    Found(Vec<Split>),
    /// Nothing is found yet. Look again at or after this wall-clock time (milliseconds).
    NothingUntil(u64),
}

/// Watches the directory for one subtask.
pub(super) struct Discovery {
    interval_ms: u64,
    subtask: u32,
    parallelism: u32,
    seen: SeenFiles,
    listing: Option<Listing>,
    /// When the last listing ended, and how long to wait after it.
    rest: Option<(u64, u64)>,
    /// Whether the path has nothing at the moment.
    is_away: bool,
}

/// A listing under way.
struct Listing {
    walk: Walk,
    names: u64,
    /// By path: a directory that is changed while it is listed may show a name twice.
    found: BTreeMap<String, Split>,
}

impl Discovery {
    /// `interval_ms` is the shortest time between two listings.
    pub(super) fn new(interval_ms: u64, subtask: u32, parallelism: u32) -> Self {
        let seen = SeenFiles::default();
        Self { interval_ms, subtask, parallelism, seen, listing: None, rest: None, is_away: false }
    }

    /// Takes note of the recorded list. Its files are read by the subtasks that get their splits.
    pub(super) fn begin(&mut self, recorded: &[Split]) {
        recorded
            .iter()
            .filter(|split| owner(&split.file, self.parallelism) == self.subtask)
            .for_each(|split| self.seen.add(split));
    }

    /// Takes over what former subtasks had seen.
    pub(super) fn restore(&mut self, former: SeenFiles) {
        self.seen.take_over(former, self.subtask, self.parallelism);
    }

    /// What must be in a checkpoint, together with the splits that were found.
    pub(super) fn seen(&self) -> &SeenFiles {
        &self.seen
    }

    /// Looks for new files for about a millisecond. Errors: `SOURCE-FILE-CHANGED` for a file that is not as it was when it was
    /// found, and those of [`super::listing::list`].
    pub(super) fn look(&mut self, root: &Path, now_ms: u64) -> Result<Look, OperatorError> {
        if let Some(until) = self.rests_until(now_ms) {
            return Ok(Look::NothingUntil(until));
        }
        match self.list_some(root) {
            Ok(None) => Ok(Look::NothingUntil(now_ms)),
            Ok(Some(listing)) => Ok(self.end(listing, now_ms)),
            Err(Unlisted::Failed(error)) => Err(error),
            Err(Unlisted::Disappeared(_)) => {
                // Nothing is forgotten: it may come back, like a mount.
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!(path = %root.display(), "SOURCE-PATH: the path does not exist at the moment; waiting for it");
                }
                self.listing = None;
                self.rest = Some((now_ms, self.interval_ms));
                Ok(Look::NothingUntil(now_ms.saturating_add(self.interval_ms)))
            }
        }
    }

    /// When the next listing begins, if that is later than now.
    fn rests_until(&self, now_ms: u64) -> Option<u64> {
        let (since, pause) = self.rest?;
        // A clock that was set back must not make the pause longer.
        (now_ms >= since && now_ms - since < pause).then(|| since.saturating_add(pause))
    }

    /// Continues the listing. Returns it when it is complete. `Disappeared` means that the root has.
    fn list_some(&mut self, root: &Path) -> Result<Option<Listing>, Unlisted> {
        let mut listing = match self.listing.take() {
            Some(listing) => listing,
            None => {
                self.seen.begin_listing();
                Listing { walk: Walk::start(root)?, names: 0, found: BTreeMap::new() }
            }
        };
        let (subtask, parallelism) = (self.subtask, self.parallelism);
        for _ in 0..STEP_NAMES {
            listing.names += 1;
            match listing.walk.step(|file| owner(file, parallelism) == subtask) {
                Ok(Step::File(split)) => self.meet(split, root, &mut listing.found)?,
                Ok(Step::Other) => {}
                Ok(Step::End) => return Ok(Some(listing)),
                // If it was renamed, the next listing has it.
                Err(Unlisted::Disappeared(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.listing = Some(listing);
        Ok(None)
    }

    fn meet(&mut self, split: Split, root: &Path, found: &mut BTreeMap<String, Split>) -> Result<(), Unlisted> {
        match self.seen.sight(&split) {
            Sighting::New => drop(found.insert(split.file.clone(), split)),
            Sighting::Known | Sighting::Empty => {}
            Sighting::Changed => return Err(Unlisted::Failed(changed(&split.path_below(root)))),
        }
        Ok(())
    }

    fn end(&mut self, listing: Listing, now_ms: u64) -> Look {
        self.is_away = false;
        let pause = self.interval_ms.max(listing.names / NAMES_PER_MS);
        self.rest = Some((now_ms, pause));
        let mut found: Vec<_> = listing.found.into_values().collect();
        found.sort_by_key(|split| split.modified_ms);
        found.iter().for_each(|split| self.seen.add(split));
        self.seen.end_listing(now_ms);
        if found.is_empty() { Look::NothingUntil(now_ms.saturating_add(pause)) } else { Look::Found(found) }
    }
}
