//! The faults that the nemesis can inject.

use crate::world::disk::DiskFault;
use crate::world::store::StoreFault;

/// A host, as scenarios name it. Numbers count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The JobManager that leads.
    Leader,
    /// The JobManager that led when the first fault of the run was injected.
    FirstLeader,
    /// The n-th of the JobManagers that do not lead.
    Standby(usize),
    JobManager(usize),
    TaskManager(usize),
}

/// The hosts from which a host is isolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Every JobManager and TaskManager.
    All,
    JobManagers,
    TaskManagers,
}

/// The state of a link between two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The link works.
    Whole,
    /// Messages in both directions are lost.
    Cut,
    /// Messages from the first host to the second are lost.
    CutThere,
    /// Messages from the second host to the first are lost.
    CutBack,
    /// Messages in both directions wait until the link works again.
    Held,
}

/// A fault that the nemesis injects. If it lasts, the nemesis heals it after a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Kills a process, which is started again later.
    Kill(Who),
    /// Kills all JobManagers at once.
    KillJobManagers,
    /// A machine loses its power, and perhaps unsynced changes of its disk.
    PowerLoss(Who),
    /// The machines of all JobManagers lose their power at once.
    PowerLossOfJobManagers,
    /// A machine loses its power in the middle of the n-th change of its disk from now on, counted from 0.
    PowerLossAfter(Who, u64),
    /// Changes a host's links to others.
    Isolate(Who, Others, Link),
    /// Changes the link between two hosts.
    Cut(Who, Who, Link),
    /// All messages take up to this many milliseconds.
    SlowNetwork(u64),
    Store(StoreFault),
    Disk(Who, DiskFault),
    /// Every request to the writer of the log takes this many milliseconds longer.
    SlowDisk(Who, u64),
    /// A disk becomes slow, so that other disks are ahead of it. Soon after that, its host is down for up to 60 ms.
    Blink(Who),
    /// Bits flip in what a host receives, except over HTTP.
    Spoil(Who),
    /// A host's wall clock jumps by this many milliseconds.
    ClockJump(Who, i64),
    /// A JobManager restarts with an empty disk, like a new machine.
    EmptyDisk(Who),
    /// A JobManager restarts with a damaged disk. When it reports the damage, the operator empties the disk.
    FlipBit(Who),
    /// A JobManager restarts without the end of its raft log. When it reports the loss, the operator empties the disk.
    LoseLogTail(Who),
    /// A process with a copy of a JobManager's raft directory starts on another machine.
    Copy(Who),
    /// A process with the name of a JobManager and an empty raft directory starts on another machine.
    Twin(Who),
    /// The disks of all JobManagers are backed up.
    BackUp,
    /// All JobManagers restart with the disks of the last backup. At the end of the fault they get their newest disks again.
    PutBack,
    /// Kills the process that makes the n-th fenced write from now on.
    DieAtWrite {
        /// Number of the write, from 0.
        count: u64,
        /// Whether the write takes effect first.
        after: bool,
    },
}

impl Fault {
    /// Returns the name under which a footprint counts the fault.
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
            Self::LoseLogTail(_) => "end of a log lost",
            Self::Copy(_) => "copy started",
            Self::Twin(_) => "twin started",
            Self::BackUp => "backup",
            Self::PutBack => "backup put back",
            Self::DieAtWrite { .. } => "death at a write armed",
        }
    }
}
