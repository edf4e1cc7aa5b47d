//! `pullthrough serve`: from what was typed to a [`Server`].

mod certificate;
pub mod deployed;
mod managed;
mod memory;
mod next_steps;
mod rules_file;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::builder::{FalseyValueParser, NonEmptyStringValueParser, RangedU64ValueParser};
use rustls::pki_types::ServerName;

use self::certificate::{Certificate, Pair};
use self::managed::{ManageArgs, Managed};
use super::output;
use super::rules::RulesArgs;
use crate::certificate::clock::Clock;
use crate::engine::{self, Options};
use crate::files;
use crate::server::admission::Admission;
use crate::server::limits::{self, Limits};
use crate::server::lines::Writing;
use crate::server::log;
use crate::server::metrics::Metrics;
use crate::server::probes::Distrust;
use crate::server::reload;
use crate::server::shutdown::Patience;
use crate::server::{Bound, Server};

/// Answer the API server's admission requests, at POST /mutate
///
/// With --cache alone it runs anywhere: it makes a certificate in memory, listens on this machine
/// only, and prints how to try it and how to register it. In a cluster, give it --rules and either
/// --manage-certificates or --tls-cert and --tls-key; the files may change while it serves.
///
/// SIGTERM drains: not ready at once, serving on for a delay, then finishing what is in flight.
/// SIGINT does the same without the delay. Logs go to standard error.
///
/// Exit codes: 0 it was told to stop, and has; 2 wrong usage, invalid rules, or it can't start.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  $ pullthrough serve --cache cache.example.com/k8s
  $ pullthrough serve --rules rules.yaml --tls-cert tls.crt --tls-key tls.key --listen '[::]:8443'")]
pub struct Args {
    #[command(flatten)]
    rules: RulesArgs,

    /// Addresses to listen on for admission requests, over TLS; repeat it or separate by commas
    ///
    /// IPv4 and IPv6. [::]:8443 takes both, unless an IPv4 address with the same port is listed too.
    /// With port 0 the system chooses one; the log says which.
    #[arg(
        long,
        value_name = "IP:PORT",
        env = "PULLTHROUGH_LISTEN",
        default_value = "127.0.0.1:8443",
        value_delimiter = ','
    )]
    listen: Vec<SocketAddr>,

    /// Addresses for /metrics, /livez and /readyz, in plain HTTP; repeat it or separate by commas
    #[arg(
        long,
        value_name = "IP:PORT",
        env = "PULLTHROUGH_METRICS_LISTEN",
        default_value = "127.0.0.1:8080",
        value_delimiter = ','
    )]
    metrics_listen: Vec<SocketAddr>,

    /// The serving certificate: PEM, followed by its issuers'; read again when it changes
    #[arg(long, value_name = "FILE", env = "PULLTHROUGH_TLS_CERT", requires = "tls_key", help_heading = "TLS")]
    tls_cert: Option<PathBuf>,

    /// The serving certificate's private key: PEM, RSA or ECDSA; PKCS#8, PKCS#1 or SEC1
    #[arg(long, value_name = "FILE", env = "PULLTHROUGH_TLS_KEY", requires = "tls_cert", help_heading = "TLS")]
    tls_key: Option<PathBuf>,

    /// A name that API servers ask the webhook for, which --tls-cert must have; repeat it or separate by commas
    ///
    /// SERVICE.NAMESPACE.svc, or the host of the URL. A certificate without it is not loaded.
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

    /// Admit only clients with a certificate that a CA in this file (PEM) signed
    ///
    /// The API server shows the certificate that its --admission-control-config-file names for the webhook. Without
    /// --client-name, every certificate of the CA is admitted; a cluster's CA signs one for each kubelet.
    #[arg(long, value_name = "FILE", env = "PULLTHROUGH_CLIENT_CA", help_heading = "TLS")]
    client_ca: Option<PathBuf>,

    /// Of those, admit only certificates with one of these names; repeat it or separate by commas
    ///
    /// The common name, or a DNS name, e-mail address or URI of the subjectAltName, compared byte by byte.
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

    /// Write the certificate authority that is made in memory to this file, for the registration's caBundle
    #[arg(long, value_name = "FILE", env = "PULLTHROUGH_WRITE_CA", conflicts_with = "tls_cert", help_heading = "TLS")]
    write_ca: Option<PathBuf>,

    #[command(flatten)]
    managed: ManageArgs,

    /// Leave out the warnings that tell people which images were rewritten
    #[arg(long, env = "PULLTHROUGH_NO_WARNINGS", value_parser = FalseyValueParser::new())]
    no_warnings: bool,

    /// Look for changed rules and certificates every so many milliseconds
    #[arg(
        long,
        value_name = "MILLISECONDS",
        env = "PULLTHROUGH_RELOAD_INTERVAL_MILLIS",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    reload_interval_millis: u64,

    /// The form of log lines
    #[arg(long, env = "PULLTHROUGH_LOG_FORMAT", default_value = "text", help_heading = "Logs")]
    log_format: log::Format,

    /// The least important lines to log
    #[arg(long, env = "PULLTHROUGH_LOG_LEVEL", default_value = "info", help_heading = "Logs")]
    log_level: log::Level,

    #[command(flatten)]
    ending: EndingArgs,

    #[command(flatten)]
    limits: LimitArgs,
}

