//! The metrics of this crate: names, units and what they mean.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// 1 while this process leads, else 0.
pub const IS_LEADER: &str = "weir_ha_is_leader";
/// The newest leader epoch known here.
pub const EPOCH: &str = "weir_ha_epoch";
/// Times this process was granted leadership.
pub const GRANTS: &str = "weir_ha_grants_total";
/// Elections in which this process stood because it saw that the leader's process had ended.
pub const CRASH_ELECTIONS: &str = "weir_ha_crash_elections_total";
/// Times the leader of the group changed, as seen here.
pub const LEADER_CHANGES: &str = "weir_ha_leader_changes_total";
/// Seconds from the proposal of a commit to its outcome.
pub const COMMIT_SECONDS: &str = "weir_ha_commit_seconds";
/// Commits refused because a newer leader was elected.
pub const STALE_EPOCH_REFUSALS: &str = "weir_ha_stale_epoch_refusals_total";
/// Commits whose outcome is unknown.
pub const UNKNOWN_OUTCOMES: &str = "weir_ha_unknown_outcomes_total";
/// 1 while the coordination store does not answer, else 0.
pub const STORE_AWAY: &str = "weir_ha_store_away";
/// Times the coordination store stopped answering, as seen here.
pub const STORE_OUTAGES: &str = "weir_ha_store_outages_total";
/// Seconds for one write and sync of the raft log or vote.
pub const RAFT_FSYNC_SECONDS: &str = "weir_ha_raft_fsync_seconds";
/// Entries in the raft log.
pub const RAFT_LOG_ENTRIES: &str = "weir_ha_raft_log_entries";
/// Bytes of entries in the raft log.
pub const RAFT_LOG_BYTES: &str = "weir_ha_raft_log_bytes";
/// Keys in the store.
pub const STORE_KEYS: &str = "weir_ha_store_keys";
/// Bytes of keys and values in the store.
pub const STORE_BYTES: &str = "weir_ha_store_bytes";

/// Registers the descriptions of the metrics. Call it once per process, after a recorder is installed.
pub fn describe() {
    describe_gauge!(IS_LEADER, Unit::Count, "1 while this process leads, else 0");
    describe_gauge!(EPOCH, Unit::Count, "The newest leader epoch known here");
    describe_counter!(GRANTS, Unit::Count, "Times this process was granted leadership");
    describe_counter!(
        CRASH_ELECTIONS,
        Unit::Count,
        "Elections in which this process stood because it saw that the leader's process had ended"
    );
    describe_counter!(LEADER_CHANGES, Unit::Count, "Times the leader of the group changed, as seen here");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "Time from the proposal of a commit to its outcome");
    describe_counter!(STALE_EPOCH_REFUSALS, Unit::Count, "Commits refused because a newer leader was elected");
    describe_counter!(UNKNOWN_OUTCOMES, Unit::Count, "Commits whose outcome is unknown");
    describe_gauge!(STORE_AWAY, Unit::Count, "1 while the coordination store does not answer, else 0");
    describe_counter!(STORE_OUTAGES, Unit::Count, "Times the coordination store stopped answering, as seen here");
    describe_histogram!(RAFT_FSYNC_SECONDS, Unit::Seconds, "Time for one write and sync of the raft log or vote");
    describe_gauge!(RAFT_LOG_ENTRIES, Unit::Count, "Entries in the raft log");
    describe_gauge!(RAFT_LOG_BYTES, Unit::Bytes, "Bytes of entries in the raft log");
    describe_gauge!(STORE_KEYS, Unit::Count, "Keys in the store");
    describe_gauge!(STORE_BYTES, Unit::Bytes, "Bytes of keys and values in the store");
}
