//! The durations of the rules file: their defaults and bounds.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A duration with a default.
pub(super) struct Bounded {
    pub default: Duration,
    pub range: RangeInclusive<Duration>,
}

pub(super) const INTERVAL: Bounded =
    Bounded { default: Duration::from_secs(10), range: Duration::from_secs(1)..=Duration::from_secs(3600) };
pub(super) const TIMEOUT: Bounded =
    Bounded { default: Duration::from_secs(3), range: Duration::from_millis(100)..=Duration::from_secs(60) };
/// Each Pod may wait for it. The exported configuration of the webhook has a timeout of 3 s.
pub(super) const DEADLINE: Bounded =
    Bounded { default: Duration::from_millis(500), range: Duration::from_millis(10)..=Duration::from_secs(2) };