/// How serving ends.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Shutdown")]
struct EndingArgs {
    /// Seconds to go on serving after SIGTERM, as endpoints take time to leave Services
    #[arg(long, value_name = "SECONDS", env = "PULLTHROUGH_DRAIN_DELAY_SECS", default_value_t = 5, value_parser = seconds())]
    drain_delay_secs: u64,

    /// Seconds after that in which requests may finish; then the process ends
    ///
    /// Together with the delay it should be less than the Pod's terminationGracePeriodSeconds (30).
    #[arg(long, value_name = "SECONDS", env = "PULLTHROUGH_SHUTDOWN_TIMEOUT_SECS", default_value_t = 15, value_parser = seconds())]
    shutdown_timeout_secs: u64,
}

fn parse_server_name(text: &str) -> Result<ServerName<'static>, String> {
    let name = ServerName::try_from(text.to_owned());
    name.map_err(|_| "write a DNS name, such as SERVICE.NAMESPACE.svc, or an IP address".to_owned())
}

/// At most a day: what is meant to be without a bound is better found out at the start.
fn seconds() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(0..=86_400)
}

/// The bounds of [`Limits`].
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Bytes of one request's body; more is rejected with 413
    ///
    /// The API server stores Pods of up to 1.5 MiB, which can have six times as much in JSON, and an update has two.
    #[arg(long, value_name = "BYTES", env = "PULLTHROUGH_MAX_BODY_BYTES", default_value_t = limits::BODY_BYTES)]
    max_body_bytes: usize,

    /// Memory of the whole process, in bytes: connections, requests and answers are bounded to stay below it
    ///
    /// By default the limit of the container, and 256 MiB where there is none. When the memory is full, the clients that
    /// hold the most of it give way.
    #[arg(long, value_name = "BYTES", env = "PULLTHROUGH_MEMORY_LIMIT_BYTES")]
    memory_limit_bytes: Option<u64>,

    /// Seconds for a TLS handshake
    #[arg(long, value_name = "SECONDS", env = "PULLTHROUGH_HANDSHAKE_TIMEOUT_SECS", default_value_t = limits::HANDSHAKE_SECS, value_parser = seconds())]
    handshake_timeout_secs: u64,

    /// Seconds for a request's header, from its first byte
    #[arg(long, value_name = "SECONDS", env = "PULLTHROUGH_HEADER_TIMEOUT_SECS", default_value_t = limits::HEADER_SECS, value_parser = seconds())]
    header_timeout_secs: u64,

    /// Seconds for a request's body; later is answered 408
    #[arg(long, value_name = "SECONDS", env = "PULLTHROUGH_BODY_TIMEOUT_SECS", default_value_t = limits::BODY_SECS, value_parser = seconds())]
    body_timeout_secs: u64,

    /// Seconds in which a client must read an answer
    #[arg(long, value_name = "SECONDS", env = "PULLTHROUGH_WRITE_TIMEOUT_SECS", default_value_t = limits::WRITE_SECS, value_parser = seconds())]
    write_timeout_secs: u64,

    /// Seconds a connection may be idle. Keep it above the API server's 90: a request that meets a closed connection fails
    #[arg(long, value_name = "SECONDS", env = "PULLTHROUGH_IDLE_TIMEOUT_SECS", default_value_t = limits::IDLE_SECS, value_parser = seconds())]
    idle_timeout_secs: u64,
}

