//! Failover regions: subtasks that must restart together.
//!
//! All edges are pipelined, so a region is a connected component of the subtasks. A forward edge connects subtasks with equal
//! numbers. Any other edge connects all subtasks of its vertices.

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::job_graph::Partitioning;

use crate::job_master::execution_graph::{ExecutionGraph, Place};

/// The failover regions of an ExecutionGraph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailoverRegions {
    regions: Vec<BTreeSet<Place>>,
    region_of: BTreeMap<Place, usize>,
}

impl FailoverRegions {
    /// Computes the regions of a graph, in the order of their first subtasks.
    pub fn of(graph: &ExecutionGraph) -> Self {
        let mut sets = Sets::new(graph);
        for edge in graph.edges.iter() {
            let (from, to) = (graph.vertices[edge.from].descriptor.parallelism, graph.vertices[edge.to].descriptor.parallelism);
            if edge.partitioning == Partitioning::Forward {
                for subtask in 0..from.min(to) {
                    sets.join((edge.from, subtask), (edge.to, subtask));
                }
            } else {
                // Joining every producer and consumer with the first subtask of the other side joins all of them.
                for subtask in 0..from {
                    sets.join((edge.from, subtask), (edge.to, 0));
                }
                for subtask in 0..to {
                    sets.join((edge.from, 0), (edge.to, subtask));
                }
            }
        }
        let mut by_root: BTreeMap<usize, BTreeSet<Place>> = BTreeMap::new();
        for place in graph.places() {
            by_root.entry(sets.root_of(place)).or_default().insert(place);
        }
        let mut regions: Vec<_> = by_root.into_values().collect();
        regions.sort_by_key(|region| region.first().copied());
        let region_of =
            regions.iter().enumerate().flat_map(|(number, region)| region.iter().map(move |place| (*place, number))).collect();
        Self { regions, region_of }
    }

    /// Number of failover regions.
    pub fn count(&self) -> usize {
        self.regions.len()
    }

    /// All subtasks of the regions to which the failed subtasks belong.
    pub fn restarted_with(&self, failed: &BTreeSet<Place>) -> BTreeSet<Place> {
        let numbers: BTreeSet<usize> = failed.iter().filter_map(|place| self.region_of.get(place).copied()).collect();
        numbers.into_iter().flat_map(|number| self.regions[number].iter().copied()).collect()
    }
}

/// Disjoint sets of subtasks.
struct Sets {
    first: Vec<usize>,
    parent: Vec<usize>,
}

impl Sets {
    fn new(graph: &ExecutionGraph) -> Self {
        let mut first = Vec::with_capacity(graph.vertices.len());
        let mut total = 0;
        for vertex in &graph.vertices {
            first.push(total);
            total += vertex.descriptor.parallelism as usize;
        }
        Self { first, parent: (0..total).collect() }
    }

    fn root_of(&mut self, place: Place) -> usize {
        let mut node = self.first[place.0] + place.1 as usize;
        while self.parent[node] != node {
            self.parent[node] = self.parent[self.parent[node]];
            node = self.parent[node];
        }
        node
    }

    fn join(&mut self, one: Place, other: Place) {
        let (one, other) = (self.root_of(one), self.root_of(other));
        // The smaller number becomes the root, so that the result does not depend on the order of edges.
        self.parent[one.max(other)] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job_master::testing::{edge, graph, vertex};

    fn regions(vertices: &[(&str, u32)], edges: &[(&str, &str, Partitioning)]) -> FailoverRegions {
        let vertices = vertices.iter().map(|(uid, parallelism)| vertex(uid, *parallelism)).collect();
        let edges = edges.iter().map(|(from, to, partitioning)| edge(from, to, partitioning.clone())).collect();
        FailoverRegions::of(&ExecutionGraph::new(graph(vertices, edges)).expect("a sound graph"))
    }

    #[test]
    fn forward_edges_join_subtasks_with_equal_numbers_so_each_pipeline_is_a_region() {
        let regions = regions(&[("a", 3), ("b", 3)], &[("a", "b", Partitioning::Forward)]);
        assert_eq!(regions.count(), 3);
        assert_eq!(regions.restarted_with(&BTreeSet::from([(1, 1)])), BTreeSet::from([(0, 1), (1, 1)]));
    }

    #[test]
    fn any_other_edge_joins_all_subtasks_of_both_vertices() {
        for partitioning in [Partitioning::Rebalance, Partitioning::Broadcast, Partitioning::Hash { keys: vec!["k".into()] }] {
            let regions = regions(&[("a", 2), ("b", 3)], &[("a", "b", partitioning)]);
            assert_eq!(regions.count(), 1);
            assert_eq!(regions.restarted_with(&BTreeSet::from([(0, 1)])).len(), 5);
        }
    }

    #[test]
    fn parts_of_the_graph_that_are_not_connected_restart_alone() {
        let edges = [("a", "b", Partitioning::Rebalance), ("c", "d", Partitioning::Forward)];
        let regions = regions(&[("a", 2), ("b", 2), ("c", 2), ("d", 2)], &edges);
        assert_eq!(regions.count(), 3);
        assert_eq!(regions.restarted_with(&BTreeSet::from([(2, 0)])), BTreeSet::from([(2, 0), (3, 0)]));
        assert_eq!(regions.restarted_with(&BTreeSet::from([(0, 0), (3, 1)])).len(), 6);
    }
}
