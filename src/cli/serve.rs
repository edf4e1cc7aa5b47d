//! `pullthrough serve`: from arguments to a running server.

pub mod deployed;
mod managed;
mod next_steps;
mod probing;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::{FalseyValueParser, NonEmptyStringValueParser};
use rustls::pki_types::ServerName;

use self::managed::ManageArgs;
use self::probing::ProbingArgs;
use super::duration::DurationArg;
use super::rules::RulesArgs;
use super::{address, output};
use crate::serve::certificate::Files;
use crate::serve::rules_file::{self, RulesFile};
use crate::serve::{Setup, managed as management};
use crate::server::Bound;
use crate::server::limits::{self, Limits};
use crate::server::lines::Writing;
use crate::server::log;
use crate::server::metrics::Metrics;
use crate::server::shutdown::Patience;

/// Run the admission webhook
///
/// It answers admission requests of the API server at POST /mutate, over TLS. Without a certificate, it runs on a
/// workstation: it creates one in memory, listens on localhost, and prints how to try and register it. In a cluster, set
/// --rules, and either --manage-certificates or --tls-cert and --tls-key. Changed files are loaded while it runs.
///
/// SIGTERM starts draining: /readyz fails at once, requests are served for --drain-delay, and then open requests are finished.
/// SIGINT does the same without the delay. Logs go to standard error, at --log-level; --quiet does not change them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit codes:
  0  stopped by a signal
  2  wrong usage, invalid rules, or it can't start

Examples:
  $ pullthrough serve --cache cache.example.com/k8s
  $ pullthrough serve --rules rules.yaml --tls-cert tls.crt --tls-key tls.key \\
      --listen '[::]:8443'")]
pub struct Args {
    #[command(flatten)]
    rules: RulesArgs,

    /// Addresses to listen on for admission requests, over TLS; repeat it or separate by commas
    ///
    /// IPv4 or IPv6. [::]:8443 listens on both, unless an IPv4 address with the same port is listed too. With port 0, the system
    /// chooses a port, and the log has it.
    #[arg(
        long,
        value_name = "IP:PORT",
        env = "PULLTHROUGH_LISTEN",
        default_value = "127.0.0.1:8443",
        value_delimiter = ',',
        value_parser = address::parse
    )]
    listen: Vec<SocketAddr>,

    /// Addresses for /metrics, /livez and /readyz, in plain HTTP; repeat it or separate by commas
    #[arg(
        long,
        value_name = "IP:PORT",
        env = "PULLTHROUGH_METRICS_LISTEN",
        default_value = "127.0.0.1:8080",
        value_delimiter = ',',
        value_parser = address::parse
    )]
    metrics_listen: Vec<SocketAddr>,

    /// Don't return warnings, which kubectl shows, about images of Pods and workloads
    #[arg(long, env = "PULLTHROUGH_NO_WARNINGS", value_parser = FalseyValueParser::new())]
    no_warnings: bool,

    /// The number of replicas that share the requests, for the threshold of recreate loops
    ///
    /// A workload loops if its Pods are rewritten and recreated 5 times in 10 minutes. Each replica counts for itself, so it
    /// divides the threshold by this number; it is at least 2.
    #[arg(long, value_name = "N", env = "PULLTHROUGH_REPLICAS", default_value_t = NonZeroUsize::MIN)]
    replicas: NonZeroUsize,

    /// How often to check rules and certificates for changes
    #[arg(
        long,
        value_name = "DURATION",
        env = "PULLTHROUGH_RELOAD_INTERVAL",
        default_value_t = DurationArg::from_secs(1),
        value_parser = DurationArg::within(DurationArg::from_millis(1)..=DAY)
    )]
    reload_interval: DurationArg,

    /// The serving certificate, followed by its issuers (PEM); loaded again when it changes
    #[arg(long, value_name = "FILE", env = "PULLTHROUGH_TLS_CERT", requires = "tls_key", help_heading = "TLS")]
    tls_cert: Option<PathBuf>,

    /// The private key of the serving certificate (PEM): RSA or ECDSA, as PKCS#8, PKCS#1 or SEC1
    #[arg(long, value_name = "FILE", env = "PULLTHROUGH_TLS_KEY", requires = "tls_cert", help_heading = "TLS")]
    tls_key: Option<PathBuf>,

    /// A name by which API servers call the webhook, which --tls-cert must have; repeat it or separate by commas
    ///
    /// SERVICE.NAMESPACE.svc, or the host of the URL. A certificate without the name is not loaded.
    #[arg(
        long,
        value_name = "NAME",
        env = "PULLTHROUGH_TLS_NAME",
        requires = "tls_cert",
        value_delimiter = ',',
        value_parser = parse_server_name,
        help_heading = "TLS"
    )]
    tls_name: Vec<ServerName<'static>>,

    /// Accept only clients with a certificate of a CA in this file (PEM)
    ///
    /// The API server presents the certificate that its --admission-control-config-file names for the webhook. Without
    /// --client-name, every certificate of the CA is accepted; the CA of a cluster signs one for each kubelet.
    #[arg(long, value_name = "FILE", env = "PULLTHROUGH_CLIENT_CA", help_heading = "TLS")]
    client_ca: Option<PathBuf>,

    /// A name that client certificates must have; repeat it or separate by commas to accept several
    ///
    /// It is compared byte by byte with the common name, and with the DNS names, e-mail addresses and URIs of the
    /// subjectAltName.
    #[arg(
        long,
        value_name = "NAME",
        env = "PULLTHROUGH_CLIENT_NAME",
        requires = "client_ca",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "TLS"
    )]
    client_name: Vec<String>,

    /// Write the CA that is created in memory to this file, for caBundle in the webhook configuration
    #[arg(long, value_name = "FILE", env = "PULLTHROUGH_WRITE_CA", conflicts_with_all = ["tls_cert", "tls_key", "tls_name"], help_heading = "TLS")]
    write_ca: Option<PathBuf>,

    // The heading of a flattened part applies to the options after it. So only options with a heading of their own follow.
    #[command(flatten)]
    managed: ManageArgs,

    #[command(flatten)]
    probing: ProbingArgs,

    /// The format of log lines
    #[arg(long, env = "PULLTHROUGH_LOG_FORMAT", default_value = "text", help_heading = "Logs")]
    log_format: log::LogFormat,

    /// The lowest level to log
    #[arg(long, env = "PULLTHROUGH_LOG_LEVEL", default_value = "info", help_heading = "Logs")]
    log_level: log::Level,

    #[command(flatten)]
    ending: EndingArgs,

    #[command(flatten)]
    limits: LimitArgs,
}

