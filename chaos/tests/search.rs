//! Every order of events within bounds, against the pure cores. Deeper: `weir-sim search --depth N`.

use weir_chaos::search::search_core;

fn keeps_its_promises(core: &str) {
    let searched = search_core(core, None).unwrap_or_else(|broken| panic!("{broken}"));
    println!("{core}: {} transitions, {} states", searched.transitions, searched.states);
    assert!(searched.states > 10_000, "{searched:?}");
}

#[test]
fn the_checkpoint_coordinator_keeps_its_promises_in_every_order_of_events() {
    keeps_its_promises("checkpoint-coordinator");
}

#[test]
fn the_dispatcher_keeps_its_promises_in_every_order_of_events() {
    keeps_its_promises("dispatcher");
}

#[test]
fn the_resource_manager_keeps_its_promises_in_every_order_of_events() {
    keeps_its_promises("resource-manager");
}
