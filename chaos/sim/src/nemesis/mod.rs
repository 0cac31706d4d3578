//! Injects faults, at random or as a scenario says, and heals them.

mod dice;
pub mod fault;
mod links;

use std::collections::BTreeMap;

use weir_verdict::random::Random;

use self::fault::{Fault, Link, Who};
use crate::cluster::{Cluster, GUEST, Guest, job_managers, task_managers};
use crate::scenario::Scenario;
use crate::world::disk::{Backup, DiskFault};
use crate::world::network::CLIENT;
use crate::world::store::StoreFault;

/// The faults that the nemesis injected.
#[derive(Debug, Clone, Default)]
pub struct Injected {
    /// Number of faults by name.
    pub counts: BTreeMap<&'static str, u64>,
}

/// What decides the faults of the nemesis.
#[derive(Debug, Clone, Copy)]
pub enum Guide {
    Chance,
    /// A scenario, and the number of its acts that were played.
    Scenario(&'static Scenario, usize),
}

/// The nemesis, with the faults that are not healed yet. All times are simulated milliseconds.
pub struct Nemesis {
    random: Random,
    cluster: Cluster,
    guide: Guide,
    links: BTreeMap<(String, String), (Link, u64)>,
    /// Hosts that are down, until when, and whether they have lost their power.
    down: BTreeMap<String, (u64, bool)>,
    store_until: Option<u64>,
    disks_until: BTreeMap<String, u64>,
    slow_until: Option<u64>,
    spoiling_until: BTreeMap<String, u64>,
    next_at: u64,
    /// A planned blink: its time, the host, its duration in milliseconds, and whether the host loses its power. The host is back
    /// before another leader is elected.
    blink: Option<(u64, String, u64, bool)>,
    first_leader: Option<String>,
    /// The last backup of the disks of all JobManagers.
    backup: Option<Backup>,
    /// The newest disks of the JobManagers while older ones are in their place, and until when they are.
    newest: Option<(u64, Backup)>,
    /// Whether a disk was emptied or damaged. This happens at most once in a run, because raft survives one lost disk.
    disk_spoilt: bool,
    injected: Injected,
}

fn hosts() -> Vec<String> {
    job_managers().into_iter().chain(task_managers()).collect()
}

impl Nemesis {
    /// A nemesis that has not injected any fault yet.
    pub fn new(seed: u64, cluster: Cluster, guide: Guide) -> Self {
        Self {
            random: Random::new(seed, "nemesis"),
            cluster,
            guide,
            links: BTreeMap::new(),
            down: BTreeMap::new(),
            store_until: None,
            disks_until: BTreeMap::new(),
            slow_until: None,
            spoiling_until: BTreeMap::new(),
            next_at: 4_000,
            blink: None,
            first_leader: None,
            backup: None,
            newest: None,
            disk_spoilt: false,
            injected: Injected::default(),
        }
    }

    /// Returns the faults that were injected so far.
    pub fn injected(&self) -> &Injected {
        &self.injected
    }

    fn note(&mut self, fault: &'static str, what: &str) {
        *self.injected.counts.entry(fault).or_default() += 1;
        tracing::info!(at = self.cluster.world.elapsed_ms(), fault, what, "nemesis");
    }

    /// Injects and heals what is due. Must be called before every step. With `calm` it only heals.
    pub fn act(&mut self, sim: &mut turmoil::Sim<'_>, calm: bool) {
        let now = self.cluster.world.elapsed_ms();
        self.bury(sim, now);
        self.mend(sim, now);
        if calm {
            return;
        }
        self.blink(sim, now);
        match self.guide {
            Guide::Chance if now >= self.next_at => {
                self.next_at = now + self.random.between(200, 3_000);
                self.strike_at_random(sim, now);
            }
            Guide::Scenario(scenario, over) if scenario.acts.get(over).is_some_and(|act| now >= act.at_ms) => {
                self.guide = Guide::Scenario(scenario, over + 1);
                let act = &scenario.acts[over];
                self.inject(sim, act.fault, now + act.for_ms);
            }
            _ => {}
        }
    }

    /// Returns the host that `who` means at the moment, if there is one.
    fn host(&self, who: Who) -> Option<String> {
        let leader = self.cluster.observations.last_writer();
        match who {
            Who::Leader => leader,
            Who::FirstLeader => self.first_leader.clone(),
            Who::Standby(number) => job_managers().into_iter().filter(|host| Some(host) != leader.as_ref()).nth(number),
            Who::JobManager(number) => job_managers().into_iter().nth(number),
            Who::TaskManager(number) => task_managers().into_iter().nth(number),
        }
    }