impl From<&LimitArgs> for Limits {
    fn from(args: &LimitArgs) -> Limits {
        let LimitArgs {
            max_body_bytes,
            memory_limit_bytes: _,
            handshake_timeout_secs,
            header_timeout_secs,
            body_timeout_secs,
            write_timeout_secs,
            idle_timeout_secs,
        } = *args;
        Limits {
            body_bytes: max_body_bytes,
            handshake: Duration::from_secs(handshake_timeout_secs),
            header: Duration::from_secs(header_timeout_secs),
            body: Duration::from_secs(body_timeout_secs),
            write: Duration::from_secs(write_timeout_secs),
            idle: Duration::from_secs(idle_timeout_secs),
        }
    }
}

/// Serves until a signal ends it.
pub fn run(args: Args) -> ExitCode {
    let log = log::start(args.log_format, args.log_level);
    log::panics_by_place();
    match serve(args, &log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Signals are ours by now: an error that waits for the reader of standard error would wait for ever.
            log.talk(&output::error_text(&error));
            ExitCode::from(2)
        }
    }
}

fn serve(args: Args, log: &Writing) -> anyhow::Result<()> {
    if let Some(both) = args.listen.iter().find(|address| address.port() != 0 && args.metrics_listen.contains(address))
    {
        anyhow::bail!("--listen and --metrics-listen both name {both}; give one of them another port");
    }
    let metrics = Arc::new(Metrics::new(log.lost().clone())?);
    let (policy, rules_file) = rules_file::rules(&args.rules)?;
    let options = Options { warnings: !args.no_warnings };
    let limits = Limits::from(&args.limits);
    let bounds = memory::bounds(args.limits.memory_limit_bytes, limits.body_bytes)?;
    let admission =
        Admission::new(engine::answer, policy, options, limits, Arc::clone(&metrics)).context("can't start threads")?;

    let clock = Arc::new(Clock::default());
    let made = args.tls_cert.is_none().then(|| certificate::in_memory(&args.listen)).transpose()?;
    if let (Some(path), Some(made)) = (&args.write_ca, &made) {
        files::write(path, &made.ca)?;
    }
    let pair = made.as_ref().map(|made| Pair {
        place: "memory",
        certificate: made.certificate.clone(),
        key: made.key.clone(),
    });
    let certificate = Certificate::new(&args, pair, Arc::clone(&clock), Arc::clone(&metrics))?;
    if args.client_ca.is_some() && args.client_name.is_empty() {
        tracing::warn!(
            "--client-ca admits every client certificate of the CA; set --client-name to the API servers' name"
        );
    }

    let watch_rules = rules_file.map(|file| file.watch(Arc::clone(&admission)));
    let watch_certificate = Arc::clone(&certificate).watch();
    let watches = watch_rules.into_iter().chain(watch_certificate).collect();
    let interval = Duration::from_millis(args.reload_interval_millis);
    reload::start(watches, interval, Arc::clone(&metrics)).context("can't start watching files")?;

    let distrust = Distrust::default();
    let server = Server {
        admission,
        identity: Arc::clone(certificate.identity()),
        clock: Arc::clone(&clock),
        distrust: Arc::clone(&distrust),
        metrics: Arc::clone(&metrics),
        bounds,
        listen: args.listen.clone(),
        metrics_listen: args.metrics_listen.clone(),
        patience: Patience {
            drain_delay: Duration::from_secs(args.ending.drain_delay_secs),
            timeout: Duration::from_secs(args.ending.shutdown_timeout_secs),
        },
    };
    let started = |bound: &Bound| {
        let Bound { listen, metrics_listen } = bound;
        tracing::info!(?listen, ?metrics_listen, "serving");
        // Among JSON lines it would be noise.
        if let (Some(made), log::Format::Text, false) = (&made, args.log_format, args.managed.manage_certificates) {
            log.talk(&next_steps::text(&args, made, bound));
        }
    };
    let managed = args.managed.manage_certificates.then(|| Managed {
        args: args.managed.clone(),
        certificate,
        clock,
        distrust,
        metrics,
    });
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        if let Some(managed) = managed {
            managed.start().await?;
        }
        Ok(server.run(started).await?)
    });
    // Without it the end would wait for what blocks, such as a name that is being resolved.
    runtime.shutdown_background();
    served
}

/// Polls of tasks between two looks at the sockets. With tokio's 61, a request that comes while many clients are busy waits
/// for all of those polls before anything knows of it.
const EVENT_INTERVAL: u32 = 8;

/// One thread where there is one processor: handing work over to itself costs more than it gains.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = match processors {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().event_interval(EVENT_INTERVAL).build().context("can't start the runtime")
}
