//! Processes that get hardly more memory than they use: the limit of the process's control group is lowered to its usage. Then
//! the kernel either reclaims memory again and again, which makes the process slow, or kills the process because memory runs out.

use std::io;
use std::time::{Duration, Instant};

use super::{Draw, Effect, chosen, followed};
use crate::cluster::memory_groups::Group;
use crate::run::scene::Scene;

/// The limit is lowered by this much at a time until the process reaches it.
const STEP_BYTES: u64 = 1 << 20;
const PACE: Duration = Duration::from_millis(50);
/// How long the process may take to need more memory than its limit.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn leader(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, _) = scene.leader()?;
    squeeze(scene, draw, leader)
}

pub(super) fn taskmanager(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let name = chosen(&scene.cluster.taskmanager_names(), draw);
    squeeze(scene, draw, name)
}

fn squeeze(scene: &mut Scene, draw: Draw, name: String) -> io::Result<Effect> {
    let epoch = scene.view.get().leader().map(|(_, epoch)| epoch);
    let leads = scene.view.get().leader().is_some_and(|(leader, _)| leader == name);
    let groups =
        scene.memory.as_ref().ok_or_else(|| io::Error::other("this cluster's processes have no memory control groups"))?;
    let group = groups.of(&name).ok_or_else(|| io::Error::other(format!("{name} has no memory control group")))?;
    let (hits, killed, used) = (group.hits(), group.killed(), group.usage());
    let felt = |group: &Group| group.hits() > hits || group.killed() > killed;
    let (started, mut limit) = (Instant::now(), used);
    while !felt(group) && started.elapsed() < PATIENCE && !scene.stopped() {
        // The kernel refuses a limit if it can't reclaim enough memory. Then the limit becomes the current usage, so that the
        // next page that the process needs exceeds it.
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
    let squeezed = format!("it used {} MiB and was limited to {} MiB", mib(used), mib(limit));
    let footprint = if killed > 0 {
        let ended = scene.await_end(&name)?.map_or_else(|| "it did not end".to_owned(), |status| status.to_string());
        scene.restart(&name)?;
        let next = match epoch.filter(|_| leads) {
            Some(epoch) => followed(scene, epoch),
            None => Ok("it was restarted".to_owned()),
        };
        next.map(|next| {
            format!("{squeezed}; it hit the limit {hits} times and was killed for using too much memory ({ended}); {next}")
        })
    } else if hits > 0 {
        Ok(format!("{squeezed}; it hit the limit {hits} times and survived"))
    } else {
        Err(format!("{squeezed}, but it never needed more"))
    };
    Ok(Effect::new(name, footprint))
}
