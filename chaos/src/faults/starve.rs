//! Processes that hardly get a processor: a control group (version 1) with a small quota.

use std::io;
use std::path::{Path, PathBuf};

use super::{Bite, Draw};
use crate::cluster::leftovers::{CPU_GROUPS, PREFIX};
use crate::run::scene::Scene;

/// Of every 100 ms the group gets this many microseconds.
const QUOTA_US: u32 = 2_000;
const PERIOD_US: u32 = 100_000;

/// Why there can't be one here; `None` if there can.
pub(super) fn hindrance() -> Option<String> {
    let trial = Group::create("trial");
    trial.err().map(|error| format!("control groups of version 1 for processor time can't be made in {CPU_GROUPS}: {error}"))
}

/// A control group; removed when dropped, its processes go back to where they came from.
#[derive(Debug)]
struct Group {
    place: PathBuf,
}

impl Group {
    fn create(name: &str) -> io::Result<Self> {
        let place = Path::new(CPU_GROUPS).join(format!("{PREFIX}{}-{name}", std::process::id()));
        std::fs::create_dir(&place)?;
        let group = Self { place };
        std::fs::write(group.place.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
        std::fs::write(group.place.join("cpu.cfs_quota_us"), QUOTA_US.to_string())?;
        Ok(group)
    }

    fn take(&self, pid: u32) -> io::Result<()> {
        std::fs::write(self.place.join("cgroup.procs"), pid.to_string())
    }

    /// How often its processes had to wait although there was a processor.
    fn throttled(&self) -> u64 {
        let stat = std::fs::read_to_string(self.place.join("cpu.stat")).unwrap_or_default();
        stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let pids = std::fs::read_to_string(self.place.join("cgroup.procs")).unwrap_or_default();
        let parent = Path::new(CPU_GROUPS).join("cgroup.procs");
        for pid in pids.lines() {
            // It may have ended in between.
            let _ = std::fs::write(&parent, pid);
        }
        if let Err(error) = std::fs::remove_dir(&self.place) {
            eprintln!("{} is left behind: {error}", self.place.display());
        }
    }
}

pub(super) fn leader(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let (leader, epoch) = scene.leader()?;
    let group = Group::create(&leader)?;
    group.take(scene.pid(&leader)?)?;
    scene.wait(draw.lasts);
    let throttled = group.throttled();
    drop(group);
    let now = scene.view.get().leader().map_or(epoch, |(_, epoch)| epoch);
    let footprint = if throttled == 0 {
        Err("it never had to wait for a processor".to_owned())
    } else {
        Ok(format!("held back {throttled} times; epoch {epoch} before, {now} after"))
    };
    Ok(Bite::new(leader, footprint))
}
