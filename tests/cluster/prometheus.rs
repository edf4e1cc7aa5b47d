//! A real Prometheus that scrapes the webhook's Pods and the API server. Every expression of the dashboard returns data. An alert
//! fires when there is a fault, and resolves after it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::alerts;
use crate::cluster::{Cluster, folder, write};
use crate::harness::{Server, wait_for};
use crate::installation::{CHECKOUT, NAMESPACE};
use crate::load::{self, Load};
use crate::replicas::Replicas;
use crate::{DEADLINE, run_program, step};

/// The port is free, because no other process is in this network namespace.
const PORT: u16 = 9090;
const JOB: &str = "pullthrough";
const REPLICAS: usize = 2;
const ALERTS: &str = "manifests/chart/files/alerts.yaml";
/// The alert that the test causes.
const ALERT: &str = "PullthroughReloadFailing";
/// Fires for a container that is only in the metrics.
const FAILING_PULL: &str = "PullthroughPullsFailing";
/// The time that a condition must hold before its alert fires, and must be over before it resolves. The file has minutes.
const ALERT_DELAY: &str = "2s";

pub fn shows_what_happens(cluster: &Cluster) {
    let prometheus = Prometheus::start(cluster).unwrap_or_else(|error| panic!("{error:#}"));
    let load = Load::start(cluster);
    let up = format!("count(up{{job=\"pullthrough\", namespace=\"{NAMESPACE}\", container=\"pullthrough\"}} == 1)");
    step("Prometheus scrapes every replica", || prometheus.wait_for(&up, &REPLICAS.to_string()));
    prometheus.expect_data(|expression| !alerts::is_of_probes(expression));
    let stored = "sum(rate(pullthrough_image_rewrites_total{rule=\"kubernetes\", dry_run=\"false\"}[20s]))";
    // One in two is a dry run.
    let expected = f64::from(load::PER_SECOND) / 2.0;
    step(&format!("it counts {expected} rewrites a second"), || {
        prometheus.wait_until(stored, || {
            let rate = prometheus.value(stored).and_then(|value| value.parse::<f64>().ok());
            rate.is_some_and(|rate| (rate - expected).abs() < 0.1 * expected)
        });
    });
    step("it sees the container that fails to pull from the cache", || {
        prometheus.wait_until(FAILING_PULL, || prometheus.firing().contains(FAILING_PULL));
    });
    let mut firing = prometheus.firing();
    firing.remove(FAILING_PULL);
    // The condition held until the first replica was ready, some minutes ago.
    firing.remove("PullthroughFailOpen");
    assert_eq!(firing, BTreeSet::new(), "no alert fires");

    let get = ["get", "configmap", "pullthrough-rules", "--namespace", NAMESPACE, "--output=json"];
    let good = cluster.kubectl(&get).json()["data"]["rules.yaml"].as_str().expect("rules").to_owned();
    let change_rules = |rules: &str| {
        let patch = json!({"data": {"rules.yaml": rules}}).to_string();
        let configmap = "configmap/pullthrough-rules";
        cluster.kubectl(&["patch", configmap, "--namespace", NAMESPACE, "--type=merge", "--patch", &patch]).ok();
    };
    let failures = "count(pullthrough_reloads_total{what=\"rules\", result=\"failure\"} > 0)";
    let failing = format!("count(ALERTS{{alertname=\"{ALERT}\", alertstate=\"firing\"}})");
    step(&format!("rules with a mistake: {ALERT} fires"), || {
        let start = Instant::now();
        change_rules("rules: [{");
        prometheus.wait_for(failures, &REPLICAS.to_string());
        println!("          every replica has read them after {:.1} s", start.elapsed().as_secs_f64());
        prometheus.wait_until(&format!("{ALERT} fires"), || prometheus.value(&failing).is_some());
    });
    step(&format!("the rules are fixed: {ALERT} resolves"), || {
        change_rules(&good);
        prometheus.wait_until(&format!("{ALERT} resolves"), || !prometheus.firing().contains(ALERT));
    });
    let outcome = load.stop();
    println!("          meanwhile: {outcome}");
    outcome.assert_nothing_lost("the last good rules stay in force");
}

