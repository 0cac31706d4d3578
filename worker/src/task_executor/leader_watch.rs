//! Watches every configured JobManager for the leader. The JobManager that learns of a new leader first reports it.

use std::time::Duration;

use tokio::sync::mpsc;
use weir_protocol::link::LeaderAddress;
use weir_protocol::pb::link::v1::WatchLeaderRequest;
use weir_protocol::rpc::JobManagerServiceClient;
use weir_world::Backoff;
use weir_world::net::connect_channel;

use super::link::{LinkError, endpoint};
use super::search::WatchFailures;

/// First and last wait between two tries.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

/// Keeps a stream to the JobManager at `address` and passes on the leaders that it names, until the receiver is dropped. Notes in
/// `failures` why there is no stream.
pub async fn watch(address: String, leaders: mpsc::Sender<LeaderAddress>, failures: WatchFailures) {
    let mut backoff = BACKOFF;
    while !leaders.is_closed() {
        match stream(&address, &leaders, &mut backoff, &failures).await {
            Ok(()) => {}
            Err(error) => {
                tracing::debug!(address, %error, "can't watch this JobManager for the leader");
                failures.failed(&address, explain(&error));
            }
        }
        backoff.wait().await;
    }
}

async fn stream(
    address: &str,
    leaders: &mpsc::Sender<LeaderAddress>,
    backoff: &mut Backoff,
    failures: &WatchFailures,
) -> Result<(), LinkError> {
    let channel = connect_channel(&endpoint(address)?).await?;
    let mut client = JobManagerServiceClient::new(channel);
    let mut infos = client.watch_leader(WatchLeaderRequest {}).await?.into_inner();
    while let Some(info) = infos.message().await? {
        backoff.reset();
        failures.answered(address);
        let leader: Option<LeaderAddress> = info.into();
        if let Some(leader) = leader
            && leaders.send(leader).await.is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

/// The text of an error and of its cause at the bottom, which says most: "transport error" alone says nothing.
fn explain(error: &LinkError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let (text, cause) = (error.to_string(), cause.to_string());
    if text.contains(&cause) { text } else { format!("{text}: {cause}") }
}
