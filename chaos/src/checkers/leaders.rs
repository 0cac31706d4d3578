//! Checks who led, as the JobManagers reported it.

use std::collections::BTreeSet;

use weir_protocol::LeaderEpoch;
use weir_verdict::fact::Fact;
use weir_verdict::invariants::Watch;

use super::{Judgement, judgement};
use crate::history::{History, What};

/// An epoch belongs to one leader for ever, and no process sees the epoch go back: E1 and E8, as simulations are judged by them.
pub(super) fn epochs(history: &History) -> Judgement {
    let mut watch = Watch::new(|_, _, _| (0, 0));
    let (mut problems, mut epochs) = (BTreeSet::new(), BTreeSet::new());
    for event in &history.events {
        let What::Leader { seen_by, name, epoch, .. } = &event.what else { continue };
        let epoch = LeaderEpoch(*epoch);
        let mut facts = vec![Fact::LeaderSeen { process: seen_by.clone(), epoch }];
        if let Some(name) = name {
            epochs.insert(epoch);
            facts.push(Fact::LeaderNamed { leader: name.clone(), epoch });
        }
        problems.extend(facts.iter().flat_map(|fact| watch.observe(fact)).map(|violation| violation.to_string()));
    }
    if epochs.is_empty() {
        return Judgement::NotJudged { why: "no leader was ever seen".to_owned() };
    }
    let answers = watch.facts().get("leaders seen").copied().unwrap_or_default();
    judgement(problems.into_iter().collect(), format!("{} epochs in {answers} answers", epochs.len()))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{at_the_end, condemned, leader};

    #[test]
    fn two_holders_of_an_epoch_and_an_observer_that_goes_back_are_found() {
        assert!(condemned("epochs", &at_the_end(leader("jm-1/2", "jm-1", 2))).contains("E1"));
        assert!(condemned("epochs", &at_the_end(leader("jm-2/1", "jm-1", 1))).contains("E8"));
    }
}
