use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries};

use super::*;

/// Epochs, attempts, checkpoints, rows and deaths. The bounds are small enough to be searched at every change, and together wide
/// enough for every flaw: two leaderships and a death, a second attempt of each leadership, and many attempts of one.
const BOUNDS: [[u8; 5]; 3] = [[2, 1, 2, 2, 1], [2, 2, 1, 1, 1], [1, 4, 2, 1, 0]];

fn specification([epochs, attempts, checkpoints, rows, deaths]: [u8; 5], flaw: Option<Flaw>) -> Specification {
    Specification { epochs, attempts, checkpoints, rows, deaths, flaw }
}

#[test]
fn every_order_of_events_keeps_every_invariant() {
    for bounds in BOUNDS {
        let checker = specification(bounds, None).checker().threads(2).spawn_bfs().join();
        println!("{bounds:?}: {} transitions, {} states", checker.state_count(), checker.unique_state_count());
        for property in checker.model().properties() {
            match property.expectation {
                stateright::Expectation::Always => checker.assert_no_discovery(property.name),
                // If there is only one leadership, some of these states can not be reached.
                _ if bounds[0] > 1 => drop(checker.assert_any_discovery(property.name)),
                _ => {}
            }
        }
    }
}

#[test]
fn every_planted_flaw_is_found() {
    let mut broken = BTreeSet::new();
    for flaw in Flaw::ALL {
        let found = BOUNDS.iter().find_map(|bounds| {
            let checker = specification(*bounds, Some(flaw)).checker();
            let checker = checker.threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
            let failed = |property: &Property<Specification>| property.expectation == stateright::Expectation::Always;
            let names: Vec<_> =
                checker.model().properties().iter().filter(|property| failed(property)).map(|property| property.name).collect();
            let found: Vec<_> = names.into_iter().filter(|name| checker.discovery(name).is_some()).collect();
            (!found.is_empty()).then_some(found)
        });
        let found = found.unwrap_or_else(|| panic!("{flaw:?} breaks no property"));
        println!("{flaw:?}: {}", found.join("; "));
        broken.extend(found);
    }
    let specification = Specification::default();
    let never_broken = specification
        .properties()
        .into_iter()
        .filter(|property| property.expectation == stateright::Expectation::Always && !broken.contains(property.name));
    let never_broken: Vec<_> = never_broken.map(|property| property.name).collect();
    assert!(never_broken.is_empty(), "no flaw breaks these properties: {never_broken:?}");
}
