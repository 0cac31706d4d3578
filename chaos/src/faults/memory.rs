//! Processes that get hardly more memory than they have: the limit of the process's group is lowered to what it uses. What can be
//! reclaimed is, again and again, and it becomes slow; or it is killed for want of memory.

use std::io;
use std::time::{Duration, Instant};

use super::{Bite, Draw, chosen, followed};
use crate::cluster::memory_groups::Group;
use crate::run::scene::Scene;

/// The limit is lowered by so much at a time until the process feels it.
const STEP_BYTES: u64 = 1 << 20;
const PACE: Duration = Duration::from_millis(50);
/// Between lowering the limit and the process's needing more, at most.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn leader(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let (leader, _) = scene.leader()?;
    squeeze(scene, draw, leader)
}

pub(super) fn taskmanager(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let name = chosen(&scene.cluster.taskmanager_names(), draw);
    squeeze(scene, draw, name)
}

fn squeeze(scene: &mut Scene, draw: Draw, name: String) -> io::Result<Bite> {
    let epoch = scene.view.get().leader().map(|(_, epoch)| epoch);
    let leads = scene.view.get().leader().is_some_and(|(leader, _)| leader == name);
    let groups =
        scene.memory.as_ref().ok_or_else(|| io::Error::other("this cluster's processes are in no groups of their own"))?;
    let group = groups.of(&name).ok_or_else(|| io::Error::other(format!("{name} is in no group of its own")))?;
    let (hits, killed, used) = (group.hits(), group.killed(), group.usage());
    let felt = |group: &Group| group.hits() > hits || group.killed() > killed;
    let (started, mut limit) = (Instant::now(), used);
    while !felt(group) && started.elapsed() < PATIENCE && !scene.stopped() {
        // Refused: nothing more can be reclaimed. Then the limit is what is used now, to the page, so that the next one that is needed hurts.
        match group.set_limit(limit) {
            Ok(()) => limit = limit.saturating_sub(STEP_BYTES),
            Err(_) => drop(group.set_limit(group.usage())),
        }
        scene.wait(PACE);
    }
    scene.wait(draw.lasts);
    let (hits, killed, limit) = (group.hits() - hits, group.killed() - killed, group.limit());
    group.lift_limit()?;
    let mib = |bytes: u64| bytes >> 20;
    let squeezed = format!("it used {} MiB and was given {}", mib(used), mib(limit));
    let footprint = if killed > 0 {
        let ended = scene.await_end(&name)?.map_or_else(|| "it did not end".to_owned(), |status| status.to_string());
        scene.restart(&name)?;
        let next = match epoch.filter(|_| leads) {
            Some(epoch) => followed(scene, epoch),
            None => Ok("it was started again".to_owned()),
        };
        next.map(|next| format!("{squeezed}: killed for want of memory ({ended}), having hit the limit {hits} times; {next}"))
    } else if hits > 0 {
        Ok(format!("{squeezed}: it lived, and hit the limit {hits} times"))
    } else {
        Err(format!("{squeezed}, and never needed more"))
    };
    Ok(Bite::new(name, footprint))
}