/// The options of the shutdown.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Shutdown")]
struct EndingArgs {
    /// How long to serve after SIGTERM, until Services no longer have the endpoint
    #[arg(long, value_name = "DURATION", env = "PULLTHROUGH_DRAIN_DELAY", default_value_t = DurationArg::from_secs(5), value_parser = at_most_a_day())]
    drain_delay: DurationArg,

    /// How long open requests may take after the delay, until the process ends
    ///
    /// Together with the delay, it must be less than the Pod's terminationGracePeriodSeconds (30).
    #[arg(long, value_name = "DURATION", env = "PULLTHROUGH_SHUTDOWN_TIMEOUT", default_value_t = DurationArg::from_secs(15), value_parser = at_most_a_day())]
    shutdown_timeout: DurationArg,
}

fn parse_server_name(text: &str) -> Result<ServerName<'static>, String> {
    let name = ServerName::try_from(text.to_owned());
    name.map_err(|_| "write a DNS name such as SERVICE.NAMESPACE.svc, or an IP address".to_owned())
}

/// The longest timeout. A longer one is meant as none, which is not supported.
const DAY: DurationArg = DurationArg::from_secs(86_400);

fn at_most_a_day() -> impl Fn(&str) -> Result<DurationArg, String> + Clone + Send + Sync + 'static {
    DurationArg::within(DurationArg::from_secs(0)..=DAY)
}

