//! Machines whose power goes: the process is gone at once, and with it what its disk had not been made to keep.

use std::io;

use nix::sys::signal::Signal;

use super::{Bite, Draw, followed};
use crate::lossy_disk::{Loss, LossyDisk};
use crate::run::scene::{PATIENCE, Scene};

/// The power goes in the middle of one of the next so many changes of the leader's disk.
const CHANGES: u64 = 12;

pub(super) fn disk<'a>(scene: &'a Scene, name: &str) -> io::Result<&'a LossyDisk> {
    scene.lossy_disks.get(name).ok_or_else(|| io::Error::other(format!("{name} has no disk of its own that can fail")))
}

pub(super) fn leader(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let (leader, epoch) = scene.leader()?;
    lose_power(scene, draw, epoch, vec![leader])
}

pub(super) fn majority(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let (leader, epoch) = scene.leader()?;
    let mut victims = scene.cluster.jobmanager_names();
    victims.retain(|name| *name != leader);
    victims.insert(0, leader);
    // All of them one time in two, or one is spared.
    if !draw.number.is_multiple_of(2) {
        victims.remove(1 + (draw.number / 2) as usize % (victims.len() - 1));
    }
    lose_power(scene, draw, epoch, victims)
}

/// Takes the power from these at once: when the disk of the first is in the middle of a change.
fn lose_power(scene: &mut Scene, draw: Draw, epoch: u64, victims: Vec<String>) -> io::Result<Bite> {
    let target = victims.join(", ");
    let first = disk(scene, &victims[0])?;
    first.lose_power_after(draw.number / 16 % CHANGES);
    if !first.await_darkness(PATIENCE) {
        return Ok(Bite::new(target, Err("nothing was written to its disk".to_owned())));
    }
    for victim in &victims[1..] {
        disk(scene, victim)?.go_dark();
    }
    let mut total = Loss::default();
    for victim in &victims {
        // Whoever waits for the disk dies as soon as it is answered.
        if let Some(process) = scene.cluster.process(victim) {
            process.signal(Signal::SIGKILL);
        }
        let loss = disk(scene, victim)?.cut_power();
        total.at_stake += loss.at_stake;
        total.lost += loss.lost;
        total.torn += loss.torn;
        scene.kill(victim)?;
    }
    let some_are_left = victims.len() * 2 < scene.cluster.jobmanager_names().len();
    let mut next = some_are_left.then(|| followed(scene, epoch));
    scene.wait(draw.lasts);
    for victim in &victims {
        disk(scene, victim)?.restore_power();
        scene.restart(victim)?;
    }
    let next = next.take().unwrap_or_else(|| followed(scene, epoch));
    let Loss { at_stake, lost, torn } = total;
    let footprint = if at_stake == 0 {
        Err("everything on its disk was durable".to_owned())
    } else {
        next.map(|next| format!("of {at_stake} changes that were not durable {lost} are lost, {torn} of them in part; {next}"))
    };
    Ok(Bite::new(target, footprint))
}
