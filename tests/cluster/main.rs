//! `make test-cluster`: pullthrough, installed from `manifests/`, in a real cluster of one node.
//!
//! Everything that needs the outside, such as compiling Kubernetes and building images, is done first and kept. Then the
//! test starts itself again within `namespaces.sh`, where no network is in reach and nothing that it does stays.

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../e2e/injector.rs"]
mod injector;

mod alerts;
mod certificates;
mod cluster;
mod containerd;
mod deployment;
mod doctor;
mod helm;
mod installation;
mod inventory;
mod load;
mod node;
mod operator;
mod prometheus;
mod rbac;
mod registry;
mod removal;
mod replicas;
mod rollout;
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

/// For whatever a component does by and by.
const DEADLINE: Duration = Duration::from_secs(60);
/// For `kubectl rollout status`, where Pods are pulled, started and ended one after the other.
const ROLLOUT_TIMEOUT: &str = "--timeout=180s";

type Part = (&'static str, fn(&mut Cluster));

/// What is shown of an installation, in this order.
const PARTS: [Part; 10] = [
    ("alerts", |_| alerts::fire_and_resolve()),
    ("deployment", |cluster| deployment::runs_with_an_image_from_the_cache(cluster)),
    ("operator", |cluster| operator::reaches_the_pods(cluster)),
    ("static-pod", |cluster| static_pod::stays_as_it_is(cluster)),
    ("rbac", |cluster| rbac::is_minimal(cluster)),
    ("prometheus", |cluster| prometheus::shows_what_happens(cluster)),
    ("rollout", |cluster| rollout::lose_nothing(cluster)),
    ("doctor", |cluster| doctor::finds_what_is_broken(cluster)),
    ("rotation", certificates::rotate),
    ("recovery", certificates::recover),
];

/// With arguments, only those of [`PARTS`] and `helm` that they name are shown.
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

/// Prepares what the cluster is made of, and becomes the process that runs it.
fn enter_namespaces(parts: &[String]) -> Result<()> {
    let known = |part: &String| part == "helm" || PARTS.iter().any(|(known, _)| known == part);
    ensure!(parts.iter().all(known), "{parts:?}: the parts are helm and {:?}", PARTS.map(|(part, _)| part));
    let user = Path::new("/proc/self").metadata().context("/proc/self")?.uid();
    ensure!(user == 0, "a node needs root: run `sudo -E make test-cluster`");
    run_program(&PathBuf::from(FOLDER).join("../install.sh"), &["--check", "cluster"])?;
    step("the programs of Kubernetes are there", || harness::assets(None, &BINARIES))?;
    step("Helm is there", harness::helm)?;
    let images = step("the images are there", || script("images.sh", &[]))?;
    let error = Command::new(format!("{FOLDER}/namespaces.sh"))
        .args([&GATEWAY.to_string(), SERVICE_NETWORK])
        .arg(env::current_exe()?)
        .args([INSIDE, &images])
        .args(parts)
        .exec();
    Err(error).context("run namespaces.sh")
}

fn run(images: &Path, parts: &[String]) {
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    let mut cluster =
        step("the cluster is started", || Cluster::start(images)).unwrap_or_else(|error| panic!("{error:#}"));
    step("the node is ready", || cluster.wait_until_ready());
    let before = Inventory::take(&cluster);
    let installation = Installation::apply(&cluster);
    for (part, show) in PARTS {
        if wanted(part) {
            show(&mut cluster);
        }
    }
    removal::leaves_nothing(&cluster, &installation, &before);
    if wanted("helm") {
        helm::installs(&cluster, &before);
    }
    step("the cluster is stopped", || drop(cluster));
}

/// Says what was done, and how long it took.
fn step<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = act();
    println!("{:6.1} s  {what}", start.elapsed().as_secs_f64());
    value
}

/// What a script of this folder prints.
fn script(name: &str, arguments: &[&str]) -> Result<String> {
    run_program(&PathBuf::from(FOLDER).join(name), arguments)
}

/// What a program that succeeds prints.
fn run_program(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("run {}", program.display()))?;
    let command = [&program.display().to_string(), arguments.join(" ").as_str()].join(" ");
    ensure!(output.status.success(), "{command} failed ({}), see above", output.status);
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}
