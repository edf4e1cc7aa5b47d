//! The whole server under load, compared with a null webhook: `cargo bench --bench load`, with `-- --quick` in less time.
//!
//! It compares the release build of `pullthrough serve` with a webhook that does nothing. pullthrough has its defaults: metrics,
//! limits, and a log at info into a pipe that is read. Both use the same hyper, tokio-rustls and aws-lc-rs, TLS 1.3, ECDSA P-256 and
//! TCP_NODELAY. The null webhook reads the body and sends a constant response. The difference is the cost of pullthrough. A third
//! server, `10,000 from`, is pullthrough with a rule of 10,000 registries. A fourth, `cache down`, probes a cache that is down and
//! its failover, which is up.
//!
//! If there are `taskset` and two CPUs, the servers run on one CPU and the client on another. Each figure is the median of the
//! rounds, and each round runs all servers; CPU is printed with the lowest and the highest round too. CPU is the user and system time
//! of the server process by the kernel's scheduler, divided by the requests answered. Compare this figure. It differs between
//! machines; the ratios within one run are stable. Latencies and rates are those of a client that sends the next request after the
//! response to the last.
//!
//! Two parts need more than this program. If there is `wrk`, it loads the servers too, and the ratios by it and by the client are printed
//! side by side. As root on Linux, a server also gets the CPU limit of a small container, and 100 requests a second.

#[path = "../../tests/harness/cgroup.rs"]
mod cgroup;
mod client;
mod null;
mod process;
#[path = "../../tests/e2e/registry.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod registry;
mod report;
mod throttled;
mod wrk;

#[path = "../../engine/benches/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use client::Client;
use process::{Processors, Server};
use registry::Reply;
use report::{Figures, Row};
use wrk::Wrk;

/// Measures the server under load, compared with a null webhook.
#[derive(Debug, Parser)]
struct Args {
    /// Run few and short rounds, for a rough result
    #[arg(long)]
    quick: bool,

    /// Number of rounds; each figure is their median
    #[arg(long, value_name = "COUNT")]
    rounds: Option<usize>,

    /// Seconds of load for each server in a round
    #[arg(long, value_name = "SECONDS")]
    secs: Option<f64>,

    /// Only this body; repeat the option for more
    #[arg(long, value_name = "NAME")]
    body: Vec<String>,

    /// Another build of pullthrough, measured in the same run
    #[arg(long, value_name = "FILE")]
    other: Option<PathBuf>,

    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,

    /// Certificate and key of the null webhook
    #[arg(long, hide = true, num_args = 2, value_name = "FILE")]
    null_webhook: Vec<PathBuf>,
}

const CONNECTIONS: usize = 8;
const WARM_UP: Duration = Duration::from_millis(300);
/// A cache that is down: nothing listens on this port.
const CLOSED: &str = "127.0.0.1:1";

/// The names of the servers in the table.
const NULL: &str = "null";
const PULLTHROUGH: &str = "pullthrough";
const MANY_SOURCES: &str = "10,000 from";
const CACHE_DOWN: &str = "cache down";
const OTHER: &str = "other";

fn main() -> Result<()> {
    let args = Args::parse();
    if let [certificate, key] = &args.null_webhook[..] {
        return null::serve(certificate, key);
    }
    let rounds = args.rounds.unwrap_or(if args.quick { 1 } else { 5 });
    let duration = Duration::from_secs_f64(args.secs.unwrap_or(if args.quick { 1.0 } else { 3.0 }));
    ensure!(rounds > 0 && !duration.is_zero(), "no body to measure");

    let processors = Processors::claim();
    println!("{processors}\n{rounds} rounds of {duration:?}\n");
    let folder = tempfile::tempdir().context("create a folder")?;
    let commands = Commands::new(folder.path(), args.other.as_deref(), &processors)?;
    let never_sleeps = matches!(processors, Processors::Split { .. });
    let client = Client::new(&commands.authority, never_sleeps)?;

    let starts: Vec<_> = commands.servers().map(|(name, _)| name).zip(starts(&commands, &client, rounds)?).collect();
    let mut servers =
        commands.servers().map(|(name, command)| Ok((name, Server::start(command)?))).collect::<Result<Vec<_>>>()?;
    let idle: Vec<_> = servers.iter().map(|(name, server)| Ok((*name, server.memory()?))).collect::<Result<_>>()?;

    let reviews = [common::one(), common::none(), common::realistic(), common::large()];
    let chosen =
        reviews.iter().filter(|review| args.body.is_empty() || args.body.iter().any(|name| name == review.name));
    let wrk = Wrk::find(folder.path());
    if wrk.is_none() {
        println!("wrk is not installed, so no other client is compared\n");
    }
    let mut rows = Vec::new();
    for review in chosen {
        rows.extend(measure(&mut servers, &client, wrk.as_ref(), review, CONNECTIONS, rounds, duration)?);
        if review.name == common::realistic().name {
            rows.extend(measure(&mut servers, &client, None, review, 1, rounds, duration)?);
        }
    }
    ensure!(!rows.is_empty(), "the bodies are {}", reviews.map(|review| review.name).join(", "));
    drop(servers);
    let throttled = throttled::measure(commands.of(PULLTHROUGH)?, &client, rounds, duration)?;
    report::print(&Figures { starts, idle, rows, throttled });
    Ok(())
}