/// The options of [`Limits`].
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// The most bytes of a request's body; a larger one is rejected with 413
    ///
    /// The API server stores Pods of up to 1.5 MiB. Their JSON can have six times as many bytes, and an update has two Pods.
    #[arg(long, value_name = "BYTES", env = "PULLTHROUGH_MAX_BODY_BYTES", default_value_t = limits::BODY_BYTES)]
    max_body_bytes: usize,

    /// The memory of the process, in bytes, for which connections, requests and responses are limited
    ///
    /// Default: the memory limit of the container, or 256 MiB without one. If the memory is full, connections and requests of the
    /// clients that hold the most are closed.
    #[arg(long, value_name = "BYTES", env = "PULLTHROUGH_MEMORY_LIMIT_BYTES")]
    memory_limit_bytes: Option<u64>,

    /// Timeout of a TLS handshake
    #[arg(long, value_name = "DURATION", env = "PULLTHROUGH_HANDSHAKE_TIMEOUT", default_value_t = DurationArg::from_secs(limits::HANDSHAKE_SECS), value_parser = at_most_a_day())]
    handshake_timeout: DurationArg,

    /// Timeout of a request's header, from its first byte
    #[arg(long, value_name = "DURATION", env = "PULLTHROUGH_HEADER_TIMEOUT", default_value_t = DurationArg::from_secs(limits::HEADER_SECS), value_parser = at_most_a_day())]
    header_timeout: DurationArg,

    /// Timeout of a request's body; a later one is rejected with 408
    #[arg(long, value_name = "DURATION", env = "PULLTHROUGH_BODY_TIMEOUT", default_value_t = DurationArg::from_secs(limits::BODY_SECS), value_parser = at_most_a_day())]
    body_timeout: DurationArg,

    /// Timeout of sending a response to a client
    #[arg(long, value_name = "DURATION", env = "PULLTHROUGH_WRITE_TIMEOUT", default_value_t = DurationArg::from_secs(limits::WRITE_SECS), value_parser = at_most_a_day())]
    write_timeout: DurationArg,

    /// How long a connection may be idle. Keep it above the 90s of the API server: a request on a closed connection fails
    #[arg(long, value_name = "DURATION", env = "PULLTHROUGH_IDLE_TIMEOUT", default_value_t = DurationArg::from_secs(limits::IDLE_SECS), value_parser = at_most_a_day())]
    idle_timeout: DurationArg,
}

impl From<&LimitArgs> for Limits {
    fn from(args: &LimitArgs) -> Limits {
        let LimitArgs {
            max_body_bytes,
            memory_limit_bytes: _,
            handshake_timeout,
            header_timeout,
            body_timeout,
            write_timeout,
            idle_timeout,
        } = *args;
        Limits {
            body_bytes: max_body_bytes,
            handshake: handshake_timeout.get(),
            header: header_timeout.get(),
            body: body_timeout.get(),
            write: write_timeout.get(),
            idle: idle_timeout.get(),
        }
    }
}

/// Serves until a signal stops it.
pub fn run(args: Args) -> ExitCode {
    let log = log::start(args.log_format, args.log_level);
    log::panics_by_place();
    match serve(args, &log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Signals no longer end the process, so printing must not wait for the reader of standard error.
            log.talk(&output::error_text(&error));
            ExitCode::from(2)
        }
    }
}

fn serve(args: Args, log: &Writing) -> anyhow::Result<()> {
    if let Some(both) = args.listen.iter().find(|address| address.port() != 0 && args.metrics_listen.contains(address))
    {
        anyhow::bail!("--listen and --metrics-listen are both {both}; use another port for one of them");
    }
    let metrics = Arc::new(Metrics::new(log.lost().clone())?);
    let (config, content) = args.rules.read()?;
    let setup = Setup {
        rules: rules_file::named(config, &content),
        rules_file: args.rules.rules.clone().map(|path| RulesFile { path, content }),
        certificate: Files {
            pair: args.tls_cert.clone().zip(args.tls_key.clone()).map(<[PathBuf; 2]>::from),
            hosts: args.tls_name.clone(),
            client_ca: args.client_ca.clone(),
            client_names: args.client_name.clone(),
        },
        make_client: Arc::new(args.probing.clone()),
        write_ca: args.write_ca.clone(),
        managed: args.managed.manage_certificates.then(|| management::ManageOptions::from(&args.managed)),
        warnings: !args.no_warnings,
        replicas: args.replicas,
        limits: Limits::from(&args.limits),
        memory_limit_bytes: args.limits.memory_limit_bytes,
        reload_interval: args.reload_interval.get(),
        listen: args.listen.clone(),
        metrics_listen: args.metrics_listen.clone(),
        patience: Patience { drain_delay: args.ending.drain_delay.get(), timeout: args.ending.shutdown_timeout.get() },
    };
    let mut service = setup.start(metrics)?;
    let made = service.made.take();
    let started = |bound: &Bound| {
        let Bound { listen, metrics_listen } = bound;
        tracing::info!(?listen, ?metrics_listen, "serving");
        // Logs in JSON must not have other lines.
        let is_silent = args.managed.manage_certificates || output::is_quiet();
        if let (Some(made), log::LogFormat::Text, false) = (&made, args.log_format, is_silent) {
            log.talk(&next_steps::text(&args, made, bound));
        }
    };
    service.run(managed::cluster, started)
}
