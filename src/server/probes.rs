//! What the kubelet and Prometheus ask.

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
use crate::certificate::trust::Distrust as Fault;

/// Why clients would not accept the serving certificate, where that is known.
pub type Distrust = Arc<ArcSwapOption<String>>;

/// The server's state, as seen from outside.
#[derive(Debug)]
pub struct Probes {
    /// For the admissions in flight.
    pub admission: Arc<Admission>,
    /// For its validity.
    pub identity: Arc<ArcSwap<Identity>>,
    /// By which its validity is told.
    pub clock: Arc<Clock>,
    pub distrust: Distrust,
    /// What the admission endpoint's clients hold.
    pub ledger: Arc<Ledger>,
    pub metrics: Arc<Metrics>,
    pub phase: watch::Receiver<Phase>,
    pub rendered: Rendered,
}

/// The metrics as they were last written, and when.
pub type Rendered = Mutex<Option<(Instant, Bytes)>>;

/// Prometheus reads some times a minute. Whoever reads more often gets what was written last.
const RENDERED_FOR: Duration = Duration::from_secs(1);

/// Why no new requests should be sent here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// SIGTERM has come.
    #[error("shutting down")]
    ShuttingDown,
    /// The webhook configuration asks for another.
    #[error("the API server does not accept the serving certificate: {0}")]
    Untrusted(Arc<String>),
    /// By itself, and by the [`Clock`].
    #[error("the serving certificate can't be used: {0}; {fix}", fix = .0.fix())]
    Unusable(#[from] Fault),
}

impl Probes {
    /// Whether new requests should be sent here.
    pub fn ready(&self) -> Result<(), NotReady> {
        if *self.phase.borrow() != Phase::Serving {
            return Err(NotReady::ShuttingDown);
        }
        if let Some(why) = self.distrust.load_full() {
            return Err(NotReady::Untrusted(why));
        }
        Ok(self.identity.load().check(self.clock.now())?)
    }

    /// All metrics, in Prometheus' text format; written at most once a second.
    pub fn metrics(&self) -> prometheus::Result<Bytes> {
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, text)) = &*rendered
            && at.elapsed() < RENDERED_FOR
        {
            return Ok(text.clone());
        }
        let text =
            Bytes::from(self.metrics.text(self.admission.in_flight(), self.ledger.usage(), self.ledger.bounds())?);
        *rendered = Some((Instant::now(), text.clone()));
        Ok(text)
    }
}
