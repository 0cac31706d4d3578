//! Submits a job graph to a cluster, waits for its end, and says how it ended. A leader that dies meanwhile is not noticed:
//! the client asks any of the JobManagers.
//!
//! ```text
//! cargo run -p weir-client --example submit -- 127.0.0.1:8081 flights.json flights-1
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints as a small program would")]

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use weir_client::ClusterClient;
use weir_protocol::job_graph::JobGraph;

/// For the submission to be durable.
const SUBMISSION: Duration = Duration::from_secs(30);
/// For the job to end.
const END: Duration = Duration::from_secs(24 * 3_600);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    submit().await.inspect_err(|error| eprintln!("{error}")).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

async fn submit() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [addresses, file, token] = arguments.as_slice() else {
        return Err("usage: submit HOST:PORT[,HOST:PORT…] GRAPH.json TOKEN".into());
    };
    let graph: JobGraph = serde_json::from_slice(&std::fs::read(file)?)?;
    let client = ClusterClient::new(addresses.split(',').map(str::to_owned).collect())?;
    // After any error the submission can be repeated with the same token, by this process or the next: the job is created once.
    let submitted = client.submit(&graph, Some(token), SUBMISSION).await?;
    println!("job {} is durable", submitted.job_id);
    let ended = client.wait(submitted.job_id, END).await?;
    println!("job {} ended: {}", submitted.job_id, ended.status.as_str());
    Ok(())
}
