//! Networks that silently lose packets. Rules in the target's namespace drop the packets, and the counters of these rules show
//! how many.

use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::{Draw, Effect, chosen};
use crate::cluster::network::{Direction, Network};
use crate::run::scene::Scene;

/// How long a flapping link is down, and then up.
const FLAP: Duration = Duration::from_millis(400);

pub(super) fn network(scene: &Scene) -> io::Result<&Network> {
    scene.network.as_ref().ok_or_else(|| io::Error::other("this cluster has no network of its own"))
}

/// Addresses of the other JobManagers.
fn other_jobmanagers(scene: &Scene, name: &str) -> io::Result<Vec<Ipv4Addr>> {
    let network = network(scene)?;
    let others = scene.cluster.jobmanager_names().into_iter().filter(|other| other != name);
    Ok(others.filter_map(|other| network.address(&other)).collect())
}

fn footprint(dropped: u64, epoch: u64, scene: &Scene) -> Result<String, String> {
    if dropped == 0 {
        return Err("no packet was dropped".to_owned());
    }
    let now = scene.view.get().leader().map_or(epoch, |(_, epoch)| epoch);
    Ok(format!("{dropped} packets were dropped; epoch {epoch} before, {now} after"))
}

fn cut(
    scene: &Scene,
    name: String,
    epoch: u64,
    draw: Draw,
    peers: Option<&[Ipv4Addr]>,
    direction: Direction,
) -> io::Result<Effect> {
    let network = network(scene)?;
    network.cut(&name, peers, direction)?;
    scene.wait(draw.lasts);
    let dropped = network.mend(&name)?;
    Ok(Effect::new(name, footprint(dropped, epoch, scene)))
}

pub(super) fn leader_from_all(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    cut(scene, leader, epoch, draw, None, Direction::Both)
}

pub(super) fn leader_in(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    cut(scene, leader, epoch, draw, None, Direction::In)
}

pub(super) fn leader_out(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    cut(scene, leader, epoch, draw, None, Direction::Out)
}

pub(super) fn leader_from_jobmanagers(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    let mut peers = other_jobmanagers(scene, &leader)?;
    peers.push(network(scene)?.store());
    cut(scene, leader, epoch, draw, Some(&peers), Direction::Both)
}

pub(super) fn bridge(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    let peers = other_jobmanagers(scene, &leader)?;
    let peer = peers[(draw.number % peers.len() as u64) as usize];
    let mut effect = cut(scene, leader, epoch, draw, Some(&[peer]), Direction::Both)?;
    effect.target = format!("{} and {peer}", effect.target);
    Ok(effect)
}

pub(super) fn flapping(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    let network = network(scene)?;
    let (started, mut dropped, mut times) = (Instant::now(), 0, 0);
    while started.elapsed() < draw.lasts && !scene.stopped() {
        network.cut(&leader, None, Direction::Both)?;
        scene.wait(FLAP);
        dropped += network.mend(&leader)?;
        times += 1;
        scene.wait(FLAP);
    }
    let footprint = footprint(dropped, epoch, scene).map(|footprint| format!("cut off {times} times; {footprint}"));
    Ok(Effect::new(leader, footprint))
}

pub(super) fn taskmanager(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let name = chosen(&scene.cluster.taskmanager_names(), draw);
    let epoch = scene.view.get().leader().map_or(0, |(_, epoch)| epoch);
    cut(scene, name, epoch, draw, None, Direction::Both)
}
