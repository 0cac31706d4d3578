//! Planning needs a deep stack: it descends into nested queries and long expressions.

use std::panic;

use crate::script::SqlError;

/// Stack of the thread that plans, in bytes. Only what is used of it takes memory.
const STACK_BYTES: usize = 64 << 20;

/// Does the work on a thread with a large stack, and waits for it. Error: `SQL-THREAD` if no thread could be started.
pub fn run<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, SqlError> {
    std::thread::scope(|scope| {
        let started = std::thread::Builder::new().name("plan".to_owned()).stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let thread =
            started.map_err(|error| SqlError::new("SQL-THREAD", format!("the thread that plans can't be started: {error}")))?;
        match thread.join() {
            Ok(done) => Ok(done),
            Err(panicked) => panic::resume_unwind(panicked),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_has_far_more_stack_than_a_thread_usually_has() {
        fn deep(levels: u64) -> u64 {
            let filler = std::hint::black_box([levels; 128]);
            if levels == 0 { 0 } else { deep(levels - 1) + filler[0] - levels + 1 }
        }
        assert_eq!(run(|| deep(20_000)), Ok(20_000));
    }
}
