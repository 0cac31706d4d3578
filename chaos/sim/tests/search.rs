//! Tries every order of events, within bounds, against the pure cores. `weir-sim search --deeper N` searches deeper.

#![allow(clippy::print_stdout, reason = "a test harness captures only what the macro prints")]

use weir_sim::search::search_core;

fn keeps_its_invariants(core: &str, at_least: u64) {
    let searched = search_core(core, 0).unwrap_or_else(|broken| panic!("{broken}"));
    println!("{core}: {searched:?}");
    assert!(searched.states > at_least, "{searched:?}");
}

#[test]
fn the_barrier_aligner_keeps_its_invariants_in_every_order_of_events() {
    keeps_its_invariants("barrier-aligner", 1_000);
}

#[test]
fn the_checkpoint_coordinator_keeps_its_invariants_in_every_order_of_events() {
    keeps_its_invariants("checkpoint-coordinator", 10_000);
}

#[test]
fn the_dispatcher_keeps_its_invariants_in_every_order_of_events() {
    keeps_its_invariants("dispatcher", 10_000);
}

#[test]
fn the_job_master_keeps_its_invariants_in_every_order_of_events() {
    keeps_its_invariants("job-master", 10_000);
}

#[test]
fn the_resource_manager_keeps_its_invariants_in_every_order_of_events() {
    keeps_its_invariants("resource-manager", 10_000);
}

#[test]
fn the_task_executor_keeps_its_invariants_in_every_order_of_events() {
    keeps_its_invariants("task-executor", 10_000);
}
