//! A separate control group (version 1) for each process from its start, so that its memory can be limited.

use std::collections::BTreeMap;
use std::io;

use weir_local::Host;

use super::control_group::ControlGroup;
use super::leftovers::MEMORY_GROUPS;

/// A control group for each process. It must be dropped after the processes have ended.
#[derive(Debug)]
pub struct MemoryGroups {
    groups: BTreeMap<String, Group>,
}

impl MemoryGroups {
    /// Why such groups can't be made here; `None` if they can.
    pub(crate) fn hindrance() -> Option<String> {
        let trial = Group::create("trial").and_then(|group| group.set_limit(1 << 30));
        trial.err().map(|error| format!("control groups of version 1 for memory can't be made in {MEMORY_GROUPS}: {error}"))
    }

    /// Creates a group for each process of these names.
    pub fn create(names: &[String]) -> io::Result<Self> {
        let group = |name: &String| Ok((name.clone(), Group::create(name)?));
        Ok(Self { groups: names.iter().map(group).collect::<io::Result<_>>()? })
    }

    /// The group of the process of this name.
    pub(crate) fn of(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Changes the host so that its process starts in its group.
    pub fn contain(&self, name: &str, host: &mut Host) {
        let Some(group) = self.groups.get(name) else { return };
        let enter = format!("echo $$ > {} && exec \"$@\"", group.0.file("cgroup.procs").display());
        let shell = ["sh".to_owned(), "-c".to_owned(), enter, "sh".to_owned()];
        host.launcher.splice(0..0, shell);
    }
}

/// The memory usage and the memory limit of a process.
#[derive(Debug)]
pub(crate) struct Group(ControlGroup);

impl Group {
    fn create(name: &str) -> io::Result<Self> {
        Ok(Self(ControlGroup::create(MEMORY_GROUPS, name)?))
    }

    /// Sets the limit. The kernel refuses this if the group uses more and nothing can be reclaimed.
    pub(crate) fn set_limit(&self, bytes: u64) -> io::Result<()> {
        self.0.write("memory.limit_in_bytes", &bytes.to_string())
    }

    pub(crate) fn lift_limit(&self) -> io::Result<()> {
        self.0.write("memory.limit_in_bytes", "-1")
    }

    /// The limit, in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.0.figure("memory.limit_in_bytes", None)
    }

    /// The usage, in bytes.
    pub(crate) fn usage(&self) -> u64 {
        self.0.figure("memory.usage_in_bytes", None)
    }

    /// How often the group needed more than its limit, so that memory had to be reclaimed.
    pub(crate) fn hits(&self) -> u64 {
        self.0.figure("memory.failcnt", None)
    }

    /// How many of the group's processes the kernel killed because memory ran out.
    pub(crate) fn killed(&self) -> u64 {
        self.0.figure("memory.oom_control", Some("oom_kill"))
    }
}
