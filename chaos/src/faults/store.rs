//! etcd or ZooKeeper out of reach, or gone.

use std::io;

use weir_local::Fault;

use super::{Bite, Draw};
use crate::run::scene::{PATIENCE, Scene};

/// Whether somebody has noticed, by now or within some time, that the store is away.
fn noticed(scene: &Scene) -> Result<String, String> {
    let noticed = scene.until(PATIENCE, |view| view.store_is_away().then_some(()));
    noticed.map(|()| "the store was seen to be away".to_owned()).ok_or_else(|| "nobody saw that the store was away".to_owned())
}

fn interrupted(scene: &Scene, draw: Draw, fault: Fault) -> io::Result<Bite> {
    let (_, epoch) = scene.leader()?;
    let held = scene.cluster.held_answers();
    scene.cluster.interrupt_coordination(fault);
    let noticed = noticed(scene);
    scene.wait(draw.lasts);
    scene.cluster.interrupt_coordination(Fault::None);
    let held = scene.cluster.held_answers() - held;
    let footprint = match fault {
        Fault::LostAnswers if held == 0 => Err("no answer was held back".to_owned()),
        Fault::LostAnswers => Ok(format!("{held} bytes of answers held back")),
        _ => noticed,
    };
    Ok(Bite::new("the store", footprint.map(|footprint| format!("{footprint}; epoch {epoch} before"))))
}

pub(super) fn reset(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    interrupted(scene, draw, Fault::Reset)
}

pub(super) fn silence(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    interrupted(scene, draw, Fault::Silence)
}

pub(super) fn lost_answers(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    interrupted(scene, draw, Fault::LostAnswers)
}

pub(super) fn outage(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    scene.leader()?;
    scene.cluster.kill_coordination();
    let noticed = noticed(scene);
    scene.wait(draw.lasts);
    scene.cluster.restart_coordination()?;
    Ok(Bite::new("the store", noticed))
}
