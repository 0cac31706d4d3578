//! Processes that are killed, with no time to do anything before.

use std::io;
use std::path::Path;

use super::{Draw, Effect, chosen, followed};
use crate::run::scene::Scene;

fn killed(name: &str, pid: u32) -> Result<String, String> {
    if Path::new(&format!("/proc/{pid}")).exists() {
        return Err(format!("process {pid} of {name} still exists"));
    }
    Ok(format!("process {pid} was killed"))
}

pub(super) fn leader(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    let pid = scene.kill(&leader)?;
    let killed = killed(&leader, pid);
    let followed = followed(scene, epoch);
    scene.wait(draw.lasts);
    scene.restart(&leader)?;
    Ok(Effect::new(leader, killed.and_then(|killed| Ok(format!("{killed}; {}", followed?)))))
}

pub(super) fn jobmanager(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let name = chosen(&scene.cluster.jobmanager_names(), draw);
    one(scene, draw, name)
}

pub(super) fn taskmanager(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let name = chosen(&scene.cluster.taskmanager_names(), draw);
    one(scene, draw, name)
}

fn one(scene: &mut Scene, draw: Draw, name: String) -> io::Result<Effect> {
    let pid = scene.kill(&name)?;
    let killed = killed(&name, pid);
    scene.wait(draw.lasts);
    scene.restart(&name)?;
    Ok(Effect::new(name, killed))
}

pub(super) fn all_jobmanagers(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (_, epoch) = scene.leader()?;
    let names = scene.cluster.jobmanager_names();
    let pids = names.iter().map(|name| scene.kill(name)).collect::<io::Result<Vec<_>>>()?;
    let killed: Result<Vec<_>, _> = names.iter().zip(pids).map(|(name, pid)| killed(name, pid)).collect();
    scene.wait(draw.lasts);
    for name in &names {
        scene.restart(name)?;
    }
    let followed = followed(scene, epoch);
    Ok(Effect::new(names.join(", "), killed.and_then(|killed| Ok(format!("{}; {}", killed.join(", "), followed?)))))
}
