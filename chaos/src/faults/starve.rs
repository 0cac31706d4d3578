//! Processes that get hardly any processor time: they are in a control group (version 1) with a small quota.

use std::io;

use super::{Draw, Effect};
use crate::cluster::control_group::ControlGroup;
use crate::cluster::leftovers::CPU_GROUPS;
use crate::run::scene::Scene;

/// The group gets this many microseconds of processor time in each period.
const QUOTA_US: u32 = 2_000;
const PERIOD_US: u32 = 100_000;

/// Why such a control group can't be made here; `None` if it can.
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

pub(super) fn leader(scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
    let (leader, epoch) = scene.leader()?;
    let group = slow_group(&leader)?;
    group.write("cgroup.procs", &scene.pid(&leader)?.to_string())?;
    scene.wait(draw.lasts);
    // How often the group had used up its quota and had to wait.
    let throttled = group.figure("cpu.stat", Some("nr_throttled"));
    drop(group);
    let now = scene.view.get().leader().map_or(epoch, |(_, epoch)| epoch);
    let footprint = if throttled == 0 {
        Err("it was never throttled".to_owned())
    } else {
        Ok(format!("it was throttled {throttled} times; epoch {epoch} before, {now} after"))
    };
    Ok(Effect::new(leader, footprint))
}
