//! Transactions of Kafka that outlast their time: TaskManagers that do not reach the brokers between a checkpoint and its commit.

use std::io;
use std::path::Path;
use std::time::Duration;

use weir_servers::Patience;
use weir_storage::checkpoint::layout;

use super::partition::network;
use super::pause::await_stopped;
use super::{Draw, Effect};
use crate::cluster::brokers::Brokers;
use crate::cluster::network::Direction;
use crate::run::scene::{PATIENCE, Scene};

/// Pause between two looks for a checkpoint. Its commit takes some milliseconds.
const LOOK_PACE: Duration = Duration::from_micros(500);
/// What a TaskManager says that writes the records of a timed-out transaction again.
const WRITTEN_AGAIN: &str = "so its records were written again";

/// Stops all TaskManagers at that moment, for the drawn time.
pub(super) fn outlast_frozen(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    outlast(scene, |scene, names| {
        scene.wait(draw.lasts);
        resume(scene, names)?;
        Ok(Ok("stopped".to_owned()))
    })
}

/// Cuts all TaskManagers off from the brokers at that moment, for the drawn time. They stand still while the rules are made, because
/// a commit takes less time than that.
pub(super) fn outlast_cut(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    outlast(scene, |scene, names| {
        let brokers = [network(scene)?.brokers()];
        names.iter().try_for_each(|name| network(scene)?.cut(name, Some(&brokers), Direction::Both))?;
        resume(scene, names)?;
        scene.wait(draw.lasts);
        let mut dropped = 0;
        for name in names {
            dropped += network(scene)?.mend(name)?;
        }
        Ok(if dropped == 0 {
            Err("no packet was dropped".to_owned())
        } else {
            Ok(format!("cut off ({dropped} packets dropped)"))
        })
    })
}

fn resume(scene: &mut Scene, names: &[String]) -> io::Result<()> {
    names.iter().try_for_each(|name| scene.cluster.resume(name))
}

/// Stops all TaskManagers when a checkpoint has everything but its commit. The outage continues them, and says what it did. Then records
/// must be written again.
fn outlast(
    scene: &mut Scene,
    outage: impl FnOnce(&mut Scene, &[String]) -> io::Result<Result<String, String>>,
) -> io::Result<Effect> {
    let names = scene.cluster.taskmanager_names();
    let pids = names.iter().map(|name| scene.pid(name)).collect::<io::Result<Vec<_>>>()?;
    let logged: Vec<_> = names.iter().map(|name| scene.log_of(name).len()).collect();
    // Without new results there is nothing to commit.
    let consumed = || scene.kafka.as_ref().map_or(0, Brokers::consumed);
    let before = consumed();
    let committing = scene.until(PATIENCE, |_| (consumed() > before).then_some(()));
    let checkpoint = committing.and_then(|()| await_metadata(scene));
    for name in &names {
        scene.cluster.pause(name)?;
    }
    let stopped: Result<Vec<_>, _> = pids.iter().map(|pid| await_stopped(scene, *pid)).collect();
    let outage = outage(scene, &names)?;
    let again = || names.iter().zip(&logged).find_map(|(name, before)| scene.said_since(name, *before, WRITTEN_AGAIN));
    let again = scene.until(PATIENCE, |_| again());
    let footprint = match (checkpoint, stopped.and(outage), again) {
        (None, _, _) => Err("there were no results, or no checkpoint came".to_owned()),
        (_, Err(missing), _) => Err(missing),
        (Some(checkpoint), Ok(_), None) => Err(format!("no records of checkpoint {checkpoint} were written again")),
        (Some(checkpoint), Ok(done), Some(_)) => {
            Ok(format!("{done} between checkpoint {checkpoint} and its commit; its records were written again"))
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
