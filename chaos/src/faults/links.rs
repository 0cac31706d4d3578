//! Connections that are slow, that break in the middle of what is said, or that say something else.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Bite, Draw};
use crate::cluster::links::{Concerned, LinkFault, Links, What};
use crate::run::scene::{PATIENCE, Scene};

/// Delays, in milliseconds: at least, and less than. Each has as much again of jitter at most.
const DELAY_MS: (u64, u64) = (10, 100);

fn links(scene: &Scene) -> io::Result<&Links> {
    scene.links.as_ref().ok_or_else(|| io::Error::other("this cluster's connections pass nobody who could break them"))
}

fn address(scene: &Scene, name: &str) -> io::Result<Ipv4Addr> {
    let network = scene.network.as_ref();
    network.and_then(|network| network.address(name)).ok_or_else(|| io::Error::other("this cluster has no network of its own"))
}

/// Has this happen until it has, and for some time more; how often it did.
fn during(scene: &Scene, draw: Draw, fault: LinkFault) -> io::Result<u64> {
    until(scene, draw, fault, || true)
}

/// Has this happen until it has, and `seen` says so, and for some time more; how often it did.
fn until(scene: &Scene, draw: Draw, fault: LinkFault, seen: impl Fn() -> bool) -> io::Result<u64> {
    let links = links(scene)?;
    let before = links.done();
    links.set(Some(fault));
    scene.until(PATIENCE, |_| (links.done() > before && seen()).then_some(()));
    scene.wait(draw.lasts);
    links.set(None);
    Ok(links.done() - before)
}

pub(super) fn delay_leader(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let (leader, epoch) = scene.leader()?;
    let least = DELAY_MS.0 + draw.number % (DELAY_MS.1 - DELAY_MS.0);
    let what = What::Delay { least: Duration::from_millis(least), jitter: Duration::from_millis(least) };
    let delayed = during(scene, draw, LinkFault { what, concerned: Concerned::Host(address(scene, &leader)?) })?;
    let now = scene.view.get().leader().map_or(epoch, |(_, epoch)| epoch);
    let footprint = if delayed == 0 {
        Err("nothing was said".to_owned())
    } else {
        Ok(format!("{delayed} times something came {least} to {} ms late; epoch {epoch} before, {now} after", 2 * least))
    };
    Ok(Bite::new(leader, footprint))
}

pub(super) fn reset_leader(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let (leader, epoch) = scene.leader()?;
    let concerned = Concerned::Host(address(scene, &leader)?);
    let resets = during(scene, draw, LinkFault { what: What::Reset, concerned })?;
    let now = scene.view.get().leader().map_or(epoch, |(_, epoch)| epoch);
    let footprint = if resets == 0 {
        Err("no connection was reset".to_owned())
    } else {
        Ok(format!("{resets} connections were reset; epoch {epoch} before, {now} after"))
    };
    Ok(Bite::new(leader, footprint))
}

/// What a log says when a frame between TaskManagers is none, or only a part of one: so a length looks that became larger.
const DAMAGED_FRAMES: [&str; 7] = ["NET-CRC", "NET-MAGIC", "NET-VERSION", "NET-KIND", "NET-LENGTH", "NET-BODY", "NET-SILENT"];
/// The same for a record that gRPC travels in.
const DAMAGED_RECORDS: [&str; 2] = ["RPC-CRC", "RPC-MAGIC"];

/// Flips bits until one of these processes says that something arrived damaged, by one of these signs.
fn corrupt(scene: &Scene, draw: Draw, concerned: Concerned, names: &[String], signs: &[&str]) -> io::Result<Bite> {
    // Restarts of the job would not do: a new leader counts them anew.
    let before: Vec<_> = names.iter().map(|name| (name, scene.log_of(name).len())).collect();
    let signs_in = |log: &str| signs.iter().map(|sign| log.matches(sign).count()).sum::<usize>();
    let said_since = |name: &str, before: usize| signs_in(&String::from_utf8_lossy(&scene.log_of(name)[before..]));
    let noticed = || before.iter().map(|(name, before)| said_since(name, *before)).sum::<usize>();
    // A bit can flip on a connection that is given up before anybody reads it: then others must.
    let flipped = until(scene, draw, LinkFault { what: What::Corrupt, concerned }, || noticed() > 0)?;
    let footprint = match noticed() {
        0 => Err(format!("{flipped} bits flipped, and nobody says so")),
        found => Ok(format!("{flipped} bits flipped; {found} times a process says that something arrived damaged")),
    };
    Ok(Bite::new(names.join(", "), footprint))
}

/// Rows between TaskManagers travel in frames with checksums: a flipped bit must be noticed, which restarts the job.
pub(super) fn corrupt_data(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let names = scene.cluster.taskmanager_names();
    let hosts = names.iter().map(|name| address(scene, name)).collect::<io::Result<_>>()?;
    corrupt(scene, draw, Concerned::Between(hosts), &names, &DAMAGED_FRAMES)
}

/// What JobManagers say to each other and to TaskManagers travels in records with checksums. HTTP has TCP's checksums alone, which a bit
/// flipped by what stands between two connections gets past: that is not for this fault.
pub(super) fn corrupt_coordination(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let listeners = scene.cluster.coordination_addresses();
    let listeners = listeners.iter().map(|address| address.parse().map_err(io::Error::other)).collect::<io::Result<_>>()?;
    corrupt(scene, draw, Concerned::To(listeners), &scene.names(), &DAMAGED_RECORDS)
}
