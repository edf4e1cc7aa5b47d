//! `make test-cluster`: pullthrough, installed from `manifests/`, in a real cluster of one node. Before that it tests nodes without
//! a cluster, with the exported files for containerd.
//!
//! Steps that need the network, such as compiling Kubernetes and building images, run first, and their results are stored. Then
//! the test starts itself again in `namespaces.sh`, which has no network and leaves nothing behind.

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../e2e/injector.rs"]
mod injector;

mod alerts;
mod certificates;
mod cluster;
mod containerd;
mod daemon_set;
mod deployment;
mod doctor;
mod failover;
mod front;
mod helm;
mod installation;
mod inventory;
mod load;
mod node;
mod nodes;
mod operator;
mod policy;
mod prometheus;
mod rbac;
mod registry;
mod removal;
mod replicas;
mod rollout;
mod share;
mod static_pod;

use std::env;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use cluster::Cluster;
use harness::SERVICE_NETWORK;
use installation::Installation;
use inventory::Inventory;
use node::GATEWAY;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster");
const BINARIES: [&str; 4] = ["kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"];
const INSIDE: &str = "--inside-namespaces";

/// The time that a component may take for work in the background.
const DEADLINE: Duration = Duration::from_secs(60);
/// The timeout of `kubectl rollout status`. Pods are pulled, started and ended one after the other.
const ROLLOUT_TIMEOUT: &str = "--timeout=180s";

type Part = (&'static str, fn(&mut Cluster, &Installation));

/// The parts of the test, in this order.
const PARTS: [Part; 14] = [
    ("alerts", |_, _| alerts::fire_and_resolve()),
    ("deployment", |cluster, _| deployment::runs_with_an_image_from_the_cache(cluster)),
    ("operator", |cluster, _| operator::reaches_the_pods(cluster)),
    ("static-pod", |cluster, _| static_pod::stays_as_it_is(cluster)),
    ("policy", |cluster, _| policy::takes_turns_with_the_webhook(cluster)),
    ("daemon-set", |cluster, _| daemon_set::writes_on_nodes(cluster)),
    ("rbac", |cluster, _| rbac::is_minimal(cluster)),
    ("prometheus", |cluster, _| prometheus::shows_what_happens(cluster)),
    ("rollout", |cluster, _| rollout::lose_nothing(cluster)),
    ("share", |cluster, installation| share::is_of_deployments(cluster, installation)),
    ("failover", |cluster, installation| failover::names_the_second_cache(cluster, installation)),
    ("doctor", |cluster, _| doctor::finds_what_is_broken(cluster)),
    ("rotation", |cluster, _| certificates::rotate(cluster)),
    ("recovery", |cluster, _| certificates::recover(cluster)),
];

/// The parts beside [`PARTS`].
const OTHERS: [&str; 3] = [NODES, "helm", FAULTS];
/// The part that runs only if it is named: `make test-failover`.
const FAULTS: &str = "faults";
/// The part without a cluster.
const NODES: &str = "nodes";

/// Runs all parts, or those in the arguments.
fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.split_first() {
        Some((inside, rest)) if inside == INSIDE => {
            let (images, parts) = rest.split_first().context("no folder of images")?;
            run(Path::new(images), parts);
            Ok(())
        }
        _ => enter_namespaces(&arguments),
    }
}

/// Prepares the binaries and images, and replaces this process by the one that runs the cluster.
fn enter_namespaces(parts: &[String]) -> Result<()> {
    let known: Vec<&str> = OTHERS.into_iter().chain(PARTS.map(|(part, _)| part)).collect();
    ensure!(
        parts.iter().all(|part| known.contains(&part.as_str())),
        "unknown part in {parts:?}: choose from {known:?}"
    );
    let user = Path::new("/proc/self").metadata().context("/proc/self")?.uid();
    ensure!(user == 0, "the node needs root: run `sudo -E make test-cluster`");
    run_program(&PathBuf::from(FOLDER).join("../install.sh"), &["--check", "cluster"])?;
    step("compile Kubernetes", || harness::assets(None, &BINARIES))?;
    step("compile Helm", harness::helm)?;
    step("compile containerd 2", harness::containerd)?;
    let kind: &[&str] = if is_without_cluster(parts) { &["waiting"] } else { &[] };
    let images = step("build the images", || script("images.sh", kind))?;
    let error = Command::new(format!("{FOLDER}/namespaces.sh"))
        .args([&GATEWAY.to_string(), SERVICE_NETWORK])
        .arg(env::current_exe()?)
        .args([INSIDE, &images])
        .args(parts)
        .exec();
    Err(error).context("run namespaces.sh")
}

fn is_without_cluster(parts: &[String]) -> bool {
    parts.iter().all(|part| part == NODES) && !parts.is_empty()
}

fn run(images: &Path, parts: &[String]) {
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    if wanted(NODES) {
        nodes::pull_from_the_cache(images).unwrap_or_else(|error| panic!("{error:#}"));
    }
    if is_without_cluster(parts) {
        return;
    }
    let mut cluster = step("start the cluster", || Cluster::start(images)).unwrap_or_else(|error| panic!("{error:#}"));
    step("the node is ready", || cluster.wait_until_ready());
    let before = Inventory::take(&cluster);
    let installation = Installation::apply(&cluster);
    for (part, show) in PARTS {
        if wanted(part) {
            show(&mut cluster, &installation);
        }
    }
    if parts.iter().any(|part| part == FAULTS) {
        failover::survives_every_fault(&cluster, &installation);
    }
    removal::leaves_nothing(&cluster, &installation, &before);
    if wanted("helm") {
        helm::installs(&cluster, &before);
    }
    step("stop the cluster", || drop(cluster));
}

/// Prints a step, and the time that it took.
fn step<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = act();
    println!("{:6.1} s  {what}", start.elapsed().as_secs_f64());
    value
}

/// Returns the output of a script in this folder.
fn script(name: &str, arguments: &[&str]) -> Result<String> {
    run_program(&PathBuf::from(FOLDER).join(name), arguments)
}

/// Returns the output of a program, which must succeed.
fn run_program(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("run {}", program.display()))?;
    let command = [&program.display().to_string(), arguments.join(" ").as_str()].join(" ");
    ensure!(output.status.success(), "{command} failed ({}), see above", output.status);
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}
