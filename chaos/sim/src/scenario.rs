//! Named sequences of faults: failures of other systems, reproduced here.
//!
//! A scenario is played against the plan of its seed. As in every run, all invariants are judged after each simulated
//! millisecond, and the cluster must recover within a minute after the last fault. In addition, a scenario states what must have
//! happened, which proves that its faults took effect, and what must not have happened.

use crate::nemesis::fault::Fault::{
    BackUp, ClockJump, Copy, Cut, DieAtWrite, Disk, EmptyDisk, FlipBit, Isolate, Kill, KillJobManagers, LoseLogTail, PowerLoss,
    PowerLossAfter, PowerLossOfJobManagers, PutBack, SlowDisk, SlowNetwork, Spoil, Store, Twin,
};
use crate::nemesis::fault::Link::{self, CutBack, CutThere, Held};
use crate::nemesis::fault::Others::{All, JobManagers, TaskManagers};
use crate::nemesis::fault::Who::{FirstLeader, JobManager, Leader, Standby, TaskManager};
use crate::nemesis::fault::{Fault, Who};
use crate::world::disk::DiskFault::{FailNextSync, Full};
use crate::world::store::StoreFault;

/// A named sequence of faults.
#[derive(Debug, PartialEq, Eq)]
pub struct Scenario {
    pub name: &'static str,
    /// Where the failure happened: issues of Flink (FLINK-), RisingWave (RW-), Kafka, etcd and others; or what the scenario
    /// tests.
    pub from: &'static str,
    /// Seed of the plan, the network and everything else that is random.
    pub seed: u64,
    /// Simulated seconds until all faults are healed.
    pub seconds: u64,
    /// Whether events that are rare but allowed become frequent.
    pub rare: bool,
    /// Whether the job that ends by itself reads a directory into which files are moved.
    pub files: bool,
    /// The faults to inject, in the order of their time.
    pub acts: &'static [Act],
    /// Footprint entries that must reach these counts. They prove that the faults took effect.
    pub least: &'static [(&'static str, u64)],
    /// Footprint entries that must not exceed these counts.
    pub most: &'static [(&'static str, u64)],
}

/// A fault with its time and its duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act {
    /// Time of the fault, in simulated milliseconds from the start of the run.
    pub at_ms: u64,
    /// Simulated milliseconds until the fault is healed.
    pub for_ms: u64,
    pub fault: Fault,
}

const fn at(at_ms: u64, for_ms: u64, fault: Fault) -> Act {
    Act { at_ms, for_ms, fault }
}

/// The same fault `N` times, every `period_ms` milliseconds.
const fn every<const N: usize>(from_ms: u64, period_ms: u64, for_ms: u64, fault: Fault) -> [Act; N] {
    let mut acts = [at(from_ms, for_ms, fault); N];
    let mut index = 0;
    while index < N {
        acts[index].at_ms = from_ms + index as u64 * period_ms;
        index += 1;
    }
    acts
}

const fn cut_from(who: Who, others: crate::nemesis::fault::Others) -> Fault {
    Isolate(who, others, Link::Cut)
}

/// Number of tasks of the plan's jobs. If more tasks were started, some of them were restarted.
const TASKS: u64 = 16;
const HOUR_MS: i64 = 3_600_000;
const DOWN: StoreFault = StoreFault { fails: 0, unknown: 0, down: true };

/// What a process may log and how often it may try to connect in a run in which another one stays dead. A raft leader sends up to 30
/// heartbeats a second, and each is a try.
const QUIET: ((&str, u64), (&str, u64)) = (("log lines of one process", 150), ("connections of one process", 2_500));

const PLAIN: Scenario = Scenario {
    name: "",
    from: "",
    seed: 1,
    seconds: 30,
    rare: false,
    files: false,
    acts: &[],
    least: &[("rows", 100), ("checkpoints", 5)],
    most: &[],
};

