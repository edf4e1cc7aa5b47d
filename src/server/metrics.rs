//! The metrics. Label values are closed enums and rule names, never images, Pods or namespaces: the rules file bounds the
//! number of series.

mod by_dry_run;
mod caches;
mod labels;
mod lost_lines;
pub mod names;
mod operators;
mod requests;
mod rules;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use self::by_dry_run::ByDryRun;
pub use self::caches::CacheMetrics;
pub use self::labels::{Looked, Reloaded, Shed, Task};
use self::lost_lines::LostLines;
use self::operators::OperatorMetrics;
pub use self::operators::RecreateLoops;
use self::requests::Requests;
pub use self::rules::RuleCounters;
use self::rules::RuleMetrics;
use super::bounds::{Bounds, Usage};
use super::lines::Lost;
use crate::engine::{Reason, Rule, Summary};

/// The git revision of the build, from the variable `PULLTHROUGH_REVISION`.
pub const REVISION: &str = match option_env!("PULLTHROUGH_REVISION") {
    Some(revision) => revision,
    None => UNKNOWN_REVISION,
};

pub const UNKNOWN_REVISION: &str = "unknown";

/// An answer takes some 10 µs. The API server's timeout is 10 s by default, and 1 s is an incident.
const DURATION_BUCKETS_SECS: [f64; 16] =
    [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// All metrics. Created once, and passed on.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    not_rewritten: Vec<(Reason, ByDryRun)>,
    requests: Requests,
    duration: Histogram,
    in_flight: IntGauge,
    connections: IntGauge,
    held: IntGaugeVec,
    limits: IntGaugeVec,
    shed: IntCounterVec,
    handshake_errors: IntCounter,
    reloads: IntCounterVec,
    last_reload: IntGaugeVec,
    last_reload_successful: IntGaugeVec,
    task_panics: IntCounterVec,
    task_last_run: IntGaugeVec,
    not_after: IntGauge,
    caches: CacheMetrics,
    rules: RuleMetrics,
    operators: OperatorMetrics,
    looked_up: IntCounterVec,
}

