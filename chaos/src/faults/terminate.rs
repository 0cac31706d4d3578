//! Processes that are asked to end (SIGTERM), and must end in order.

use std::io;

use super::{Draw, Effect, chosen, followed};
use crate::run::scene::Scene;

fn in_order(state: String) -> Result<String, String> {
    if state == "exit status: 0" {
        Ok("it ended in order".to_owned())
    } else {
        Err(format!("it ended with {state}, not in order"))
    }
}

pub(super) fn leader(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    let ended = in_order(scene.terminate(&leader)?);
    let followed = followed(scene, epoch);
    scene.wait(draw.lasts);
    scene.restart(&leader)?;
    Ok(Effect::new(leader, ended.and_then(|ended| Ok(format!("{ended}; {}", followed?)))))
}

pub(super) fn taskmanager(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let name = chosen(&scene.cluster.taskmanager_names(), draw);
    let ended = in_order(scene.terminate(&name)?);
    scene.wait(draw.lasts);
    scene.restart(&name)?;
    Ok(Effect::new(name, ended))
}
