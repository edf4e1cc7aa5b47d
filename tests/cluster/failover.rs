//! Two caches, of which the first fails in several ways, while Pods are created and started on the node.

use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::ops::Range;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::alerts::is_of_probes;
use crate::cluster::{Cluster, write};
use crate::deployment::HELLO;
use crate::front::{Authority, Front, Mode};
use crate::harness::wait_for;
use crate::installation::{self, Installation, NAMESPACE};
use crate::load::Load;
use crate::node::GATEWAY;
use crate::prometheus::Prometheus;
use crate::registry::Registry;
use crate::replicas::{Replicas, name};
use crate::{DEADLINE, ROLLOUT_TIMEOUT, step};

const PORTS: [u16; 2] = [5443, 5444];
const UPSTREAM_PORT: u16 = 5445;
const SECOND_CACHE_PORT: u16 = 5002;
const NAME: &str = "k8s/hello:1";
/// An image of its own is pulled: the node names the content of an image by one of its caches.
const PULLED: &str = "failover:1";
/// Three probes with the default interval, their jitter and their timeouts.
const LEFT_WITHIN: Duration = Duration::from_secs(45);
/// The least time for which a cache is down, and five probes.
const BACK_WITHIN: Duration = Duration::from_secs(150);
/// How long a fault lasts that makes no cache down.
const HARMLESS: Duration = Duration::from_secs(45);

/// Kills the first cache and restores it: Pods start from the second one, and nothing moves back.
pub fn names_the_second_cache(cluster: &Cluster, installation: &Installation) {
    let trial = Trial::start(cluster, installation);
    let prometheus = Prometheus::start(cluster).unwrap_or_else(|error| panic!("{error:#}"));
    prometheus.expect_data(is_of_probes);
    drop(prometheus);
    let broken = trial.breaks_and_restores("killed", Mode::Closed);
    trial.end(installation, &[broken]);
}

/// Every fault, one after the other, for about ten minutes and more.
pub fn survives_every_fault(cluster: &Cluster, installation: &Installation) {
    let trial = Trial::start(cluster, installation);
    let broken = [
        ("killed", Mode::Closed),
        ("503", Mode::Answers(503)),
        ("too slow", Mode::Slow(Duration::from_secs(10))),
        ("an expired certificate", Mode::Expired),
    ]
    .map(|(what, mode)| trial.breaks_and_restores(what, mode));
    for (what, mode) in [
        ("401", Mode::Answers(401)),
        ("403", Mode::Answers(403)),
        ("429", Mode::Answers(429)),
        ("404", Mode::Answers(404)),
        ("slow", Mode::Slow(Duration::from_secs(1))),
    ] {
        trial.changes_nothing(what, || trial.fronts[0].set(mode));
        trial.fronts[0].set(Mode::Passes);
    }
    let rule = |action: &str| trial.lose_packets(action);
    trial.changes_nothing("30 % of its packets are lost", || rule("-A"));
    rule("-D");
    trial.all_are_down();
    trial.end(installation, &broken);
}

/// A fault that makes a cache down, and when it began by the clock of the load.
type Broken = (&'static str, Duration);

struct Trial<'a> {
    cluster: &'a Cluster,
    fronts: [Front; 2],
    upstream: Front,
    _second: Registry,
    load: Load,
    quiet: Range<Duration>,
}

