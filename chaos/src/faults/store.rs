//! etcd or ZooKeeper that can't be reached, or is down.

use std::io;

use weir_local::Fault;

use super::{Draw, Effect};
use crate::run::scene::{PATIENCE, Scene};

/// Waits until a JobManager reports that the store is unavailable.
fn noticed(scene: &Scene) -> Result<String, String> {
    let noticed = scene.until(PATIENCE, |view| view.store_is_away().then_some(()));
    noticed
        .map(|()| "a JobManager reported that the store was unavailable".to_owned())
        .ok_or_else(|| "no JobManager reported that the store was unavailable".to_owned())
}

fn interrupted(scene: &Scene, draw: Draw, fault: Fault) -> io::Result<Effect> {
    let (_, epoch) = scene.leader()?;
    let held = scene.cluster.held_answers();
    scene.cluster.interrupt_coordination(fault);
    let noticed = noticed(scene);
    scene.wait(draw.lasts);
    scene.cluster.interrupt_coordination(Fault::None);
    let held = scene.cluster.held_answers() - held;
    let footprint = match fault {
        Fault::LostAnswers if held == 0 => Err("no answer was held back".to_owned()),
        Fault::LostAnswers => Ok(format!("{held} bytes of answers were held back")),
        _ => noticed,
    };
    Ok(Effect::new("the store", footprint.map(|footprint| format!("{footprint}; epoch {epoch} before"))))
}

pub(super) fn reset(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    interrupted(scene, draw, Fault::Reset)
}

pub(super) fn silence(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    interrupted(scene, draw, Fault::Silence)
}

pub(super) fn lost_answers(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    interrupted(scene, draw, Fault::LostAnswers)
}

pub(super) fn outage(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    scene.leader()?;
    scene.cluster.kill_coordination();
    let noticed = noticed(scene);
    scene.wait(draw.lasts);
    scene.cluster.restart_coordination()?;
    Ok(Effect::new("the store", noticed))
}
