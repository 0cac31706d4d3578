//! Processes that hardly get a processor: a control group (version 1) with a small quota.

use std::io;

use super::{Bite, Draw};
use crate::cluster::control_group::ControlGroup;
use crate::cluster::leftovers::CPU_GROUPS;
use crate::run::scene::Scene;

/// Of every 100 ms the group gets this many microseconds.
const QUOTA_US: u32 = 2_000;
const PERIOD_US: u32 = 100_000;

/// Why there can't be one here; `None` if there can.
pub(super) fn hindrance() -> Option<String> {
    let trial = slow_group("trial");
    trial.err().map(|error| format!("control groups of version 1 for processor time can't be made in {CPU_GROUPS}: {error}"))
}

fn slow_group(name: &str) -> io::Result<ControlGroup> {
    let group = ControlGroup::create(CPU_GROUPS, name)?;
    group.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
    group.write("cpu.cfs_quota_us", &QUOTA_US.to_string())?;
    Ok(group)
}

pub(super) fn leader(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let (leader, epoch) = scene.leader()?;
    let group = slow_group(&leader)?;
    group.write("cgroup.procs", &scene.pid(&leader)?.to_string())?;
    scene.wait(draw.lasts);
    // How often its processes had to wait although there was a processor.
    let throttled = group.figure("cpu.stat", Some("nr_throttled"));
    drop(group);
    let now = scene.view.get().leader().map_or(epoch, |(_, epoch)| epoch);
    let footprint = if throttled == 0 {
        Err("it never had to wait for a processor".to_owned())
    } else {
        Ok(format!("held back {throttled} times; epoch {epoch} before, {now} after"))
    };
    Ok(Bite::new(leader, footprint))
}
