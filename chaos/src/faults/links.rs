//! Connections that are slow, that break in the middle of a message, or that change bits.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Draw, Effect};
use crate::cluster::links::{Concerned, LinkFault, Links, What};
use crate::run::scene::{PATIENCE, Scene};

/// The range of delays, in milliseconds: at least the first, less than the second. Jitter adds up to the same time again.
const DELAY_MS: (u64, u64) = (10, 100);

fn links(scene: &Scene) -> io::Result<&Links> {
    scene.links.as_ref().ok_or_else(|| io::Error::other("this cluster's connections do not pass a proxy that can inject faults"))
}

fn address(scene: &Scene, name: &str) -> io::Result<Ipv4Addr> {
    let network = scene.network.as_ref();
    network.and_then(|network| network.address(name)).ok_or_else(|| io::Error::other("this cluster has no network of its own"))
}

/// Injects the fault until it has taken effect, and then for the drawn time. Returns how often it took effect.
fn during(scene: &Scene, draw: Draw, fault: LinkFault) -> io::Result<u64> {
    until(scene, draw, fault, || true)
}

/// Like [`during`], but waits until `seen` is true as well.
fn until(scene: &Scene, draw: Draw, fault: LinkFault, seen: impl Fn() -> bool) -> io::Result<u64> {
    let links = links(scene)?;
    let before = links.done();
    links.set(Some(fault));
    scene.until(PATIENCE, |_| (links.done() > before && seen()).then_some(()));
    scene.wait(draw.lasts);
    links.set(None);
    Ok(links.done() - before)
}

pub(super) fn delay_leader(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    let least = DELAY_MS.0 + draw.number % (DELAY_MS.1 - DELAY_MS.0);
    let what = What::Delay { least: Duration::from_millis(least), jitter: Duration::from_millis(least) };
    let delayed = during(scene, draw, LinkFault { what, concerned: Concerned::Host(address(scene, &leader)?) })?;
    let now = scene.view.get().leader().map_or(epoch, |(_, epoch)| epoch);
    let footprint = if delayed == 0 {
        Err("nothing was sent".to_owned())
    } else {
        Ok(format!("{delayed} chunks of data arrived {least} to {} ms late; epoch {epoch} before, {now} after", 2 * least))
    };
    Ok(Effect::new(leader, footprint))
}

pub(super) fn reset_leader(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    let concerned = Concerned::Host(address(scene, &leader)?);
    let resets = during(scene, draw, LinkFault { what: What::Reset, concerned })?;
    let now = scene.view.get().leader().map_or(epoch, |(_, epoch)| epoch);
    let footprint = if resets == 0 {
        Err("no connection was reset".to_owned())
    } else {
        Ok(format!("{resets} connections were reset; epoch {epoch} before, {now} after"))
    };
    Ok(Effect::new(leader, footprint))
}

/// Error ids in the log of a process that received an invalid or an incomplete frame between TaskManagers. If a bit flip
/// increases the length of a frame, the frame looks incomplete.
const DAMAGED_FRAMES: [&str; 7] = ["NET-CRC", "NET-MAGIC", "NET-VERSION", "NET-KIND", "NET-LENGTH", "NET-BODY", "NET-SILENT"];
/// The same for a record that carries gRPC.
const DAMAGED_RECORDS: [&str; 2] = ["RPC-CRC", "RPC-MAGIC"];

/// Flips bits until the log of one of these processes contains one of these error ids.
fn corrupt(scene: &Scene, draw: Draw, concerned: Concerned, names: &[String], signs: &[&str]) -> io::Result<Effect> {
    // The job's restarts can't show it: a new leader counts them from zero.
    let before: Vec<_> = names.iter().map(|name| (name, scene.log_of(name).len())).collect();
    let signs_in = |log: &str| signs.iter().map(|sign| log.matches(sign).count()).sum::<usize>();
    let said_since = |name: &str, before: usize| signs_in(&String::from_utf8_lossy(&scene.log_of(name)[before..]));
    let noticed = || before.iter().map(|(name, before)| said_since(name, *before)).sum::<usize>();
    // A bit may flip on a connection that is closed before it is read. Then further bits must flip.
    let flipped = until(scene, draw, LinkFault { what: What::Corrupt, concerned }, || noticed() > 0)?;
    let footprint = match noticed() {
        0 => Err(format!("{flipped} bits flipped, but no process reported damaged data")),
        found => Ok(format!("{flipped} bits flipped; processes reported damaged data {found} times")),
    };
    Ok(Effect::new(names.join(", "), footprint))
}

/// Rows between TaskManagers travel in frames with checksums. A flipped bit must be noticed, and this restarts the job.
pub(super) fn corrupt_data(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let names = scene.cluster.taskmanager_names();
    let hosts = names.iter().map(|name| address(scene, name)).collect::<io::Result<_>>()?;
    corrupt(scene, draw, Concerned::Between(hosts), &names, &DAMAGED_FRAMES)
}

/// Messages from JobManagers to each other and to TaskManagers travel in records with checksums. This fault leaves out HTTP: its
/// only checksums are TCP's, and they do not cover a bit that a proxy flips between two connections.
pub(super) fn corrupt_coordination(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let listeners = scene.cluster.coordination_addresses();
    let listeners = listeners.iter().map(|address| address.parse().map_err(io::Error::other)).collect::<io::Result<_>>()?;
    corrupt(scene, draw, Concerned::To(listeners), &scene.names(), &DAMAGED_RECORDS)
}
