//! The wire types generated from `proto/`. Only [`convert`](crate::convert) turns them into domain types.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::too_many_lines,
    clippy::redundant_clone,
    clippy::unwrap_used,
    clippy::large_futures
)]

/// The messages of `checkpoint.proto`.
pub mod checkpoint {
    pub mod v1 {
        tonic::include_proto!("weir.checkpoint.v1");
    }
}

/// The messages of `job_graph.proto`.
pub mod job_graph {
    pub mod v1 {
        tonic::include_proto!("weir.job_graph.v1");
    }
}

/// The messages of `link.proto`, and the client and server of `JobManagerService`.
pub mod link {
    pub mod v1 {
        tonic::include_proto!("weir.link.v1");
    }
}