    /// Returns the host that `who` means, if it is up.
    fn up(&self, who: Who) -> Option<String> {
        self.host(who).filter(|host| !self.down.contains_key(host))
    }

    /// Takes down the hosts whose process died by itself: at a write, because its disk failed, or because its power was lost.
    fn bury(&mut self, sim: &mut turmoil::Sim<'_>, now: u64) {
        let mut doomed = self.cluster.observations.doomed_hosts();
        // A host without power may have had no operation in flight that would have noticed the loss.
        let dark_hosts = self.cluster.world.disks.dark_hosts();
        doomed.extend(dark_hosts.iter().cloned());
        for host in doomed {
            if !self.down.contains_key(&host) {
                let dark = dark_hosts.contains(&host);
                let death = if dark { "died of power" } else { "died by itself" };
                self.note(death, &host);
                self.take_down(sim, &host, dark, now + self.random.between(50, 2_000));
            }
        }
    }

    /// Takes a host down if its planned blink is due.
    fn blink(&mut self, sim: &mut turmoil::Sim<'_>, now: u64) {
        if let Some((_, host, for_ms, dark)) = self.blink.take_if(|(at, ..)| *at <= now)
            && !self.down.contains_key(&host)
        {
            self.note(if dark { "blink of power" } else { "blink" }, &host);
            self.take_down(sim, &host, dark, now + for_ms);
        }
    }

    fn take_down(&mut self, sim: &mut turmoil::Sim<'_>, host: &str, dark: bool, until: u64) {
        if dark {
            self.cluster.world.disks.lose_power(host);
            self.cluster.world.network.set_power(host, false);
            // A machine without power does not close its connections.
            for other in hosts().into_iter().chain([CLIENT.to_owned()]).filter(|other| other != host) {
                self.set_link(sim, host, &other, Link::Cut, until);
            }
        }
        sim.crash(host);
        self.down.insert(host.to_owned(), (until, dark));
    }

    /// Heals the faults that are due at `now`. With `u64::MAX` all faults are due.
    fn mend(&mut self, sim: &mut turmoil::Sim<'_>, now: u64) {
        if let Some((_, newest)) = self.newest.take_if(|(until, _)| *until <= now) {
            self.swap_disks(sim, &newest);
        }
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
        self.spoiling_until.retain(|host, until| {
            let over = *until <= now;
            if over {
                self.cluster.world.network.set_spoiling(host, None);
            }
            !over
        });
        if self.slow_until.is_some_and(|until| until <= now) {
            self.slow_until = None;
            sim.set_max_message_latency(FAST);
        }
    }

    /// Heals all faults, and cancels the planned ones.
    pub fn heal(&mut self, sim: &mut turmoil::Sim<'_>) {
        self.cluster.observations.spare();
        self.blink = None;
        self.bury(sim, self.cluster.world.elapsed_ms());
        self.mend(sim, u64::MAX);
        for host in hosts() {
            self.cluster.world.disks.restore_power(&host);
        }
    }

    /// Injects a fault, to be healed at `until`. If the fault needs a host that is up and the host is down, nothing happens.
    pub fn inject(&mut self, sim: &mut turmoil::Sim<'_>, fault: Fault, until: u64) {
        if self.first_leader.is_none() {
            self.first_leader = self.host(Who::Leader);
        }
        if let Some(told) = self.try_inject(sim, fault, until) {
            self.note(fault.name(), &told);
        }
    }

