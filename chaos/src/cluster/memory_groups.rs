//! A control group (version 1) of its own for each process from its start, so that its memory can be limited.

use std::collections::BTreeMap;
use std::io;

use weir_local::Host;

use super::control_group::ControlGroup;
use super::leftovers::MEMORY_GROUPS;

/// A control group for each process; they must go after the processes.
#[derive(Debug)]
pub struct MemoryGroups {
    groups: BTreeMap<String, Group>,
}

impl MemoryGroups {
    /// Why there can't be such groups here; `None` if there can.
    pub(crate) fn hindrance() -> Option<String> {
        let trial = Group::create("trial").and_then(|group| group.set_limit(1 << 30));
        trial.err().map(|error| format!("control groups of version 1 for memory can't be made in {MEMORY_GROUPS}: {error}"))
    }

    /// For processes of these names.
    pub fn create(names: &[String]) -> io::Result<Self> {
        let group = |name: &String| Ok((name.clone(), Group::create(name)?));
        Ok(Self { groups: names.iter().map(group).collect::<io::Result<_>>()? })
    }

    /// The group of the process of this name.
    pub(crate) fn of(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
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
pub(crate) struct Group(ControlGroup);

impl Group {
    fn create(name: &str) -> io::Result<Self> {
        Ok(Self(ControlGroup::create(MEMORY_GROUPS, name)?))
    }

    /// Refused while the group uses more and nothing can be reclaimed.
    pub(crate) fn set_limit(&self, bytes: u64) -> io::Result<()> {
        self.0.write("memory.limit_in_bytes", &bytes.to_string())
    }

    pub(crate) fn lift_limit(&self) -> io::Result<()> {
        self.0.write("memory.limit_in_bytes", "-1")
    }

    /// Bytes that it may use.
    pub(crate) fn limit(&self) -> u64 {
        self.0.figure("memory.limit_in_bytes", None)
    }

    /// Bytes that it uses.
    pub(crate) fn usage(&self) -> u64 {
        self.0.figure("memory.usage_in_bytes", None)
    }

    /// How often it needed more than its limit, so that something had to be reclaimed.
    pub(crate) fn hits(&self) -> u64 {
        self.0.figure("memory.failcnt", None)
    }

    /// How many of its processes were killed for want of memory.
    pub(crate) fn killed(&self) -> u64 {
        self.0.figure("memory.oom_control", Some("oom_kill"))
    }
}