impl Metrics {
    /// Registers all metrics.
    ///
    /// # Errors
    ///
    /// Fails only by a bug, such as a duplicate name.
    pub fn new(lost: Lost) -> prometheus::Result<Metrics> {
        let registry = Registry::new();
        registry.register(Box::new(LostLines::new(lost)?))?;
        let counters =
            |name: &str, help: &str, labels: &[&str]| add(&registry, IntCounterVec::new(Opts::new(name, help), labels));
        let gauges =
            |name: &str, help: &str, labels: &[&str]| add(&registry, IntGaugeVec::new(Opts::new(name, help), labels));
        let gauge = |name: &str, help: &str| add(&registry, IntGauge::new(name, help));

        let not_rewritten = counters(
            "pullthrough_images_not_rewritten_total",
            "Images that were not rewritten, by reason.",
            &["reason", "dry_run"],
        )?;
        let requests = counters(
            "pullthrough_admission_requests_total",
            "Admission requests, by outcome; rejected_request is an HTTP error without an AdmissionReview.",
            &Requests::LABELS,
        )?;
        let reloads = counters(
            "pullthrough_reloads_total",
            "Reloads of changed files, by result; after a failure the last valid files stay loaded.",
            &[names::WHAT, "result"],
        )?;
        for what in [Reloaded::Rules, Reloaded::Certificate] {
            for result in ["success", "failure"] {
                reloads.with_label_values(&[what.as_str(), result]);
            }
        }
        let shed = counters(
            "pullthrough_shed_total",
            "Connections closed and requests rejected because the memory for clients was full, by kind.",
            &["kind"],
        )?;
        for kind in Shed::ALL {
            shed.with_label_values(&[kind.as_str()]);
        }
        let looked_up = counters(
            "pullthrough_existence_checks_total",
            "Look-ups of images in caches for checkExists, by result; only missing keeps a rule from rewriting.",
            &["result"],
        )?;
        for looked in Looked::ALL {
            looked_up.with_label_values(&[looked.as_str()]);
        }
        let task_panics = counters(
            "pullthrough_task_panics_total",
            "Panics (bugs) of background tasks, which continue afterwards, by task.",
            &["task"],
        )?;
        for task in [Task::Reload, Task::Certificates, Task::Probes] {
            task_panics.with_label_values(&[task.as_str()]);
        }
        let build_info = gauges(
            names::BUILD_INFO,
            "Version and git revision of the running program, always 1.",
            &[names::VERSION, names::REVISION],
        )?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), REVISION]).set(1);
        // Process metrics need /proc.
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;

        Ok(Metrics {
            not_rewritten: Reason::ALL
                .iter()
                .map(|&reason| (reason, ByDryRun::new(&not_rewritten, &[reason.as_str()])))
                .collect(),
            requests: Requests::new(requests),
            duration: add(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "pullthrough_admission_duration_seconds",
                        "Seconds from an admission request's header to its answer, including the wait for its body.",
                    )
                    .buckets(DURATION_BUCKETS_SECS.to_vec()),
                ),
            )?,
            in_flight: gauge("pullthrough_admissions_in_flight", "Admission requests in progress.")?,
            connections: gauge("pullthrough_connections", "Open connections to the admission endpoint.")?,
            held: gauges(
                "pullthrough_client_memory_bytes",
                "Bytes of memory charged to clients of the admission endpoint, by what holds them.",
                &["what"],
            )?,
            limits: gauges(
                "pullthrough_client_memory_limit_bytes",
                "Limit in bytes of the memory for clients of the admission endpoint, by what holds them.",
                &["what"],
            )?,
            shed,
            handshake_errors: add(
                &registry,
                IntCounter::new(
                    "pullthrough_tls_handshake_errors_total",
                    "TLS handshakes that failed or timed out, and connections closed before one.",
                ),
            )?,
            reloads,
            last_reload: gauges(
                names::LAST_RELOAD_SUCCESS,
                "Unix time of the last successful load, in seconds.",
                &[names::WHAT],
            )?,
            last_reload_successful: gauges(
                names::LAST_RELOAD_SUCCESSFUL,
                "1 if the last reload succeeded, 0 if it failed.",
                &[names::WHAT],
            )?,
            task_panics,
            task_last_run: gauges(
                "pullthrough_task_last_run_timestamp_seconds",
                "Unix time of the end of a background task's last run without a panic, in seconds.",
                &["task"],
            )?,
            not_after: gauge(
                "pullthrough_certificate_not_after_timestamp_seconds",
                "Unix time of the serving certificate's expiry, in seconds.",
            )?,
            caches: CacheMetrics::new(&registry)?,
            rules: RuleMetrics::new(&registry)?,
            operators: OperatorMetrics::new(&registry)?,
            looked_up,
            registry,
        })
    }

    /// Returns the metrics of caches that are probed.
    pub fn caches(&self) -> &CacheMetrics {
        &self.caches
    }

    /// Counts an answered admission and its images.
    pub fn admission(&self, rules: &RuleCounters, summary: &Summary<'_>) {
        let Summary { dry_run, images, warned, .. } = summary;
        self.requests.answered(summary);
        rules.warned(warned, *dry_run);
        for image in images {
            rules.decided(&image.decision, *dry_run);
            let reason = image.decision.reason();
            if let Some((_, counter)) = self.not_rewritten.iter().find(|(of, _)| Some(*of) == reason) {
                counter.add(*dry_run, 1);
            }
        }
    }

    /// Counts a new Pod of a known operator.
    pub fn operator_pod(&self, operator: &str, is_rewritten: bool, dry_run: bool) {
        self.operators.pod(operator, is_rewritten, dry_run);
    }

    /// Counts a Pod or a namespace that is no longer watched for recreate loops.
    pub fn recreation_evicted(&self) {
        self.operators.evicted();
    }

    /// Counts a request that was rejected with an HTTP error.
    pub fn request_rejected(&self) {
        self.requests.rejected();
    }

    /// Records the duration of an admission.
    pub fn duration(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
    }

    /// Counts a failed TLS handshake.
    pub fn handshake_failed(&self) {
        self.handshake_errors.inc();
    }

    /// Records loaded rules, at start and at each reload, and removes the series of rules that no longer exist.
    pub fn rules_loaded(&self, rules: &[Rule], hash: String, before: Option<&RuleCounters>) -> RuleCounters {
        let counters = self.rules.loaded(rules, hash, before);
        self.loaded(Reloaded::Rules);
        counters
    }

    /// Records the loaded certificate, at start and at each reload.
    pub fn certificate_loaded(&self, not_after_secs: i64) {
        self.not_after.set(not_after_secs);
        self.loaded(Reloaded::Certificate);
    }

    /// Records that the files match what is loaded.
    pub fn files_match(&self, what: Reloaded) {
        self.last_reload_successful.with_label_values(&[what.as_str()]).set(1);
    }

    /// Records that the files still can't be loaded.
    pub fn files_still_invalid(&self, what: Reloaded) {
        self.last_reload_successful.with_label_values(&[what.as_str()]).set(0);
    }

    /// Counts a reload.
    pub fn reload(&self, what: Reloaded, success: bool) {
        self.last_reload_successful.with_label_values(&[what.as_str()]).set(i64::from(success));
        let result = if success { "success" } else { "failure" };
        self.reloads.with_label_values(&[what.as_str(), result]).inc();
    }

    /// Counts a connection or request that was given up because memory was full.
    pub fn shed(&self, kind: Shed) {
        self.shed.with_label_values(&[kind.as_str()]).inc();
    }

    /// Counts a look-up of an image in its cache.
    pub fn looked_up(&self, looked: Looked) {
        self.looked_up.with_label_values(&[looked.as_str()]).inc();
    }

    /// Records a background task's run.
    pub fn task_ran(&self, task: Task) {
        self.task_last_run.with_label_values(&[task.as_str()]).set(now_secs());
    }

    /// Counts a panic in a background task.
    pub fn task_panicked(&self, task: Task) {
        self.task_panics.with_label_values(&[task.as_str()]).inc();
    }

    /// Returns all metrics in Prometheus' text format.
    pub fn text(
        &self,
        in_flight: usize,
        loops: RecreateLoops,
        usage: Usage,
        bounds: Bounds,
    ) -> prometheus::Result<String> {
        self.operators.set(loops);
        let Usage { connections, connection_bytes, request_bytes } = usage;
        self.in_flight.set(in_flight as i64);
        self.connections.set(connections as i64);
        for (what, held, limit) in [
            ("connections", connection_bytes, bounds.connection_bytes),
            ("requests", request_bytes, bounds.request_bytes),
        ] {
            self.held.with_label_values(&[what]).set(held as i64);
            self.limits.with_label_values(&[what]).set(limit as i64);
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    fn loaded(&self, what: Reloaded) {
        self.files_match(what);
        self.last_reload.with_label_values(&[what.as_str()]).set(now_secs());
    }
}

fn now_secs() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> prometheus::Result<C> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
