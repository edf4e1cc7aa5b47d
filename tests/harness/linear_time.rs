//! How the time of a computation grows with its input.

use std::fs;
use std::time::{Duration, Instant};

/// Returns the CPU time of this thread, which other tests do not change. Outside of Linux, returns the elapsed time.
///
/// The kernel counts in steps of some milliseconds, so the work is repeated.
pub fn computed(work: impl Fn()) -> Duration {
    const ENOUGH: Duration = Duration::from_millis(60);

    let of_thread = || {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
    };
    let (before, started) = (of_thread(), Instant::now());
    let mut times = 0;
    loop {
        work();
        times += 1;
        let computed = match (before, of_thread()) {
            (Some(before), Some(now)) => now - before,
            _ => started.elapsed(),
        };
        if computed >= ENOUGH {
            return computed / times;
        }
    }
}

/// Asserts that eight times the input takes less than twenty times the time. Quadratic work would take 64 times the time.
pub fn assert_linear(what: &str, work: impl Fn(usize), few: usize) {
    let (short, long) = (computed(|| work(few)), computed(|| work(8 * few)));
    assert!(long < short * 20, "{what}: {short:?} for {few}, {long:?} for {}", 8 * few);
}
