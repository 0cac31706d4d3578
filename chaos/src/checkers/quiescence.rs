//! Checks what is left at the end, and whether slots add up.

use super::{Judgement, cut_short, judgement};
use crate::history::{History, What};

/// The total is the sum over the registered TaskManagers, and no more slots are available than exist.
pub(super) fn slots(history: &History) -> Judgement {
    let each = history.header.slots;
    let mut looks = 0_u64;
    let mut problems = Vec::new();
    for event in &history.events {
        let What::Slots { taskmanagers, total, available } = event.what else { continue };
        looks += 1;
        if total != taskmanagers * each || available > total || taskmanagers as usize > history.header.taskmanagers.len() {
            problems.push(format!(
                "after {} ms: {taskmanagers} TaskManagers with {each} slots each have {total} slots, {available} of them free",
                event.at_ms
            ));
        }
    }
    if looks == 0 {
        Judgement::NotJudged { why: "no slot counts were seen".to_owned() }
    } else {
        judgement(problems, format!("checked {looks} times"))
    }
}

/// When all jobs have ended, every slot is free and no unexpected process runs.
pub(super) fn orphans(history: &History) -> Judgement {
    let last_slots = history.last(|what| match what {
        What::Slots { taskmanagers, total, available } => Some((*taskmanagers, *total, *available)),
        _ => None,
    });
    let strangers = history.last(|what| match what {
        What::Strangers { pids } => Some(pids),
        _ => None,
    });
    let (Some((taskmanagers, total, available)), Some(strangers)) = (last_slots, strangers) else { return cut_short() };
    let mut problems = Vec::new();
    if available != total {
        problems.push(format!("{} of {total} slots are still taken after all jobs have ended", total - available.min(total)));
    }
    if taskmanagers as usize != history.header.taskmanagers.len() {
        problems.push(format!("{taskmanagers} of {} TaskManagers are registered", history.header.taskmanagers.len()));
    }
    if !strangers.is_empty() {
        problems.push(format!("unexpected processes are running: {strangers:?}"));
    }
    judgement(problems, format!("{total} slots, all free; no stray process"))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{changed, condemned, with};
    use super::*;

    #[test]
    fn slots_that_do_not_add_up_are_found() {
        let slots = What::Slots { taskmanagers: 1, total: 3, available: 0 };
        assert!(condemned("slots", &with(slots, |what| matches!(what, What::Slots { .. }))).contains("have 3"));
        let slots = What::Slots { taskmanagers: 1, total: 2, available: 3 };
        assert!(condemned("slots", &with(slots, |what| matches!(what, What::Slots { .. }))).contains("3 of them free"));
    }

    #[test]
    fn a_slot_that_stays_taken_and_a_stray_process_are_found() {
        let taken = changed(|what| {
            if let What::Slots { available, .. } = what {
                *available = 1;
            }
        });
        assert!(condemned("orphans", &taken).contains("1 of 2 slots"));
        let stray = changed(|what| {
            if let What::Strangers { pids } = what {
                pids.push(7);
            }
        });
        assert!(condemned("orphans", &stray).contains("[7]"));
    }
}
