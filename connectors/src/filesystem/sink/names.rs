//! Names of part files. They are unique for ever, and enumerable (T2), so that a sink recognises its own leftovers.

use weir_protocol::{CheckpointId, ExecutionAttemptId, Generation, LeaderEpoch};

/// Creates the file names of one attempt of one sink subtask, and recognises the names of other attempts.
#[derive(Debug, Clone)]
pub(crate) struct PartNames {
    /// Identifies job and vertex, as several may write to one directory.
    owner: String,
    subtask: u32,
    generation: Generation,
    extension: &'static str,
}

/// The file that names the sink whose directory it is in.
pub(crate) const CLAIM: &str = ".weir-sink";

/// Digits of the job's id at the beginning of an owner.
pub(crate) const JOB_DIGITS: usize = 12;

const RECORD_PREFIX: &str = ".commit-";
const HIDDEN_PREFIX: &str = ".part-";
const HIDDEN_SUFFIX: &str = ".inprogress";
const VISIBLE_PREFIX: &str = "part-";

impl PartNames {
    /// Creates the names of `attempt`. The names of its files end in `extension`.
    pub(crate) fn new(attempt: &ExecutionAttemptId, extension: &'static str) -> Self {
        let job = attempt.job.to_string();
        let vertex = attempt.execution_vertex.vertex.to_string();
        Self {
            // Job ids are random and vertex ids are hashes, so twelve digits of each are unique enough.
            owner: format!("{}{}", &job[..JOB_DIGITS], &vertex[20..]),
            subtask: attempt.execution_vertex.subtask,
            generation: attempt.generation,
            extension,
        }
    }

    /// The job and vertex, as in all names.
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// The parts of this subtask in all its attempts.
    pub(crate) fn own_series(&self) -> String {
        format!("{}-{}", self.owner, self.subtask)
    }

    /// This attempt of this subtask.
    pub(crate) fn attempt(&self) -> String {
        format!("{}-{}", self.subtask, self.generation)
    }

    /// The hidden name of this attempt's part number `number`. The part has it until its rows are committed.
    pub(crate) fn hidden(&self, number: u64) -> String {
        let Self { owner, subtask, generation, .. } = self;
        format!("{HIDDEN_PREFIX}{owner}-{subtask}-{generation}-{number}{HIDDEN_SUFFIX}")
    }

    /// The visible name of part number `number`. The part gets it when `checkpoint` is committed.
    pub(crate) fn visible(&self, number: u64, checkpoint: CheckpointId) -> String {
        let Self { owner, subtask, generation, extension } = self;
        format!("{VISIBLE_PREFIX}{subtask}-{checkpoint}-{generation}-{number}-{owner}.{extension}")
    }

    /// Whether this subtask must remove the hidden file `name`, which an older generation of this sink left behind. Each subtask
    /// removes its own; subtask 0 also removes those of subtasks that no longer exist.
    pub(crate) fn is_leftover(&self, name: &str, parallelism: u32) -> bool {
        let Some(parts) = name
            .strip_prefix(HIDDEN_PREFIX)
            .and_then(|rest| rest.strip_prefix(self.owner.as_str()))
            .and_then(|rest| rest.strip_prefix('-'))
            .and_then(|rest| rest.strip_suffix(HIDDEN_SUFFIX))
        else {
            return false;
        };
        let mut numbers = parts.split('-').map(str::parse::<u64>);
        let (Some(Ok(subtask)), Some(Ok(epoch)), Some(Ok(attempt)), Some(Ok(_)), None) =
            (numbers.next(), numbers.next(), numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        let Ok(attempt) = u32::try_from(attempt) else {
            return false;
        };
        let older = Generation { epoch: LeaderEpoch(epoch), attempt } < self.generation;
        older && (subtask == u64::from(self.subtask) || (self.subtask == 0 && subtask >= u64::from(parallelism)))
    }

    /// Whether both names are names of parts in the directory, so that a state may contain them.
    pub(crate) fn are_legal(hidden: &str, visible: &str) -> bool {
        let plain = |name: &str| !name.contains(['/', '\0']) && name.len() <= 255;
        plain(hidden) && plain(visible) && series(hidden).is_some() && visible.starts_with(VISIBLE_PREFIX)
    }
}

/// The parts of one subtask in all its attempts, of which the hidden name is one: `<owner>-<subtask>`.
pub(crate) fn series(hidden: &str) -> Option<&str> {
    let rest = hidden.strip_prefix(HIDDEN_PREFIX)?;
    let (owner_end, _) = rest.match_indices('-').nth(1)?;
    Some(&rest[..owner_end])
}

/// The name of the file that records a commit of a series' parts up to a checkpoint.
pub(crate) fn record(series: &str, checkpoint: CheckpointId) -> String {
    format!("{RECORD_PREFIX}{series}-{checkpoint}")
}

/// The checkpoint up to which the file `name` records commits of this series, if it does.
pub(crate) fn checkpoint_of_record(name: &str, series: &str) -> Option<CheckpointId> {
    let checkpoint = name.strip_prefix(RECORD_PREFIX)?.strip_prefix(series)?.strip_prefix('-')?;
    checkpoint.parse().ok().map(CheckpointId)
}

/// Whether a file with this name is a committed part.
pub(crate) fn is_visible(name: &str) -> bool {
    name.starts_with(VISIBLE_PREFIX)
}

/// The owner of a part or of a record of commits.
pub(crate) fn owner(name: &str) -> Option<&str> {
    if let Some(rest) = name.strip_prefix(HIDDEN_PREFIX).or_else(|| name.strip_prefix(RECORD_PREFIX)) {
        return rest.split('-').next();
    }
    name.strip_prefix(VISIBLE_PREFIX)?.rsplit('-').next()?.split('.').next()
}

#[cfg(test)]
mod tests {
    use weir_protocol::{ExecutionVertexId, JobId, JobVertexId};

