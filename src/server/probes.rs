//! What the kubelet and Prometheus ask.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use super::admission::Admission;
use super::limits::Budget;
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
    /// The admission endpoint's connections.
    pub connections: Arc<Budget>,
    pub metrics: Arc<Metrics>,
    pub phase: watch::Receiver<Phase>,
}

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

    /// All metrics, in Prometheus' text format.
    pub fn metrics(&self) -> prometheus::Result<String> {
        self.metrics.text(self.admission.in_flight(), self.connections.used())
    }
}
