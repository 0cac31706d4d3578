use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::HeldAttempt;
use weir_protocol::{AllocationId, ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId};

use super::effect::GrantedSlot;
use super::event::Wishes;
use super::*;

const OPTIONS: HeartbeatOptions = HeartbeatOptions { interval_ms: 100, timeout_ms: 1000 };

fn manager() -> ResourceManager {
    ResourceManager::new(LeaderEpoch(3), OPTIONS, Millis(0))
}

fn tm(name: &str) -> TaskManagerId {
    TaskManagerId(name.to_string())
}

fn registration(name: &str, slots: u32) -> Registration {
    Registration {
        task_manager: tm(name),
        highest_epoch: LeaderEpoch(3),
        data_address: format!("{name}:1"),
        http_address: format!("{name}:2"),
        slots,
        memory_bytes: 1 << 30,
        attempts: Vec::new(),
    }
}

fn register(name: &str, slots: u32, link: u64) -> Event {
    Event::Register { registration: registration(name, slots), link: LinkId(link) }
}

fn declare(job: u128, slots: u32) -> Event {
    Event::Wished { job: JobId(job), wishes: Wishes { slots: Some(slots), ..Wishes::default() } }
}

fn attempt(job: u128, subtask: u32) -> ExecutionAttemptId {
    ExecutionAttemptId {
        job: JobId(job),
        execution_vertex: ExecutionVertexId { vertex: JobVertexId(1), subtask },
        generation: Generation { epoch: LeaderEpoch(2), attempt: 1 },
    }
}

fn grants(effects: &[Effect]) -> Vec<(JobId, Vec<GrantedSlot>)> {
    let grants = effects.iter().filter_map(|effect| match effect {
        Effect::Grant { job, slots } => Some((*job, slots.clone())),
        _ => None,
    });
    grants.collect()
}

fn places(slots: &[GrantedSlot]) -> Vec<(&str, u32)> {
    slots.iter().map(|slot| (slot.task_manager.0.as_str(), slot.slot)).collect()
}

#[test]
fn a_job_gets_its_slots_spread_evenly_over_the_task_managers() {
    let mut manager = manager();
    manager.handle(register("a", 2, 1), Millis(0));
    manager.handle(register("b", 2, 2), Millis(0));
    let effects = manager.handle(declare(1, 2), Millis(0));
    let granted = grants(&effects);
    assert_eq!(places(&granted[0].1), [("a", 0), ("b", 0)]);
    assert_eq!(granted[0].1[1].data_address, "b:1");
    assert_ne!(granted[0].1[0].allocation, granted[0].1[1].allocation);
}

#[test]
fn a_job_that_lacks_slots_gets_none_and_is_told_why_once() {
    let mut manager = manager();
    manager.handle(register("a", 1, 1), Millis(0));
    let effects = manager.handle(declare(1, 2), Millis(0));
    let reason = "1 TaskManager registered with 1 slots, 1 free".to_string();
    assert_eq!(effects, [Effect::Shortage { job: JobId(1), missing: 2, reason }]);
    assert_eq!(manager.handle(Event::Tick, Millis(10)), []);
    let effects = manager.handle(register("b", 1, 2), Millis(20));
    assert_eq!(places(&grants(&effects)[0].1), [("a", 0), ("b", 0)]);
}

#[test]
fn the_oldest_job_is_served_first_but_does_not_block_a_younger_one_that_fits() {
    let mut manager = manager();
    manager.handle(Event::JobRegistered { job: JobId(9) }, Millis(0));
    manager.handle(Event::JobRegistered { job: JobId(1) }, Millis(0));
    manager.handle(declare(1, 2), Millis(0));
    manager.handle(declare(9, 2), Millis(0));
    let effects = manager.handle(register("a", 2, 1), Millis(0));
    assert_eq!(grants(&effects)[0].0, JobId(9), "job 9 registered first");

    manager.handle(declare(5, 3), Millis(0));
    manager.handle(declare(6, 1), Millis(0));
    let effects = manager.handle(register("b", 1, 2), Millis(0));
    assert_eq!(grants(&effects).iter().map(|(job, _)| *job).collect::<Vec<_>>(), [JobId(6)], "jobs 1 and 5 need more slots");
}

