//! Clusters take turns. A machine runs as many clusters at a time as it has processors, across all its test programs and runs.

use std::fs::File;
use std::thread::{available_parallelism, sleep};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

/// Pause between two attempts to get a place.
const PACE: Duration = Duration::from_millis(50);

/// A place for a cluster. It is occupied until this is dropped or the process ends.
#[derive(Debug)]
pub struct Turn {
    _place: Flock<File>,
}

/// Waits for a free place.
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

/// Waits for the lock that lets only one process on this machine make a network at a time.
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
    fn a_place_has_one_holder_at_a_time() {
        let name = format!("weir-turn-test-{}", std::process::id());
        let first = lock(&name, FlockArg::LockExclusiveNonblock);
        assert!(first.is_some() && lock(&name, FlockArg::LockExclusiveNonblock).is_none());
        drop(first);
        assert!(lock(&name, FlockArg::LockExclusiveNonblock).is_some());
        std::fs::remove_file(std::env::temp_dir().join(name + ".lock")).expect("the lock file exists");
    }
}