/// The command of each server.
struct Commands {
    authority: String,
    servers: Vec<(&'static str, Vec<PathBuf>)>,
}

impl Commands {
    fn new(folder: &Path, other: Option<&Path>, processors: &Processors) -> Result<Self> {
        let file = |name: &str, text: &str| -> Result<PathBuf> {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            Ok(path)
        };
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let authority = rcgen::CertificateParams::new(["localhost".to_owned()])?.self_signed(&key)?.pem();
        let certificate = file("tls.crt", &authority)?;
        let key = file("tls.key", &key.serialize_pem())?;
        let one_rule = file("1-rule.yaml", &common::rules(1))?;
        let many_sources = file("10000-from.yaml", &common::sources(10_000))?;
        let answer = |_: &str| Reply { status: "200 OK", headers: Vec::new(), body: String::new() };
        let up = registry::start(answer);
        let cache_down = file("failover.yaml", &common::failover(CLOSED, &up))?;

        let null =
            processors.of_server([std::env::current_exe()?, "--null-webhook".into(), certificate.clone(), key.clone()]);
        let pullthrough = |binary: &Path, rules: &Path| {
            let options = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"].map(PathBuf::from);
            let files = [
                "--rules".into(),
                rules.to_owned(),
                "--tls-cert".into(),
                certificate.clone(),
                "--tls-key".into(),
                key.clone(),
            ];
            processors.of_server([binary.to_owned()].into_iter().chain(options).chain(files))
        };
        let this = Path::new(env!("CARGO_BIN_EXE_pullthrough"));
        let mut servers = vec![
            (NULL, null),
            (PULLTHROUGH, pullthrough(this, &one_rule)),
            (MANY_SOURCES, pullthrough(this, &many_sources)),
            (CACHE_DOWN, pullthrough(this, &cache_down)),
        ];
        let (_, probes) = servers.last_mut().context("a server")?;
        probes.extend(["--plain-http".into(), up.into()]);
        servers.extend(other.map(|binary| (OTHER, pullthrough(binary, &one_rule))));
        Ok(Self { authority, servers })
    }

    fn of(&self, server: &str) -> Result<&[PathBuf]> {
        self.servers().find(|(name, _)| *name == server).map(|(_, command)| command).context("a server's command")
    }

    fn servers(&self) -> impl Iterator<Item = (&'static str, &[PathBuf])> {
        self.servers.iter().map(|(name, command)| (*name, &command[..]))
    }
}

/// Returns the milliseconds from the start of each server's process to its first response.
fn starts(commands: &Commands, client: &Client, rounds: usize) -> Result<Vec<f64>> {
    let body = common::realistic().body;
    let mut millis = vec![Vec::new(); commands.servers().count()];
    // The first round is not counted, because it reads the binaries from disk.
    for round in 0..=rounds {
        for ((_, command), millis) in commands.servers().zip(&mut millis) {
            let start = Instant::now();
            let server = Server::start(command)?;
            client.first_answer(server.address, &body)?;
            if round > 0 {
                millis.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    Ok(millis.into_iter().map(report::median).collect())
}

/// Measures one body: in each round, one server after the other.
fn measure(
    servers: &mut [(&'static str, Server)],
    client: &Client,
    wrk: Option<&Wrk>,
    review: &common::Review,
    connections: usize,
    rounds: usize,
    duration: Duration,
) -> Result<Vec<Row>> {
    let script = wrk.map(|wrk| wrk.script(&review.body)).transpose()?;
    let mut measured = vec![Vec::new(); servers.len()];
    for _ in 0..rounds {
        for ((name, server), measured) in servers.iter_mut().zip(&mut measured) {
            client.load(server.address, &review.body, connections, WARM_UP)?;
            let before = server.cpu()?;
            let load = client
                .load(server.address, &review.body, connections, duration)
                .with_context(|| format!("load {name}"))?;
            let cpu = server.cpu()? - before;
            let memory = server.memory()?;
            let script = script.as_ref().filter(|_| [NULL, PULLTHROUGH].contains(name));
            let by_wrk = script.map(|script| script.cpu_micros(server, duration)).transpose()?;
            measured.push(report::Round::new(&load, cpu, memory, by_wrk));
        }
    }
    let rows = servers.iter().zip(measured);
    Ok(rows.map(|((server, _), rounds)| Row::new(review.name, connections, server, &rounds)).collect())
}
