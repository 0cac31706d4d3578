//! What strikes when chance decides.

use super::deed::{Deed, Link, Others, Who};
use super::{Nemesis, hosts};
use crate::sim::cluster::job_managers;
use crate::sim::disk::DiskFault;
use crate::sim::store::StoreFault;

const HOUR_MS: u64 = 3_600_000;

impl Nemesis {
    /// Something at random, and one time in some thirty the end of all JobManagers' processes as well.
    pub(super) fn strike_at_random(&mut self, sim: &mut turmoil::Sim<'_>, now: u64) {
        let until = now + self.random.between(100, 6_000);
        let Some(victim) = self.victim() else { return };
        if self.random.chance(60) {
            return self.perform(sim, Deed::Blink(Who::Leader), until);
        }
        if let Some(deed) = self.choose(&victim) {
            self.perform(sim, deed, until);
        }
        if self.random.chance(30) {
            self.perform(sim, Deed::KillJobManagers, until);
        }
    }

    /// A host that is up: the leader one time in two.
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

    fn choose(&mut self, victim: &str) -> Option<Deed> {
        let who = numbered(victim);
        let cuts = [Link::Cut, Link::CutThere, Link::CutBack];
        Some(match self.random.between(0, 18) {
            0..=2 => Deed::Kill(who),
            3 => Deed::PowerLoss(who),
            // In the middle of something that the disk is asked to do.
            4 => Deed::PowerLossAfter(who, self.random.between(0, 60)),
            5 => Deed::Isolate(who, Others::All, *self.random.pick(&[Link::Cut, cuts[0], cuts[1], cuts[2]])),
            6 => {
                let other = self.random.pick(&hosts()).clone();
                return (other != victim).then(|| Deed::Cut(who, numbered(&other), *self.random.pick(&cuts)));
            }
            7..=8 => Deed::Isolate(who, Others::All, Link::Held),
            9 => Deed::Store(*self.random.pick(&[
                StoreFault { fails: 300, unknown: 0, down: false },
                StoreFault { fails: 50, unknown: 300, down: false },
                StoreFault { fails: 0, unknown: 0, down: true },
            ])),
            10 => Deed::Disk(who, *self.random.pick(&[DiskFault::FailNextSync, DiskFault::Full])),
            11 => Deed::SlowDisk(who, self.random.between(5, 300)),
            12 => Deed::SlowNetwork(self.random.between(20, 150)),
            13 => Deed::ClockJump(who, self.random.between(0, 2 * HOUR_MS).cast_signed() - HOUR_MS.cast_signed()),
            14..=15 => return self.spoil_disk(who),
            16 => Deed::Spoil(who),
            _ => {
                let after = self.random.chance(500);
                Deed::DieAtWrite { count: self.random.between(0, 30), after }
            }
        })
    }

    /// One disk of a JobManager is emptied or damaged in a run: raft survives one.
    fn spoil_disk(&mut self, who: Who) -> Option<Deed> {
        if self.disk_spoilt || !matches!(who, Who::JobManager(_)) {
            return None;
        }
        Some(if self.random.chance(500) { Deed::EmptyDisk(who) } else { Deed::FlipBit(who) })
    }
}

fn numbered(host: &str) -> Who {
    let among_job_managers = job_managers().iter().position(|known| known == host);
    let number = hosts().iter().position(|known| known == host).unwrap_or_default();
    among_job_managers.map_or_else(|| Who::TaskManager(number - job_managers().len()), Who::JobManager)
}
