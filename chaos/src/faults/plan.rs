//! Which faults a run injects, and when. All of it follows from the seed.

use std::time::Duration;

use weir_verdict::random::Random;

use super::{Draw, Nemesis};

/// When the first fault begins, in milliseconds after the workload began.
const FIRST_MS: u64 = 1_000;
/// The pause after a fault, in milliseconds: at least the first, less than the second.
const CALM_MS: (u64, u64) = (300, 1_000);

/// One planned fault.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub nemesis: &'static Nemesis,
    /// The earliest time at which the fault begins, counted from when the workload began.
    pub at: Duration,
    pub draw: Draw,
}

/// The faults of a run, one after the other.
#[derive(Debug, Clone)]
pub struct Plan {
    pub steps: Vec<Step>,
}

impl Plan {
    /// Draws faults of these kinds until `duration` is full. The first kind comes first, and each kind comes once before any kind
    /// is repeated.
    pub fn draw(seed: u64, nemeses: &[&'static Nemesis], duration: Duration) -> Self {
        let random = Random::new(seed, "plan");
        let end = duration.as_millis() as u64;
        let (mut steps, mut at, mut left) = (Vec::new(), FIRST_MS, Vec::new());
        while !nemeses.is_empty() {
            let first = left.is_empty() && steps.is_empty();
            if left.is_empty() {
                left = nemeses.to_vec();
            }
            let drawn = random.between(0, left.len() as u64) as usize;
            let nemesis = left.swap_remove(if first { 0 } else { drawn });
            let lasts = random.between(nemesis.lasts_ms.0, nemesis.lasts_ms.1);
            if at + lasts > end && !steps.is_empty() {
                break;
            }
            let draw = Draw { lasts: Duration::from_millis(lasts), number: random.bits() };
            steps.push(Step { nemesis, at: Duration::from_millis(at), draw });
            at += lasts + random.between(CALM_MS.0, CALM_MS.1);
        }
        Self { steps }
    }
}

#[cfg(test)]
mod tests {
    use super::super::NEMESES;
    use super::*;

    fn named(plan: &Plan) -> Vec<(&'static str, Duration, u64)> {
        plan.steps.iter().map(|step| (step.nemesis.name, step.at, step.draw.number)).collect()
    }

    #[test]
    fn a_plan_follows_from_its_seed_and_every_kind_has_its_turn() {
        let all: Vec<_> = NEMESES.iter().collect();
        let plan = |seed| Plan::draw(seed, &all, Duration::from_secs(400));
        assert_eq!(named(&plan(1)), named(&plan(1)));
        assert_ne!(named(&plan(1)), named(&plan(2)));
        let mut names: Vec<_> = plan(1).steps.iter().map(|step| step.nemesis.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NEMESES.len());
        assert!((1..50).all(|seed| plan(seed).steps[0].nemesis.name == NEMESES[0].name));
    }

    #[test]
    fn a_plan_has_one_fault_at_least_and_ends_in_time() {
        let kill = Nemesis::named("kill-leader").unwrap();
        assert_eq!(Plan::draw(1, &[kill], Duration::from_secs(1)).steps.len(), 1);
        let plan = Plan::draw(1, &[kill], Duration::from_secs(30));
        assert!(plan.steps.iter().all(|step| step.at + step.draw.lasts <= Duration::from_secs(30)));
        assert!(Plan::draw(1, &[], Duration::from_secs(30)).steps.is_empty());
    }
}
