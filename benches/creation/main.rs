//! The time that ways of rewriting in the cluster add to the creation of a Pod: `cargo bench --bench creation`.
//!
//! A real API server and etcd create the same Pod in one namespace for each way. The Pod has three containers and two init
//! containers; either three images are rewritten, or none is. The namespaces take turns in one run, one request after the other. A
//! figure is the median over the rounds. Compare it with the namespace without rewriting. Every Pod is checked.
//!
//! Kyverno's admission controller runs with its defaults and the policies of `export kyverno`. It has one webhook for all of its
//! namespaces. So its two kinds of policy are measured one after the other, each with the other ways.

#[path = "../../tests/harness/mod.rs"]
mod harness;
mod kyverno;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use harness::{Client, ControlPlane, Options, Webhook, wait_for};
use serde_json::{Value, json};

use kyverno::Kyverno;

/// Measures the time that each way of rewriting in the cluster adds to the creation of a Pod.
#[derive(Debug, Parser)]
struct Args {
    /// Number of Pods for each way and each kind of Pod
    #[arg(long, value_name = "COUNT", default_value_t = 300)]
    rounds: usize,

    /// Skip Kyverno, which takes minutes to compile the first time
    #[arg(long)]
    without_kyverno: bool,

    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

const RULES: &str = "\
apiVersion: pullthrough.dev/v1alpha1
kind: Rules
rules:
  - name: kubernetes
    from: [registry.k8s.io, k8s.gcr.io]
    to: cache.example.com/k8s
  - name: docker-hub
    from: [docker.io]
    to: cache.example.com/docker-hub
";
const PROGRAM: &str = env!("CARGO_BIN_EXE_pullthrough");
const DEADLINE: Duration = Duration::from_secs(120);
const WARM_UP: usize = 20;

/// A namespace, and the way of rewriting in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Nothing,
    Policy,
    Webhook,
    /// The webhook, and the ValidatingAdmissionPolicy that reports what it did not rewrite.
    Watched,
    Both,
    Kyverno(kyverno::Kind),
}

impl Way {
    const OURS: [Self; 5] = [Self::Nothing, Self::Policy, Self::Webhook, Self::Watched, Self::Both];

    const fn namespace(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Policy => "policy",
            Self::Webhook => "webhook",
            Self::Watched => "watched",
            Self::Both => "both",
            Self::Kyverno(_) => kyverno::NAMESPACE,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Policy => "MutatingAdmissionPolicy",
            Self::Webhook => "webhook",
            Self::Watched => "webhook, ValidatingAdmissionPolicy (audit)",
            Self::Both => "webhook and MutatingAdmissionPolicy",
            Self::Kyverno(kind) => kind.title(),
        }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let cluster = ControlPlane::start(&Options::default())?;
    for way in Way::OURS {
        cluster.create_namespace(way.namespace());
    }
    let webhook = Webhook::start(RULES)?;
    register(&cluster, &webhook)?;
    let client = cluster.client();
    print_table("Without Kyverno", &measure(&client, &Way::OURS, args.rounds)?);
    if !args.without_kyverno {
        let mut kyverno = Kyverno::start(&cluster)?;
        for kind in kyverno::Kind::ALL {
            kyverno.install(&cluster, kind, &webhook.rules_file())?;
            let ways = [Way::Nothing, Way::Policy, Way::Webhook, Way::Kyverno(kind)];
            print_table(kind.title(), &measure(&client, &ways, args.rounds)?);
        }
    }
    Ok(())
}

fn register(cluster: &ControlPlane, webhook: &Webhook) -> Result<()> {
    let mut configuration = webhook.configuration(&[])?;
    let asked = [Way::Webhook, Way::Watched, Way::Both].map(Way::namespace);
    configuration["webhooks"][0]["namespaceSelector"] = in_namespaces(&asked);
    cluster.kubectl_with(&["apply", "-f", "-"], &configuration.to_string()).ok();
    let rules = webhook.rules_file().display().to_string();
    for mut object in export(&["admission-policy", "--rules", &rules, "--action", "rewrite,audit"])? {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        if kind.ends_with("Binding") {
            let namespaces: &[&str] = if kind.starts_with("Mutating") {
                &[Way::Policy.namespace(), Way::Both.namespace()]
            } else {
                &[Way::Watched.namespace()]
            };
            object["spec"]["matchResources"] = json!({"namespaceSelector": in_namespaces(namespaces)});
        }
        cluster.kubectl_with(&["apply", "-f", "-"], &object.to_string()).ok();
    }
    Ok(())
}

