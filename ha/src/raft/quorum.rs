//! How many failures a group of voters tolerates.

use std::collections::BTreeSet;

use super::types::NodeId;

/// How many voters, besides the `silent` ones, may fail before one of the sets loses its majority.
pub(crate) fn failures_tolerated(voters: &[BTreeSet<NodeId>], silent: &BTreeSet<NodeId>) -> u32 {
    let spare = |voters: &BTreeSet<NodeId>| voters.difference(silent).count().saturating_sub(voters.len() / 2 + 1);
    voters.iter().map(spare).min().unwrap_or_default() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_tolerates_as_many_failures_as_the_weaker_of_its_majorities() {
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