impl<'a> Trial<'a> {
    fn start(cluster: &'a Cluster, installation: &Installation) -> Self {
        let second = Registry::start(SECOND_CACHE_PORT, Some(&cluster.upstream), None).unwrap();
        let authority = Authority::new().unwrap();
        let fronts = [(PORTS[0], &cluster.cache), (PORTS[1], &second)]
            .map(|(port, cache)| Front::start(SocketAddrV4::new(GATEWAY, port), cache.host(), &authority).unwrap());
        let upstream = SocketAddrV4::new(GATEWAY, UPSTREAM_PORT);
        let upstream = Front::start(upstream, cluster.upstream.host(), &authority).unwrap();
        let ca = write(cluster.node.files(), "caches.crt", &authority.pem()).unwrap();
        for front in fronts.iter().chain([&upstream]) {
            let host = format!("[host.\"https://{}\"]\nca = \"{}\"\n", front.address(), ca.display());
            write(cluster.node.files(), &format!("{}/hosts.toml", front.address()), &host).unwrap();
        }
        let [one, other] = fronts.each_ref().map(|front| front.address().to_string());
        let cache = |prefix: &str| json!({"prefix": prefix, "caFile": "/etc/pullthrough/ca/ca.crt", "health": {}});
        let rule = |name: &str, from: &str, when_cache_down: &str| {
            json!({
                "name": name, "from": [from], "whenCacheDown": when_cache_down,
                "to": format!("{one}/k8s"), "failover": [format!("{other}/k8s")],
            })
        };
        let written = upstream.address().to_string();
        let rules = json!({
            "apiVersion": "pullthrough.dev/v1alpha1",
            "kind": "Rules",
            "caches": [cache(&one), cache(&other), cache(&written)],
            "rules": [
                rule("kubernetes", "registry.k8s.io", "keep"),
                rule("direct", &format!("{written}/k8s"), "upstream"),
            ],
        });
        step("pullthrough probes two caches", || {
            let authorities = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "pullthrough-cache-ca"}, "data": {"ca.crt": authority.pem()},
            });
            cluster.apply(NAMESPACE, &authorities);
            installation.apply_with(cluster, &rules, &["probe-caches"]);
            let status = ["rollout", "status", "deployment/pullthrough", "--namespace", NAMESPACE, ROLLOUT_TIMEOUT];
            cluster.kubectl(&status).ok();
            // Each replica has probed both.
            let are_seen = || logs(cluster).iter().all(|log| log.contains("rules loaded")).then_some(());
            wait_for(DEADLINE, are_seen).unwrap();
            wait_until_named(cluster, &fronts[0]);
        });
        let load = Load::naming(cluster, fronts.each_ref().map(|front| front.image(NAME)).to_vec());
        let trial = Self { cluster, fronts, upstream, _second: second, load, quiet: Duration::ZERO..Duration::ZERO };
        trial.runs("first", &trial.fronts[0]);
        let start = trial.load.elapsed();
        trial.wait(Duration::from_secs(20));
        Self { quiet: start..trial.load.elapsed(), ..trial }
    }

    /// Breaks the first cache until the second one is named, starts a Pod, and waits until the first one is named again.
    fn breaks_and_restores(&self, what: &'static str, mode: Mode) -> Broken {
        let name = what.split(' ').next_back().unwrap_or(what);
        let broken = self.load.elapsed();
        step(&format!("the first cache is broken ({what}), and the second one is named"), || {
            self.fronts[0].set(mode);
            wait_until_named(self.cluster, &self.fronts[1]);
        });
        self.runs(&format!("during-{name}"), &self.fronts[1]);
        step("it answers again, and is named again", || {
            self.fronts[0].set(Mode::Passes);
            wait_until_named(self.cluster, &self.fronts[0]);
        });
        self.runs(&format!("after-{name}"), &self.fronts[0]);
        (what, broken)
    }

    /// Breaks both caches, then the upstream too, and restores them.
    fn all_are_down(&self) {
        let Self { cluster, fronts: [first, second], upstream, .. } = self;
        let direct = upstream.image(NAME);
        step("both caches are down: one rule keeps the first, the other leaves the image as written", || {
            first.set(Mode::Closed);
            second.set(Mode::Closed);
            wait_until_given(cluster, &direct, &direct);
            assert_eq!(probe(cluster, HELLO), first.image(NAME));
        });
        self.starts("upstream", &upstream.image(&format!("k8s/{PULLED}")), upstream);
        step("the upstream is down too, and the first cache is named", || {
            upstream.set(Mode::Closed);
            wait_until_given(cluster, &direct, &first.image(NAME));
            assert_eq!(probe(cluster, HELLO), first.image(NAME));
        });
        step("the upstream answers again, and the image is as written", || {
            upstream.set(Mode::Passes);
            wait_until_given(cluster, &direct, &direct);
        });
        step("the caches answer again, and the first is named", || {
            first.set(Mode::Passes);
            second.set(Mode::Passes);
            wait_until_given(cluster, &direct, &first.image(NAME));
        });
        self.starts("cached", &upstream.image(&format!("k8s/{PULLED}")), first);
    }

    /// Lets a fault last that makes the cache not down.
    fn changes_nothing(&self, what: &str, fault: impl FnOnce()) {
        let before = self.transitions();
        step(&format!("the first cache stays named ({what})"), || {
            fault();
            self.wait(HARMLESS);
            let expected = self.fronts[0].image(NAME);
            assert_eq!(probe(self.cluster, HELLO), expected, "{what}\n{}", logs(self.cluster).join("\n"));
        });
        let transitions = self.transitions() - before;
        println!("          {transitions} transitions ({what})");
        assert!(transitions <= 2, "{what}: {transitions} transitions");
    }

    /// Returns how often caches went down or up for all replicas.
    fn transitions(&self) -> usize {
        let changes = ["the cache is down", "the cache is up"];
        logs(self.cluster)
            .iter()
            .map(|log| changes.map(|change| log.matches(change).count()).iter().sum::<usize>())
            .sum()
    }

    fn lose_packets(&self, action: &str) {
        for (chain, port) in [("INPUT", "--dport"), ("OUTPUT", "--sport")] {
            let port_number = PORTS[0].to_string();
            let arguments = [action, chain, "-p", "tcp", port, &port_number, "-m", "statistic", "--mode", "random"];
            let probability = ["--probability", "0.3", "-j", "DROP"];
            let status = Command::new("iptables").args(arguments).args(probability).status().unwrap();
            assert!(status.success());
        }
    }

    /// Starts a Pod, and waits until it runs with its image of a cache.
    fn runs(&self, name: &str, front: &Front) {
        self.starts(name, &format!("registry.k8s.io/{PULLED}"), front);
    }

    fn starts(&self, name: &str, written: &str, front: &Front) {
        let name = format!("failover-{name}");
        step(&format!("a Pod starts from {}", front.address()), || {
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "failover"}},
                "spec": {
                    "containers": [{"name": "hello", "image": written, "imagePullPolicy": "Always"}],
                    "terminationGracePeriodSeconds": 1,
                },
            });
            self.cluster.apply("default", &pod);
            self.cluster.kubectl(&["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=120s"]).ok();
            let image =
                self.cluster.kubectl(&["get", "pod", &name, "--output=jsonpath={.spec.containers[0].image}"]).ok();
            assert_eq!(image, front.image(&format!("k8s/{PULLED}")));
        });
    }

    fn wait(&self, time: Duration) {
        let end = self.load.elapsed() + time;
        wait_for(2 * time, || (self.load.elapsed() >= end).then_some(())).expect("a later time");
    }

    /// Checks that nothing was lost and nothing moved, and restores the installation.
    fn end(self, installation: &Installation, broken: &[Broken]) {
        let Self { cluster, load, quiet, .. } = self;
        let outcome = load.stop();
        println!("          {outcome}");
        outcome.assert_nothing_lost("faults of a cache");
        let (before, all) = (outcome.during(&quiet).p99(), outcome.p99());
        println!(
            "          p99 of a creation: {} ms before, {} ms in all (ratio {:.2})",
            before.as_millis(),
            all.as_millis(),
            all.as_secs_f64() / before.as_secs_f64()
        );
        let mut waits: Vec<f64> = Vec::new();
        for (what, at) in broken {
            let first = outcome.changes().into_iter().find(|(sent, named)| *named == 1 && sent > at);
            let (first, _) = first.unwrap_or_else(|| panic!("{what}: no Pod names the second cache"));
            waits.push(first.saturating_sub(*at).as_secs_f64());
            println!(
                "          {what}: the first Pod that names the second cache after {:.1} s",
                waits[waits.len() - 1]
            );
        }
        waits.sort_by(f64::total_cmp);
        println!("          median {:.1} s, longest {:.1} s", waits[waits.len() / 2], waits[waits.len() - 1]);
        assert!(waits[waits.len() - 1] <= LEFT_WITHIN.as_secs_f64(), "{waits:?}");
        let pods = cluster.kubectl(&["get", "pods", "--selector=app=failover", "--output=json"]).json();
        let pods = pods["items"].as_array().expect("a list").clone();
        for pod in &pods {
            let status = &pod["status"]["containerStatuses"][0];
            assert_eq!((&status["restartCount"], &pod["status"]["phase"]), (&json!(0), &json!("Running")), "{pod}");
        }
        println!("          {} Pods run, none restarted", pods.len());
        cluster.kubectl(&["delete", "pods", "--selector=app=failover", "--wait=false"]).ok();
        step("pullthrough is as it was", || {
            installation.restore(cluster);
            cluster.kubectl(&["delete", "configmap", "pullthrough-cache-ca", "--namespace", NAMESPACE]).ok();
        });
    }
}