pub struct Prometheus {
    server: Server,
    address: SocketAddrV4,
}

impl Prometheus {
    pub fn start(cluster: &Cluster) -> Result<Self> {
        let folder = folder()?;
        let text = |path: &Path| path.display().to_string();
        let control_plane = &cluster.control_plane;
        let token = write(&folder, "token", control_plane.admin().token())?;
        let alerts = write(&folder, "alerts.json", &alerts()?.to_string())?;
        let targets = write(&folder, "targets.json", &targets(cluster).to_string())?;
        let kube_state_metrics = serve(kube_state_metrics(cluster)?)?;
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [alerts],
            "scrape_configs": [
                {"job_name": "pullthrough", "file_sd_configs": [{"files": [targets]}]},
                {
                    "job_name": "kube-state-metrics",
                    "honor_labels": true,
                    "static_configs": [{"targets": [kube_state_metrics.to_string()]}],
                },
                {
                    "job_name": "apiserver",
                    "scheme": "https",
                    "authorization": {"credentials_file": token},
                    "tls_config": {"ca_file": control_plane.certificate_authority()},
                    "static_configs": [{"targets": [control_plane.url().trim_start_matches("https://")]}],
                },
            ],
        });
        let config = write(&folder, "prometheus.yml", &config.to_string())?;
        run_program(Path::new("promtool"), &["check", "config", &text(&config)])?;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT);
        let arguments = [
            format!("--config.file={}", text(&config)),
            format!("--storage.tsdb.path={}", text(&folder.join("storage"))),
            format!("--web.listen-address={address}"),
        ];
        let mut server = Server::start(Path::new("prometheus"), arguments, &folder)?;
        let ready = wait_for(DEADLINE, || match server.check_alive() {
            Ok(()) => get(address, "/-/ready").is_ok().then_some(Ok(())),
            Err(error) => Some(Err(error)),
        });
        ready.and_then(|ready| ready).with_context(|| server.log_tail())?;
        Ok(Self { server, address })
    }

    /// Returns the result of an expression: a list of series, or a scalar.
    /// Waits until those expressions of the dashboard return data.
    pub fn expect_data(&self, is_expected: impl Fn(&str) -> bool) {
        let mut expressions = alerts::dashboard_expressions(JOB);
        expressions.retain(|expression| is_expected(expression));
        step(&format!("each of {} expressions of the dashboard returns data", expressions.len()), || {
            for expression in &expressions {
                let data = wait_for(DEADLINE, || self.has_data(expression).then_some(()));
                data.unwrap_or_else(|error| panic!("no data for {expression}: {error:#}"));
            }
        });
    }

    fn query(&self, expression: &str) -> Result<Value> {
        let answer: Value =
            serde_json::from_str(&get(self.address, &format!("/api/v1/query?query={}", encode(expression)))?)?;
        ensure!(answer["status"] == "success", "{expression}: {answer}");
        Ok(answer["data"]["result"].clone())
    }

    /// Returns whether there is a number. It is `NaN` if nothing was counted.
    fn has_data(&self, expression: &str) -> bool {
        let result = self.query(expression).unwrap_or_else(|error| panic!("{error:#}"));
        let mut series = result.as_array().expect("a list of series").iter();
        series.any(|series| series["value"][1].as_str().is_some_and(|value| value != "NaN"))
    }

    /// Returns the value of an expression with at most one series.
    fn value(&self, expression: &str) -> Option<String> {
        let result = self.query(expression).unwrap_or_else(|error| panic!("{error:#}"));
        Some(result[0]["value"][1].as_str()?.to_owned())
    }

    fn firing(&self) -> BTreeSet<String> {
        let firing = self.query("ALERTS{alertstate=\"firing\"}").unwrap_or_else(|error| panic!("{error:#}"));
        let names = firing.as_array().into_iter().flatten().filter_map(|alert| alert["metric"]["alertname"].as_str());
        names.map(str::to_owned).collect()
    }

    fn wait_for(&self, expression: &str, value: &str) {
        self.wait_until(&format!("{expression} is {value}"), || self.value(expression).as_deref() == Some(value));
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let waited = wait_for(2 * DEADLINE, || is_so().then_some(()));
        waited.unwrap_or_else(|error| panic!("{what}: {error:#}\n{}", self.server.log_tail()));
    }
}