    use super::*;

    fn names(job: u128, subtask: u32, epoch: u64, attempt: u32) -> PartNames {
        let execution_vertex = ExecutionVertexId { vertex: JobVertexId::from_uid("sink"), subtask };
        let generation = Generation { epoch: LeaderEpoch(epoch), attempt };
        PartNames::new(&ExecutionAttemptId { job: JobId(job << 64), execution_vertex, generation }, "csv")
    }

    #[test]
    fn only_own_parts_of_older_generations_are_leftovers() {
        let mine = names(1 << 60, 2, 3, 5);
        for (name, leftover) in [
            (names(1 << 60, 2, 3, 4).hidden(0), true),
            (names(1 << 60, 2, 2, 9).hidden(7), true),
            (names(1 << 60, 2, 3, 5).hidden(0), false),
            (names(1 << 60, 2, 4, 1).hidden(0), false),
            (names(1 << 60, 1, 3, 4).hidden(0), false),
            (names(1 << 60, 7, 3, 4).hidden(0), false),
            (names(2 << 60, 2, 3, 4).hidden(0), false),
            (names(1 << 60, 2, 3, 4).visible(0, CheckpointId(1)), false),
            (".part-x".to_owned(), false),
        ] {
            assert_eq!(mine.is_leftover(&name, 4), leftover, "{name}");
        }
        assert!(names(1 << 60, 0, 3, 5).is_leftover(&names(1 << 60, 7, 3, 4).hidden(0), 4));
        assert!(!names(1 << 60, 0, 3, 5).is_leftover(&names(1 << 60, 3, 3, 4).hidden(0), 4));
    }

    #[test]
    fn names_outside_the_directory_are_illegal() {
        let mine = names(1, 0, 1, 1);
        assert!(PartNames::are_legal(&mine.hidden(3), &mine.visible(3, CheckpointId(9))));
        assert!(!PartNames::are_legal(".part-/../../x", "part-a"));
        assert!(!PartNames::are_legal(".part-a", "/etc/passwd"));
        assert!(!PartNames::are_legal("data.csv", "part-a"));
    }

    #[test]
    fn names_tell_their_owner_and_records_their_checkpoint() {
        let mine = names(1, 3, 1, 2);
        let series = mine.own_series();
        assert_eq!(super::series(&mine.hidden(7)), Some(series.as_str()));
        let record = record(&series, CheckpointId(12));
        for name in [mine.hidden(7), mine.visible(7, CheckpointId(1)), record.clone()] {
            assert_eq!(owner(&name), Some(mine.owner()), "{name}");
        }
        assert_eq!(checkpoint_of_record(&record, &series), Some(CheckpointId(12)));
        assert_eq!(checkpoint_of_record(&record, &names(1, 1, 1, 2).own_series()), None);
        assert_eq!(owner("data.csv"), None);
        assert!(is_visible(&mine.visible(7, CheckpointId(1))) && !is_visible(&mine.hidden(7)) && !is_visible(&record));
    }
}
