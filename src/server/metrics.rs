//! What Prometheus is told. Labels come from closed enums and from rule names, never from images,
//! Pods or namespaces, so the number of series is known from the rules file.

mod lost_lines;
pub mod names;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use self::lost_lines::LostLines;
use super::ledger::{Bounds, Usage};
use super::lines::Lost;
use crate::engine::{Decision, Reason, Summary};

/// The git revision this was built from, where the build said so.
pub const REVISION: &str = match option_env!("PULLTHROUGH_REVISION") {
    Some(revision) => revision,
    None => UNKNOWN_REVISION,
};

pub const UNKNOWN_REVISION: &str = "unknown";

/// An answer takes some 10 µs; the API server gives up after 10 s, and 1 s is already an incident.
const DURATION_BUCKETS_SECS: [f64; 16] =
    [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// A counter for real requests and one for dry runs.
#[derive(Debug, Clone)]
struct ByDryRun([IntCounter; 2]);

impl ByDryRun {
    fn new(family: &IntCounterVec, label: &str) -> ByDryRun {
        ByDryRun(["false", "true"].map(|dry_run| family.with_label_values(&[label, dry_run])))
    }

    fn add_one(&self, dry_run: bool) {
        self.0[usize::from(dry_run)].inc();
    }
}

/// The counters of one policy's rules, looked up once, not for each image.
#[derive(Debug)]
pub struct RuleCounters {
    hash: String,
    rewrites: HashMap<String, ByDryRun>,
}

/// What is reloaded while serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// The rules file.
    Rules,
    /// Serving certificate, key, and client CA.
    Certificate,
}

impl Reloaded {
    /// As the label `what` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reloaded::Rules => "rules",
            Reloaded::Certificate => "certificate",
        }
    }
}

/// What was given up because memory was full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// It was closed.
    Connection,
    /// It was answered 503.
    Request,
}

impl Shed {
    const ALL: [Shed; 2] = [Shed::Connection, Shed::Request];

    const fn as_str(self) -> &'static str {
        match self {
            Shed::Connection => "connection",
            Shed::Request => "request",
        }
    }
}

/// What runs beside the requests, for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Looks for changed files.
    Reload,
    /// Manages certificates in the cluster.
    Certificates,
}

impl Task {
    /// As the label `task` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Task::Reload => "reload",
            Task::Certificates => "certificates",
        }
    }
}

/// All metrics. Made once, and passed to whoever counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    rewrites: IntCounterVec,
    kept: Vec<(Reason, ByDryRun)>,
    requests: IntCounterVec,
    duration: Histogram,
    in_flight: IntGauge,
    connections: IntGauge,
    held: IntGaugeVec,
    may_be_held: IntGaugeVec,
    shed: IntCounterVec,
    handshake_errors: IntCounter,
    reloads: IntCounterVec,
    last_reload: IntGaugeVec,
    in_order: IntGaugeVec,
    task_panics: IntCounterVec,
    task_last_run: IntGaugeVec,
    rules_info: IntGaugeVec,
    not_after: IntGauge,
}

