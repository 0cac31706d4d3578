//! Processes that are stopped and later continue, without knowing how long they were stopped.

use std::io;

use super::{Draw, Effect, chosen, followed};
use crate::run::scene::{PATIENCE, Scene};

/// Whether the kernel reports that a process is stopped.
fn stopped(pid: u32) -> Result<String, String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next().map(str::to_owned));
    match state.as_deref() {
        Some("T") => Ok(format!("process {pid} was stopped")),
        state => Err(format!("process {pid} is in state {state:?}, not stopped")),
    }
}

/// Waits until a process is stopped, because the kernel does not deliver a signal at once.
pub(super) fn await_stopped(scene: &Scene, pid: u32) -> Result<String, String> {
    scene.until(PATIENCE, |_| stopped(pid).ok()).ok_or_else(|| format!("process {pid} was not stopped"))
}

pub(super) fn leader(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    let pid = scene.pid(&leader)?;
    scene.cluster.pause(&leader)?;
    let stopped = await_stopped(scene, pid);
    let followed = followed(scene, epoch);
    scene.wait(draw.lasts);
    scene.cluster.resume(&leader)?;
    Ok(Effect::new(leader, stopped.and_then(|stopped| Ok(format!("{stopped}; {}", followed?)))))
}

pub(super) fn taskmanager(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let name = chosen(&scene.cluster.taskmanager_names(), draw);
    let pid = scene.pid(&name)?;
    scene.cluster.pause(&name)?;
    let stopped = await_stopped(scene, pid);
    scene.wait(draw.lasts);
    scene.cluster.resume(&name)?;
    Ok(Effect::new(name, stopped))
}
