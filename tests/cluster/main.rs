//! `make test-cluster`: pullthrough, installed from `manifests/`, in a real cluster of one node.
//!
//! Everything that needs the outside, such as compiling Kubernetes and building images, is done first and kept. Then the
//! test starts itself again within `namespaces.sh`, where no network is in reach and nothing that it does stays.

#[path = "../harness/mod.rs"]
mod harness;

mod cluster;
mod containerd;
mod deployment;
mod installation;
mod node;
mod registry;
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
use node::GATEWAY;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster");
const BINARIES: [&str; 4] = ["kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"];
const INSIDE: &str = "--inside-namespaces";

/// For whatever a component does by and by.
const DEADLINE: Duration = Duration::from_secs(60);
/// For `kubectl rollout status`, where Pods are pulled, started and ended one after the other.
const ROLLOUT_TIMEOUT: &str = "--timeout=180s";

fn main() -> Result<()> {
    match env::args().collect::<Vec<_>>().as_slice() {
        [_, inside, images] if inside == INSIDE => {
            run(Path::new(images));
            Ok(())
        }
        _ => enter_namespaces(),
    }
}

/// Prepares what the cluster is made of, and becomes the process that runs it.
fn enter_namespaces() -> Result<()> {
    let user = Path::new("/proc/self").metadata().context("/proc/self")?.uid();
    ensure!(user == 0, "a node needs root: run `sudo -E make test-cluster`");
    script("install.sh", &["--check"])?;
    step("the programs of Kubernetes are there", || harness::assets(None, &BINARIES))?;
    let images = step("the images are there", || script("images.sh", &[]))?;
    let error = Command::new(format!("{FOLDER}/namespaces.sh"))
        .args([&GATEWAY.to_string(), SERVICE_NETWORK])
        .arg(env::current_exe()?)
        .args([INSIDE, &images])
        .exec();
    Err(error).context("run namespaces.sh")
}

fn run(images: &Path) {
    let cluster = step("the cluster is started", || Cluster::start(images)).unwrap_or_else(|error| panic!("{error:#}"));
    step("the node is ready", || cluster.wait_until_ready());
    installation::becomes_ready(&cluster);
    deployment::runs_with_an_image_from_the_cache(&cluster);
    static_pod::stays_as_it_is(&cluster);
    rollout::fails_no_creation(&cluster);
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
