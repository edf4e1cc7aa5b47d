//! Connects the server with rules, certificates and the cluster: reloads and renewals.

pub mod caches;
pub mod certificate;
pub mod existence;
pub mod managed;
pub mod memory;
pub mod reload;
pub mod rules_file;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;

use self::caches::{MakeClient, Watcher};
use self::certificate::{Certificate, Files, Pair};
use self::existence::LookUps;
use self::managed::Managed;
use self::rules_file::RulesFile;
use crate::certificate::ca::Made;
use crate::certificate::clock::Clock;
use crate::engine::{self, AnswerOptions};
use crate::files;
use crate::server::admission::{Admission, NamedPolicy};
use crate::server::limits::Limits;
use crate::server::metrics::Metrics;
use crate::server::probes::SharedDistrust;
use crate::server::shutdown::Patience;
use crate::server::{Bound, Server};

/// Settings of `serve`: rules, certificate, limits and addresses.
#[derive(Debug)]
pub struct Setup {
    /// The rules at start.
    pub rules: NamedPolicy,
    /// Their file, if its changes are to be loaded.
    pub rules_file: Option<RulesFile>,
    pub certificate: Files,
    /// Makes clients for probes of caches.
    pub make_client: Arc<dyn MakeClient>,
    /// The file to write the CA of a generated certificate to.
    pub write_ca: Option<PathBuf>,
    /// `None`: the certificate is not managed in the cluster.
    pub managed: Option<managed::ManageOptions>,
    /// Whether people get warnings about rewritten and observed images.
    pub warnings: bool,
    /// The number of replicas that share the requests.
    pub replicas: NonZeroUsize,
    pub limits: Limits,
    /// `None`: the container's limit.
    pub memory_limit_bytes: Option<u64>,
    /// Interval of looks at the files.
    pub reload_interval: Duration,
    pub listen: Vec<SocketAddr>,
    pub metrics_listen: Vec<SocketAddr>,
    pub patience: Patience,
}

/// A server whose files are watched, and which does not listen yet.
#[derive(Debug)]
pub struct Service {
    /// The certificate that was generated in memory, if no file has one.
    pub made: Option<Made>,
    server: Server,
    certificate: Arc<Certificate>,
    managed: Option<managed::ManageOptions>,
    watcher: Watcher,
}

impl Setup {
    /// Loads the certificate, and starts watching the files until the process ends.
    ///
    /// # Errors
    ///
    /// Fails if a file is not valid, the memory limit is too low, or the system can't start threads.
    pub fn start(self, metrics: Arc<Metrics>) -> anyhow::Result<Service> {
        let Self {
            rules,
            rules_file,
            certificate: files,
            make_client,
            write_ca,
            managed,
            warnings,
            replicas,
            limits,
            memory_limit_bytes,
            reload_interval,
            listen,
            metrics_listen,
            patience,
        } = self;
        rules_file::log_effect(&rules.policy);
        let (caches_sender, caches) = watch::channel(rules.policy.settings().caches.as_slice().into());
        let bounds = memory::bounds(memory_limit_bytes, limits.body_bytes)?;
        let look_ups = LookUps::new(Arc::clone(&make_client), caches.clone(), Arc::clone(&metrics));
        let options = AnswerOptions { warnings };
        let admission =
            Admission::new(engine::answer, rules, options, limits, Arc::clone(&metrics), Arc::new(look_ups), replicas)
                .context("can't start threads")?;

        let clock = Arc::new(Clock::default());
        let made = files.pair.is_none().then(|| certificate::in_memory(&listen)).transpose()?;
        if let (Some(path), Some(made)) = (&write_ca, &made) {
            // A new start generates another.
            files::write_for_now(path, &made.ca)?;
        }
        let pair = made.as_ref().map(|made| Pair {
            place: "memory",
            certificate: made.certificate.clone(),
            key: made.key.clone(),
        });
        let admits_all = files.client_ca.is_some() && files.client_names.is_empty();
        let certificate = Certificate::new(files, pair, Arc::clone(&clock), Arc::clone(&metrics))?;
        if admits_all {
            tracing::warn!(
                "--client-ca accepts every client certificate of the CA; set --client-name to the API servers' name"
            );
        }

        let watch_rules = rules_file.map(|file| file.watch(Arc::clone(&admission), caches_sender));
        let watch_certificate = Arc::clone(&certificate).watch();
        let watches = watch_rules.into_iter().chain(watch_certificate).collect();
        reload::start(watches, reload_interval, Arc::clone(&metrics)).context("can't start watching files")?;

        let watcher = Watcher { admission: Arc::clone(&admission), metrics: Arc::clone(&metrics), make_client, caches };
        let server = Server {
            admission,
            identity: Arc::clone(certificate.identity()),
            clock,
            distrust: SharedDistrust::default(),
            metrics,
            bounds,
            listen,
            metrics_listen,
            patience,
        };
        Ok(Service { made, server, certificate, managed, watcher })
    }
}

impl Service {
    /// Serves until a signal ends it. Calls `started` once connections are accepted. If certificates are managed, `cluster` finds
    /// the cluster.
    ///
    /// # Errors
    ///
    /// Fails if an address is in use, or the cluster is not found.
    pub fn run(
        self,
        cluster: impl AsyncFnOnce() -> anyhow::Result<kube::Config>,
        started: impl FnOnce(&Bound),
    ) -> anyhow::Result<()> {
        let Self { made: _, server, certificate, managed, watcher } = self;
        let managed = managed.map(|options| Managed {
            options,
            certificate,
            clock: Arc::clone(&server.clock),
            distrust: Arc::clone(&server.distrust),
            metrics: Arc::clone(&server.metrics),
        });
        let runtime = runtime()?;
        let served = runtime.block_on(async {
            if let Some(managed) = managed {
                managed.start(cluster().await?).await?;
            }
            tokio::spawn(watcher.run());
            Ok(server.run(started).await?)
        });
        // Otherwise the end would wait for blocking calls, such as DNS queries.
        runtime.shutdown_background();
        served
    }
}

/// Polls of tasks between two looks at the sockets. With tokio's 61, a new request waits for all of them if many clients are
/// busy.
const EVENT_INTERVAL: u32 = 8;

/// Creates the runtime. With one processor it has one thread: handing work between threads costs more than it gains.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = match processors {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().event_interval(EVENT_INTERVAL).build().context("can't start the runtime")
}
