//! How long work takes that grows.

use std::fs;
use std::time::{Duration, Instant};

/// What this thread computes for it, so that other tests on the machine make no difference. Elsewhere than on Linux, the time.
///
/// The kernel counts in steps of some milliseconds, so the work is done often enough.
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

/// Eight times as much may take up to twenty times as long; quadratic work takes 64 times as long.
pub fn assert_linear(what: &str, work: impl Fn(usize), few: usize) {
    let (short, long) = (computed(|| work(few)), computed(|| work(8 * few)));
    assert!(long < short * 20, "{what}: {short:?} for {few}, {long:?} for {}", 8 * few);
}