/// Returns the metrics ports of the Pods, with the labels of a ServiceMonitor. They are in a file, because Debian's Prometheus is
/// built without the discovery of Pods.
fn targets(cluster: &Cluster) -> Value {
    let targets = Replicas::of(cluster).pods().into_iter().map(|pod| {
        let container = &pod["spec"]["containers"][0];
        let mut ports = container["ports"].as_array().expect("ports").iter();
        let port = ports.find(|port| port["name"] == "metrics").expect("a port for metrics");
        json!({
            "targets": [format!("{}:{}", pod["status"]["podIP"].as_str().expect("an address"), port["containerPort"])],
            "labels": {
                "namespace": pod["metadata"]["namespace"],
                "pod": pod["metadata"]["name"],
                "container": container["name"],
                "service": "pullthrough",
                "endpoint": "metrics",
            },
        })
    });
    targets.collect()
}

/// What kube-state-metrics says of the containers of the cluster's Pods, and of one that fails to pull from the cache.
fn kube_state_metrics(cluster: &Cluster) -> Result<String> {
    let pods = cluster.kubectl(&["get", "pods", "--all-namespaces", "--output=json"]).json();
    let mut text = String::new();
    let mut info = |namespace: &str, pod: &str, container: &str, image: &str| {
        let labels =
            format!("namespace=\"{namespace}\",pod=\"{pod}\",container=\"{container}\",image_spec=\"{image}\"");
        text += &format!("kube_pod_container_info{{{labels}}} 1\n");
    };
    for pod in pods["items"].as_array().context("no list of Pods")? {
        for container in pod["spec"]["containers"].as_array().context("no containers")? {
            let name = |value: &Value, key: &str| value[key].as_str().map(str::to_owned).context("no name");
            let metadata = &pod["metadata"];
            let (namespace, pod) = (name(metadata, "namespace")?, name(metadata, "name")?);
            info(&namespace, &pod, &name(container, "name")?, &name(container, "image")?);
        }
    }
    info("shop", "waiting", "app", &cluster.cache.image("k8s/absent:1"));
    text += "kube_pod_container_status_waiting_reason{\
             namespace=\"shop\",pod=\"waiting\",container=\"app\",reason=\"ImagePullBackOff\"} 1\n";
    Ok(text)
}

/// Answers every request with the text, as long as the test runs.
fn serve(text: String) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n";
        let answer = format!("{head}Content-Length: {}\r\n\r\n{text}", text.len());
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Prometheus tries again if it hung up.
            let _ = stream.read(&mut [0; 4096]).and_then(|_| stream.write_all(answer.as_bytes()));
        }
    });
    Ok(address)
}

/// The alerts as the chart has them, but for the time that they wait.
fn alerts() -> Result<Value> {
    let text = fs::read_to_string(Path::new(CHECKOUT).join(ALERTS)).with_context(|| format!("read {ALERTS}"))?;
    let mut alerts: Value = serde_saphyr::from_str(&text).with_context(|| format!("read {ALERTS}"))?;
    let mut names = BTreeSet::new();
    for group in alerts["groups"].as_array_mut().context("no groups of alerts")? {
        for rule in group["rules"].as_array_mut().context("no rules in a group")? {
            names.extend(rule["alert"].as_str().map(str::to_owned));
            for wait in ["for", "keep_firing_for"] {
                if rule.get(wait).is_some() {
                    rule[wait] = ALERT_DELAY.into();
                }
            }
        }
    }
    ensure!(names.contains(ALERT), "no {ALERT} among {names:?}");
    Ok(alerts)
}

/// Returns the body of a response. With HTTP/1.0, it has no chunks.
fn get(address: SocketAddrV4, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address.into(), Duration::from_secs(1))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
    ensure!(head.starts_with("HTTP/1.0 200 "), "{path}: {answer}");
    Ok(body.to_owned())
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
