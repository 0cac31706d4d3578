//! Breaks things at random, and mends them again.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::{Cluster, job_managers, task_managers};
use super::disk::DiskFault;
use super::random::Random;
use super::store::StoreFault;

/// What the nemesis did.
#[derive(Debug, Clone, Default)]
pub struct Deeds {
    /// How often, by what.
    pub counts: BTreeMap<&'static str, u64>,
}

/// How a link between two hosts is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
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

/// The nemesis and what is broken at the moment.
pub struct Nemesis {
    random: Random,
    cluster: Cluster,
    links: BTreeMap<(String, String), (Link, u64)>,
    /// Hosts that are down, and until when; whether their power is gone.
    down: BTreeMap<String, (u64, bool)>,
    store_until: Option<u64>,
    disks_until: BTreeMap<String, u64>,
    slow_until: Option<u64>,
    next_at: u64,
    /// Whether a disk was emptied or damaged: one in a run, as raft survives one.
    disk_spoilt: bool,
    deeds: Deeds,
}

fn hosts() -> Vec<String> {
    job_managers().into_iter().chain(task_managers()).collect()
}

impl Nemesis {
    /// Nothing is broken yet.
    pub fn new(seed: u64, cluster: Cluster) -> Self {
        Self {
            random: Random::new(seed, "nemesis"),
            cluster,
            links: BTreeMap::new(),
            down: BTreeMap::new(),
            store_until: None,
            disks_until: BTreeMap::new(),
            slow_until: None,
            next_at: 4_000,
            disk_spoilt: false,
            deeds: Deeds::default(),
        }
    }

    /// What it did so far.
    pub fn deeds(&self) -> &Deeds {
        &self.deeds
    }

    fn note(&mut self, deed: &'static str, what: &str) {
        *self.deeds.counts.entry(deed).or_default() += 1;
        tracing::info!(at = self.cluster.world.elapsed_ms(), deed, what, "nemesis");
    }

    /// Called before every step. With `calm` it only mends.
    pub fn act(&mut self, sim: &mut turmoil::Sim<'_>, calm: bool) {
        let now = self.cluster.world.elapsed_ms();
        self.bury(sim, now);
        self.mend(sim, now);
        if !calm && now >= self.next_at {
            self.next_at = now + self.random.between(200, 3_000);
            self.strike(sim, now);
        }
    }

    /// Ends processes that died by themselves, of a disk or at a write.
    fn bury(&mut self, sim: &mut turmoil::Sim<'_>, now: u64) {
        let mut doomed = self.cluster.observations.doomed_hosts();
        // Also where the process had nothing under way yet that could tell.
        doomed.extend(job_managers().into_iter().filter(|host| self.cluster.world.disks.is_dark(host)));
        for host in doomed {
            if !self.down.contains_key(&host) {
                let dark = self.cluster.world.disks.is_dark(&host);
                self.note(if dark { "died of power" } else { "died by itself" }, &host);
                self.take_down(sim, &host, dark, now + self.random.between(50, 2_000));
            }
        }
    }

    fn take_down(&mut self, sim: &mut turmoil::Sim<'_>, host: &str, dark: bool, until: u64) {
        if dark {
            self.cluster.world.disks.lose_power(host);
            self.cluster.world.network.set_power(host, false);
            // Nobody says goodbye.
            for other in hosts().into_iter().chain(["client".to_owned()]).filter(|other| other != host) {
                self.set_link(sim, host, &other, Link::Cut, until);
            }
        }
        sim.crash(host);
        self.down.insert(host.to_owned(), (until, dark));
    }

