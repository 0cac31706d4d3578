//! Kafka's nodes that die or stop.

use std::io;

use super::{Draw, Effect};
use crate::cluster::brokers::Brokers;
use crate::run::scene::Scene;

/// How often a fault looks for a transaction under way. One look takes a second or two.
const LOOKS: usize = 10;

fn brokers(scene: &mut Scene) -> io::Result<&mut Brokers> {
    scene.kafka.as_mut().ok_or_else(|| io::Error::other("the run has no Kafka"))
}

fn node(draw: Draw, brokers: &Brokers) -> usize {
    (draw.number % brokers.nodes.size() as u64) as usize
}

/// Kills these nodes, and restarts them later.
fn kill(scene: &mut Scene, draw: Draw, victims: &[usize]) -> io::Result<Effect> {
    let kafka = brokers(scene)?;
    victims.iter().for_each(|victim| kafka.nodes.kill(*victim));
    let alive: Vec<_> = victims.iter().filter(|victim| kafka.nodes.answers(**victim)).collect();
    let footprint =
        if alive.is_empty() { Ok("killed, and did not answer".to_owned()) } else { Err(format!("{alive:?} answered")) };
    scene.wait(draw.lasts);
    brokers(scene)?.restart(victims).map_err(io::Error::other)?;
    Ok(Effect::new(names(victims), footprint))
}

fn names(victims: &[usize]) -> String {
    let names: Vec<_> = victims.iter().map(|victim| format!("broker {victim}")).collect();
    names.join(", ")
}

pub(super) fn one(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let victim = node(draw, brokers(scene)?);
    kill(scene, draw, &[victim])
}

pub(super) fn all(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let victims: Vec<_> = (0..brokers(scene)?.nodes.size()).collect();
    kill(scene, draw, &victims)
}

/// The node that coordinates a transaction under way.
pub(super) fn coordinator(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let mut found = None;
    for _ in 0..LOOKS {
        found = brokers(scene)?.coordinator()?;
        if found.is_some() || scene.stopped() {
            break;
        }
    }
    let Some(victim) = found else {
        return Ok(Effect::new("a coordinator", Err("no transaction was under way".to_owned())));
    };
    let Effect { target, footprint } = kill(scene, draw, &[victim])?;
    Ok(Effect::new(target, footprint.map(|footprint| format!("{footprint}; it coordinated a transaction under way"))))
}

pub(super) fn pause(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let kafka = brokers(scene)?;
    let victim = node(draw, kafka);
    kafka.nodes.pause(victim);
    let answered = kafka.nodes.answers(victim);
    scene.wait(draw.lasts);
    let kafka = brokers(scene)?;
    kafka.nodes.resume(victim);
    kafka.nodes.await_serving(victim).map_err(io::Error::other)?;
    let footprint =
        if answered { Err("it answered while it was stopped".to_owned()) } else { Ok("stopped, and did not answer".to_owned()) };
    Ok(Effect::new(names(&[victim]), footprint))
}
