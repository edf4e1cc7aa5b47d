//! From the answers to probes of a cache to its state. Pure: times and random numbers are passed in.

use std::time::Duration;

use super::facts::CacheState;

/// Failures in a row that make a cache down. One lost packet must not change routing.
const FAILURES_UNTIL_DOWN: u32 = 3;
/// Successes in a row that a cache needs to be up again.
const SUCCESSES_UNTIL_UP: u32 = 5;
/// The least time for which a cache is down, so that a flapping cache changes routing rarely.
const LEAST_TIME_DOWN: Duration = Duration::from_secs(60);
/// The longest wait of the back-off while a cache is down.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);
/// The part of a wait by which it varies, so that replicas do not probe at the same time.
const JITTER: f64 = 0.2;

/// What a probe asked for. Redirects are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// `/v2/`, the base of the distribution API, without credentials.
    Base,
    /// The canary, with the credentials that the registry asks for.
    Canary,
}

/// The outcome of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// The last answer. `has_challenge` says whether it has a `WWW-Authenticate` header.
    Answer { of: Probed, status: u16, has_challenge: bool },
    /// No answer: a timeout, an unknown host, a refused or broken connection, or a TLS failure.
    NoAnswer,
}

macro_rules! verdicts {
    ($($(#[doc = $doc:literal])+ $verdict:ident, $name:literal;)+) => {
        /// What the outcome of a probe means.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Verdict { $($(#[doc = $doc])+ $verdict),+ }

        impl Verdict {
            pub const ALL: &[Self] = &[$(Self::$verdict),+];

            /// Returns its stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$verdict => $name),+ }
            }
        }
    };
}

verdicts! {
    /// The cache serves.
    Success, "success";
    /// It is down, or unreachable.
    Failure, "failure";
    /// It limits the rate of requests.
    RateLimited, "rate_limited";
    /// It rejects the credentials. To a client with valid ones it may serve.
    WrongCredentials, "wrong_credentials";
    /// It rejects the request: the canary is gone, the path is wrong, or a token has expired.
    Misconfigured, "misconfigured";
}

impl Verdict {
    /// Returns what the outcome of a probe means.
    pub fn of(probe: Probe) -> Self {
        let Probe::Answer { of, status, has_challenge } = probe else { return Self::Failure };
        match status {
            200..=299 => Self::Success,
            // A registry that asks for credentials serves. For the canary they were sent.
            401 if has_challenge && of == Probed::Base => Self::Success,
            401 | 403 => Self::WrongCredentials,
            429 => Self::RateLimited,
            500..=599 => Self::Failure,
            _ => Self::Misconfigured,
        }
    }
}

/// A change of routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    Down,
    Up,
}

impl Transition {
    pub const ALL: [Self; 2] = [Self::Down, Self::Up];

    /// Returns its stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
        }
    }
}

/// The state of one cache, from the probes of one replica. It is up until probes show otherwise.
#[derive(Debug, Clone)]
pub struct Health {
    interval: Duration,
    state: CacheState,
    /// Failures in a row.
    failures: u32,
    /// Successes in a row.
    successes: u32,
    /// The time since which it is down.
    down_since: Duration,
}

impl Health {
    /// Returns the health of a cache that was not probed yet. `interval` is the wait between two probes while it is up.
    pub fn new(interval: Duration) -> Self {
        Self { interval, state: CacheState::Up, failures: 0, successes: 0, down_since: Duration::ZERO }
    }

    pub fn state(&self) -> CacheState {
        self.state
    }

    /// Records what a probe found, and returns whether that changes routing. `now` is the time since any fixed start that
    /// does not change, and never goes back.
    ///
    /// A verdict that is neither success nor failure changes no routing, and ends both rows.
    pub fn record(&mut self, verdict: Verdict, now: Duration) -> Option<Transition> {
        (self.successes, self.failures) = match verdict {
            Verdict::Success => (self.successes.saturating_add(1), 0),
            Verdict::Failure => (0, self.failures.saturating_add(1)),
            Verdict::RateLimited | Verdict::WrongCredentials | Verdict::Misconfigured => (0, 0),
        };
        if self.state == CacheState::Down {
            let is_up = self.successes >= SUCCESSES_UNTIL_UP && now.saturating_sub(self.down_since) >= LEAST_TIME_DOWN;
            if !is_up {
                return None;
            }
            self.state = CacheState::Up;
            return Some(Transition::Up);
        }
        match verdict {
            Verdict::Failure if self.failures >= FAILURES_UNTIL_DOWN => {
                self.state = CacheState::Down;
                self.down_since = now;
                return Some(Transition::Down);
            }
            // It answered nothing about its rate limit.
            Verdict::Failure => {}
            Verdict::RateLimited => self.state = CacheState::Degraded,
            Verdict::Success | Verdict::WrongCredentials | Verdict::Misconfigured => self.state = CacheState::Up,
        }
        None
    }

