//! Keeps the member's [`View`] up to date with one watch over all keys of the election.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, Error, EventType, GetOptions, WatchOptions, WatchStream};
use tokio::time::{Instant, sleep};
use tracing::debug;
use weir_world::wall_clock_ms;

use super::connection::{ATTEMPT_DEADLINE, CallError, Fault};
use super::member::Member;
use super::store::{MAX_ANSWER_BYTES, entry};
use super::view::View;
use crate::availability::GRACE;

/// Interval of the probes while etcd does not answer.
const DOUBTFUL_PAUSE: Duration = Duration::from_millis(100);
/// Pause between two attempts to watch.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs for ever. When the watch ends (compaction, another endpoint, a restart of etcd), it reads all keys again and watches
/// from there. So the view may skip states, but it never stays out of date.
pub(crate) async fn observe(member: Arc<Member>) {
    loop {
        if let Err(error) = follow(&member).await {
            debug!(%error, "the watch on the election ended; opens it again");
        }
        sleep(PAUSE).await;
    }
}

/// Keeps `contact` up to date. It sends a probe if no call has had an answer for some time, or if a call had none. etcd counts
/// as unavailable once every endpoint was tried and none has answered for [`GRACE`].
pub(crate) async fn probe(member: Arc<Member>) {
    let interval = member.timing.lease / 3;
    let (started, mut given_up) = (Instant::now(), member.connection.generation());
    let mut doubtful: Option<Instant> = None;
    loop {
        tokio::select! {
            () = sleep(if doubtful.is_some() { DOUBTFUL_PAUSE } else { interval }) => {}
            // A call had no answer.
            _ = given_up.changed(), if doubtful.is_none() => {}
        }
        if member.connection.unanswered() > 0 || member.connection.silence().is_none_or(|silence| silence >= interval) {
            let key = member.layout.epoch();
            // The result does not matter: `Connection` records whether there was an answer.
            let _ = member.connection.call(interval, async |client| client.kv_client().get(key, None).await).await;
        }
        let unanswered = member.connection.unanswered();
        if unanswered == 0 {
            doubtful = None;
            member.contact.regained();
        } else if doubtful.get_or_insert_with(Instant::now).elapsed() >= GRACE
            && unanswered as usize >= member.connection.endpoints().len()
        {
            let silence = member.connection.silence().unwrap_or_else(|| started.elapsed());
            member.contact.lost(wall_clock_ms().saturating_sub(silence.as_millis() as u64));
        }
    }
}

async fn follow(member: &Member) -> Result<(), CallError> {
    let mut generation = member.connection.generation();
    generation.mark_unchanged();
    let (first, end) = member.layout.election();
    let found = member.range(first.as_str(), GetOptions::new().with_range(end.clone())).await?;
    let mut view = View { revision: found.header().map_or(0, etcd_client::ResponseHeader::revision), ..View::default() };
    for entry in found.kvs().iter().filter_map(entry) {
        view.put(&member.layout, entry);
    }
    member.look(view.clone());
    let options = WatchOptions::new().with_range(end).with_start_revision(view.revision + 1);
    let mut stream = open(member, &first, options).await?;
    loop {
        tokio::select! {
            message = stream.message() => match message {
                Ok(Some(message)) if !message.canceled() => {
                    for event in message.events() {
                        let Some(pair) = event.kv() else { continue };
                        let Some(entry) = entry(pair) else { continue };
                        view.revision = view.revision.max(pair.mod_revision());
                        match event.event_type() {
                            EventType::Put => view.put(&member.layout, entry),
                            EventType::Delete => view.remove(&member.layout, entry.key),
                        }
                    }
                    if !message.events().is_empty() {
                        member.look(view.clone());
                    }
                }
                Ok(_) => return Err(ended("etcd ended the watch")),
                Err(error) => return Err(ended(&error.to_string())),
            },
            // The watch's connection does not answer.
            _ = generation.changed() => return Err(ended("the endpoint was given up")),
        }
    }
}

fn ended(reason: &str) -> CallError {
    CallError { fault: Fault::Unanswered, reason: reason.to_owned() }
}

/// Opens a watch that starts at `key`.
pub(crate) async fn open(member: &Member, key: &str, options: WatchOptions) -> Result<WatchStream, CallError> {
    let open = async |client: Client| -> Result<WatchStream, Error> {
        client.watch_client().max_decoding_message_size(MAX_ANSWER_BYTES).watch(key, Some(options)).await
    };
    member.connection.call(ATTEMPT_DEADLINE, open).await
}