    /// Mends what is due; everything is for a time in the far future.
    fn mend(&mut self, sim: &mut turmoil::Sim<'_>, now: u64) {
        let due: Vec<_> = self.down.iter().filter(|(_, (until, _))| *until <= now).map(|(host, _)| host.clone()).collect();
        for host in due {
            self.down.remove(&host);
            self.cluster.world.disks.restore_power(&host);
            self.cluster.world.network.set_power(&host, true);
            tracing::info!(at = now, host, "nemesis: started again");
            sim.bounce(host.as_str());
        }
        let links: Vec<_> = self.links.iter().filter(|(_, (_, until))| *until <= now).map(|(pair, _)| pair.clone()).collect();
        for (a, b) in links {
            self.set_link(sim, &a, &b, Link::Whole, 0);
        }
        if self.store_until.is_some_and(|until| until <= now) {
            self.store_until = None;
            self.cluster.store.set_fault(StoreFault::default());
        }
        let disks: Vec<_> = self.disks_until.iter().filter(|(_, until)| **until <= now).map(|(host, _)| host.clone()).collect();
        for host in disks {
            self.disks_until.remove(&host);
            self.cluster.world.disks.set_fault(&host, DiskFault::None);
            self.cluster.world.disks.set_delay(&host, 0);
        }
        if self.slow_until.is_some_and(|until| until <= now) {
            self.slow_until = None;
            sim.set_max_message_latency(FAST);
        }
    }

    /// Mends everything.
    pub fn heal(&mut self, sim: &mut turmoil::Sim<'_>) {
        self.cluster.observations.spare();
        self.bury(sim, self.cluster.world.elapsed_ms());
        self.mend(sim, u64::MAX);
        for host in hosts() {
            self.cluster.world.disks.restore_power(&host);
        }
    }

    fn set_link(&mut self, sim: &mut turmoil::Sim<'_>, a: &str, b: &str, link: Link, until: u64) {
        let pair = if a < b { (a, b) } else { (b, a) };
        let key = (pair.0.to_owned(), pair.1.to_owned());
        let former = self.links.remove(&key).map_or(Link::Whole, |(link, _)| link);
        let network = self.cluster.world.network.clone();
        // Back to whole first: turmoil does not mix holding and cutting.
        match former {
            Link::Whole => {}
            Link::Held => sim.release(pair.0, pair.1),
            Link::Cut | Link::CutThere | Link::CutBack => sim.repair(pair.0, pair.1),
        }
        let (mut there, mut back) = (false, false);
        match link {
            Link::Whole => {}
            Link::Held => sim.hold(pair.0, pair.1),
            Link::Cut => {
                sim.partition(pair.0, pair.1);
                (there, back) = (true, true);
            }
            Link::CutThere => {
                sim.partition_oneway(pair.0, pair.1);
                there = true;
            }
            Link::CutBack => {
                sim.partition_oneway(pair.1, pair.0);
                back = true;
            }
        }
        network.set_cut(pair.0, pair.1, there);
        network.set_cut(pair.1, pair.0, back);
        if link != Link::Whole {
            self.links.insert(key, (link, until));
        }
    }

    /// A host that is up: the leader one time in two.
    fn victim(&mut self, leader_bias: bool) -> Option<String> {
        let leader = leader_bias.then(|| self.leader()).flatten();
        if let Some(leader) = leader.filter(|leader| !self.down.contains_key(leader))
            && self.random.chance(500)
        {
            return Some(leader);
        }
        let up: Vec<_> = hosts().into_iter().filter(|host| !self.down.contains_key(host)).collect();
        (!up.is_empty()).then(|| self.random.pick(&up).clone())
    }

    fn leader(&self) -> Option<String> {
        self.cluster.observations.last_writer()
    }

