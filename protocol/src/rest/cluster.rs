//! The endpoints `/overview`, `/config` and `/jobmanager/config`.

use serde::{Deserialize, Serialize};

/// Answer to `GET /overview`: figures about the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterOverview {
    pub taskmanagers: u32,
    /// Slots of all TaskManagers.
    pub slots_total: u32,
    /// Slots not granted to a job.
    pub slots_available: u32,
    /// Jobs that have not ended.
    pub jobs_running: u32,
    /// Jobs that processed all their input.
    pub jobs_finished: u32,
    /// Jobs that were canceled.
    pub jobs_cancelled: u32,
    /// Jobs that failed.
    pub jobs_failed: u32,
    pub flink_version: String,
    /// Weir's commit, abbreviated.
    pub flink_commit: String,
}

/// Answer to `GET /config`, the first request of the web UI.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DashboardConfig {
    /// Milliseconds between refreshes.
    pub refresh_interval: u64,
    /// Name of the server's time zone.
    pub timezone_name: String,
    /// Its offset from UTC in milliseconds.
    pub timezone_offset: i64,
    pub flink_version: String,
    /// Weir's commit and its date.
    pub flink_revision: String,
    pub features: DashboardFeatures,
}

/// The features that the web UI may offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DashboardFeatures {
    /// Upload of programs.
    pub web_submit: bool,
    /// Cancellation of jobs.
    pub web_cancel: bool,
    /// Rescaling of jobs.
    pub web_rescale: bool,
    /// Whether this is a history server.
    pub web_history: bool,
}

/// One entry of `GET /jobmanager/config`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConfigEntry {
    pub key: String,
    /// The value. Secrets are masked.
    pub value: String,
}
