//! Raft's own thread. It opens the files, then runs all tasks of the group until it is told to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use tonic::transport::Server;
use tracing::{error, info};
use weir_world::flaw::{Flaw, is_planted};
use weir_world::net::{BoundListener, ConnectionLimits};
use weir_world::spawn;

use super::compaction::Compaction;
use super::detector::watch_leaders;
use super::formation::{find_identity, found, join};
use super::group::Group;
use super::identity::{Identity, load, lock, save};
use super::log::{DiskFailureHook, LogError, LogStore};
use super::machine::Raft;
use super::machine::StateMachine;
use super::membership::complete_changes;
use super::messages::MAX_MESSAGE_BYTES;
use super::messages::proto::raft_peer_server::RaftPeerServer;
use super::network::Network;
use super::options::check_members;
use super::peer_service::PeerService;
use super::runner::{self, Inbox};
use super::snapshot::SnapshotDirectory;
use super::types::Member;
use super::{Listen, RaftOptions, StartError};
use crate::provider_thread::ProviderThread;

/// The most entries in one write of the log.
const MAX_BATCH: u64 = 512;
/// The most entries in one message to a follower. Its bytes are limited as well.
const MAX_PAYLOAD_ENTRIES: u64 = 512;
/// How long it may take to send and install a snapshot.
const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(120);
/// The other members may use one part in so many of the process's file descriptors.
const PEER_CONNECTIONS: u64 = 16;
/// Time between HTTP/2 pings, and how long the answer may take. They keep quiet streams of other members open.
const PEER_PING: Duration = Duration::from_secs(20);

/// Everything that the thread needs.
struct Work {
    group: Arc<Group>,
    listener: BoundListener,
    cluster_id: String,
    directory: PathBuf,
    identity: Option<Identity>,
    log: LogStore,
    machine: StateMachine,
    config: Arc<Config>,
    compaction: Compaction,
    inbox: Inbox,
    on_disk_failure: DiskFailureHook,
}

/// Opens everything, then starts the thread.
pub(crate) fn start(options: RaftOptions, inbox: Inbox) -> Result<(Arc<Group>, ProviderThread), StartError> {
    options.timing.check()?;
    check_members(&options.members)?;
    if options.cluster_id.is_empty() || options.name.is_empty() {
        return Err(StartError::Invalid("cluster id and member name must not be empty".into()));
    }
    let config = config(&options)?;
    let listener = bind(options.listen)?;
    let address = listener.local_addr().map_err(StartError::Resources)?.to_string();
    let me = options.members.iter().find(|member| member.name == options.name).cloned();
    let me = me.unwrap_or_else(|| Member { name: options.name.clone(), address });
    let group = Arc::new(Group::new(me, options.members, options.timing, &options.cluster_id));
    let directory = options.data_dir;
    let Some(lock) = lock(&directory)? else { return Err(StartError::Locked(directory)) };
    let identity = load(&directory)?;
    let hook = options.on_disk_failure;
    let snapshots = SnapshotDirectory::open(&directory.join("snapshots"))?;
    let machine = StateMachine::open(Arc::clone(&group.replica), snapshots.clone(), Arc::clone(&hook))?;
    let (log, writer) = LogStore::open(&directory.join("log"), options.segment_bytes, Arc::clone(&hook))?;
    check(&directory, &options.cluster_id, &options.name, identity.as_ref(), &log, &machine)?;

    let cluster_id = options.cluster_id;
    let work = Work {
        group: Arc::clone(&group),
        listener,
        cluster_id,
        directory,
        identity,
        log,
        machine,
        config,
        compaction: Compaction::new(options.snapshot_after_bytes),
        inbox,
        on_disk_failure: hook,
    };
    // Runs after the runtime has ended, and with it the last users of the log.
    let clean_up = move || {
        snapshots.close();
        writer.ended();
        drop(lock);
    };
    let thread = ProviderThread::start("raft", move || serve(work), clean_up).map_err(StartError::Resources)?;
    Ok((group, thread))
}

fn bind(listen: Listen) -> Result<BoundListener, StartError> {
    match listen {
        Listen::Listener(listener) => Ok(listener.into()),
        Listen::Address(address) => BoundListener::bind(&address).map_err(|source| StartError::Listen { address, source }),
    }
}

