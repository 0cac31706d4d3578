//! Kafka's nodes that die or stop, and transactions that outlast their time.

use std::io;
use std::path::Path;
use std::time::Duration;

use weir_servers::Patience;
use weir_storage::checkpoint::layout;

use super::pause::await_stopped;
use super::{Draw, Effect};
use crate::cluster::brokers::Brokers;
use crate::run::scene::{PATIENCE, Scene};

/// How often a fault looks for a transaction under way. One look takes a second or two.
const LOOKS: usize = 10;
/// Pause between two looks for a checkpoint. Its commit takes some milliseconds.
const LOOK_PACE: Duration = Duration::from_micros(500);
/// What a TaskManager says that writes the records of a timed-out transaction again.
const WRITTEN_AGAIN: &str = "so its records were written again";

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

/// Stops all TaskManagers when a checkpoint has everything but its commit.
pub(super) fn outlast_transactions(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let names = scene.cluster.taskmanager_names();
    let pids = names.iter().map(|name| scene.pid(name)).collect::<io::Result<Vec<_>>>()?;
    let logged: Vec<_> = names.iter().map(|name| scene.log_of(name).len()).collect();
    // Without results there is nothing to commit.
    let committing = scene.until(PATIENCE, |_| scene.kafka.as_ref().filter(|kafka| kafka.consumed() > 0).map(drop));
    let checkpoint = committing.and_then(|()| await_metadata(scene));
    for name in &names {
        scene.cluster.pause(name)?;
    }
    let stopped: Result<Vec<_>, _> = pids.iter().map(|pid| await_stopped(scene, *pid)).collect();
    scene.wait(draw.lasts);
    for name in &names {
        scene.cluster.resume(name)?;
    }
    let again = || names.iter().zip(&logged).find_map(|(name, before)| scene.said_since(name, *before, WRITTEN_AGAIN));
    let again = scene.until(PATIENCE, |_| again());
    let footprint = match (checkpoint, stopped, again) {
        (None, _, _) => Err("there were no results, or no checkpoint came".to_owned()),
        (_, Err(running), _) => Err(running),
        (Some(checkpoint), Ok(_), None) => Err(format!("no records of checkpoint {checkpoint} were written again")),
        (Some(checkpoint), Ok(_), Some(_)) => {
            Ok(format!("stopped between checkpoint {checkpoint} and its commit; its records were written again"))
        }
    };
    Ok(Effect::new(names.join(", "), footprint))
}

/// Waits until the next checkpoint of the judged job has its metadata file. Then all tasks have acknowledged it, and none knows that it
/// is completed.
fn await_metadata(scene: &Scene) -> Option<u64> {
    let job = scene.view.get().watched?;
    let directory = scene.cluster.checkpoint_directory().join(layout::job_directory(job));
    let known = newest(&directory);
    let patience = Patience::of(PATIENCE);
    while !patience.is_over() && !scene.stopped() {
        match newest(&directory) {
            next if next > known => return next,
            _ => std::thread::sleep(LOOK_PACE),
        }
    }
    None
}

/// The newest checkpoint that has its metadata file, in the directory of a job.
fn newest(directory: &Path) -> Option<u64> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let complete = entries.filter(|entry| entry.path().join(layout::METADATA_FILE).exists());
    complete.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("chk-")?.parse().ok()).max()
}
