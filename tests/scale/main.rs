//! `make test-scale`: `pullthrough scan` of a cluster with 50,000 Pods, compared with the usual kubectl command. The Pods are created
//! through the API. Prints time and memory of both. Fails if a count is wrong, or if memory grows with the cluster.

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../harness/measure.rs"]
mod measure;
mod pods;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use harness::{ControlPlane, Options};
use serde_json::Value;

use self::measure::{Cost, measure};

const SMALL: usize = 5_000;
const LARGE: usize = 50_000;
/// The largest ratio of the memory for ten times the Pods.
const MOST_GROWTH: f64 = 1.5;
/// The number of runs, of which the best counts.
const ROUNDS: usize = 3;
const IMAGES: &str = "kubectl get pods -A -o jsonpath";
const NAMES: &str = "kubectl get pods -A -o name";
/// Every image of every Pod, as Kubernetes' documentation lists them.
const JSON_PATH: &str = r#"{range .items[*].spec['initContainers', 'containers'][*]}{.image}{"\n"}{end}"#;

fn main() -> Result<()> {
    if cfg!(debug_assertions) {
        println!("This is not the release profile, so the figures are meaningless. Run `make test-scale`.");
    }
    // Writing bodies to the audit log would dominate the cost of the API server.
    let arguments = vec!["--audit-log-path=".to_owned(), "--audit-policy-file=".to_owned()];
    let cluster = ControlPlane::start(&Options { arguments, ..Options::default() })?;
    println!("Kubernetes 1.{}\n", cluster.minor());
    println!("| Pods | Command | Time s | Memory MiB |\n| --- | --- | --- | --- |");
    let small = stage(&cluster, 0, SMALL)?;
    let large = stage(&cluster, SMALL, LARGE)?;
    println!();
    for (name, small, large) in [("scan -o json", small.json, large.json), ("scan -o table", small.table, large.table)]
    {
        let growth = large.memory_mib / small.memory_mib;
        println!("{name}: memory at {LARGE} Pods is {growth:.2} of that at {SMALL}");
        ensure!(growth <= MOST_GROWTH, "{name}: memory grows with the cluster");
    }
    for (name, scan) in [("scan -o json", large.json), ("scan -o table", large.table)] {
        for (kubectl, cost) in [(IMAGES, large.images), (NAMES, large.names)] {
            let (time, memory) = (scan.secs / cost.secs, scan.memory_mib / cost.memory_mib);
            println!("{name}, by that of {kubectl}: time {time:.2}, memory {memory:.3}");
        }
    }
    Ok(())
}

struct Costs {
    json: Cost,
    table: Cost,
    /// kubectl's list of all images.
    images: Cost,
    /// kubectl's list of all Pods.
    names: Cost,
}

/// Creates Pods up to a number, and scans them.
fn stage(cluster: &ControlPlane, from: usize, to: usize) -> Result<Costs> {
    let start = Instant::now();
    pods::create(cluster, from..to)?;
    eprintln!("{} Pods created in {:.0?}", to - from, start.elapsed());
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let expected = pods::images(to);
    let scan = |format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.args(["scan", "--cache", "cache.example.com/k8s", "-o", format, "--kubeconfig"]);
        command.arg(cluster.kubeconfig());
        command
    };
    let kubectl = |format: &str| {
        let mut command = Command::new(cluster.assets().join("kubectl"));
        command.arg("--kubeconfig").arg(cluster.kubeconfig()).args(["get", "pods", "-A", "-o", format]);
        command.env("HOME", folder.path());
        command
    };
    let mut best: [Option<Cost>; 4] = [None; 4];
    for _ in 0..ROUNDS {
        let json = measure(&mut scan("json"), &out)?;
        ensure!(of_lines(&out)? == expected, "scan -o json: the images differ from the created ones");
        let table = measure(&mut scan("table"), &out)?;
        let total = format!("{} in Pods; {to} objects scanned", expected.values().sum::<usize>());
        let text = fs::read_to_string(&out)?;
        ensure!(text.contains(&total), "scan -o table: no `{total}` in the totals: {text}");
        let images = measure(&mut kubectl(&format!("jsonpath={JSON_PATH}")), &out)?;
        ensure!(sort_and_count(&out)? == expected, "kubectl: the images differ from the created ones");
        let names = measure(&mut kubectl("name"), &out)?;
        ensure!(fs::read_to_string(&out)?.lines().count() == to, "kubectl: not {to} names");
        for (best, cost) in best.iter_mut().zip([json, table, images, names]) {
            *best = Some(best.map_or(cost, |best| best.better(cost)));
        }
    }
    let [json, table, images, names] = best.map(|cost| cost.unwrap_or_default());
    for (name, cost) in [("scan -o json", json), ("scan -o table", table), (IMAGES, images), (NAMES, names)] {
        println!("| {to} | {name} | {:.2} | {:.1} |", cost.secs, cost.memory_mib);
    }
    Ok(Costs { json, table, images, names })
}

/// Returns the count of each image in the lines of `scan -o json`.
fn of_lines(file: &Path) -> Result<BTreeMap<String, usize>> {
    let mut images = BTreeMap::new();
    for line in fs::read_to_string(file)?.lines() {
        let finding: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        *images.entry(finding["image"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    Ok(images)
}

/// Returns the count of each line, like `sort | uniq -c`.
fn sort_and_count(file: &Path) -> Result<BTreeMap<String, usize>> {
    let mut images = BTreeMap::new();
    for line in fs::read_to_string(file)?.lines() {
        *images.entry(line.to_owned()).or_default() += 1;
    }
    Ok(images)
}
