//! What can be broken.

use crate::world::disk::DiskFault;
use crate::world::store::StoreFault;

/// A host, as scenarios speak of it. Numbers are from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The JobManager that leads.
    Leader,
    /// The one that led when the first fault of this run was done.
    FirstLeader,
    /// The so-manieth of those that don't lead.
    Standby(usize),
    /// The so-manieth JobManager.
    JobManager(usize),
    /// The so-manieth TaskManager.
    TaskManager(usize),
}

/// From whom a host is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Every JobManager and TaskManager.
    All,
    JobManagers,
    TaskManagers,
}

/// How a link between two hosts is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// As it should be.
    Whole,
    /// What is sent is lost, both ways.
    Cut,
    /// What the first sends is lost.
    CutThere,
    /// What the second sends is lost.
    CutBack,
    /// What is sent waits.
    Held,
}

/// Something that the nemesis does. It is mended after a time, where there is something to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A process is killed, and started again.
    Kill(Who),
    /// All JobManagers are killed.
    KillJobManagers,
    /// A machine loses its power, and what its disk had not synced.
    PowerLoss(Who),
    /// All JobManagers' machines do, at once.
    PowerLossOfJobManagers,
    /// A machine will lose its power in the middle of the so-manieth change of its disk from now on.
    PowerLossAfter(Who, u64),
    /// A host's links to others.
    Isolate(Who, Others, Link),
    /// The link between two hosts.
    Cut(Who, Who, Link),
    /// All messages take up to so many milliseconds.
    SlowNetwork(u64),
    /// The object store.
    Store(StoreFault),
    Disk(Who, DiskFault),
    /// Every sync of a disk takes so many milliseconds.
    SlowDisk(Who, u64),
    /// A disk becomes slow, so that others have what it has not, and soon its host goes down for a moment.
    Blink(Who),
    /// Bits of what a host receives flip, but for HTTP.
    Spoil(Who),
    /// A wall clock jumps by so many milliseconds.
    ClockJump(Who, i64),
    /// A JobManager comes back with an empty disk, as a new machine.
    EmptyDisk(Who),
    /// A JobManager comes back with a damaged disk, which its operator empties on being told.
    FlipBit(Who),
    /// Whoever makes the so-manieth fenced write from now on dies at it.
    DieAtWrite {
        count: u64,
        /// Whether it takes effect first.
        after: bool,
    },
}

impl Fault {
    /// Its name in a footprint.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::KillJobManagers => "all JobManagers killed",
            Self::PowerLoss(_) => "power loss",
            Self::PowerLossOfJobManagers => "power loss of all JobManagers",
            Self::PowerLossAfter(..) => "power loss armed",
            Self::Isolate(_, _, Link::Held) => "stall",
            Self::Isolate(_, _, Link::CutThere | Link::CutBack) => "one-way isolation",
            Self::Isolate(..) => "isolation",
            Self::Cut(..) => "link cut",
            Self::SlowNetwork(_) => "slow network",
            Self::Store(_) => "store fault",
            Self::Disk(..) => "disk fault",
            Self::SlowDisk(..) => "slow disk",
            Self::Blink(_) => "blink planned",
            Self::Spoil(_) => "spoilt link",
            Self::ClockJump(..) => "clock jump",
            Self::EmptyDisk(_) => "disk emptied",
            Self::FlipBit(_) => "bit flipped",
            Self::DieAtWrite { .. } => "death at a write armed",
        }
    }
}
