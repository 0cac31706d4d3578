//! Offsets of partitions: in the log, and those that a consumer group has committed.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{BrokerId, GroupId, ListOffsetsRequest, OffsetCommitRequest, OffsetFetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use super::settings::ClientSettings;
use super::{ClientError, Connection, Coordinator, Metadata, Patience};

/// A topic and the number of a partition.
pub(crate) type TopicPartition = (String, i32);

/// A place in a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OffsetSpec {
    Earliest,
    /// Behind the last record that a reader of this isolation may see.
    Latest {
        read_committed: bool,
    },
    /// The first record of this time or later, in milliseconds since 1970; the end of the log if there is none.
    Timestamp(i64),
}

impl OffsetSpec {
    fn timestamp(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest { .. } => -1,
            Self::Timestamp(time) => time,
        }
    }
}

/// Asks the leaders of these partitions for offsets. Tries again until the deadline while partitions have no leader.
pub(crate) async fn list_offsets(
    settings: &ClientSettings,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
    deadline: Instant,
) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
    let (mut found, mut metadata, mut patience) = (BTreeMap::new(), Metadata::default(), Patience::until(deadline));
    loop {
        let missing: Vec<_> = partitions.iter().filter(|partition| !found.contains_key(*partition)).collect();
        let Some((topic, id)) = missing.first() else { return Ok(found) };
        let before = found.len();
        match round(settings, &mut metadata, &missing, spec, &mut found).await {
            Ok(()) if found.len() > before => {}
            Ok(()) => {
                let code = ResponseError::LeaderNotAvailable.code();
                patience.bear(ClientError::refused(format!("{topic}-{id}"), code)).await?;
            }
            Err(error) => patience.bear(error).await?,
        }
    }
}

async fn round(
    settings: &ClientSettings,
    metadata: &mut Metadata,
    missing: &[&TopicPartition],
    spec: OffsetSpec,
    found: &mut BTreeMap<TopicPartition, i64>,
) -> Result<(), ClientError> {
    let mut topics: Vec<String> = missing.iter().map(|(topic, _)| topic.clone()).collect();
    topics.dedup();
    *metadata = Metadata::ask(settings, metadata, &topics).await?;
    let mut by_leader: BTreeMap<i32, BTreeMap<&str, Vec<i32>>> = BTreeMap::new();
    for (topic, id) in missing {
        if let Some(leader) = metadata.leader(topic, *id) {
            by_leader.entry(leader).or_default().entry(topic).or_default().push(*id);
        }
    }
    for (leader, topics) in by_leader {
        let Some(address) = metadata.brokers.get(&leader) else { continue };
        let mut connection = Connection::open(settings, address).await?;
        let topics = topics.into_iter().map(|(topic, ids)| {
            let partitions = ids.into_iter().map(|id| {
                ListOffsetsPartition::default()
                    .with_partition_index(id)
                    .with_current_leader_epoch(-1)
                    .with_timestamp(spec.timestamp())
            });
            ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(partitions.collect())
        });
        let isolation = i8::from(spec == OffsetSpec::Latest { read_committed: true });
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_isolation_level(isolation)
            .with_topics(topics.collect());
        let answer = connection.call((2, 7), &request).await?;
        for topic in answer.topics {
            for partition in topic.partitions {
                let name = topic.name.to_string();
                match ResponseError::try_from_code(partition.error_code) {
                    None => drop(found.insert((name, partition.partition_index), partition.offset)),
                    Some(code) if code.is_retriable() => {}
                    Some(_) => {
                        return Err(ClientError::refused(format!("{name}-{}", partition.partition_index), partition.error_code));
                    }
                }
            }
        }
    }
    Ok(())
}

fn topic_name(name: &str) -> TopicName {
    StrBytes::from_string(name.to_owned()).into()
}

/// The offsets that a group has committed for these partitions. Those without one are left out.
pub(crate) async fn committed_offsets(
    settings: &ClientSettings,
    group: &str,
    partitions: &[TopicPartition],
    deadline: Instant,
) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
    let topics = by_topic(partitions.iter().map(|(topic, id)| (topic.as_str(), *id)))
        .into_iter()
        .map(|(topic, ids)| OffsetFetchRequestTopics::default().with_name(topic_name(topic)).with_partition_indexes(ids));
    let of_group = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_member_epoch(-1)
        .with_topics(Some(topics.collect()));
    let request = OffsetFetchRequest::default().with_groups(vec![of_group]);
    let mut coordinator = Coordinator::of_group(settings, group);
    let code = |answer: &kafka_protocol::messages::OffsetFetchResponse| {
        let partitions = || answer.groups.iter().flat_map(|group| &group.topics).flat_map(|topic| &topic.partitions);
        let of_group = answer.groups.first().map_or(0, |group| group.error_code);
        if of_group != 0 {
            of_group
        } else {
            partitions().map(|partition| partition.error_code).find(|code| *code != 0).unwrap_or(0)
        }
    };
    let answer = coordinator.call((8, 8), &request, deadline, code).await?;
    if code(&answer) != 0 {
        return Err(ClientError::refused(format!("the offsets of group {group:?}"), code(&answer)));
    }
    let mut found = BTreeMap::new();
    for topic in answer.groups.into_iter().flat_map(|group| group.topics) {
        for partition in topic.partitions.iter().filter(|partition| partition.committed_offset >= 0) {
            found.insert((topic.name.to_string(), partition.partition_index), partition.committed_offset);
        }
    }
    Ok(found)
}

/// Commits offsets for a group that has no members, for tools that show how far a reader is.
pub(crate) async fn commit_offsets(
    coordinator: &mut Coordinator,
    offsets: &BTreeMap<TopicPartition, i64>,
    deadline: Instant,
) -> Result<(), ClientError> {
    let topics = by_topic(offsets.iter().map(|((topic, id), offset)| (topic.as_str(), (*id, *offset)))).into_iter();
    let topics = topics.map(|(topic, partitions)| {
        let partitions = partitions
            .into_iter()
            .map(|(id, offset)| OffsetCommitRequestPartition::default().with_partition_index(id).with_committed_offset(offset));
        OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(partitions.collect())
    });
    let group = coordinator.key().to_owned();
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_string(group.clone())))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics.collect());
    let code = |answer: &kafka_protocol::messages::OffsetCommitResponse| {
        answer
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|partition| partition.error_code)
            .find(|code| *code != 0)
            .unwrap_or(0)
    };
    let answer = coordinator.call((2, 8), &request, deadline, code).await?;
    match code(&answer) {
        0 => Ok(()),
        code => Err(ClientError::refused(format!("the offsets of group {group:?}"), code)),
    }
}

fn by_topic<'a, T>(entries: impl Iterator<Item = (&'a str, T)>) -> BTreeMap<&'a str, Vec<T>> {
    let mut topics: BTreeMap<&str, Vec<T>> = BTreeMap::new();
    for (topic, entry) in entries {
        topics.entry(topic).or_default().push(entry);
    }
    topics
}
