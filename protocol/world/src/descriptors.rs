//! File descriptors of this process. Connections, files and logs share them.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::simulation;

/// No process gets more than this many, because some systems allow a number that no table should have.
const MOST: u64 = 1 << 20;
/// A port keeps at least this many connections, and at most [`MOST_OF_A_PORT`].
const LEAST_OF_A_PORT: u64 = 16;
const MOST_OF_A_PORT: u64 = 8_192;

/// Raises the limit of this process's file descriptors as far as the system allows without privileges. Returns the new limit.
pub fn raise_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.min(MOST).max(soft);
    if wanted > soft {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    }
    Ok(wanted)
}

/// The number of connections of a port that may use one part in `part` of the descriptors. What all ports leave is for files
/// and for connections to others: raft must be able to write its log and to reach its group however many clients there are.
pub(crate) fn share(part: u64) -> usize {
    if simulation::current().is_some() {
        return MOST_OF_A_PORT as usize;
    }
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, _)| soft);
    (limit / part.max(1)).clamp(LEAST_OF_A_PORT, MOST_OF_A_PORT) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_only_rises_and_the_ports_leave_descriptors_to_others() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let raised = raise_limit().unwrap();
        assert!(raised >= soft && raised <= hard.max(soft));
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0, raised);
        assert!(share(4) >= LEAST_OF_A_PORT as usize && share(4) <= MOST_OF_A_PORT as usize);
        assert!(share(1) >= share(4));
    }
}
