//! The webhook server: TCP → TLS → HTTP → [`admission`] → [`crate::engine::answer`].
//!
//! Rules and certificate come in from the side, as two values that are swapped whole
//! ([`reload`]); metrics are made in one place and passed on. There are no statics.

pub mod admission;
pub mod body;
pub mod client_names;
pub mod connection;
pub mod http;
pub mod ledger;
pub mod limits;
pub mod lines;
pub mod listen;
pub mod log;
pub mod memory;
pub mod metrics;
pub mod probes;
pub mod progress;
pub mod reload;
pub mod shutdown;
pub mod socket;
pub mod tls;
pub mod turns;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;

use admission::Admission;
use connection::Endpoint;
use ledger::{Bounds, Ledger};
use limits::Limits;
use metrics::Metrics;
use probes::{Distrust, Probes, Rendered};
use shutdown::{Patience, Phase, Signals};
use tls::Identity;

use crate::certificate::clock::Clock;

/// What a server is made of.
#[derive(Debug)]
pub struct Server {
    /// Answers the requests.
    pub admission: Arc<Admission>,
    /// What TLS is done with.
    pub identity: Arc<ArcSwap<Identity>>,
    /// By which its validity is told.
    pub clock: Arc<Clock>,
    /// Set where somebody finds out that clients do not accept it.
    pub distrust: Distrust,
    pub metrics: Arc<Metrics>,
    /// What clients may hold.
    pub bounds: Bounds,
    /// Where admission requests come in.
    pub listen: Vec<SocketAddr>,
    /// Where probes and Prometheus come in, in plain HTTP.
    pub metrics_listen: Vec<SocketAddr>,
    /// The ways to the end.
    pub patience: Patience,
}

/// The addresses that were bound, with the ports the system chose.
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
    /// An address is taken, or none of ours.
    #[error(transparent)]
    Listen(#[from] listen::ListenError),
    /// The system said no.
    #[error("can't start serving: {0}")]
    System(#[from] io::Error),
}

impl Server {
    /// Serves until a signal ends it; `started` is called once connections are accepted.
    pub async fn run(self, started: impl FnOnce(&Bound)) -> Result<(), StartError> {
        let Server { admission, identity, clock, distrust, metrics, bounds, listen, metrics_listen, patience } = self;
        let signals = Signals::new()?;
        let (phase_sender, phase) = watch::channel(Phase::Serving);

        let limits = admission.limits().clone();
        let ledger = Ledger::new(bounds, Arc::clone(&metrics));
        let endpoint = Endpoint::new(
            http::router(Arc::clone(&admission)),
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
            Endpoint::new(http::probes_router(Arc::new(probes)), None, probes_limits, probes_ledger, metrics, phase);

        let listeners = listen::bind(&listen)?;
        // The kubelet must be answered whatever goes on elsewhere.
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
        // Whoever asks how the end is going gets an answer until it is there.
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
        // Waiting for its end is not possible in the other runtime, and not needed.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
