//! Which brokers there are, and which of them lead which partitions.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::{Request, StrBytes};

use super::settings::ClientSettings;
use super::{ClientError, Connection};

/// How long a topic may be unknown that was never seen. Brokers know a new one within a second or so.
pub(crate) const UNKNOWN_TOPIC_PATIENCE: Duration = Duration::from_secs(15);

/// How long a broker may take before another one is asked as well. Most answer in milliseconds; a frozen one never does.
const HEDGE: Duration = Duration::from_millis(500);

/// What a broker said about the cluster and some topics.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metadata {
    /// `host:port` by node id.
    pub(crate) brokers: BTreeMap<i32, String>,
    /// By topic, in the order of partition numbers.
    pub(crate) topics: BTreeMap<String, Vec<Partition>>,
}

/// One partition of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) id: i32,
    /// The node that leads it; -1 while there is none.
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
}

impl Metadata {
    /// Asks the first broker that answers. Topics are never created by this. A topic without an answer yet is left out.
    pub(crate) async fn ask(settings: &ClientSettings, known: &Self, topics: &[String]) -> Result<Self, ClientError> {
        let names = topics
            .iter()
            .map(|topic| MetadataRequestTopic::default().with_name(Some(StrBytes::from_string(topic.clone()).into())));
        let request = MetadataRequest::default().with_topics(Some(names.collect())).with_allow_auto_topic_creation(false);
        Self::read(ask_any(settings, known, (4, 12), &request).await?)
    }

    fn read(answer: MetadataResponse) -> Result<Self, ClientError> {
        let brokers = answer.brokers.iter().map(|broker| (broker.node_id.0, format!("{}:{}", broker.host.as_str(), broker.port)));
        let mut metadata = Self { brokers: brokers.collect(), topics: BTreeMap::new() };
        for topic in answer.topics {
            let name = topic.name.map(|name| name.to_string()).unwrap_or_default();
            match ResponseError::try_from_code(topic.error_code) {
                None => {}
                // They change while a topic is made or deleted, or a broker starts. The caller decides how long it waits.
                Some(ResponseError::UnknownTopicOrPartition | ResponseError::LeaderNotAvailable) => continue,
                Some(_) => return Err(ClientError::refused(format!("topic {name:?}"), topic.error_code)),
            }
            let mut partitions: Vec<_> = topic
                .partitions
                .iter()
                .map(|found| Partition { id: found.partition_index, leader: found.leader_id.0, leader_epoch: found.leader_epoch })
                .collect();
            partitions.sort_by_key(|partition| partition.id);
            metadata.topics.insert(name, partitions);
        }
        Ok(metadata)
    }

    /// The partition with its leader, if it is known.
    pub(crate) fn partition(&self, topic: &str, id: i32) -> Option<Partition> {
        self.topics.get(topic)?.iter().find(|partition| partition.id == id).copied()
    }

    /// Node id of the leader of a partition, if there is one with a known address.
    pub(crate) fn leader(&self, topic: &str, id: i32) -> Option<i32> {
        let leader = self.partition(topic, id)?.leader;
        self.brokers.contains_key(&leader).then_some(leader)
    }
}

/// Asks a broker of the cluster, one that was seen last if there is one, for what all of them know. Each call begins with another one, and
/// goes on with the next one as well if that does not answer soon. So the request may be sent to several.
pub(crate) async fn ask_any<R: Request>(
    settings: &ClientSettings,
    known: &Metadata,
    versions: (i16, i16),
    request: &R,
) -> Result<R::Response, ClientError> {
    let first = weir_world::random_id() as usize;
    let rotated = |addresses: Vec<&String>| -> Vec<String> {
        let count = addresses.len();
        (0..count).map(|index| addresses[(first % count + index) % count].clone()).collect()
    };
    let addresses = [rotated(known.brokers.values().collect()), rotated(settings.bootstrap.iter().collect())].concat();
    let mut untried = addresses.iter();
    let mut tries = FuturesUnordered::new();
    let mut last = ClientError::Connection { address: "-".to_owned(), reason: "there are no brokers".to_owned() };
    loop {
        tries
            .extend(untried.next().map(async |address| Connection::open(settings, address).await?.call(versions, request).await));
        let next = tokio::select! {
            next = tries.next() => next,
            () = tokio::time::sleep(HEDGE), if untried.len() > 0 => continue,
        };
        match next {
            Some(Ok(answer)) => return Ok(answer),
            // Another broker would refuse the same credentials.
            Some(Err(error @ ClientError::Authentication { .. })) => return Err(error),
            Some(Err(error)) => last = error,
            None => return Err(last),
        }
    }
}