    fn strike(&mut self, sim: &mut turmoil::Sim<'_>, now: u64) {
        let until = now + self.random.between(100, 6_000);
        let Some(victim) = self.victim(true) else { return };
        match self.random.between(0, 17) {
            0..=2 => {
                self.note("kill", &victim);
                self.take_down(sim, &victim, false, until);
            }
            3 => {
                self.note("power loss", &victim);
                self.take_down(sim, &victim, true, until);
            }
            4 => {
                // In the middle of something that the disk is asked to do.
                self.note("power loss armed", &victim);
                let changes = self.random.between(0, 60);
                self.cluster.world.disks.lose_power_after(&victim, changes);
            }
            5 => {
                let link = *self.random.pick(&[Link::Cut, Link::Cut, Link::CutThere, Link::CutBack]);
                self.isolate(sim, &victim, link, until);
                self.note(if link == Link::Cut { "isolation" } else { "one-way isolation" }, &victim);
            }
            6 => {
                let other = self.random.pick(&hosts()).clone();
                if other != victim {
                    let link = *self.random.pick(&[Link::Cut, Link::CutThere, Link::CutBack]);
                    self.note("link cut", &format!("{victim} {other}"));
                    self.set_link(sim, &victim, &other, link, until);
                }
            }
            7..=8 => {
                self.isolate(sim, &victim, Link::Held, until);
                self.note("stall", &victim);
            }
            9 => {
                self.note("store fault", "");
                let fault = *self.random.pick(&[
                    StoreFault { fails: 300, unknown: 0, down: false },
                    StoreFault { fails: 50, unknown: 300, down: false },
                    StoreFault { fails: 0, unknown: 0, down: true },
                ]);
                self.cluster.store.set_fault(fault);
                self.store_until = Some(until);
            }
            10 => {
                self.note("disk fault", &victim);
                let fault = *self.random.pick(&[DiskFault::FailNextSync, DiskFault::Full]);
                self.cluster.world.disks.set_fault(&victim, fault);
                self.disks_until.insert(victim, until);
            }
            11 => {
                self.note("slow disk", &victim);
                self.cluster.world.disks.set_delay(&victim, self.random.between(5, 300));
                self.disks_until.insert(victim, until);
            }
            12 => {
                self.note("slow network", "");
                sim.set_max_message_latency(std::time::Duration::from_millis(self.random.between(20, 150)));
                self.slow_until = Some(until);
            }
            13 => {
                let hour = 3_600_000;
                let by_ms = self.random.between(0, 2 * hour).cast_signed() - hour.cast_signed();
                self.note("clock jump", &format!("{victim} {by_ms} ms"));
                self.cluster.world.jump(&victim, by_ms);
            }
            14..=15 => self.spoil_disk(sim, &victim, until),
            _ => {
                let after = self.random.chance(500);
                self.note("death at a write armed", if after { "after" } else { "before" });
                self.cluster.observations.die_at_write(self.random.between(0, 30), after);
            }
        }
        if self.random.chance(30) {
            self.kill_all(sim, until);
        }
    }

    /// A JobManager comes back with an empty disk, as a new machine, or with a damaged one, which its operator empties.
    fn spoil_disk(&mut self, sim: &mut turmoil::Sim<'_>, host: &str, until: u64) {
        if self.disk_spoilt || !job_managers().iter().any(|known| known == host) {
            return;
        }
        if self.random.chance(500) {
            self.note("disk emptied", host);
            self.take_down(sim, host, false, until);
            self.cluster.world.disks.wipe(host);
        } else {
            self.take_down(sim, host, false, until);
            if !self.cluster.world.disks.flip_a_bit(host) {
                return;
            }
            self.note("bit flipped", host);
        }
        self.disk_spoilt = true;
    }

    fn kill_all(&mut self, sim: &mut turmoil::Sim<'_>, until: u64) {
        self.note("all JobManagers killed", "");
        for host in job_managers() {
            if !self.down.contains_key(&host) {
                self.take_down(sim, &host, false, until);
            }
        }
    }

    fn isolate(&mut self, sim: &mut turmoil::Sim<'_>, host: &str, link: Link, until: u64) {
        let others: BTreeSet<_> = hosts().into_iter().filter(|other| other != host).collect();
        for other in others {
            // One way is from or to this host, whatever the order of names.
            let own = match link {
                Link::CutThere if host > other.as_str() => Link::CutBack,
                Link::CutBack if host > other.as_str() => Link::CutThere,
                link => link,
            };
            self.set_link(sim, host, &other, own, until);
        }
    }
}

/// The longest way of a message when nothing is slow.
pub const FAST: std::time::Duration = std::time::Duration::from_millis(6);
