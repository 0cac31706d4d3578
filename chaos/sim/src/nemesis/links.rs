//! Cutting, holding and repairing the links between hosts.

use super::fault::{Link, Others};
use super::{Nemesis, hosts};
use crate::cluster::{job_managers, task_managers};

impl Nemesis {
    pub(super) fn set_link(&mut self, sim: &mut turmoil::Sim<'_>, a: &str, b: &str, link: Link, until: u64) {
        // Links are kept with their hosts in order, so a one-way cut changes its direction if the hosts are swapped.
        let (pair, link) = match link {
            Link::CutThere if a > b => ((b, a), Link::CutBack),
            Link::CutBack if a > b => ((b, a), Link::CutThere),
            link if a > b => ((b, a), link),
            link => ((a, b), link),
        };
        let key = (pair.0.to_owned(), pair.1.to_owned());
        let former = self.links.remove(&key).map_or(Link::Whole, |(link, _)| link);
        let network = self.cluster.world.network.clone();
        // The link is repaired first, because turmoil does not mix holding and cutting.
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

    pub(super) fn isolate(&mut self, sim: &mut turmoil::Sim<'_>, host: &str, others: Others, link: Link, until: u64) {
        let others = match others {
            Others::All => hosts(),
            Others::JobManagers => job_managers(),
            Others::TaskManagers => task_managers(),
        };
        for other in others.iter().filter(|other| *other != host) {
            self.set_link(sim, host, other, link, until);
        }
    }
}
