//! What a group of voters can bear.

use std::collections::BTreeSet;

use super::types::NodeId;

/// How many more voters may fail, besides the `silent`, until one of the sets has no majority any more.
pub(crate) fn failures_tolerated(voters: &[BTreeSet<NodeId>], silent: &BTreeSet<NodeId>) -> u32 {
    let spare = |voters: &BTreeSet<NodeId>| voters.difference(silent).count().saturating_sub(voters.len() / 2 + 1);
    voters.iter().map(spare).min().unwrap_or_default() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_bears_what_the_weaker_of_its_majorities_bears() {
        let tolerated = |voters: &[&[NodeId]], silent: &[NodeId]| {
            let voters: Vec<BTreeSet<_>> = voters.iter().map(|set| set.iter().copied().collect()).collect();
            failures_tolerated(&voters, &silent.iter().copied().collect())
        };
        assert_eq!(tolerated(&[&[1, 2, 3]], &[]), 1);
        assert_eq!(tolerated(&[&[1, 2, 3]], &[3]), 0);
        assert_eq!(tolerated(&[&[1, 2, 3]], &[2, 3]), 0);
        assert_eq!(tolerated(&[&[1, 2, 3, 4, 5]], &[9]), 2);
        assert_eq!(tolerated(&[&[1, 2, 3], &[1, 2, 4]], &[3]), 0);
        assert_eq!(tolerated(&[&[1, 2, 3], &[1, 2, 4]], &[]), 1);
        assert_eq!(tolerated(&[], &[]), 0);
    }
}