#[test]
fn a_lost_link_removes_the_slots_at_once_and_jobs_are_told_before_they_get_new_ones() {
    let mut manager = manager();
    manager.handle(register("a", 1, 1), Millis(0));
    manager.handle(declare(1, 1), Millis(0));
    manager.handle(register("b", 1, 2), Millis(0));
    let lost = Event::LinkLost { task_manager: tm("a"), link: LinkId(1), reason: "reset".to_string() };
    let effects = manager.handle(lost, Millis(5));
    assert_eq!(effects[0], Effect::TaskManagerLost { job: JobId(1), task_manager: tm("a"), reason: "reset".to_string() });
    assert_eq!(places(&grants(&effects)[0].1), [("b", 0)]);
}

#[test]
fn h1_the_end_of_an_earlier_link_is_ignored() {
    let mut manager = manager();
    manager.handle(register("a", 1, 1), Millis(0));
    manager.handle(register("a", 1, 2), Millis(0));
    let late = Event::LinkLost { task_manager: tm("a"), link: LinkId(1), reason: "reset".to_string() };
    assert_eq!(manager.handle(late, Millis(5)), []);
    assert_eq!(manager.view(Millis(5), 0).task_managers.len(), 1);
    let stale = Event::Heartbeat { task_manager: tm("a"), link: LinkId(1) };
    assert_eq!(manager.handle(stale, Millis(5)), []);
}

#[test]
fn attempts_held_by_a_registering_task_manager_are_cancelled_before_their_slots_are_granted() {
    let mut manager = manager();
    manager.handle(declare(1, 1), Millis(0));
    let mut registration = registration("a", 1);
    let held = |subtask, state| HeldAttempt { attempt: attempt(1, subtask), state, slot: 0, allocation: AllocationId(8) };
    registration.attempts =
        vec![held(0, ExecutionState::Running), held(1, ExecutionState::Running), held(2, ExecutionState::Failed)];
    let effects = manager.handle(Event::Register { registration, link: LinkId(1) }, Millis(0));
    assert_eq!(effects[0], Effect::Send { task_manager: tm("a"), order: Order::Registered });
    let cancel = Order::Cancel(vec![attempt(1, 0), attempt(1, 1)]);
    assert_eq!(effects[1], Effect::Send { task_manager: tm("a"), order: cancel });
    assert!(grants(&effects).is_empty());

    let ended = |subtask| Event::AttemptEnded { task_manager: tm("a"), link: LinkId(1), attempt: attempt(1, subtask) };
    assert!(grants(&manager.handle(ended(0), Millis(1))).is_empty());
    assert_eq!(places(&grants(&manager.handle(ended(1), Millis(2)))[0].1), [("a", 0)]);
}

#[test]
fn a_silent_task_manager_is_lost_and_its_link_is_broken() {
    let mut manager = manager();
    manager.handle(register("a", 1, 1), Millis(0));
    manager.handle(declare(1, 1), Millis(0));
    for now in (100..1000).step_by(100) {
        assert_eq!(manager.handle(Event::Tick, Millis(now)), []);
    }
    let effects = manager.handle(Event::Tick, Millis(1000));
    assert!(matches!(&effects[0], Effect::BreakLink { task_manager, .. } if *task_manager == tm("a")));
    assert!(matches!(&effects[1], Effect::TaskManagerLost { job: JobId(1), .. }));
    assert!(matches!(&effects[2], Effect::Shortage { job: JobId(1), missing: 1, .. }));
}

#[test]
fn a_heartbeat_is_answered_and_keeps_the_task_manager_registered() {
    let mut manager = manager();
    manager.handle(register("a", 1, 1), Millis(0));
    for now in (100..5000).step_by(100) {
        let beat = Event::Heartbeat { task_manager: tm("a"), link: LinkId(1) };
        let effects = manager.handle(beat, Millis(now));
        assert_eq!(effects, [Effect::Send { task_manager: tm("a"), order: Order::HeartbeatAck }]);
        assert_eq!(manager.handle(Event::Tick, Millis(now)), []);
    }
}