fn in_namespaces(names: &[&str]) -> Value {
    json!({"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": names}]})
}

/// Returns the objects that `pullthrough export` prints.
fn export(arguments: &[&str]) -> Result<Vec<Value>> {
    let output = Command::new(PROGRAM).arg("export").args(arguments).output().context("run pullthrough")?;
    ensure!(output.status.success(), "pullthrough export: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_saphyr::from_multiple(&String::from_utf8(output.stdout)?)?)
}

/// Returns the Pods: one that is rewritten, and one that is not.
fn pods() -> [(&'static str, Value); 2] {
    let pod = |images: [&str; 5]| {
        let container = |index: usize| json!({"name": format!("c{index}"), "image": images[index]});
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "p-"},
            "spec": {"initContainers": [container(0), container(1)], "containers": [container(2), container(3), container(4)]},
        })
    };
    [
        (
            "three of five images rewritten",
            pod(["busybox:1.36", "quay.io/a/init:1", "registry.k8s.io/a/app:v1", "nginx:1.29", "ghcr.io/b/c:2"]),
        ),
        (
            "nothing to rewrite",
            pod(["ghcr.io/a:1", "quay.io/a/init:1", "cache.example.com/k8s/app:v1", "quay.io/x:1", "ghcr.io/b/c:2"]),
        ),
    ]
}

/// Milliseconds by Pod, way and round.
type Times = Vec<(&'static str, Vec<(Way, Vec<f64>)>)>;

fn measure(client: &Client, ways: &[Way], rounds: usize) -> Result<Times> {
    let mut times = Times::new();
    for (title, pod) in pods() {
        for &way in ways {
            wait_for(DEADLINE, || create(client, way, &pod).is_ok().then_some(()))
                .with_context(|| format!("{way:?}: {:?}", create(client, way, &pod)))?;
        }
        let mut of_pod: Vec<(Way, Vec<f64>)> = ways.iter().map(|&way| (way, Vec::new())).collect();
        for round in 0..WARM_UP + rounds {
            for (way, times) in &mut of_pod {
                let time = create(client, *way, &pod)?;
                if round >= WARM_UP {
                    times.push(time.as_secs_f64() * 1e3);
                }
            }
        }
        times.push((title, of_pod));
    }
    Ok(times)
}

/// Creates a Pod, and returns the time that it took.
fn create(client: &Client, way: Way, pod: &Value) -> Result<Duration> {
    let start = Instant::now();
    let created = client.post(&format!("/api/v1/namespaces/{}/pods", way.namespace()), pod)?;
    let took = start.elapsed();
    let cached = |pod: &Value| pod["spec"].to_string().matches("cache.example.com/").count();
    let rewritten = cached(&created) - cached(pod);
    let expected = if way == Way::Nothing || cached(pod) > 0 { 0 } else { 3 };
    ensure!(rewritten == expected, "{way:?}: {rewritten} images rewritten, not {expected}");
    Ok(took)
}

fn print_table(title: &str, times: &Times) {
    println!("\n{title}\n");
    println!(
        "| Pod | Way | median ms | p95 ms | added ms | over MutatingAdmissionPolicy |\n| --- | --- | --- | --- | --- | --- |"
    );
    for (pod, ways) in times {
        let median = |way: Way| ways.iter().find(|(other, _)| *other == way).map(|(_, times)| quantile(times, 0.5));
        let nothing = median(Way::Nothing).unwrap_or_default();
        let policy = median(Way::Policy).unwrap_or_default() - nothing;
        for (way, times) in ways {
            let added = quantile(times, 0.5) - nothing;
            let (added, ratio) = match way {
                Way::Nothing => (String::new(), String::new()),
                _ => (format!("{added:.2}"), format!("{:.2}", added / policy)),
            };
            let (median, p95) = (quantile(times, 0.5), quantile(times, 0.95));
            println!("| {pod} | {} | {median:.2} | {p95:.2} | {added} | {ratio} |", way.title());
        }
    }
}

fn quantile(times: &[f64], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}
