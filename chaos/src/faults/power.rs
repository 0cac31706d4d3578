//! Machines that lose power: the process dies at once, and its disk may lose what was not durable.

use std::io;

use nix::sys::signal::Signal;

use super::{Draw, Effect, followed};
use crate::lossy_disk::{Loss, LossyDisk};
use crate::run::scene::{PATIENCE, Scene};

/// The power fails in the middle of one of the next changes of the leader's disk: this many, at most.
const CHANGES: u64 = 12;

pub(super) fn disk<'a>(scene: &'a Scene, name: &str) -> io::Result<&'a LossyDisk> {
    scene.lossy_disks.get(name).ok_or_else(|| io::Error::other(format!("{name} has no lossy disk of its own")))
}

pub(super) fn leader(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    let disks = vec![leader.clone()];
    lose_power(scene, draw, epoch, vec![leader], &disks)
}

pub(super) fn majority(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    let mut victims = scene.cluster.jobmanager_names();
    victims.retain(|name| *name != leader);
    victims.insert(0, leader);
    // Half of the time, spare one of the other JobManagers.
    if !draw.number.is_multiple_of(2) {
        victims.remove(1 + (draw.number / 2) as usize % (victims.len() - 1));
    }
    let disks = victims.clone();
    lose_power(scene, draw, epoch, victims, &disks)
}

/// The servers of etcd and ZooKeeper run on other machines and keep their power.
pub(super) fn all(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (_, epoch) = scene.leader()?;
    let mut disks: Vec<_> = scene.lossy_disks.keys().cloned().collect();
    let first = draw.number as usize % disks.len();
    disks.rotate_left(first);
    lose_power(scene, draw, epoch, scene.names(), &disks)
}

/// Cuts the power of these processes and disks at once, when the first disk is in the middle of a change.
fn lose_power(scene: &mut Scene, draw: Draw, epoch: u64, victims: Vec<String>, disks: &[String]) -> io::Result<Effect> {
    let target = victims.join(", ");
    let first = disk(scene, &disks[0])?;
    first.lose_power_after(draw.number / 16 % CHANGES);
    if !first.await_darkness(PATIENCE) {
        return Ok(Effect::new(target, Err(format!("nothing was written to the disk of {}", disks[0]))));
    }
    for other in &disks[1..] {
        disk(scene, other)?.go_dark();
    }
    for victim in &victims {
        // A process that waits for a disk dies as soon as the disk answers.
        if let Some(process) = scene.cluster.process(victim) {
            process.signal(Signal::SIGKILL);
        }
    }
    let mut total = Loss::default();
    for name in disks {
        let loss = disk(scene, name)?.cut_power();
        total.at_stake += loss.at_stake;
        total.lost += loss.lost;
        total.torn += loss.torn;
    }
    for victim in &victims {
        scene.kill(victim)?;
    }
    let some_are_left = victims.len() * 2 < scene.cluster.jobmanager_names().len();
    let mut next = some_are_left.then(|| followed(scene, epoch));
    scene.wait(draw.lasts);
    for name in disks {
        disk(scene, name)?.restore_power();
    }
    for victim in &victims {
        scene.restart(victim)?;
    }
    let next = next.take().unwrap_or_else(|| followed(scene, epoch));
    let Loss { at_stake, lost, torn } = total;
    let footprint = if at_stake == 0 {
        Err("everything was durable, so nothing could be lost".to_owned())
    } else {
        next.map(|next| format!("of {at_stake} changes that were not durable, {lost} were lost, {torn} of them in part; {next}"))
    };
    Ok(Effect::new(target, footprint))
}
