//! Finds the partitions of a new job, and between which offsets they are read.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::ResponseError;
use tokio::time::Instant;
use weir_dataflow::operator::OperatorError;

use super::partition::SourcePartition;
use super::settings::{FetchSettings, OffsetMode, OffsetOptions, OffsetReset, Settings};
use crate::client::{
    ClientError, Metadata, OffsetSpec, Patience, TopicPartition, UNKNOWN_TOPIC_PATIENCE, committed_offsets, list_offsets,
};

/// How long a new job waits for its topics and their brokers.
const PATIENCE: Duration = Duration::from_secs(60);

/// The partitions of all subtasks. Errors: those of brokers; `KAFKA-NO-OFFSET` if the group has committed no offset for a partition.
pub(super) async fn find(settings: &Settings) -> Result<Vec<SourcePartition>, OperatorError> {
    let deadline = Instant::now() + PATIENCE;
    let failed = |error: ClientError| error.for_operator("source.kafka");
    let partitions = partitions(&settings.fetch, deadline).await.map_err(failed)?;
    let starts = offsets(settings, &settings.start, &partitions, deadline).await?;
    let stops = match &settings.stop {
        Some(stop) => Some(offsets(settings, stop, &partitions, deadline).await?),
        None => None,
    };
    let read = |partition: TopicPartition| {
        let next = starts.get(&partition).copied().unwrap_or(0);
        // A partition for which no end was named is read to its end of now.
        let stop = stops.as_ref().map(|stops| stops.get(&partition).copied().unwrap_or(next));
        SourcePartition { topic: partition.0, id: partition.1, next, stop }
    };
    Ok(partitions.into_iter().map(read).collect())
}

async fn partitions(settings: &FetchSettings, deadline: Instant) -> Result<Vec<TopicPartition>, ClientError> {
    // Brokers may be starting; a topic that they don't know is most likely misspelt.
    let (mut of_brokers, mut of_topics) = (Patience::until(deadline), None);
    loop {
        let metadata = match Metadata::ask(&settings.client, &Metadata::default(), &settings.topics).await {
            Ok(metadata) => metadata,
            Err(error) => {
                of_brokers.bear(error).await?;
                continue;
            }
        };
        if let Some(missing) = settings.topics.iter().find(|topic| !metadata.topics.contains_key(*topic)) {
            let code = ResponseError::UnknownTopicOrPartition.code();
            let patience = of_topics.get_or_insert_with(|| Patience::of(UNKNOWN_TOPIC_PATIENCE));
            patience.bear(ClientError::refused(format!("topic {missing:?}, which Weir does not create"), code)).await?;
            continue;
        }
        let all = metadata
            .topics
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(move |partition| (topic.clone(), partition.id)));
        return Ok(all.collect());
    }
}

async fn offsets(
    settings: &Settings,
    place: &OffsetOptions,
    partitions: &[TopicPartition],
    deadline: Instant,
) -> Result<BTreeMap<TopicPartition, i64>, OperatorError> {
    let client = &settings.fetch.client;
    let failed = |error: ClientError| error.for_operator("source.kafka");
    let latest = OffsetSpec::Latest { read_committed: settings.fetch.limits.read_committed };
    let (mut found, rest) = match place.mode {
        OffsetMode::Earliest | OffsetMode::Never => (BTreeMap::new(), OffsetSpec::Earliest),
        OffsetMode::Latest => (BTreeMap::new(), latest),
        OffsetMode::Timestamp => {
            let spec = OffsetSpec::Timestamp(place.timestamp_ms.unwrap_or_default());
            let mut found = list_offsets(client, partitions, spec, deadline).await.map_err(failed)?;
            // Partitions without such a record begin, or end, behind their last one.
            found.retain(|_, offset| *offset >= 0);
            (found, latest)
        }
        OffsetMode::Specific => {
            let named = |(topic, id): &TopicPartition| Some(((topic.clone(), *id), *place.offsets.get(id)?));
            (partitions.iter().filter_map(named).collect(), OffsetSpec::Earliest)
        }
        OffsetMode::GroupOffsets => {
            let group = settings.group.as_deref().unwrap_or_default();
            let found = match group {
                "" => BTreeMap::new(),
                group => committed_offsets(client, group, partitions, deadline).await.map_err(failed)?,
            };
            let missing = partitions.iter().find(|partition| !found.contains_key(*partition));
            match (settings.reset, missing) {
                (OffsetReset::Fail, Some((topic, id))) => {
                    return Err(OperatorError::fatal(
                        "KAFKA-NO-OFFSET",
                        format!(
                            "source.kafka: {topic}-{id}: the group {group:?} has committed no offset; set the property \
                             auto.offset.reset to earliest or latest, or start elsewhere"
                        ),
                    ));
                }
                (OffsetReset::Latest, _) => (found, latest),
                _ => (found, OffsetSpec::Earliest),
            }
        }
    };
    let missing: Vec<_> = partitions.iter().filter(|partition| !found.contains_key(*partition)).cloned().collect();
    if !missing.is_empty() {
        found.extend(list_offsets(client, &missing, rest, deadline).await.map_err(failed)?);
    }
    Ok(found)
}
