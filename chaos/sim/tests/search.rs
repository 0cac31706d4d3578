//! Every order of events within bounds, against the pure cores. Deeper: `weir-sim search --deeper N`.

use weir_sim::search::search_core;

fn keeps_its_promises(core: &str, at_least: u64) {
    let searched = search_core(core, 0).unwrap_or_else(|broken| panic!("{broken}"));
    println!("{core}: {searched:?}");
    assert!(searched.states > at_least, "{searched:?}");
}

#[test]
fn the_barrier_aligner_keeps_its_promises_in_every_order_of_events() {
    keeps_its_promises("barrier-aligner", 1_000);
}

#[test]
fn the_checkpoint_coordinator_keeps_its_promises_in_every_order_of_events() {
    keeps_its_promises("checkpoint-coordinator", 10_000);
}

#[test]
fn the_dispatcher_keeps_its_promises_in_every_order_of_events() {
    keeps_its_promises("dispatcher", 10_000);
}

#[test]
fn the_job_master_keeps_its_promises_in_every_order_of_events() {
    keeps_its_promises("job-master", 10_000);
}

#[test]
fn the_resource_manager_keeps_its_promises_in_every_order_of_events() {
    keeps_its_promises("resource-manager", 10_000);
}

#[test]
fn the_task_executor_keeps_its_promises_in_every_order_of_events() {
    keeps_its_promises("task-executor", 10_000);
}
