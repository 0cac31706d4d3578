//! The mark of what this member has acknowledged: how far its log was durable, and its vote.
//!
//! A log that lost its end looks like a shorter log, and a vote file that was put back looks like an older vote. A member that
//! starts from either has forgotten what it promised to the others, so a group that counts it can lose committed entries (P2).
//! The mark, which is in a file of its own,
//! tells. (If the whole directory of the log is missing, the identity tells.)
//!
//! The mark is written after the log is durable, and without a sync of its own. So it is never ahead of the log, and it survives
//! the end of the process. A power loss can put it back, to the last change of segments at most.

use std::path::Path;

use serde::{Deserialize, Serialize};
use weir_world::flaw::{Flaw, is_planted};

use super::LogError;
use super::slot_file::SlotFile;
use crate::raft::types::Vote;

/// The file's name in the log's directory.
const NAME: &str = "acknowledged";

/// What a member had acknowledged when the mark was written.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The sequence number after that of the last durable frame.
    pub next_sequence: u64,
    pub vote: Option<Vote>,
}

/// Opens the file in the log's `directory`, and reads the mark.
pub(crate) fn open(directory: &Path) -> Result<(SlotFile<Mark>, Mark), LogError> {
    let (file, mark) = SlotFile::open(directory, NAME, *b"WEIRACK\n")?;
    Ok((file, mark.unwrap_or_default()))
}

impl Mark {
    /// Compares the log and the vote that were `found` at a start with this mark. `Err` says what was lost.
    pub(crate) fn check(&self, found: &Self) -> Result<(), String> {
        if is_planted(Flaw::LossUnnoticed) {
            return Ok(());
        }
        if found.next_sequence < self.next_sequence {
            let lost = self.next_sequence - found.next_sequence;
            return Err(format!("the last {lost} frames of the log are lost, which this member had acknowledged"));
        }
        match (self.vote, found.vote) {
            (Some(given), None) => Err(format!("the vote {given} is lost")),
            (Some(given), Some(vote)) if vote < given => {
                Err(format!("the vote is {vote}, older than {given}, which this member gave"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_log_or_an_older_vote_is_a_loss() {
        let mark = Mark { next_sequence: 7, vote: Some(Vote::new(3, 1)) };
        assert_eq!(mark.check(&mark), Ok(()));
        assert_eq!(mark.check(&Mark { next_sequence: 9, vote: Some(Vote::new(4, 2)) }), Ok(()));
        assert!(mark.check(&Mark { next_sequence: 6, ..mark }).is_err_and(|lost| lost.contains("the last 1 frames")));
        assert!(mark.check(&Mark { vote: None, ..mark }).is_err_and(|lost| lost.contains("is lost")));
        assert!(mark.check(&Mark { vote: Some(Vote::new(2, 1)), ..mark }).is_err_and(|lost| lost.contains("older")));
        assert_eq!(Mark::default().check(&Mark::default()), Ok(()));
    }
}
