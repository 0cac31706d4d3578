//! Measures the rate and latency of fenced commits on three raft members in one process, three etcd nodes or three ZooKeeper
//! servers. With raft it also measures how fast leadership moves after the leader is killed.
//!
//! `commit_bench raft [SECONDS [KILLS [MEMBERS]]] | etcd [SECONDS] | zookeeper [SECONDS]`. It uses real files and loopback
//! connections. Everything shares this machine's cores and disk, so a cluster of several machines is faster.

#![allow(clippy::print_stdout, reason = "an example prints as a small program would")]

use std::error::Error;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use weir_ha::etcd::{EtcdOptions, EtcdProvider};
use weir_ha::raft::{Listen, Member, RaftOptions, RaftProvider, StartError};
use weir_ha::zookeeper::{ZooKeeperOptions, ZooKeeperProvider};
use weir_ha::{
    Candidate, CommitOutcome, Election, Expect, GroupAdmin, HaServices, LeaderElection, Leadership, LeadershipEvent, Operation,
};
use weir_servers::{EtcdCluster, ZooKeeperEnsemble};

const VALUE_BYTES: usize = 256;

struct Running {
    provider: RaftProvider,
    election: LeaderElection,
}

fn start(member: &Member, listen: Listen, members: &[Member], directory: &Path) -> Result<Running, StartError> {
    let data_dir = directory.join(&member.name);
    let provider = RaftProvider::start(RaftOptions::new(&member.name, listen, members.to_vec(), data_dir, "bench"))?;
    let candidate = Candidate { name: member.name.clone(), rpc_address: String::new(), rest_address: String::new() };
    let election = provider.campaign(candidate);
    Ok(Running { provider, election })
}

/// The next grant to any running member, with the number of the member.
async fn granted(members: &mut [Option<Running>]) -> (usize, Leadership) {
    loop {
        let contenders = members.iter_mut().enumerate().filter_map(|(number, running)| Some((number, running.as_mut()?)));
        let waits = contenders.map(|(number, running)| Box::pin(async move { (number, running.election.next().await) }));
        let ((number, event), _, _) = futures::future::select_all(waits).await;
        if let Some(LeadershipEvent::Granted(leadership)) = event {
            return (number, leadership);
        }
    }
}

async fn measure(provider: &HaServices, leadership: &Leadership, writers: usize, seconds: u64) -> Result<(), Box<dyn Error>> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    let started = Instant::now();
    for writer in 0..writers {
        let (provider, leadership, stop) = (provider.clone(), leadership.clone(), Arc::clone(&stop));
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            let value = Bytes::from(vec![writer as u8; VALUE_BYTES]);
            while !stop.load(Ordering::Relaxed) {
                let operation = Operation::Put { key: format!("bench/{writer}"), value: value.clone(), expect: Expect::Any };
                let began = Instant::now();
                match provider.commit(&leadership, vec![operation]).await {
                    CommitOutcome::Committed { .. } => latencies.push(began.elapsed()),
                    other => return Err(format!("{other:?}")),
                }
            }
            Ok(latencies)
        });
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    while let Some(done) = tasks.join_next().await {
        latencies.extend(done??);
    }
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    let rate = latencies.len() as f64 / elapsed.as_secs_f64();
    println!("| {writers:>7} | {rate:>9.0} | {:>8.2?} | {:>8.2?} |", percentile(&latencies, 50), percentile(&latencies, 99));
    Ok(())
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

async fn table(provider: &HaServices, leadership: &Leadership, what: &str, seconds: u64) -> Result<(), Box<dyn Error>> {
    println!("fenced commits of one {VALUE_BYTES}-byte value, {what}, {seconds} s each");
    println!("| writers | commits/s |      p50 |      p99 |");
    println!("|--------:|----------:|---------:|---------:|");
    for writers in [1, 8, 64] {
        measure(provider, leadership, writers, seconds).await?;
    }
    Ok(())
}

/// Measures the commits of one JobManager to a store with its own servers.
async fn external(provider: HaServices, what: &str, seconds: u64) -> Result<(), Box<dyn Error>> {
    let mut election =
        provider.campaign(Candidate { name: "jm-1".into(), rpc_address: String::new(), rest_address: String::new() });
    let leadership = loop {
        match election.next().await {
            Some(LeadershipEvent::Granted(leadership)) => break leadership,
            Some(LeadershipEvent::Revoked) => {}
            None => return Err("the provider stopped".into()),
        }
    };
    table(&provider, &leadership, what, seconds).await
}

async fn raft(directory: &Path, seconds: u64, kills: usize, members: usize) -> Result<(), Box<dyn Error>> {
    let listeners: Vec<_> = (0..members).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let mut members = Vec::new();
    for (number, listener) in listeners.iter().enumerate() {
        members.push(Member { name: format!("jm-{number}"), address: listener.local_addr()?.to_string() });
    }
    let mut running = Vec::new();
    for (member, listener) in members.iter().zip(listeners) {
        running.push(Some(start(member, Listen::Listener(listener), &members, directory)?));
    }
    let (mut leader, mut leadership) = granted(&mut running).await;
    if let Some(running) = &running[leader] {
        let provider: HaServices = Arc::new(running.provider.clone());
        table(&provider, &leadership, &format!("raft of {}", members.len()), seconds).await?;
    }
    let mut times = Vec::new();
    for _ in 0..kills {
        let Some(dead) = running[leader].take() else { break };
        let began = Instant::now();
        dead.provider.kill().await;
        let (next, newer) = granted(&mut running).await;
        times.push(began.elapsed());
        if newer.epoch() <= leadership.epoch() {
            return Err(format!("epoch {} after {}", newer.epoch(), leadership.epoch()).into());
        }
        let listen = Listen::Address(members[leader].address.clone());
        running[leader] = Some(start(&members[leader], listen, &members, directory)?);
        (leader, leadership) = (next, newer);
        // The restarted member must have caught up before the next leader is killed.
        if let Some(running) = &running[leader] {
            while running.provider.status().members.iter().any(|member| member.lag_entries != Some(0)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    times.sort_unstable();
    println!(
        "from the kill of a leader to the next grant, {} times: p50 {:.1?}, p99 {:.1?}",
        times.len(),
        percentile(&times, 50),
        percentile(&times, 99)
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise: u64| arguments.get(at).map_or(Ok(otherwise), |text| text.parse());
    let seconds = number(1, 5)?;
    let directory = std::env::temp_dir().join(format!("weir-commit-bench-{}", std::process::id()));
    match arguments.first().map_or("raft", String::as_str) {
        "raft" => raft(&directory, seconds, number(2, 20)? as usize, number(3, 3)? as usize).await?,
        "etcd" => {
            let servers = EtcdCluster::start(&weir_servers::etcd(), 3, &directory)?;
            let options = EtcdOptions::new(servers.endpoints(), "bench");
            external(Arc::new(EtcdProvider::start(&options)?), "etcd of 3", seconds).await?;
        }
        "zookeeper" => {
            let servers = ZooKeeperEnsemble::start(3, &directory)?;
            let options = ZooKeeperOptions::new("jm-1", &servers.connect_string(), "bench");
            external(Arc::new(ZooKeeperProvider::start(&options)?), "ZooKeeper of 3", seconds).await?;
        }
        other => return Err(format!("{other:?} is none of raft, etcd, zookeeper").into()),
    }
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}