fn config(options: &RaftOptions) -> Result<Arc<Config>, StartError> {
    let timing = options.timing;
    let milliseconds = |duration: Duration| duration.as_millis() as u64;
    let lease = milliseconds(timing.lease());
    let config = Config {
        cluster_name: options.cluster_id.clone(),
        heartbeat_interval: milliseconds(timing.heartbeat),
        // A follower waits for the lease, and then for a random part of these: see `RaftTiming::lease`.
        election_timeout_min: milliseconds(timing.random_min()).min(lease.saturating_sub(1)),
        election_timeout_max: lease,
        install_snapshot_timeout: milliseconds(SNAPSHOT_DEADLINE),
        max_payload_entries: MAX_PAYLOAD_ENTRIES,
        max_append_entries: Some(MAX_BATCH),
        api_batch_capacity: MAX_BATCH,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(options.snapshot_after_entries),
        max_in_snapshot_log_to_keep: options.snapshot_after_entries / 10,
        replication_lag_threshold: options.snapshot_after_entries * 2,
        enable_pre_vote: Some(true),
        // Enabled when a candidate here wants to lead.
        enable_elect: false,
        // A restarted leader must be elected again. Entries may be committed because the others made them durable, although they
        // never reached the leader's own disk. If it led on in its old term, it would give their log ids to other entries.
        enable_leader_restore: Some(is_planted(Flaw::RestoredLeader)),
        // A member whose log is shorter than the leader remembers gets the missing entries again. Otherwise both would try the
        // same request for ever. What a member had acknowledged and lost is noticed when it starts (`log/mark.rs`).
        allow_log_reversion: Some(true),
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| StartError::Invalid(error.to_string()))
}

/// Checks that the files on disk belong together and to this member.
fn check(
    directory: &Path,
    cluster_id: &str,
    name: &str,
    identity: Option<&Identity>,
    log: &LogStore,
    machine: &StateMachine,
) -> Result<(), StartError> {
    let corrupt =
        |what: &str| Err(StartError::Storage(LogError::Corrupt { path: directory.to_owned(), offset: 0, what: what.into() }));
    if log.purged() > machine.snapshot_end() {
        return corrupt("the log begins after a snapshot that is missing");
    }
    if log.last().is_some_and(|last| log.vote().is_none_or(|vote| vote.leader_id().term < last.leader_id.term)) {
        return corrupt("its vote is missing or older than its log");
    }
    match identity {
        None if log.last().is_some() || log.vote().is_some() || machine.snapshot_end().is_some() => {
            corrupt("it has a log but no identity")
        }
        Some(identity) if identity.formed && log.last().is_none() => corrupt("its log is missing"),
        Some(identity) if identity.cluster_id != cluster_id || identity.name != name => {
            let (theirs, cluster) = (&identity.name, &identity.cluster_id);
            let owner = format!("{} belongs to member {theirs:?} of cluster {cluster:?}", directory.display());
            Err(StartError::Identity(format!("{owner}, not to {name:?} of {cluster_id:?}")))
        }
        _ => Ok(()),
    }
}

/// Runs until the peer service ends or a start fails. Neither should happen.
async fn serve(work: Work) {
    let Work { group, listener, cluster_id, directory, identity, log, machine, config, compaction, inbox, on_disk_failure } =
        work;
    let sizes = log.sizes();
    let service = RaftPeerServer::new(PeerService { group: Arc::clone(&group) })
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let listener = match listener.serve(ConnectionLimits::processes(PEER_CONNECTIONS)) {
        Ok(listener) => listener,
        Err(error) => return error!(%error, "can't listen for the other members"),
    };
    let mut server = Server::builder().http2_keepalive_interval(Some(PEER_PING)).http2_keepalive_timeout(Some(PEER_PING));
    let server = server.add_service(service).serve_with_incoming(listener.incoming());
    let server = spawn("raft-peer-service", server);

    let identity = match identity {
        Some(identity) => identity,
        None => match find_identity(&group, &cluster_id, &directory).await {
            Ok(identity) => identity,
            // Otherwise the process would run for ever and never become a member.
            Err(error) => return on_disk_failure(&error.to_string()),
        },
    };
    group.wire.set_me(identity.node_id);
    let identity = group.identity.get_or_init(|| identity).clone();
    let network = Network::new(Arc::clone(&group.wire));
    let raft = match Raft::new(identity.node_id, config, network, log, machine).await {
        Ok(raft) => group.raft.get_or_init(|| raft).clone(),
        Err(error) => return on_disk_failure(&format!("raft can't start: {error}")),
    };
    info!(member = group.me.name, node = identity.node_id, "raft runs");
    spawn("raft-detector", watch_leaders(Arc::clone(&group), raft.clone(), identity.node_id));
    spawn("raft-runner", runner::run(Arc::clone(&group), raft.clone(), inbox, (compaction, sizes)));
    spawn("raft-membership", complete_changes(Arc::clone(&group), raft.clone()));
    spawn("raft-formation", take_part(Arc::clone(&group), raft, identity, directory, on_disk_failure));
    match server.await {
        Ok(Err(error)) => error!(%error, "the peer service ended"),
        _ => error!("the peer service ended"),
    }
}

/// Founds or joins the group. Then stores that its log is no longer empty.
async fn take_part(group: Arc<Group>, raft: Raft, identity: Identity, directory: PathBuf, on_disk_failure: DiskFailureHook) {
    if identity.founder {
        found(&group, &raft).await;
    } else {
        join(&group, &raft, identity.node_id).await;
    }
    if !identity.formed {
        // This fails only if raft has stopped.
        let logged = raft.wait(None).log_index_at_least(Some(0), "a log").await;
        if logged.is_ok()
            && let Err(error) = save(&directory, &Identity { formed: true, ..identity })
        {
            on_disk_failure(&error.to_string());
        }
    }
}
