//! Every key of the coordination store that the typed stores use.
//!
//! ```text
//! jobs/<job>/graph               JobGraphStore: handle of a submitted job's graph; removed when the job has ended
//! tokens/<client token>          JobGraphStore: which job a submission with this token created (G2)
//! results/<job>                  JobResultStore: how a job ended; dirty until the job is cleaned up (R1, R2)
//! checkpoints/<job>/head         CompletedCheckpointStore: the newest id ever appended (C2, C6)
//! checkpoints/<job>/<20 digits>  CompletedCheckpointStore: one retained completed checkpoint
//! checkpoint-ids/<job>           CheckpointIdCounter: the first id that is not reserved yet
//! migration                      whether the state is being moved, or was moved, to or from another provider (`migration.rs`)
//! store-identity                 the store's id and the newest announcement of a leader (`store_identity.rs`)
//! leader-history                 the newest leaderships, for people; nothing depends on it
//! drill                          DrillStore: the newest drill, and until when restarts of tasks do not count
//! drill-history                  DrillStore: how the newest drills ended, for people; nothing depends on it
//! sql/sessions/<session>         SqlStore: a session of the SQL gateway
//! sql/operations/<session>/<operation>  SqlStore: a statement of a session and its result
//! catalog/<catalog>/d/<database>        SqlStore: a database of the SQL catalogue
//! catalog/<catalog>/o/<database>/<name> SqlStore: a table or a view; both share their names, so one key decides who has a name
//! ```
//!
//! Values are JSON records that carry the version of their format (`record.rs`), so that a person can read them.

use weir_protocol::rest::SubmitRequest;
use weir_protocol::{CheckpointId, JobId};

use crate::SqlHandle;

/// Prefix of everything [`graph`] returns.
pub const JOBS: &str = "jobs/";
/// Prefix of everything [`token`] returns.
pub const TOKENS: &str = "tokens/";
/// Prefix of everything [`result`] returns.
pub const RESULTS: &str = "results/";
/// Key of the newest leaderships.
pub const LEADER_HISTORY: &str = "leader-history";
/// Key of the newest drill, whether it has ended or not.
pub const DRILL: &str = "drill";
/// Key of the results of the newest drills.
pub const DRILL_HISTORY: &str = "drill-history";
/// Key of the store's identity.
pub const STORE_IDENTITY: &str = "store-identity";
/// Key of the mark that a migration leaves.
pub const MIGRATION: &str = "migration";

/// Prefix of all sessions of the SQL gateway.
pub const SQL_SESSIONS: &str = "sql/sessions/";
/// Prefix of the operations of all sessions.
pub const SQL_OPERATIONS: &str = "sql/operations/";
/// Prefix of the SQL catalogue.
pub const CATALOG: &str = "catalog/";

/// Key of a session of the SQL gateway.
pub fn sql_session(session: SqlHandle) -> String {
    format!("{SQL_SESSIONS}{session}")
}

/// Prefix of the operations of a session.
pub fn sql_operations(session: SqlHandle) -> String {
    format!("{SQL_OPERATIONS}{session}/")
}

/// Key of an operation of a session.
pub fn sql_operation(session: SqlHandle, operation: SqlHandle) -> String {
    format!("{SQL_OPERATIONS}{session}/{operation}")
}

/// Key of a database of the SQL catalogue.
pub fn catalog_database(catalog: &str, database: &str) -> String {
    format!("{CATALOG}{}/d/{}", escaped(catalog), escaped(database))
}

/// Key of a table or a view of the SQL catalogue.
pub fn catalog_object(catalog: &str, database: &str, name: &str) -> String {
    format!("{CATALOG}{}/o/{}/{}", escaped(catalog), escaped(database), escaped(name))
}

/// A name as one part of a key: without slashes and control characters, which coordination systems treat in their own ways.
fn escaped(name: &str) -> String {
    let mut part = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '/' | '%' => part.push_str(&format!("%{:02x}", u32::from(c))),
            c if c.is_control() => part.push_str(&format!("%{:02x}", u32::from(c))),
            c => part.push(c),
        }
    }
    part
}

/// Key of the handle of a job's graph.
pub fn graph(job: JobId) -> String {
    format!("{JOBS}{job}/graph")
}

/// The job of a key that [`graph`] made; `None` for any other key.
pub fn job_of_graph(key: &str) -> Option<JobId> {
    key.strip_prefix(JOBS)?.strip_suffix("/graph")?.parse().ok()
}

/// Key of the job that was created with this client token.
///
/// `None` if the text may not be a token.
pub fn token(client_token: &str) -> Option<String> {
    SubmitRequest::is_token(client_token).then(|| format!("{TOKENS}{client_token}"))
}

/// Key of a job's result.
pub fn result(job: JobId) -> String {
    format!("{RESULTS}{job}")
}

/// Prefix of a job's completed checkpoints, head included.
pub fn checkpoints(job: JobId) -> String {
    format!("checkpoints/{job}/")
}

/// Key of the newest checkpoint id ever appended for a job.
pub fn checkpoint_head(job: JobId) -> String {
    format!("checkpoints/{job}/head")
}

/// Key of one completed checkpoint. The keys of one job sort as the ids do.
pub fn checkpoint(job: JobId, id: CheckpointId) -> String {
    format!("checkpoints/{job}/{:020}", id.0)
}

/// Key of the first checkpoint id of a job that is not reserved yet.
pub fn checkpoint_ids(job: JobId) -> String {
    format!("checkpoint-ids/{job}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_graph_key_leads_back_to_its_job() {
        assert_eq!(job_of_graph(&graph(JobId(7))), Some(JobId(7)));
        assert_eq!(job_of_graph("jobs/x/graph"), None);
    }

    #[test]
    fn tokens_that_could_leave_their_prefix_are_refused() {
        for illegal in ["", "a/b", "a b", "ä", &"x".repeat(SubmitRequest::MAX_TOKEN_BYTES + 1)] {
            assert_eq!(token(illegal), None, "{illegal:?}");
        }
        assert_eq!(token("a.B-1_2"), Some("tokens/a.B-1_2".to_owned()));
    }

    #[test]
    fn names_of_tables_stay_within_their_part_of_the_key() {
        assert_eq!(catalog_object("c", "d", "a/b%\n"), "catalog/c/o/d/a%2fb%25%0a");
        assert_ne!(catalog_object("c", "d", "a%2fb"), catalog_object("c", "d", "a/b"));
        assert_eq!(catalog_database("c", "Größe"), "catalog/c/d/Größe");
    }

    #[test]
    fn checkpoint_keys_sort_as_their_ids_do() {
        assert!(checkpoint(JobId(1), CheckpointId(9)) < checkpoint(JobId(1), CheckpointId(10)));
        assert!(checkpoint(JobId(1), CheckpointId(u64::MAX)) < checkpoint_head(JobId(1)), "the head sorts last");
    }
}
