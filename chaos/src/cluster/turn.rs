//! Clusters take turns: a machine carries as many at a time as it has processors, across all its test programs and runs.

use std::fs::File;
use std::thread::{available_parallelism, sleep};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

/// Between two looks whether a place is free.
const PACE: Duration = Duration::from_millis(50);

/// A place for a cluster, until this is dropped or the process ends.
#[derive(Debug)]
pub struct Turn {
    _place: Flock<File>,
}

/// Waits for a place.
pub fn take_turn() -> Turn {
    let places = available_parallelism().map_or(1, usize::from);
    loop {
        let free = (0..places).find_map(|place| lock(&format!("weir-cluster-{place}"), FlockArg::LockExclusiveNonblock));
        if let Some(place) = free {
            return Turn { _place: place };
        }
        sleep(PACE);
    }
}

/// Whoever holds this is alone on the machine in making a network.
pub(super) fn alone_with_networks() -> Option<Flock<File>> {
    lock("weir-networks", FlockArg::LockExclusive)
}

fn lock(name: &str, how: FlockArg) -> Option<Flock<File>> {
    let path = std::env::temp_dir().join(format!("{name}.lock"));
    let file = File::options().create(true).append(true).open(path).expect("the lock file");
    Flock::lock(file, how).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_had_by_one_at_a_time() {
        let name = format!("weir-turn-test-{}", std::process::id());
        let first = lock(&name, FlockArg::LockExclusiveNonblock);
        assert!(first.is_some() && lock(&name, FlockArg::LockExclusiveNonblock).is_none());
        drop(first);
        assert!(lock(&name, FlockArg::LockExclusiveNonblock).is_some());
        std::fs::remove_file(std::env::temp_dir().join(name + ".lock")).expect("it is there");
    }
}
