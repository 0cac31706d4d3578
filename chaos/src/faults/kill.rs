//! Processes that die as in a power cut.

use std::io;
use std::path::Path;

use super::{Bite, Draw, chosen, followed};
use crate::run::scene::Scene;

fn gone(name: &str, pid: u32) -> Result<String, String> {
    if Path::new(&format!("/proc/{pid}")).exists() {
        return Err(format!("process {pid} of {name} is still there"));
    }
    Ok(format!("process {pid} is gone"))
}

pub(super) fn leader(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let (leader, epoch) = scene.leader()?;
    let pid = scene.kill(&leader)?;
    let gone = gone(&leader, pid);
    let followed = followed(scene, epoch);
    scene.wait(draw.lasts);
    scene.restart(&leader)?;
    Ok(Bite::new(leader, gone.and_then(|gone| Ok(format!("{gone}; {}", followed?)))))
}

pub(super) fn jobmanager(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let name = chosen(&scene.cluster.jobmanager_names(), draw);
    one(scene, draw, name)
}

pub(super) fn taskmanager(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let name = chosen(&scene.cluster.taskmanager_names(), draw);
    one(scene, draw, name)
}

fn one(scene: &mut Scene, draw: Draw, name: String) -> io::Result<Bite> {
    let pid = scene.kill(&name)?;
    let gone = gone(&name, pid);
    scene.wait(draw.lasts);
    scene.restart(&name)?;
    Ok(Bite::new(name, gone))
}

pub(super) fn all_jobmanagers(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let (_, epoch) = scene.leader()?;
    let names = scene.cluster.jobmanager_names();
    let pids = names.iter().map(|name| scene.kill(name)).collect::<io::Result<Vec<_>>>()?;
    let gone: Result<Vec<_>, _> = names.iter().zip(pids).map(|(name, pid)| gone(name, pid)).collect();
    scene.wait(draw.lasts);
    for name in &names {
        scene.restart(name)?;
    }
    let followed = followed(scene, epoch);
    Ok(Bite::new(names.join(", "), gone.and_then(|gone| Ok(format!("{}; {}", gone.join(", "), followed?)))))
}
