//! Metrics of the caches that are probed. Their label `cache` is the prefix in `caches` of the rules file.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::{add, names};
use crate::engine::{CacheState, Transition, Verdict};

/// A timeout is 3 s by default.
const DURATION_BUCKETS_SECS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

#[derive(Debug)]
pub struct CacheMetrics {
    up: IntGaugeVec,
    state: IntGaugeVec,
    probes: IntCounterVec,
    duration: HistogramVec,
    transitions: IntCounterVec,
}

impl CacheMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let opts = |name: &str, help: &str| Opts::new(name, help);
        let gauges = |name, help, labels: &[&str]| add(registry, IntGaugeVec::new(opts(name, help), labels));
        let counters = |name, help, labels: &[&str]| add(registry, IntCounterVec::new(opts(name, help), labels));
        Ok(Self {
            up: gauges(
                names::CACHE_UP,
                "1 if rules name the cache, 0 if it is down, as this replica's probes found it.",
                &[names::CACHE],
            )?,
            state: gauges(
                "pullthrough_cache_state",
                "1 for the state of the cache, 0 for the other states; degraded means that it limits the rate of probes.",
                &[names::CACHE, "state"],
            )?,
            probes: counters(
                "pullthrough_cache_probes_total",
                "Probes of the cache, by result; only failure counts toward down, and only success toward up.",
                &[names::CACHE, "result"],
            )?,
            duration: add(
                registry,
                HistogramVec::new(
                    HistogramOpts::new(
                        "pullthrough_cache_probe_duration_seconds",
                        "Seconds from a probe's start to its answer, its failure or its timeout.",
                    )
                    .buckets(DURATION_BUCKETS_SECS.to_vec()),
                    &[names::CACHE],
                ),
            )?,
            transitions: counters(
                "pullthrough_cache_transitions_total",
                "Times that the cache went down or up again.",
                &[names::CACHE, "to"],
            )?,
        })
    }

    /// Creates the series of a cache.
    pub fn watch(&self, cache: &str, state: CacheState) {
        for verdict in Verdict::ALL {
            self.probes.with_label_values(&[cache, verdict.as_str()]);
        }
        for transition in Transition::ALL {
            self.transitions.with_label_values(&[cache, transition.as_str()]);
        }
        self.duration.with_label_values(&[cache]);
        self.state(cache, state);
    }

    /// Removes the series of a cache that is no longer probed.
    pub fn forget(&self, cache: &str) {
        // The only error is that there is no such series.
        for verdict in Verdict::ALL {
            let _ = self.probes.remove_label_values(&[cache, verdict.as_str()]);
        }
        for transition in Transition::ALL {
            let _ = self.transitions.remove_label_values(&[cache, transition.as_str()]);
        }
        for state in CacheState::ALL {
            let _ = self.state.remove_label_values(&[cache, state.as_str()]);
        }
        let _ = self.duration.remove_label_values(&[cache]);
        let _ = self.up.remove_label_values(&[cache]);
    }

    pub fn probed(&self, cache: &str, verdict: Verdict, duration: Duration) {
        self.probes.with_label_values(&[cache, verdict.as_str()]).inc();
        self.duration.with_label_values(&[cache]).observe(duration.as_secs_f64());
    }

    pub fn state(&self, cache: &str, state: CacheState) {
        for one in CacheState::ALL {
            self.state.with_label_values(&[cache, one.as_str()]).set(i64::from(one == state));
        }
        self.up.with_label_values(&[cache]).set(i64::from(state != CacheState::Down));
    }

    pub fn changed(&self, cache: &str, transition: Transition) {
        self.transitions.with_label_values(&[cache, transition.as_str()]).inc();
    }
}