    /// Returns a description of what the fault hit, or `None` if it was not injected.
    fn try_inject(&mut self, sim: &mut turmoil::Sim<'_>, fault: Fault, until: u64) -> Option<String> {
        match fault {
            Fault::Kill(who) => self.up(who).inspect(|host| self.take_down(sim, host, false, until)),
            Fault::PowerLoss(who) => self.up(who).inspect(|host| self.take_down(sim, host, true, until)),
            Fault::KillJobManagers => Some(self.take_down_job_managers(sim, false, until)),
            Fault::PowerLossOfJobManagers => Some(self.take_down_job_managers(sim, true, until)),
            Fault::PowerLossAfter(who, changes) => {
                self.up(who).inspect(|host| self.cluster.world.disks.lose_power_after(host, changes))
            }
            Fault::Isolate(who, others, link) => self.host(who).inspect(|host| self.isolate(sim, host, others, link, until)),
            Fault::Cut(who, other, link) => {
                let (host, other) = (self.host(who)?, self.host(other).filter(|other| Some(other) != self.host(who).as_ref())?);
                self.set_link(sim, &host, &other, link, until);
                Some(format!("{host} {other}"))
            }
            Fault::SlowNetwork(milliseconds) => {
                sim.set_max_message_latency(std::time::Duration::from_millis(milliseconds));
                self.slow_until = Some(until);
                Some(format!("{milliseconds} ms"))
            }
            Fault::Store(fault) => {
                self.cluster.store.set_fault(fault);
                self.store_until = Some(until);
                Some(format!("{fault:?}"))
            }
            Fault::Disk(who, fault) => {
                let host = self.host(who)?;
                self.cluster.world.disks.set_fault(&host, fault);
                self.disks_until.insert(host.clone(), until);
                Some(format!("{host} {fault:?}"))
            }
            Fault::SlowDisk(who, milliseconds) => {
                let host = self.host(who)?;
                self.cluster.world.disks.set_delay(&host, milliseconds);
                self.disks_until.insert(host.clone(), until);
                Some(format!("{host} {milliseconds} ms"))
            }
            Fault::Blink(who) => {
                let host = self.up(who)?;
                self.cluster.world.disks.set_delay(&host, self.random.between(20, 150));
                let at = self.cluster.world.elapsed_ms() + self.random.between(100, 2_000);
                let for_ms = self.random.between(2, 60);
                self.disks_until.insert(host.clone(), at + for_ms);
                self.blink = Some((at, host.clone(), for_ms, self.random.chance(500)));
                Some(host)
            }
            Fault::Spoil(who) => {
                let host = self.host(who)?;
                self.cluster.world.network.set_spoiling(&host, Some(Random::new(self.random.bits(), &host)));
                self.spoiling_until.insert(host.clone(), until);
                Some(host)
            }
            Fault::ClockJump(who, by_ms) => {
                let host = self.host(who)?;
                self.cluster.world.jump(&host, by_ms);
                Some(format!("{host} {by_ms} ms"))
            }
            Fault::EmptyDisk(who) => {
                let host = self.up(who)?;
                self.take_down(sim, &host, false, until);
                self.cluster.world.disks.wipe(&host);
                self.disk_spoilt = true;
                Some(host)
            }
            Fault::FlipBit(who) => {
                let host = self.up(who)?;
                self.take_down(sim, &host, false, until);
                self.disk_spoilt = self.cluster.world.disks.flip_a_bit(&host);
                self.disk_spoilt.then_some(host)
            }
            Fault::LoseLogTail(who) => {
                let host = self.up(who)?;
                self.take_down(sim, &host, false, until);
                self.disk_spoilt = self.cluster.world.disks.lose_log_tail(&host);
                self.disk_spoilt.then_some(host)
            }
            Fault::Copy(who) => self.start_guest(who, true),
            Fault::Twin(who) => self.start_guest(who, false),
            Fault::BackUp => {
                self.backup = Some(self.cluster.world.disks.back_up(&job_managers()));
                Some("all JobManagers".to_owned())
            }
            Fault::PutBack => {
                let backup = self.backup.take()?;
                self.newest = Some((until, self.cluster.world.disks.back_up(&job_managers())));
                self.swap_disks(sim, &backup);
                Some("all JobManagers".to_owned())
            }
            Fault::DieAtWrite { count, after } => {
                self.cluster.observations.die_at_write(count, after);
                Some(format!("{count} {}", if after { "after" } else { "before" }))
            }
        }
    }

    /// Starts a process that claims to be a JobManager, perhaps with a copy of its disk.
    fn start_guest(&mut self, who: Who, copied: bool) -> Option<String> {
        let name = self.up(who)?;
        if copied {
            self.cluster.world.disks.copy(&name, GUEST);
        }
        self.cluster.start_guest(Guest { name: name.clone(), copied });
        Some(name)
    }

    /// Restarts all JobManagers with these disks.
    fn swap_disks(&mut self, sim: &mut turmoil::Sim<'_>, disks: &Backup) {
        let until = self.cluster.world.elapsed_ms() + SWAP_MS;
        self.take_down_job_managers(sim, false, until);
        self.cluster.world.disks.put_back(&job_managers(), disks);
    }

    fn take_down_job_managers(&mut self, sim: &mut turmoil::Sim<'_>, dark: bool, until: u64) -> String {
        let up: Vec<_> = job_managers().into_iter().filter(|host| !self.down.contains_key(host)).collect();
        for host in &up {
            self.take_down(sim, host, dark, until);
        }
        up.join(" ")
    }
}

/// How long JobManagers are down while their disks are swapped, in milliseconds.
const SWAP_MS: u64 = 300;
/// The longest delay of a message while no fault slows the network.
pub const FAST: std::time::Duration = std::time::Duration::from_millis(6);
