//! The clock with which certificates are issued and checked.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;

/// This machine's clock, corrected by the API server's if the two differ. The API server checks the serving certificate.
#[derive(Debug, Default)]
pub struct Clock {
    ahead_secs: AtomicI64,
}

/// The precision of a `Date` header, which has whole seconds and arrives with delay.
const IMPRECISION_SECS: u64 = 5;

impl Clock {
    /// Returns the current time.
    pub fn now(&self) -> SystemTime {
        let ahead_secs = self.ahead_secs.load(Ordering::Relaxed);
        let by = Duration::from_secs(ahead_secs.unsigned_abs());
        let own = SystemTime::now();
        // A correction that is out of range is ignored.
        let corrected = if ahead_secs > 0 { own.checked_sub(by) } else { own.checked_add(by) };
        corrected.unwrap_or(own)
    }

    /// Sets the current time of the other clock. Returns by how many seconds this machine's clock is ahead of it, if that
    /// changed.
    pub fn set(&self, time: SystemTime) -> Option<i64> {
        let ahead_secs = match SystemTime::now().duration_since(time) {
            Ok(ahead) => i64::try_from(ahead.as_secs()).unwrap_or(i64::MAX),
            Err(behind) => -i64::try_from(behind.duration().as_secs()).unwrap_or(i64::MAX),
        };
        let known = self.ahead_secs.load(Ordering::Relaxed);
        if ahead_secs.abs_diff(known) <= IMPRECISION_SECS {
            return None;
        }
        self.ahead_secs.store(ahead_secs, Ordering::Relaxed);
        Some(ahead_secs)
    }
}

/// Formats a time in seconds since 1970 as Kubernetes does.
pub fn text(secs: i64) -> String {
    Timestamp::from_second(secs).unwrap_or(Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_differs_is_used() {
        const DAY: Duration = Duration::from_secs(86_400);
        let differs = |clock: &Clock, by: Duration, later: bool| {
            let now = SystemTime::now();
            let expected = if later { now + by } else { now - by };
            let clock = clock.now();
            let distance = clock.duration_since(expected).unwrap_or_else(|error| error.duration());
            assert!(distance < Duration::from_secs(2), "{clock:?} is not {expected:?}");
        };
        let clock = Clock::default();
        assert_eq!(clock.set(SystemTime::now() - Duration::from_secs(3)), None);
        differs(&clock, Duration::ZERO, true);
        assert_eq!(clock.set(SystemTime::now() - DAY), Some(86_400));
        differs(&clock, DAY, false);
        assert_eq!(clock.set(SystemTime::now() - DAY), None);
        let ahead = clock.set(SystemTime::now() + DAY).unwrap();
        assert!((-86_400..=-86_399).contains(&ahead), "{ahead}");
        differs(&clock, DAY, true);
        assert!(clock.set(SystemTime::now()).is_some());
        differs(&clock, Duration::ZERO, true);
    }
}
