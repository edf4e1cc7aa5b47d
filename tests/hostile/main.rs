//! `make test-hostile`: attacks on the release binary, in a memory cgroup of the chart's limit. An ordinary client and a kubelet
//! continue meanwhile. Prints a table, and fails if a bound is broken.
//!
//! Arguments select attacks by parts of their names. `PULLTHROUGH_BINARY` selects another binary.

mod attacks;
#[path = "../harness/cgroup.rs"]
mod cgroup;
mod ground;
mod http1;
mod http2;
mod kubelet;
mod memory;
mod ordinary;
mod processors;
mod report;
mod reviews;
mod round;
mod server;
mod tls;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use attacks::{ATTACKS, Attack};
use cgroup::Version;
use memory::Controller;
use processors::{Cpus, MEASURING_PRIORITY, Processors};
use server::{Server, Setup};

/// The connections of attackers, ordinary client and kubelet.
const OPEN_FILES: u64 = 8192;
/// The limit for the whole command, after the build.
const MOST_SECS: u64 = 300;

fn main() -> Result<ExitCode> {
    if cfg!(debug_assertions) {
        println!("This is not the release profile, so the figures are meaningless. Run `make test-hostile`.");
    }
    raise_open_files()?;
    let folder = tempfile::tempdir()?;
    let setup = Setup {
        binary: env::var_os("PULLTHROUGH_BINARY")
            .map_or_else(|| env!("CARGO_BIN_EXE_pullthrough").into(), PathBuf::from),
        rules: server::write_rules(folder.path())?,
        controller: Controller::detect()?,
        limit_bytes: chart_limit_bytes()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        // The server and its cgroup are removed after an interruption too.
        tokio::select! {
            result = run(&setup) => result,
            interrupt = tokio::signal::ctrl_c() => { interrupt?; bail!("interrupted") }
            _ = terminate.recv() => bail!("terminated"),
        }
    })
}

/// Other work of the machine can delay a review, or change the result of an attack. So a row is measured again if probes or
/// reviews are out of bounds, but not if memory is.
const ATTEMPTS: u32 = 2;

async fn run(setup: &Setup) -> Result<ExitCode> {
    let parts: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_chosen = |attack: &&Attack| parts.is_empty() || parts.iter().any(|part| attack.name.contains(part.as_str()));
    let chosen: Vec<_> = ATTACKS.iter().filter(is_chosen).collect();
    ensure!(!chosen.is_empty(), "no attack has one of {parts:?} in its name");
    let started = Instant::now();
    let processors = Processors::detect()?;
    let body_limit_bytes = Server::start(setup, processors.server(Cpus::Two))?.body_limit_bytes()?;
    let bound_bytes = setup.controller.bound(setup.limit_bytes);
    let memory = match &setup.controller {
        Controller::Cgroups(place) => match place.version {
            Version::V1 => "a cgroup of version 1, charge with socket buffers".to_owned(),
            Version::V2 => "a cgroup of version 2".to_owned(),
        },
        Controller::Missing(reason) => format!("no cgroup, but RSS and all TCP buffers measured ({reason})"),
    };
    println!("Memory: at most {} MiB, in {memory}. Bodies: up to {body_limit_bytes} bytes.\n", bound_bytes >> 20);
    if !processors.client(Cpus::Two, MEASURING_PRIORITY).is_granted() {
        println!("No permission to raise priorities: latencies include other work of this machine.\n");
    }
    println!("{}", report::HEAD);

    let (mut rows, mut repeated, mut failures) = (0, 0, 0);
    for attack in chosen {
        for &setting in attack.settings {
            for attempt in 1..=ATTEMPTS {
                let round = round::run(setup, &processors, attack, setting, body_limit_bytes)
                    .await
                    .with_context(|| attack.name.to_owned())?;
                println!("{}", report::row(attack, &round));
                let of_memory = report::violations_of_memory(&round, bound_bytes);
                let of_service = report::violations_of_service(&round);
                let is_bad = !of_memory.is_empty() || !of_service.is_empty();
                if is_bad {
                    eprintln!("OUT OF BOUNDS {} ({} CPUs, from {}):", attack.name, round.cpus, round.source);
                    of_memory.iter().chain(&of_service).for_each(|violation| eprintln!("  {violation}"));
                }
                // With arguments, the details of each attack are printed.
                if is_bad || !parts.is_empty() {
                    eprint!("{}", report::details(&round));
                }
                if is_bad && of_memory.is_empty() && attempt < ATTEMPTS {
                    repeated += 1;
                    continue;
                }
                rows += 1;
                failures += usize::from(is_bad);
                break;
            }
        }
    }
    let elapsed = started.elapsed();
    println!("\n{rows} rows in {:.0} s, {repeated} of them repeated; {failures} out of bounds", elapsed.as_secs_f64());
    ensure!(elapsed.as_secs() <= MOST_SECS, "longer than {MOST_SECS} s");
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns `resources.limits.memory` of the chart's default values.
fn chart_limit_bytes() -> Result<u64> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/chart/values.yaml");
    let values: serde_json::Value = serde_saphyr::from_str(&fs::read_to_string(file).context(file)?).context(file)?;
    let limit = values["resources"]["limits"]["memory"].as_str().context("resources.limits.memory is missing")?;
    let mebibytes = limit.strip_suffix("Mi").and_then(|number| number.parse::<u64>().ok());
    Ok(mebibytes.with_context(|| format!("resources.limits.memory: {limit:?} is not in Mi"))? << 20)
}

fn raise_open_files() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    ensure!(maximum.is_none_or(|maximum| maximum >= OPEN_FILES), "the hard limit of open files is below {OPEN_FILES}");
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(())
}