    /// Returns the wait until the next probe. `jitter` is a random number from -1 to 1, for ±20 % of the wait.
    ///
    /// While the cache is down and probes fail, the wait doubles up to 30 s. An interval above that does not change.
    pub fn wait(&self, jitter: f64) -> Duration {
        let fails = self.state == CacheState::Down && self.failures > 0;
        let doublings = if fails { self.failures.saturating_sub(FAILURES_UNTIL_DOWN) } else { 0 };
        let backed_off = self.interval.saturating_mul(2_u32.saturating_pow(doublings));
        let wait = backed_off.min(LONGEST_BACK_OFF).max(self.interval);
        let jitter = if jitter.is_nan() { 0.0 } else { jitter.clamp(-1.0, 1.0) };
        Duration::try_from_secs_f64(wait.as_secs_f64() * (1.0 + JITTER * jitter)).unwrap_or(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    /// Probes at each of the waits without jitter, one letter for each: `s`uccess, `f`ailure, `r`ate-limited, wrong
    /// `c`redentials, `m`isconfigured. Returns the state after each, and the last wait in seconds.
    fn states(probes: &str) -> (String, u64) {
        let mut health = Health::new(INTERVAL);
        let mut now = Duration::ZERO;
        let letters = probes.chars().map(|probe| {
            let verdict = match probe {
                's' => Verdict::Success,
                'f' => Verdict::Failure,
                'r' => Verdict::RateLimited,
                'c' => Verdict::WrongCredentials,
                'm' => Verdict::Misconfigured,
                other => panic!("{other}"),
            };
            let before = health.state();
            let transition = health.record(verdict, now);
            let after = health.state();
            let expected = match (before, after) {
                (CacheState::Down, CacheState::Down) => None,
                (CacheState::Down, _) => Some(Transition::Up),
                (_, CacheState::Down) => Some(Transition::Down),
                _ => None,
            };
            assert_eq!(transition, expected, "{probes} at {now:?}");
            now += health.wait(0.0);
            match after {
                CacheState::Up => 'U',
                CacheState::Degraded => 'L',
                CacheState::Down => 'D',
            }
        });
        (letters.collect(), health.wait(0.0).as_secs())
    }

    #[test]
    fn probes_change_the_state_by_rows() {
        for (probes, expected, wait_secs) in [
            ("s", "U", 10),
            ("ff", "UU", 10),
            ("fff", "UUD", 10),
            ("ffsff", "UUUUU", 10),
            ("ffsfff", "UUUUUD", 10),
            // A rate limit is shown and changes no routing; it ends a row.
            ("rs", "LU", 10),
            ("rrrrr", "LLLLL", 10),
            ("rfff", "LLLD", 10),
            ("ffrff", "UULLL", 10),
            ("ffcff", "UUUUU", 10),
            ("ffmff", "UUUUU", 10),
            ("ccccc", "UUUUU", 10),
            ("mmmmm", "UUUUU", 10),
            ("rc", "LU", 10),
            // The back-off, and its end at the first success.
            ("ffff", "UUDD", 20),
            ("fffff", "UUDDD", 30),
            ("fffffff", "UUDDDDD", 30),
            ("fffffs", "UUDDDD", 10),
            ("fffffsf", "UUDDDDD", 10),
            // Five in a row are at 50 s, when it was down for less than 60 s; the next one is at 60 s.
            ("fffsssss", "UUDDDDDD", 10),
            ("fffssssss", "UUDDDDDDU", 10),
            ("fffffsssss", "UUDDDDDDDU", 10),
            ("fffffssssfsssss", "UUDDDDDDDDDDDDU", 10),
            ("fffffssssrsssss", "UUDDDDDDDDDDDDU", 10),
            ("fffffssssccccccccc", "UUDDDDDDDDDDDDDDDD", 10),
        ] {
            assert_eq!(states(probes), (expected.to_owned(), wait_secs), "{probes}");
        }
    }

    #[test]
    fn answers_are_judged_by_their_status() {
        let base = |status, has_challenge| Probe::Answer { of: Probed::Base, status, has_challenge };
        let canary = |status, has_challenge| Probe::Answer { of: Probed::Canary, status, has_challenge };
        for (probe, expected) in [
            (base(200, false), Verdict::Success),
            (base(204, false), Verdict::Success),
            (base(401, true), Verdict::Success),
            (base(401, false), Verdict::WrongCredentials),
            (base(403, false), Verdict::WrongCredentials),
            (base(403, true), Verdict::WrongCredentials),
            (base(400, false), Verdict::Misconfigured),
            (base(404, false), Verdict::Misconfigured),
            (base(302, false), Verdict::Misconfigured),
            (base(429, false), Verdict::RateLimited),
            (base(500, false), Verdict::Failure),
            (base(503, true), Verdict::Failure),
            (canary(200, false), Verdict::Success),
            (canary(401, true), Verdict::WrongCredentials),
            (canary(404, false), Verdict::Misconfigured),
            (canary(429, true), Verdict::RateLimited),
            (canary(502, false), Verdict::Failure),
            (Probe::NoAnswer, Verdict::Failure),
        ] {
            assert_eq!(Verdict::of(probe), expected, "{probe:?}");
        }
    }

    #[test]
    fn waits_vary_by_a_fifth_and_have_bounds() {
        let mut health = Health::new(INTERVAL);
        for (jitter, secs) in [(0.0, 10.0), (1.0, 12.0), (-1.0, 8.0), (0.5, 11.0), (9.0, 12.0), (f64::NAN, 10.0)] {
            assert!((health.wait(jitter).as_secs_f64() - secs).abs() < 1e-6, "{jitter}");
        }
        for _ in 0..100 {
            health.record(Verdict::Failure, Duration::ZERO);
        }
        assert_eq!(health.wait(0.0), LONGEST_BACK_OFF);
        let mut slow = Health::new(Duration::from_secs(60));
        for _ in 0..9 {
            slow.record(Verdict::Failure, Duration::ZERO);
        }
        assert_eq!(slow.wait(0.0), Duration::from_secs(60));
    }
}
