//! Generates the wire types and the gRPC service from `proto/`. The machine needs no protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = ["proto/checkpoint.proto", "proto/job_graph.proto", "proto/link.proto"];
    let descriptors = protox::compile(files, ["proto"])?;
    // Transport code would add a constructor `connect` to the client, which clashes with the method `Connect`.
    tonic_prost_build::configure().bytes(".").build_transport(false).emit_rerun_if_changed(false).compile_fds(descriptors)?;
    Ok(())
}
