//! The webhook server: TCP → TLS → HTTP → [`admission`] → [`crate::engine::answer`].
//!
//! [`crate::serve`] replaces rules and certificate as whole values. Metrics are created in one place and passed on. There are
//! no statics.

pub mod admission;
pub mod body;
pub mod bounds;
pub mod client_names;
pub mod connection;
pub mod existence;
pub mod http;
pub mod ledger;
pub mod limits;
pub mod lines;
pub mod listen;
pub mod log;
pub mod memory;
pub mod metrics;
pub mod operators;
pub mod probes;
pub mod progress;
pub mod recreation;
pub mod rejection;
pub mod shutdown;
pub mod socket;
pub mod standing;
pub mod tls;
pub mod turns;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;

use admission::Admission;
use bounds::Bounds;
use connection::Endpoint;
use http::Service;
use ledger::Ledger;
use limits::Limits;
use metrics::Metrics;
use probes::{Probes, Rendered, SharedDistrust};
use shutdown::{Patience, Phase, Signals};
use tls::Identity;

use crate::certificate::clock::Clock;

/// The parts of a server.
#[derive(Debug)]
pub struct Server {
    /// Answers the requests.
    pub admission: Arc<Admission>,
    /// Certificate, key and accepted clients for TLS.
    pub identity: Arc<ArcSwap<Identity>>,
    /// The time for checks of the certificate.
    pub clock: Arc<Clock>,
    /// Set if the API server does not accept the certificate.
    pub distrust: SharedDistrust,
    pub metrics: Arc<Metrics>,
    /// Memory limits for clients.
    pub bounds: Bounds,
    /// Addresses for admission requests.
    pub listen: Vec<SocketAddr>,
    /// Addresses for probes and Prometheus, in plain HTTP.
    pub metrics_listen: Vec<SocketAddr>,
    /// Delay and timeout of the shutdown.
    pub patience: Patience,
}

/// The bound addresses, with the ports that the system chose.
#[derive(Debug)]
pub struct Bound {
    /// For admission requests.
    pub listen: Vec<SocketAddr>,
    /// For probes and Prometheus.
    pub metrics_listen: Vec<SocketAddr>,
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is in use, or not an address of this machine.
    #[error(transparent)]
    Listen(#[from] listen::ListenError),
    /// A system call failed.
    #[error("can't start serving: {0}")]
    System(#[from] io::Error),
}

impl Server {
    /// Serves until a signal ends it. Calls `started` once connections are accepted.
    pub async fn run(self, started: impl FnOnce(&Bound)) -> Result<(), StartError> {
        let Server { admission, identity, clock, distrust, metrics, bounds, listen, metrics_listen, patience } = self;
        let signals = Signals::new()?;
        let (phase_sender, phase) = watch::channel(Phase::Serving);

        let limits = admission.limits().clone();
        let ledger = Ledger::new(bounds, Arc::clone(&metrics));
        let endpoint = Endpoint::new(
            Service::Admission(Arc::clone(&admission)),
            Some(Arc::clone(&identity)),
            limits.clone(),
            Arc::clone(&ledger),
            Arc::clone(&metrics),
            phase.clone(),
        );
        let probes = Probes {
            admission: Arc::clone(&admission),
            identity,
            clock,
            distrust,
            ledger: Arc::clone(&ledger),
            metrics: Arc::clone(&metrics),
            phase: phase.clone(),
            rendered: Rendered::default(),
        };
        let probes_limits = Limits { idle: limits.header, ..limits };
        let probes_ledger = Ledger::new(limits::PROBES, Arc::clone(&metrics));
        let probes_endpoint =
            Endpoint::new(Service::probes(Arc::new(probes)), None, probes_limits, probes_ledger, metrics, phase);

        let listeners = listen::bind(&listen)?;
        // The kubelet's probes must be answered while the other runtime is busy.
        let probes_runtime = ProbesRuntime::start()?;
        let probe_listeners = {
            let _inside = probes_runtime.handle().enter();
            listen::bind(&metrics_listen)?
        };
        let addresses = |listeners: &[tokio::net::TcpListener]| {
            listeners.iter().map(tokio::net::TcpListener::local_addr).collect::<io::Result<Vec<_>>>()
        };
        let bound = Bound { listen: addresses(&listeners)?, metrics_listen: addresses(&probe_listeners)? };
        for listener in listeners {
            tokio::spawn(listen::accept(listener, Arc::clone(&endpoint), Phase::Draining));
        }
        // Probes are answered until the end.
        for listener in probe_listeners {
            probes_runtime.handle().spawn(listen::accept(listener, Arc::clone(&probes_endpoint), Phase::Closing));
        }
        started(&bound);
        shutdown::run(signals, phase_sender, || admission.in_flight(), || ledger.usage().connections, patience).await;
        Ok(())
    }
}

/// One thread for probes and metrics.
struct ProbesRuntime(Option<Runtime>);

impl ProbesRuntime {
    fn start() -> io::Result<ProbesRuntime> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("probes").enable_all().build().map(Some).map(ProbesRuntime)
    }

    fn handle(&self) -> &Handle {
        #[expect(clippy::expect_used, reason = "it is taken on drop alone")]
        self.0.as_ref().expect("a runtime").handle()
    }
}

impl Drop for ProbesRuntime {
    fn drop(&mut self) {
        // Waiting for its end would block the other runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
