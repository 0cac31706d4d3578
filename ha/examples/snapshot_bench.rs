//! Measures how long a copy of the coordination store takes, which a snapshot needs while raft waits, and how fast commits are
//! applied to the store.
//!
//! `snapshot_bench [KEYS...]`

#![allow(clippy::print_stdout, reason = "an example prints as a small program would")]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use weir_ha::fenced_store::{Applied, Command, FencedStore, MAX_OPERATIONS};
use weir_ha::{Candidate, Expect, Operation};

const VALUE_BYTES: usize = 256;
const COPIES: u32 = 20;

fn put(key: usize) -> Operation {
    Operation::Put { key: format!("jobs/{key:032x}/graph"), value: Bytes::from(vec![1; VALUE_BYTES]), expect: Expect::Any }
}

fn measure(keys: usize) -> Result<(), Box<dyn Error>> {
    let mut store = FencedStore::default();
    let candidate = Candidate { name: "jm-1".into(), rpc_address: String::new(), rest_address: String::new() };
    store.apply(&Command::Acquire { candidate }, 1);
    let commit = |store: &mut FencedStore, operations| {
        let command = Command::Commit { epoch: store.epoch(), operations };
        match store.apply(&command, 0).0 {
            Applied::Committed { .. } => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    let started = Instant::now();
    for first in (0..keys).step_by(MAX_OPERATIONS) {
        commit(&mut store, (first..keys.min(first + MAX_OPERATIONS)).map(put).collect())?;
    }
    let put_ns = started.elapsed().as_nanos() / keys.max(1) as u128;
    let started = Instant::now();
    let copies: Vec<_> = (0..COPIES).map(|_| black_box(store.clone())).collect();
    let copy = started.elapsed() / COPIES;
    drop(copies);
    println!("| {keys:>7} | {put_ns:>6} ns | {copy:>10.2?} |");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<Vec<usize>, _>>()?;
    let sizes = if arguments.is_empty() { vec![1_000, 10_000, 200_000] } else { arguments };
    println!("a store with values of {VALUE_BYTES} bytes");
    println!("|    keys |  a new key |  one copy  |");
    println!("|--------:|-----------:|-----------:|");
    sizes.into_iter().try_for_each(measure)
}