#[test]
fn mass_suspicion_is_raised_once_and_no_task_manager_is_lost_before_another_timeout() {
    let mut manager = manager();
    for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
        manager.handle(register(name, 1, index as u64 + 1), Millis(0));
    }
    for now in (100..1000).step_by(100) {
        manager.handle(Event::Tick, Millis(now));
    }
    assert_eq!(manager.handle(Event::Tick, Millis(1000)), [Effect::MassSuspicion { registered: 3 }]);
    assert!(manager.view(Millis(1000), 0).mass_suspicion);
    for now in (1100..2000).step_by(100) {
        assert_eq!(manager.handle(Event::Tick, Millis(now)), []);
        for (index, name) in ["a", "b"].into_iter().enumerate() {
            manager.handle(Event::Heartbeat { task_manager: tm(name), link: LinkId(index as u64 + 1) }, Millis(now));
        }
    }
    let effects = manager.handle(Event::Tick, Millis(2000));
    assert!(matches!(&effects[0], Effect::BreakLink { task_manager, .. } if *task_manager == tm("c")));
    assert_eq!(effects[1], Effect::SuspicionOver);
    assert_eq!(manager.view(Millis(2000), 0).task_managers.len(), 2);
}

#[test]
fn after_a_pause_of_this_process_no_task_manager_is_lost() {
    let mut manager = manager();
    manager.handle(register("a", 1, 1), Millis(0));
    assert_eq!(manager.handle(Event::Tick, Millis(60_000)), []);
    assert_eq!(manager.view(Millis(60_000), 0).task_managers.len(), 1);
}

#[test]
fn released_slots_and_slots_of_ended_jobs_are_granted_again() {
    let mut manager = manager();
    manager.handle(register("a", 2, 1), Millis(0));
    let first = grants(&manager.handle(declare(1, 2), Millis(0)));
    manager.handle(declare(2, 1), Millis(0));
    let wishes = Wishes { slots: Some(1), releases: BTreeSet::from([first[0].1[0].allocation]), ..Wishes::default() };
    let second = grants(&manager.handle(Event::Wished { job: JobId(1), wishes }, Millis(0)));
    assert_eq!((second[0].0, places(&second[0].1)), (JobId(2), vec![("a", 0)]));

    manager.handle(declare(3, 1), Millis(0));
    let third = grants(&manager.handle(Event::JobGone { job: JobId(1) }, Millis(0)));
    assert_eq!((third[0].0, places(&third[0].1)), (JobId(3), vec![("a", 1)]));
    assert_ne!(third[0].1[0].allocation, first[0].1[1].allocation, "S1: a grant is never used twice");
}

#[test]
fn the_same_events_give_the_same_effects() {
    let run = || {
        let mut manager = manager();
        let mut effects = Vec::new();
        for index in 0..7 {
            effects.extend(manager.handle(register(&format!("tm-{index}"), 3, index + 1), Millis(index)));
            effects.extend(manager.handle(declare(u128::from(index % 3), index as u32), Millis(index)));
        }
        effects
    };
    assert_eq!(run(), run());
}

#[test]
fn tasks_of_an_earlier_leadership_are_canceled_again_until_their_slots_are_free() {
    let mut manager = manager();
    let held = HeldAttempt { attempt: attempt(1, 0), state: ExecutionState::Running, slot: 0, allocation: AllocationId(8) };
    let registration = Registration { attempts: vec![held], ..registration("a", 2) };
    manager.handle(Event::Register { registration, link: LinkId(1) }, Millis(0));
    let mut reminders = |until: u64| -> Vec<u64> {
        let ticks = (100..until).step_by(100).filter(|now| {
            manager.handle(Event::Heartbeat { task_manager: tm("a"), link: LinkId(1) }, Millis(*now));
            let effects = manager.handle(Event::Tick, Millis(*now));
            let order = Effect::Send { task_manager: tm("a"), order: Order::Cancel(vec![attempt(1, 0)]) };
            assert_eq!(effects.contains(&order), !effects.is_empty());
            !effects.is_empty()
        });
        ticks.collect()
    };
    assert_eq!(reminders(70_000), [CLEARING_REMINDER_MS, 2 * CLEARING_REMINDER_MS]);
    manager.handle(Event::AttemptEnded { task_manager: tm("a"), link: LinkId(1), attempt: attempt(1, 0) }, Millis(70_000));
    let effects = manager.handle(Event::Tick, Millis(70_050 + 2 * CLEARING_REMINDER_MS));
    assert_eq!(effects, [], "the slot is free");
}
