//! Processes that get hardly more memory than they have: each is in a control group (version 1) of its own from its start, whose limit is
//! lowered to what the process uses. What can be reclaimed is, again and again, and it becomes slow; or it is killed for want of memory.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use weir_local::Host;

use super::control_group::ControlGroup;
use super::{Bite, Draw, chosen, followed};
use crate::cluster::leftovers::MEMORY_GROUPS;
use crate::run::scene::Scene;

/// The limit is lowered by so much at a time until the process feels it.
const STEP_BYTES: u64 = 1 << 20;
const PACE: Duration = Duration::from_millis(50);
/// Between lowering the limit and the process's needing more, at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there can't be such groups here; `None` if there can.
pub(super) fn hindrance() -> Option<String> {
    let trial = Group::create("trial").and_then(|group| group.set_limit(1 << 30));
    trial.err().map(|error| format!("control groups of version 1 for memory can't be made in {MEMORY_GROUPS}: {error}"))
}

/// A control group for each process; they must go after the processes.
#[derive(Debug)]
pub struct MemoryGroups {
    groups: BTreeMap<String, Group>,
}

impl MemoryGroups {
    /// For processes of these names.
    pub fn create(names: &[String]) -> io::Result<Self> {
        let group = |name: &String| Ok((name.clone(), Group::create(name)?));
        Ok(Self { groups: names.iter().map(group).collect::<io::Result<_>>()? })
    }

    /// Has what is started on this host be in its group from the beginning.
    pub fn contain(&self, name: &str, host: &mut Host) {
        let Some(group) = self.groups.get(name) else { return };
        let enter = format!("echo $$ > {} && exec \"$@\"", group.0.file("cgroup.procs").display());
        let shell = ["sh".to_owned(), "-c".to_owned(), enter, "sh".to_owned()];
        host.launcher.splice(0..0, shell);
    }
}

/// What a process uses, and may use.
#[derive(Debug)]
struct Group(ControlGroup);

impl Group {
    fn create(name: &str) -> io::Result<Self> {
        Ok(Self(ControlGroup::create(MEMORY_GROUPS, name)?))
    }

    /// Refused while the group uses more and nothing can be reclaimed.
    fn set_limit(&self, bytes: u64) -> io::Result<()> {
        self.0.write("memory.limit_in_bytes", &bytes.to_string())
    }

    fn lift_limit(&self) -> io::Result<()> {
        self.0.write("memory.limit_in_bytes", "-1")
    }

    /// Bytes that it may use.
    fn limit(&self) -> u64 {
        self.0.figure("memory.limit_in_bytes", None)
    }

    /// Bytes that it uses.
    fn usage(&self) -> u64 {
        self.0.figure("memory.usage_in_bytes", None)
    }

    /// How often it needed more than its limit, so that something had to be reclaimed.
    fn hits(&self) -> u64 {
        self.0.figure("memory.failcnt", None)
    }

    /// How many of its processes were killed for want of memory.
    fn killed(&self) -> u64 {
        self.0.figure("memory.oom_control", Some("oom_kill"))
    }
}

pub(super) fn leader(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let (leader, _) = scene.leader()?;
    squeeze(scene, draw, leader)
}

pub(super) fn taskmanager(scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
    let name = chosen(&scene.cluster.taskmanager_names(), draw);
    squeeze(scene, draw, name)
}

fn squeeze(scene: &mut Scene, draw: Draw, name: String) -> io::Result<Bite> {
    let epoch = scene.view.get().leader().map(|(_, epoch)| epoch);
    let leads = scene.view.get().leader().is_some_and(|(leader, _)| leader == name);
    let groups =
        scene.memory.as_ref().ok_or_else(|| io::Error::other("this cluster's processes are in no groups of their own"))?;
    let group = groups.groups.get(&name).ok_or_else(|| io::Error::other(format!("{name} is in no group of its own")))?;
    let (hits, killed, used) = (group.hits(), group.killed(), group.usage());
    let felt = |group: &Group| group.hits() > hits || group.killed() > killed;
    let (started, mut limit) = (Instant::now(), used);
    while !felt(group) && started.elapsed() < PATIENCE && !scene.stopped() {
        // Refused: nothing more can be reclaimed. Then the limit is what is used now, to the page, so that the next one that is needed hurts.
        match group.set_limit(limit) {
            Ok(()) => limit = limit.saturating_sub(STEP_BYTES),
            Err(_) => drop(group.set_limit(group.usage())),
        }
        scene.wait(PACE);
    }
    scene.wait(draw.lasts);
    let (hits, killed, limit) = (group.hits() - hits, group.killed() - killed, group.limit());
    group.lift_limit()?;
    let mib = |bytes: u64| bytes >> 20;
    let squeezed = format!("it used {} MiB and was given {}", mib(used), mib(limit));
    let footprint = if killed > 0 {
        let ended = scene.await_end(&name)?.map_or_else(|| "it did not end".to_owned(), |status| status.to_string());
        scene.restart(&name)?;
        let next = match epoch.filter(|_| leads) {
            Some(epoch) => followed(scene, epoch),
            None => Ok("it was started again".to_owned()),
        };
        next.map(|next| format!("{squeezed}: killed for want of memory ({ended}), having hit the limit {hits} times; {next}"))
    } else if hits > 0 {
        Ok(format!("{squeezed}: it lived, and hit the limit {hits} times"))
    } else {
        Err(format!("{squeezed}, and never needed more"))
    };
    Ok(Bite::new(name, footprint))
}
