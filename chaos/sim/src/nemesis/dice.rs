//! Random choice of faults.

use super::fault::{Fault, Link, Others, Who};
use super::{Nemesis, hosts};
use crate::cluster::job_managers;
use crate::world::disk::DiskFault;
use crate::world::store::StoreFault;

const HOUR_MS: u64 = 3_600_000;

impl Nemesis {
    /// Injects a random fault. About one time in thirty it also kills all JobManagers.
    pub(super) fn strike_at_random(&mut self, sim: &mut turmoil::Sim<'_>, now: u64) {
        let until = now + self.random.between(100, 6_000);
        let Some(victim) = self.victim() else { return };
        if self.random.chance(60) {
            return self.inject(sim, Fault::Blink(Who::Leader), until);
        }
        if let Some(fault) = self.choose(&victim) {
            self.inject(sim, fault, until);
        }
        if self.random.chance(30) {
            self.inject(sim, Fault::KillJobManagers, until);
        }
    }

    /// Returns a host that is up. If the leader is up, it is chosen at least one time in two.
    fn victim(&mut self) -> Option<String> {
        let leader = self.cluster.observations.last_writer();
        if let Some(leader) = leader.filter(|leader| !self.down.contains_key(leader))
            && self.random.chance(500)
        {
            return Some(leader);
        }
        let up: Vec<_> = hosts().into_iter().filter(|host| !self.down.contains_key(host)).collect();
        (!up.is_empty()).then(|| self.random.pick(&up).clone())
    }

    fn choose(&mut self, victim: &str) -> Option<Fault> {
        let who = numbered(victim);
        let cuts = [Link::Cut, Link::CutThere, Link::CutBack];
        Some(match self.random.between(0, 18) {
            0..=2 => Fault::Kill(who),
            3 => Fault::PowerLoss(who),
            // The power is lost in the middle of an operation of the disk.
            4 => Fault::PowerLossAfter(who, self.random.between(0, 60)),
            5 => Fault::Isolate(who, Others::All, *self.random.pick(&[Link::Cut, cuts[0], cuts[1], cuts[2]])),
            6 => {
                let other = self.random.pick(&hosts()).clone();
                return (other != victim).then(|| Fault::Cut(who, numbered(&other), *self.random.pick(&cuts)));
            }
            7..=8 => Fault::Isolate(who, Others::All, Link::Held),
            9 => Fault::Store(*self.random.pick(&[
                StoreFault { fails: 300, unknown: 0, down: false },
                StoreFault { fails: 50, unknown: 300, down: false },
                StoreFault { fails: 0, unknown: 0, down: true },
            ])),
            10 => Fault::Disk(who, *self.random.pick(&[DiskFault::FailNextSync, DiskFault::Full])),
            11 => Fault::SlowDisk(who, self.random.between(5, 300)),
            12 => Fault::SlowNetwork(self.random.between(20, 150)),
            13 => Fault::ClockJump(who, self.random.between(0, 60 * HOUR_MS).cast_signed() - 30 * HOUR_MS.cast_signed()),
            14..=15 => return self.spoil_disk(who),
            16 => Fault::Spoil(who),
            _ => {
                let after = self.random.chance(500);
                Fault::DieAtWrite { count: self.random.between(0, 30), after }
            }
        })
    }

    /// Empties or damages the disk of a JobManager, at most once in a run: raft survives one lost disk.
    fn spoil_disk(&mut self, who: Who) -> Option<Fault> {
        if self.disk_spoilt || !matches!(who, Who::JobManager(_)) {
            return None;
        }
        Some(*self.random.pick(&[Fault::EmptyDisk(who), Fault::FlipBit(who), Fault::LoseLogTail(who)]))
    }
}

fn numbered(host: &str) -> Who {
    let among_job_managers = job_managers().iter().position(|known| known == host);
    let number = hosts().iter().position(|known| known == host).unwrap_or_default();
    among_job_managers.map_or_else(|| Who::TaskManager(number - job_managers().len()), Who::JobManager)
}
