//! The gRPC service between JobManagers and TaskManagers: its generated client and server, its message limit, and the refusal of
//! a JobManager that does not lead.

use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::LeaderEpoch;
use crate::link::LeaderAddress;

pub use crate::pb::link::v1::job_manager_service_client::JobManagerServiceClient;
pub use crate::pb::link::v1::job_manager_service_server::{JobManagerService, JobManagerServiceServer};

/// Longest message that either end accepts, in bytes. The longest are deployments and acknowledgements with their inline state.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

const REASON: &str = "weir-reason";
const NOT_LEADER: &str = "NotLeader";
const LEADER_EPOCH: &str = "weir-leader-epoch";
const LEADER_NAME: &str = "weir-leader-name";
const LEADER_RPC_ADDRESS: &str = "weir-leader-rpc-address";
const LEADER_REST_ADDRESS: &str = "weir-leader-rest-address";

/// The refusal of a JobManager that does not lead. It names the leader, if `known`.
pub fn not_leader(known: Option<&LeaderAddress>) -> Status {
    let mut metadata = MetadataMap::new();
    let mut put = |key: &'static str, value: &str| {
        // The hint is optional, so a value that is no valid header is omitted.
        if let Ok(value) = value.parse() {
            metadata.insert(key, value);
        }
    };
    put(REASON, NOT_LEADER);
    if let Some(leader) = known {
        put(LEADER_EPOCH, &leader.epoch.to_string());
        put(LEADER_NAME, &leader.name);
        put(LEADER_RPC_ADDRESS, &leader.rpc_address);
        put(LEADER_REST_ADDRESS, &leader.rest_address);
    }
    Status::with_metadata(Code::FailedPrecondition, "NotLeader: this JobManager does not lead", metadata)
}

/// Whether `status` is a [`not_leader`] refusal.
pub fn is_not_leader(status: &Status) -> bool {
    text(status, REASON) == Some(NOT_LEADER)
}

/// The leader that a [`not_leader`] refusal names, if any.
pub fn leader_hint(status: &Status) -> Option<LeaderAddress> {
    Some(LeaderAddress {
        epoch: LeaderEpoch(text(status, LEADER_EPOCH)?.parse().ok()?),
        name: text(status, LEADER_NAME)?.to_owned(),
        rpc_address: text(status, LEADER_RPC_ADDRESS)?.to_owned(),
        rest_address: text(status, LEADER_REST_ADDRESS)?.to_owned(),
    })
}

fn text<'a>(status: &'a Status, key: &str) -> Option<&'a str> {
    status.metadata().get(key)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_known_leader() {
        let leader = LeaderAddress {
            epoch: LeaderEpoch(7),
            name: "jm-2".to_owned(),
            rpc_address: "10.0.0.2:6123".to_owned(),
            rest_address: "10.0.0.2:8081".to_owned(),
        };
        let status = not_leader(Some(&leader));
        assert!(is_not_leader(&status));
        assert_eq!(leader_hint(&status), Some(leader));
    }

    #[test]
    fn a_refusal_without_a_known_leader_has_no_hint() {
        let status = not_leader(None);
        assert!(is_not_leader(&status));
        assert_eq!(leader_hint(&status), None);
        assert!(!is_not_leader(&Status::failed_precondition("other")));
    }
}
