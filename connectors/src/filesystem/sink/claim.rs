//! The claim of a directory. A reader of a directory sees each row once only if one sink of one job writes there.
//!
//! The file `.weir-sink` in the directory names the sink: its job and vertex. A sink checks it before its first part and before it
//! hands a part to a checkpoint. It may replace the claim of a sink that it continues (restored from its savepoint), and of one
//! that has left nothing in the directory.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use weir_dataflow::operator::OperatorError;

use super::commits::names_in;
use super::names::{self, CLAIM};
use super::part::write_failed;

/// What a sink writes that shares the directory with any other. No owner is called so.
const SHARED: &str = "shared";

/// How often a claim is looked at that others change at the same time.
const TRIES: usize = 5;

/// The claim of one attempt to its directory.
#[derive(Debug)]
pub(super) struct Claim {
    directory: PathBuf,
    /// The job and the vertex, as in the names of parts.
    owner: String,
    /// Unique for this attempt.
    temporary: PathBuf,
    shared: bool,
    /// The sinks that this one continues.
    former: BTreeSet<String>,
}

impl Claim {
    /// The claim of `owner`. If `shared`, any number of sinks may write to the directory.
    pub(super) fn new(directory: PathBuf, owner: &str, attempt: &str, shared: bool) -> Self {
        let temporary = directory.join(format!("{CLAIM}-{owner}-{attempt}"));
        Self { directory, owner: owner.to_owned(), temporary, shared, former: BTreeSet::new() }
    }

    /// Adds a sink that this one continues.
    pub(super) fn continues(&mut self, owner: String) {
        self.former.insert(owner);
    }

    /// Makes sure that the directory, which exists, is this sink's. Error: `SINK-SHARED` if it is another's.
    pub(super) fn hold(&self) -> Result<(), OperatorError> {
        let path = self.directory.join(CLAIM);
        let wanted = if self.shared { SHARED } else { self.owner.as_str() };
        for _ in 0..TRIES {
            match read(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    if self.publish(wanted, false)? {
                        return Ok(());
                    }
                }
                Err(error) => return Err(write_failed(&path, &error)),
                Ok(_) if self.shared => return Ok(()),
                Ok(holder) if holder == self.owner => return Ok(()),
                Ok(holder) => {
                    self.check_replaceable(&holder)?;
                    self.publish(wanted, true)?;
                    // The holder may have created a part meanwhile, and checked its claim for the last time.
                    self.check_replaceable(&holder)?;
                }
            }
        }
        Err(OperatorError::retryable("SINK-IO", format!("{}: the file keeps changing", path.display())))
    }

    /// Writes the claim, or returns false if there is one already.
    fn publish(&self, content: &str, replace: bool) -> Result<bool, OperatorError> {
        let path = self.directory.join(CLAIM);
        let failed = |error: std::io::Error| write_failed(&path, &error);
        let mut file = std::fs::File::create(&self.temporary).map_err(failed)?;
        file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        if !replace {
            match std::fs::hard_link(&self.temporary, &path) {
                Ok(()) => return std::fs::remove_file(&self.temporary).map(|()| true).map_err(failed),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return std::fs::remove_file(&self.temporary).map(|()| false).map_err(failed);
                }
                // Not every file system has hard links. There, two sinks that begin at the same time may both write the claim.
                // The one whose claim was replaced fails before its first commit.
                Err(_) => {}
            }
        }
        std::fs::rename(&self.temporary, &path).map(|()| true).map_err(failed)
    }

    fn check_replaceable(&self, holder: &str) -> Result<(), OperatorError> {
        let known = |owner: &str| owner == self.owner || self.former.contains(owner);
        let foreign = |owner: &str| if holder == SHARED { !known(owner) } else { owner == holder };
        if known(holder) || !names_in(&self.directory)?.iter().any(|name| names::owner(name).is_some_and(foreign)) {
            return Ok(());
        }
        let job = holder.get(..names::JOB_DIGITS).map_or_else(String::new, |job| format!(" of job {job}…"));
        Err(OperatorError::fatal(
            "SINK-SHARED",
            format!(
                "{}: the directory holds the output of another sink{job}; readers would see the rows of both; choose an empty \
                 directory, or set \"shared\": true",
                self.directory.display()
            ),
        ))
    }
}

/// Longest claim that is read. No sink writes a longer one.
const MAX_BYTES: u64 = 100;

fn read(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