/// Waits until new Pods name a cache, whichever replica answers.
fn wait_until_named(cluster: &Cluster, front: &Front) {
    wait_until_given(cluster, HELLO, &front.image(NAME));
}

/// Waits until new Pods get an image, whichever replica answers.
fn wait_until_given(cluster: &Cluster, written: &str, expected: &str) {
    let mut in_a_row = 0;
    let given = wait_for(BACK_WITHIN, || {
        in_a_row = if probe(cluster, written) == expected { in_a_row + 1 } else { 0 };
        // The API server may ask one replica ten times.
        (in_a_row >= 10 && replicas_agree(cluster)).then_some(())
    });
    given.unwrap_or_else(|error| panic!("{written} is not {expected}: {error:#}\n{}", logs(cluster).join("\n")));
}

/// Returns the image that a new Pod gets.
fn probe(cluster: &Cluster, written: &str) -> String {
    cluster.kubectl(&installation::probe(written)).ok()
}

/// Returns whether all replicas report the same states of caches. One that ends, and one that probes none, reports nothing.
fn replicas_agree(cluster: &Cluster) -> bool {
    let replicas = Replicas::of(cluster);
    let states = |pod: &Value| {
        let metrics = replicas.metrics(name(pod));
        let states: Vec<&str> = metrics.lines().filter(|line| line.starts_with("pullthrough_cache_up{")).collect();
        states.join("\n")
    };
    let states: BTreeSet<String> = replicas.pods().iter().map(states).collect();
    states.len() == 1 && !states.contains("")
}

/// Returns the log of each replica.
fn logs(cluster: &Cluster) -> Vec<String> {
    let log = |pod: &Value| cluster.kubectl(&["logs", "--namespace", NAMESPACE, name(pod)]).stdout;
    Replicas::of(cluster).pods().iter().map(log).collect()
}