/// All scenarios. `weir-sim scenarios` plays them.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a-leader-is-killed",
        from: "the most frequent failure of all",
        acts: &[at(14_000, 3_000, Kill(Leader))],
        least: &[("kill", 1), ("leader changes", 2)],
        ..PLAIN
    },
    Scenario {
        name: "a-leader-killed-every-two-seconds",
        from: "a drill that kills leaders for a minute",
        seconds: 70,
        acts: &every::<30>(6_000, 2_000, 1_000, Kill(Leader)),
        least: &[("kill", 20), ("leader changes", 15)],
        ..PLAIN
    },
    Scenario {
        name: "a-short-interruption-changes-no-leader",
        from: "FLINK-10052, FLINK-6174",
        acts: &every::<20>(10_000, 700, 60, Isolate(Leader, JobManagers, Held)),
        least: &[("stall", 20)],
        most: &[("leader changes", 1), ("tasks started", TASKS)],
        ..PLAIN
    },
    Scenario {
        name: "a-leader-cut-from-its-fellows-is-refused-by-workers",
        from: "Weir: the former leader still reaches every worker",
        acts: &[at(12_000, 8_000, cut_from(Leader, JobManagers))],
        least: &[("isolation", 1), ("leader changes", 2)],
        ..PLAIN
    },
    Scenario {
        name: "a-leader-cut-from-its-workers-only",
        from: "RW-16884: live workers are taken for lost, and register again by themselves",
        acts: &[at(12_000, 9_000, cut_from(Leader, TaskManagers))],
        least: &[("isolation", 1), ("tasks started", TASKS + 1)],
        ..PLAIN
    },
    Scenario {
        name: "a-stalled-leader-wakes-up",
        from: "RW-27092, etcd and ZooKeeper leases: a leader is paused beyond its lease in the middle of a write",
        acts: &[at(11_000, 5_000, Isolate(Leader, All, Held)), at(20_000, 5_000, Isolate(Leader, All, Held))],
        least: &[("stall", 2), ("leader changes", 3)],
        ..PLAIN
    },
    Scenario {
        name: "an-old-leader-comes-back-after-a-cancellation",
        from: "FLINK-10011: a job is recovered that was canceled under another leader",
        seconds: 40,
        acts: &[
            at(8_000, 9_000, cut_from(Leader, All)),
            at(18_000, 6_000, Kill(Leader)),
            at(26_000, 4_000, Kill(Leader)),
            at(33_000, 2_000, Kill(Leader)),
        ],
        least: &[("kill", 3), ("leader changes", 4)],
        ..PLAIN
    },
    Scenario {
        name: "a-leader-that-nobody-hears",
        from: "Pre-Vote, check-quorum: the leader hears the others, so it does not notice that they do not hear it",
        acts: &[at(12_000, 8_000, Isolate(Leader, JobManagers, CutThere))],
        least: &[("one-way isolation", 1), ("leader changes", 2)],
        ..PLAIN
    },
    Scenario {
        name: "a-leader-that-hears-nobody",
        from: "Pre-Vote, check-quorum: the others hear the leader, but it does not hear them",
        acts: &[at(12_000, 8_000, Isolate(Leader, JobManagers, CutBack))],
        least: &[("one-way isolation", 1), ("leader changes", 2)],
        ..PLAIN
    },
    Scenario {
        name: "two-standbys-see-the-leader-and-not-each-other",
        from: "etcd: a bridge partition",
        acts: &[at(12_000, 10_000, Cut(Standby(0), Standby(1), Link::Cut))],
        least: &[("link cut", 1)],
        most: &[("leader changes", 1), ("tasks started", TASKS)],
        ..PLAIN
    },
    Scenario {
        name: "a-leader-and-one-standby-lose-each-other",
        from: "etcd: a bridge partition, in which leadership must not go back and forth",
        acts: &[at(12_000, 12_000, Cut(Leader, Standby(0), Link::Cut))],
        least: &[("link cut", 1)],
        most: &[("leader changes", 3)],
        ..PLAIN
    },
    Scenario {
        name: "nobody-reaches-anybody",
        from: "IO-13221: a leader without a successor stops all its work, and starts all of it again",
        acts: &[
            at(12_000, 8_000, cut_from(JobManager(0), All)),
            at(12_001, 8_000, cut_from(JobManager(1), All)),
            at(12_002, 8_000, cut_from(JobManager(2), All)),
        ],
        least: &[("isolation", 3)],
        ..PLAIN
    },
    Scenario {
        name: "a-lagging-member-never-leads",
        from: "DB-16175, openraft#1220: the member has a short log and a high vote",
        acts: &[
            at(6_000, 9_000, cut_from(Standby(1), JobManagers)),
            at(14_900, 4_000, Kill(Leader)),
            at(22_000, 4_000, Kill(Leader)),
        ],
        least: &[("isolation", 1), ("kill", 2), ("leader changes", 3)],
        ..PLAIN
    },
    Scenario {
        name: "a-member-catches-up-by-a-snapshot",
        from: "Camunda-6269: heartbeats continue during the snapshot",
        seconds: 60,
        acts: &[at(5_000, 30_000, Kill(Standby(0))), at(38_000, 4_000, Kill(Leader)), at(48_000, 4_000, Kill(Leader))],
        least: &[("kill", 3), ("leader changes", 3)],
        ..PLAIN
    },
    Scenario {
        name: "a-rolling-restart-then-all-power-goes",
        from: "DB-6433: members must come back without an operator",
        acts: &[
            at(8_000, 1_500, Kill(JobManager(0))),
            at(12_000, 1_500, Kill(JobManager(1))),
            at(16_000, 1_500, Kill(JobManager(2))),
            at(20_000, 3_000, PowerLossOfJobManagers),
        ],
        least: &[("kill", 3), ("power loss of all JobManagers", 1), ("leader changes", 2)],
        ..PLAIN
    },
    Scenario {
        name: "power-goes-on-a-majority",
        from: "robustmq#2039, NATS 2.12: acknowledged writes were on none of the remaining disks",
        acts: &[
            at(10_000, 2_000, PowerLoss(Leader)),
            at(10_001, 2_000, PowerLoss(Standby(0))),
            at(18_000, 2_000, PowerLoss(Leader)),
            at(18_001, 2_000, PowerLoss(Standby(1))),
        ],
        least: &[("power loss", 4), ("leader changes", 2)],
        ..PLAIN
    },
    Scenario {
        name: "power-goes-in-the-middle-of-writes",
        from: "torn records: all acknowledged records come before them",
        seconds: 40,
        acts: &every::<8>(6_000, 3_500, 1_500, PowerLossAfter(Leader, 3)),
        least: &[("died of power", 5), ("leader changes", 4)],
        ..PLAIN
    },
    Scenario {
        name: "all-jobmanagers-die-at-once-again-and-again",
        from: "Weir: members start in any order, and no two share an epoch",
        seconds: 60,
        acts: &every::<10>(6_000, 5_000, 900, KillJobManagers),
        least: &[("all JobManagers killed", 10), ("leader changes", 8)],
        ..PLAIN
    },
    Scenario {
        name: "no-leader-for-twenty-seconds",
        from: "SAMZA-2611: workers keep their tasks and keep trying to connect",
        seconds: 40,
        acts: &[at(12_000, 20_000, KillJobManagers)],
        least: &[("all JobManagers killed", 1), ("leader changes", 2)],
        ..PLAIN
    },
    Scenario {
        name: "a-successor-dies-as-it-takes-over",
        from: "Weir: the second fault comes within half a second of the first",
        seconds: 40,
        acts: &[
            at(10_000, 3_000, Kill(Leader)),
            at(10_001, 0, DieAtWrite { count: 0, after: false }),
            at(18_000, 3_000, Kill(Leader)),
            at(18_001, 0, DieAtWrite { count: 0, after: true }),
            at(26_000, 3_000, Kill(Leader)),
            at(26_001, 0, DieAtWrite { count: 1, after: true }),
        ],
        least: &[("kill", 3), ("died by itself", 3), ("leader changes", 4)],
        ..PLAIN
    },
    Scenario {
        name: "two-failovers-within-one-checkpoint",
        from: "Weir: the second leader dies at a fenced write, 0.7 s after the first",
        acts: &[at(12_000, 4_000, Kill(Leader)), at(12_700, 4_000, DieAtWrite { count: 0, after: true })],
        least: &[("kill", 1), ("died by itself", 1), ("leader changes", 2)],
        ..PLAIN
    },
    Scenario {
        name: "submissions-meet-dying-leaders",
        from: "FLINK-3396, FLINK-11846: a submission is acknowledged or absent, and one token creates one job",
        acts: &[
            at(400, 0, DieAtWrite { count: 3, after: true }),
            at(2_500, 0, DieAtWrite { count: 0, after: true }),
            at(4_500, 0, DieAtWrite { count: 1, after: false }),
            at(6_500, 0, DieAtWrite { count: 0, after: false }),
            at(8_500, 0, DieAtWrite { count: 2, after: true }),
        ],
        least: &[("died by itself", 4), ("submissions", 4)],
        ..PLAIN
    },
    Scenario {
        name: "a-commit-whose-answer-is-lost",
        from: "FLINK-22494, FLINK-28265: the files of the checkpoint were deleted as if it had failed",
        seed: 5,
        seconds: 60,
        rare: true,
        acts: &[at(20_000, 3_000, Kill(Leader)), at(35_000, 3_000, Kill(Leader)), at(50_000, 3_000, Kill(Leader))],
        least: &[("rare commit-unanswered", 5), ("kill", 3)],
        ..PLAIN
    },
    Scenario {
        name: "the-newest-checkpoint-can-not-be-read-by-a-new-leader",
        from: "FLINK-22502, FLINK-7783: an older checkpoint was restored, and the newest was deleted",
        acts: &[
            at(12_000, 6_000, Store(DOWN)),
            at(12_100, 2_000, Kill(Leader)),
            at(12_200, 2_000, Kill(TaskManager(0))),
            at(12_300, 2_000, Kill(TaskManager(1))),
        ],
        least: &[("store fault", 1), ("store refused", 1), ("kill", 3), ("leader changes", 2)],
        ..PLAIN
    },
    Scenario {
        name: "a-store-that-fails-one-time-in-three",
        from: "FLINK-30461, FLINK-24611: failed checkpoints leave no files behind and delete no files of others",
        seconds: 40,
        acts: &[
            at(3_000, 37_000, Store(StoreFault { fails: 200, unknown: 150, down: false })),
            at(15_000, 2_000, Kill(TaskManager(0))),
            at(22_000, 2_000, Kill(Leader)),
            at(29_000, 2_000, Kill(TaskManager(2))),
        ],
        least: &[("store refused", 30), ("store unknown", 10), ("kill", 3)],
        ..PLAIN
    },
    Scenario {
        name: "no-store-for-fifteen-seconds-disturbs-no-task",
        from: "S3 outages: only checkpoints fail",
        seconds: 40,
        acts: &[at(12_000, 15_000, Store(DOWN))],
        least: &[("store refused", 5)],
        most: &[("tasks started", TASKS), ("leader changes", 1)],
        ..PLAIN
    },
    Scenario {
        name: "workers-die-one-after-the-other",
        from: "FLINK-7268, FLINK-24611: state is restored while older state is removed",
        seconds: 40,
        acts: &[
            at(8_000, 800, Kill(TaskManager(0))),
            at(12_000, 800, Kill(TaskManager(1))),
            at(16_000, 800, Kill(TaskManager(2))),
            at(20_000, 800, Kill(TaskManager(0))),
            at(24_000, 800, Kill(TaskManager(1))),
            at(28_000, 800, Kill(TaskManager(2))),
        ],
        least: &[("kill", 6), ("tasks started", TASKS + 4)],
        ..PLAIN
    },
    Scenario {
        name: "a-worker-comes-back-at-its-address-during-a-failover",
        from: "RW-27092: two incarnations of one address",
        acts: &[
            at(12_000, 2_000, Kill(Leader)),
            at(12_020, 150, Kill(TaskManager(0))),
            at(12_040, 300, Kill(TaskManager(1))),
            at(20_000, 2_000, Kill(Leader)),
            at(20_001, 60, Kill(TaskManager(2))),
        ],
        least: &[("kill", 5), ("leader changes", 3)],
        ..PLAIN
    },
    Scenario {
        name: "links-to-a-worker-come-and-go",
        from: "FLINK-9932, FLINK-9884, FLINK-14316: offers, answers and heartbeats are lost, but no slot is",
        seconds: 40,
        acts: &every::<25>(8_000, 1_000, 350, Isolate(TaskManager(1), JobManagers, Link::Cut)),
        least: &[("isolation", 20)],
        ..PLAIN
    },
    Scenario {
        name: "leaders-change-while-links-to-workers-come-and-go",
        from: "FLINK-19557, FLINK-8393: workers find the present leader",
        seconds: 40,
        acts: &[
            at(10_000, 3_000, Isolate(TaskManager(0), JobManagers, CutThere)),
            at(10_500, 3_000, Kill(Leader)),
            at(16_000, 3_000, Isolate(TaskManager(1), JobManagers, CutBack)),
            at(16_500, 3_000, Kill(Leader)),
            at(22_000, 3_000, Isolate(TaskManager(2), JobManagers, Held)),
            at(22_500, 3_000, Kill(Leader)),
        ],
        least: &[("kill", 3), ("one-way isolation", 2), ("leader changes", 4)],
        ..PLAIN
    },
    Scenario {
        name: "workers-can-not-exchange-data",
        from: "RW-26741: workers reach the leader, but not each other",
        acts: &[
            at(12_000, 7_000, Cut(TaskManager(0), TaskManager(1), Link::Cut)),
            at(12_001, 7_000, Cut(TaskManager(0), TaskManager(2), CutThere)),
            at(12_002, 7_000, Cut(TaskManager(1), TaskManager(2), Held)),
        ],
        least: &[("link cut", 3)],
        ..PLAIN
    },
    Scenario {
        name: "everything-flaps",
        from: "Weir: links to the leader break and heal several times a second",
        seconds: 40,
        acts: &every::<60>(8_000, 300, 120, Isolate(Leader, All, Link::Cut)),
        least: &[("isolation", 50)],
        ..PLAIN
    },
    Scenario {
        name: "a-slow-network",
        from: "Weir: late messages are not taken for lost",
        acts: &[at(8_000, 20_000, SlowNetwork(250)), at(14_000, 3_000, Kill(Leader))],
        least: &[("slow network", 1), ("kill", 1)],
        ..PLAIN
    },
    Scenario {
        name: "a-leaders-disk-takes-seconds",
        from: "Weir: the leader hands over or goes on, and does not stall the cluster",
        acts: &[at(12_000, 12_000, SlowDisk(Leader, 2_000))],
        least: &[("slow disk", 1)],
        ..PLAIN
    },
    Scenario {
        name: "a-sync-fails-once",
        from: "fsyncgate: the first error ends the process, because a second sync would succeed without having written",
        acts: &[at(12_000, 500, Disk(Leader, FailNextSync)), at(20_000, 500, Disk(Leader, FailNextSync))],
        least: &[("disk fault", 2), ("died by itself", 2), ("leader changes", 3)],
        ..PLAIN
    },
    Scenario {
        name: "a-leaders-disk-is-full",
        from: "Weir: a leader that can not write ends",
        acts: &[at(12_000, 6_000, Disk(Leader, Full))],
        least: &[("disk refused", 1), ("died by itself", 1), ("leader changes", 2)],
        ..PLAIN
    },
    Scenario {
        name: "a-member-comes-back-with-nothing",
        from: "TigerBeetle 0.16: a machine is replaced, and its replacement leads",
        acts: &[at(8_000, 2_000, EmptyDisk(Standby(0))), at(15_000, 3_000, Kill(Leader)), at(22_000, 3_000, Kill(Leader))],
        least: &[("disk emptied", 1), ("kill", 2), ("leader changes", 3)],
        ..PLAIN
    },
    Scenario {
        name: "a-leader-comes-back-with-nothing",
        from: "TigerBeetle 0.16: the machine of a leader is replaced",
        acts: &[at(12_000, 2_000, EmptyDisk(Leader)), at(20_000, 3_000, Kill(Leader))],
        least: &[("disk emptied", 1), ("kill", 1), ("leader changes", 3)],
        ..PLAIN
    },
    Scenario {
        name: "a-bit-flips-on-a-members-disk",
        from: "NATS 2.12: one flipped bit on a minority lost half of the messages",
        seed: 2,
        acts: &[at(10_000, 2_000, FlipBit(Standby(0))), at(18_000, 3_000, Kill(Leader))],
        least: &[("bit flipped", 1), ("damaged disks found", 1), ("kill", 1), ("leader changes", 2)],
        ..PLAIN
    },
    Scenario {
        name: "a-member-comes-back-without-the-end-of-its-log",
        from: "Weir: a truncated segment made a member forget what it had acknowledged",
        acts: &[at(10_000, 2_000, LoseLogTail(Standby(0))), at(18_000, 3_000, Kill(Leader))],
        least: &[("end of a log lost", 1), ("damaged disks found", 1), ("kill", 1), ("leader changes", 2)],
        ..PLAIN
    },
    Scenario {
        name: "a-copy-of-a-member-runs-elsewhere",
        from: "Weir: with a copy of its directory, a member voted twice and two leaders had one epoch",
        // Only the copy and one member are left, so the copy leads if the member votes for it.
        acts: &[
            at(12_000, 18_000, Copy(Standby(0))),
            at(12_000, 6_000, cut_from(Standby(0), JobManagers)),
            at(12_000, 6_000, Kill(Leader)),
        ],
        least: &[("copy started", 1), ("kill", 1), ("isolation", 1), ("leader changes", 2)],
        ..PLAIN
    },
    Scenario {
        name: "a-second-process-has-the-name-of-a-member",
        from: "Weir: a process with an empty directory took the place of a running member",
        acts: &[at(8_000, 20_000, Twin(Standby(0))), at(18_000, 3_000, Kill(Leader))],
        least: &[("twin started", 1), ("kill", 1), ("leader changes", 2)],
        ..PLAIN
    },
    Scenario {
        name: "all-disks-are-put-back-from-a-backup",
        from: "Weir: a restored group granted epochs that had been granted before, and ran ended jobs again",
        acts: &[at(8_000, 0, BackUp), at(10_000, 2_000, Kill(Leader)), at(16_000, 6_000, PutBack)],
        least: &[("backup put back", 1), ("kill", 1), ("stores refused", 1)],
        ..PLAIN
    },
    Scenario {
        name: "clocks-are-days-off",
        from: "Weir: a leader whose clock was a day ahead forgot results, and ended jobs ran again",
        acts: &[
            at(5_000, 0, ClockJump(JobManager(0), 50 * HOUR_MS)),
            at(5_000, 0, ClockJump(JobManager(1), -50 * HOUR_MS)),
            at(12_000, 2_000, Kill(Leader)),
            at(18_000, 2_000, Kill(Leader)),
            at(24_000, 2_000, Kill(Leader)),
        ],
        least: &[("clock jump", 2), ("kill", 3), ("leader changes", 3)],
        ..PLAIN
    },
    Scenario {
        name: "bits-flip-between-machines",
        from: "Weir: processes detect the damage that TCP's checksum misses",
        seconds: 40,
        acts: &[
            at(8_000, 8_000, Spoil(Leader)),
            at(12_000, 8_000, Spoil(TaskManager(0))),
            at(18_000, 8_000, Spoil(Standby(0))),
            at(28_000, 8_000, Spoil(Leader)),
        ],
        least: &[("spoilt link", 4), ("bits flipped on links", 50)],
        ..PLAIN
    },
    Scenario {
        name: "clocks-jump-by-hours",
        from: "Weir: no decision depends on wall clocks",
        acts: &[
            at(8_000, 0, ClockJump(Leader, HOUR_MS)),
            at(11_000, 0, ClockJump(TaskManager(0), -HOUR_MS)),
            at(14_000, 0, ClockJump(Leader, -2 * HOUR_MS)),
            at(17_000, 0, ClockJump(TaskManager(1), HOUR_MS)),
        ],
        least: &[("clock jump", 4)],
        most: &[("leader changes", 1), ("tasks started", TASKS)],
        ..PLAIN
    },
    Scenario {
        name: "a-member-stays-dead-for-a-minute",
        from: "Weir: with one JobManager dead, the leader logged 11,000 lines a second and used half a core",
        seconds: 75,
        acts: &[at(8_000, 60_000, Kill(Standby(0)))],
        least: &[("kill", 1)],
        most: &[("leader changes", 1), ("tasks started", TASKS), QUIET.0, QUIET.1],
        ..PLAIN
    },
    Scenario {
        name: "a-worker-stays-dead-for-a-minute",
        from: "Weir: a process must pause before it calls a dead one again",
        seconds: 75,
        acts: &[at(8_000, 60_000, Kill(TaskManager(0)))],
        least: &[("kill", 1), ("tasks started", TASKS + 1)],
        most: &[("leader changes", 1), QUIET.0, QUIET.1],
        ..PLAIN
    },
    Scenario {
        name: "files-arrive-while-a-job-starts",
        from: "Weir: each subtask listed the directory for itself, and rows were read twice or never",
        files: true,
        // The job is submitted at 6,360 ms and makes a checkpoint every 1,370 ms.
        acts: &[
            at(6_600, 150, Kill(TaskManager(0))),
            at(7_100, 150, Kill(TaskManager(1))),
            at(7_600, 150, Kill(TaskManager(2))),
            at(7_800, 2_000, Kill(Leader)),
        ],
        least: &[("kill", 4), ("listings", 2), ("lists taken", 6), ("leader changes", 2)],
        ..PLAIN
    },
    Scenario {
        name: "the-first-leader-comes-back-to-lead-again",
        from: "FLINK-11719, FLINK-22597, FLINK-40114: leadership lost and regained by one process",
        seconds: 45,
        acts: &[
            at(9_000, 5_000, Isolate(Leader, JobManagers, Held)),
            at(17_000, 5_000, Isolate(Leader, JobManagers, Held)),
            at(25_000, 5_000, Isolate(Leader, JobManagers, Held)),
            at(33_000, 5_000, Isolate(FirstLeader, JobManagers, Held)),
        ],
        least: &[("stall", 4), ("leader changes", 4)],
        ..PLAIN
    },
    Scenario {
        name: "savepoints-meet-failovers",
        from: "FLINK-10354, FLINK-6328: the output that a savepoint committed is not committed again",
        seed: 3,
        seconds: 40,
        acts: &every::<6>(8_000, 5_000, 1_500, Kill(Leader)),
        least: &[("kill", 5), ("savepoints", 1), ("leader changes", 5)],
        ..PLAIN
    },
];

/// Returns the scenario with this name.
pub fn scenario(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}
