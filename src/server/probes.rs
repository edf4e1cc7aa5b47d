//! What the kubelet and Prometheus ask.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::admission::Admission;
use super::limits::Budget;
use super::metrics::Metrics;
use super::shutdown::Phase;
use super::tls::{Identity, Validity};

/// The server's state, as seen from outside.
#[derive(Debug)]
pub struct Probes {
    /// For the admissions in flight.
    pub admission: Arc<Admission>,
    /// For its validity.
    pub identity: Arc<ArcSwap<Identity>>,
    /// The admission endpoint's connections.
    pub connections: Arc<Budget>,
    pub metrics: Arc<Metrics>,
    pub phase: watch::Receiver<Phase>,
}

/// Why no new requests should be sent here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// SIGTERM has come.
    #[error("shutting down")]
    ShuttingDown,
    /// By this machine's clock.
    #[error("the serving certificate has expired")]
    Expired,
    /// By this machine's clock.
    #[error("the serving certificate is not valid yet")]
    NotYetValid,
}

impl Probes {
    /// Whether new requests should be sent here.
    pub fn ready(&self) -> Result<(), NotReady> {
        if *self.phase.borrow() != Phase::Serving {
            return Err(NotReady::ShuttingDown);
        }
        match self.identity.load().validity(SystemTime::now()) {
            Validity::Valid => Ok(()),
            Validity::Expired => Err(NotReady::Expired),
            Validity::NotYet => Err(NotReady::NotYetValid),
        }
    }

    /// All metrics, in Prometheus' text format.
    pub fn metrics(&self) -> prometheus::Result<String> {
        self.metrics.text(self.admission.in_flight(), self.connections.used())
    }
}
