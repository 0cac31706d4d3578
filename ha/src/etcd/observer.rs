//! Keeps the member's [`View`] up to date, by one watch over everything that elections are about.

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

/// Between two questions while etcd does not answer.
const DOUBTFUL_PAUSE: Duration = Duration::from_millis(100);
/// Between two attempts to watch.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs for ever. Whatever ends the watch (compaction, another endpoint, etcd restarted), it reads everything again and
/// watches from there: what is seen may skip states, and never stays behind.
pub(crate) async fn observe(member: Arc<Member>) {
    loop {
        if let Err(error) = follow(&member).await {
            debug!(%error, "watches the election again");
        }
        sleep(PAUSE).await;
    }
}

/// Asks etcd for an answer when nothing else has for a while, or when somebody got none, and says whether it is there. It is
/// away when no endpoint has answered for a moment.
pub(crate) async fn probe(member: Arc<Member>) {
    let interval = member.timing.lease / 3;
    let (started, mut given_up) = (Instant::now(), member.connection.generation());
    let mut doubtful: Option<Instant> = None;
    loop {
        tokio::select! {
            () = sleep(if doubtful.is_some() { DOUBTFUL_PAUSE } else { interval }) => {}
            // Somebody got no answer.
            _ = given_up.changed(), if doubtful.is_none() => {}
        }
        if member.connection.unanswered() > 0 || member.connection.silence().is_none_or(|silence| silence >= interval) {
            let key = member.layout.epoch();
            // What it finds does not matter, and what it does not find shows as silence.
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
            // The connection it hangs on does not answer.
            _ = generation.changed() => return Err(ended("the endpoint was given up")),
        }
    }
}

fn ended(reason: &str) -> CallError {
    CallError { fault: Fault::Unanswered, reason: reason.to_owned() }
}

/// Opens a watch.
pub(crate) async fn open(member: &Member, key: &str, options: WatchOptions) -> Result<WatchStream, CallError> {
    let open = async |client: Client| -> Result<WatchStream, Error> {
        client.watch_client().max_decoding_message_size(MAX_ANSWER_BYTES).watch(key, Some(options)).await
    };
    member.connection.call(ATTEMPT_DEADLINE, open).await
}