impl Metrics {
    /// Registers all metrics. It fails only on a defect, such as one name used twice.
    pub fn new(lost: Lost) -> prometheus::Result<Metrics> {
        let registry = Registry::new();
        registry.register(Box::new(LostLines::new(lost)?))?;
        let counters =
            |name: &str, help: &str, labels: &[&str]| add(&registry, IntCounterVec::new(Opts::new(name, help), labels));
        let gauges =
            |name: &str, help: &str, labels: &[&str]| add(&registry, IntGaugeVec::new(Opts::new(name, help), labels));
        let gauge = |name: &str, help: &str| add(&registry, IntGauge::new(name, help));

        let kept = counters(
            "pullthrough_images_kept_total",
            "Images left as they were, by the reason why.",
            &["reason", "dry_run"],
        )?;
        let requests = counters(
            "pullthrough_admission_requests_total",
            "Admission requests by what came of them. A rejected request got an HTTP error and no AdmissionReview.",
            &["resource", "operation", "outcome", "dry_run"],
        )?;
        requests.with_label_values(&REJECTED_LABELS);
        let reloads = counters(
            "pullthrough_reloads_total",
            "Changed files that were taken over (success) or refused, with the last good ones kept (failure).",
            &[names::WHAT, "result"],
        )?;
        for what in [Reloaded::Rules, Reloaded::Certificate] {
            for result in ["success", "failure"] {
                reloads.with_label_values(&[what.as_str(), result]);
            }
        }
        let shed = counters(
            "pullthrough_shed_total",
            "Connections closed and requests rejected because the memory for clients was full.",
            &["kind"],
        )?;
        for kind in Shed::ALL {
            shed.with_label_values(&[kind.as_str()]);
        }
        let task_panics = counters(
            "pullthrough_task_panics_total",
            "Panics (bugs) in background tasks, which go on after them.",
            &["task"],
        )?;
        for task in [Task::Reload, Task::Certificates] {
            task_panics.with_label_values(&[task.as_str()]);
        }
        let build_info =
            gauges(names::BUILD_INFO, "Always 1; the labels say what runs.", &[names::VERSION, names::REVISION])?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), REVISION]).set(1);
        // On systems without /proc there are no process metrics, and nothing else is missing.
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;

        Ok(Metrics {
            rewrites: counters(
                "pullthrough_image_rewrites_total",
                "Images sent to the cache, by the rule that did it.",
                &["rule", "dry_run"],
            )?,
            kept: Reason::ALL.iter().map(|&reason| (reason, ByDryRun::new(&kept, reason.as_str()))).collect(),
            requests,
            duration: add(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "pullthrough_admission_duration_seconds",
                        "Time from an admission request's header to its answer; the wait for its body is part of it.",
                    )
                    .buckets(DURATION_BUCKETS_SECS.to_vec()),
                ),
            )?,
            in_flight: gauge("pullthrough_admissions_in_flight", "Admission requests being answered now.")?,
            connections: gauge("pullthrough_connections", "Open connections to the admission endpoint.")?,
            held: gauges(
                "pullthrough_client_memory_bytes",
                "Memory charged to clients of the admission endpoint, by what holds it.",
                &["what"],
            )?,
            may_be_held: gauges(
                "pullthrough_client_memory_limit_bytes",
                "Memory that clients of the admission endpoint may hold, by what holds it.",
                &["what"],
            )?,
            shed,
            handshake_errors: add(
                &registry,
                IntCounter::new(
                    "pullthrough_tls_handshake_errors_total",
                    "TLS handshakes that failed or took too long, connections closed without one included.",
                ),
            )?,
            reloads,
            last_reload: gauges(
                names::LAST_RELOAD_SUCCESS,
                "When what is in use now was loaded, in seconds since 1970.",
                &[names::WHAT],
            )?,
            in_order: gauges(
                names::LAST_RELOAD_SUCCESSFUL,
                "Whether what is there now is in use (1), or was refused or can't be had (0).",
                &[names::WHAT],
            )?,
            task_panics,
            task_last_run: gauges(
                "pullthrough_task_last_run_timestamp_seconds",
                "End of a background task's last run without a panic, in seconds since 1970.",
                &["task"],
            )?,
            rules_info: gauges(
                names::RULES_INFO,
                "Always 1; the hash is the start of the SHA-256 of the rules in use.",
                &[names::HASH],
            )?,
            not_after: gauge(
                "pullthrough_certificate_not_after_timestamp_seconds",
                "When the serving certificate in use expires, in seconds since 1970.",
            )?,
            registry,
        })
    }

    /// Counts an admission that was answered.
    pub fn admission(&self, rules: &RuleCounters, summary: &Summary<'_>) {
        let Summary { resource, operation, dry_run, outcome, images, .. } = summary;
        let labels = [resource.as_str(), operation.as_str(), outcome.as_str(), if *dry_run { "true" } else { "false" }];
        self.requests.with_label_values(&labels).inc();
        for image in images {
            match &image.decision {
                Decision::Rewrite { rule, .. } => {
                    if let Some(counter) = rules.rewrites.get(&rule.name) {
                        counter.add_one(*dry_run);
                    }
                }
                kept => {
                    if let Some((_, counter)) = self.kept.iter().find(|(of, _)| Some(*of) == kept.reason()) {
                        counter.add_one(*dry_run);
                    }
                }
            }
        }
    }

    /// Counts a request that got an HTTP error.
    pub fn request_rejected(&self) {
        self.requests.with_label_values(&REJECTED_LABELS).inc();
    }

    /// Notes how long an admission took.
    pub fn duration(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
    }

    /// Counts a TLS handshake that came to nothing.
    pub fn handshake_failed(&self) {
        self.handshake_errors.inc();
    }

    /// Notes the rules in use, at start and at each reload, and forgets the series of rules that are gone.
    pub fn rules_loaded<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
        hash: String,
        before: Option<&RuleCounters>,
    ) -> RuleCounters {
        let rewrites: HashMap<_, _> =
            names.map(|name| (name.to_owned(), ByDryRun::new(&self.rewrites, name))).collect();
        if let Some(before) = before {
            let gone: HashSet<_> = before.rewrites.keys().filter(|name| !rewrites.contains_key(*name)).collect();
            for name in gone {
                for dry_run in ["false", "true"] {
                    // It can only be gone already.
                    let _ = self.rewrites.remove_label_values(&[name.as_str(), dry_run]);
                }
            }
            if before.hash != hash {
                let _ = self.rules_info.remove_label_values(&[before.hash.as_str()]);
            }
        }
        self.rules_info.with_label_values(&[hash.as_str()]).set(1);
        self.loaded(Reloaded::Rules);
        RuleCounters { hash, rewrites }
    }

    /// Notes the certificate in use, at start and at each reload.
    pub fn certificate_loaded(&self, not_after_secs: i64) {
        self.not_after.set(not_after_secs);
        self.loaded(Reloaded::Certificate);
    }

    /// Notes that what is there now is what is in use.
    pub fn in_order(&self, what: Reloaded) {
        self.in_order.with_label_values(&[what.as_str()]).set(1);
    }

    /// Notes that what is there now is still not in use.
    pub fn out_of_order(&self, what: Reloaded) {
        self.in_order.with_label_values(&[what.as_str()]).set(0);
    }

    /// Counts a reload.
    pub fn reload(&self, what: Reloaded, success: bool) {
        self.in_order.with_label_values(&[what.as_str()]).set(i64::from(success));
        let result = if success { "success" } else { "failure" };
        self.reloads.with_label_values(&[what.as_str(), result]).inc();
    }

    /// Counts what was given up because memory was full.
    pub fn shed(&self, kind: Shed) {
        self.shed.with_label_values(&[kind.as_str()]).inc();
    }

    /// Notes that a background task is alive.
    pub fn task_ran(&self, task: Task) {
        self.task_last_run.with_label_values(&[task.as_str()]).set(now_secs());
    }

    /// Counts a panic in a background task.
    pub fn task_panicked(&self, task: Task) {
        self.task_panics.with_label_values(&[task.as_str()]).inc();
    }

    /// Everything, in Prometheus' text format.
    pub fn text(&self, in_flight: usize, usage: Usage, bounds: Bounds) -> prometheus::Result<String> {
        let Usage { connections, connection_bytes, request_bytes } = usage;
        self.in_flight.set(in_flight as i64);
        self.connections.set(connections as i64);
        for (what, held, may_be_held) in [
            ("connections", connection_bytes, bounds.connection_bytes),
            ("requests", request_bytes, bounds.request_bytes),
        ] {
            self.held.with_label_values(&[what]).set(held as i64);
            self.may_be_held.with_label_values(&[what]).set(may_be_held as i64);
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    fn loaded(&self, what: Reloaded) {
        self.in_order(what);
        self.last_reload.with_label_values(&[what.as_str()]).set(now_secs());
    }
}

fn now_secs() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64
}

/// What can't be read has no resource, operation or dry run that could be told.
const REJECTED_LABELS: [&str; 4] = ["unknown", "unknown", "rejected_request", "false"];

fn add<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> prometheus::Result<C> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
