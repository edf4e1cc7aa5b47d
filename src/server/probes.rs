//! State for the kubelet's probes and for Prometheus.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::body::Bytes;
use tokio::sync::watch;

use super::admission::Admission;
use super::ledger::Ledger;
use super::metrics::Metrics;
use super::shutdown::Phase;
use super::tls::Identity;
use crate::certificate::clock::Clock;
use crate::certificate::trust::Distrust;

/// Why the API server does not accept the serving certificate, if known.
pub type SharedDistrust = Arc<ArcSwapOption<String>>;

/// The state of the server that probes and metrics report.
#[derive(Debug)]
pub struct Probes {
    /// Knows the admissions in progress.
    pub admission: Arc<Admission>,
    /// The serving certificate, whose validity is checked.
    pub identity: Arc<ArcSwap<Identity>>,
    /// The time for that check.
    pub clock: Arc<Clock>,
    pub distrust: SharedDistrust,
    /// The memory that clients of the admission endpoint hold.
    pub ledger: Arc<Ledger>,
    pub metrics: Arc<Metrics>,
    pub phase: watch::Receiver<Phase>,
    pub rendered: Rendered,
}

/// The last rendered metrics, and when they were rendered.
pub type Rendered = Mutex<Option<(Instant, Bytes)>>;

/// Prometheus scrapes a few times a minute. More frequent requests get the last rendered metrics.
const RENDERED_FOR: Duration = Duration::from_secs(1);

/// Why the server is not ready for new requests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// SIGTERM was received.
    #[error("shutting down")]
    ShuttingDown,
    /// The webhook configuration's `caBundle` does not verify it.
    #[error("the API server does not accept the serving certificate: {0}")]
    Untrusted(Arc<String>),
    /// It is not valid at the time of the [`Clock`], whatever clients trust.
    #[error("the serving certificate is not valid: {0}; {fix}", fix = .0.fix())]
    Unusable(#[from] Distrust),
}

impl Probes {
    /// Checks whether the server is ready for new requests.
    pub fn ready(&self) -> Result<(), NotReady> {
        if *self.phase.borrow() != Phase::Serving {
            return Err(NotReady::ShuttingDown);
        }
        if let Some(why) = self.distrust.load_full() {
            return Err(NotReady::Untrusted(why));
        }
        Ok(self.identity.load().check(self.clock.now())?)
    }

    /// Returns all metrics in Prometheus' text format, rendered at most once a second.
    pub fn metrics(&self) -> prometheus::Result<Bytes> {
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, text)) = &*rendered
            && at.elapsed() < RENDERED_FOR
        {
            return Ok(text.clone());
        }
        let admission = &self.admission;
        let (usage, bounds) = (self.ledger.usage(), self.ledger.bounds());
        let text = Bytes::from(self.metrics.text(admission.in_flight(), admission.recreate_loops(), usage, bounds)?);
        *rendered = Some((Instant::now(), text.clone()));
        Ok(text)
    }
}
