//! The webhook's Pods are replaced while Pods are created that need it. Each case reports the Pods that were denied or not rewritten.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde_json::json;

use crate::cluster::Cluster;
use crate::harness::wait_for;
use crate::installation::NAMESPACE;
use crate::load::{self, Creation, Fault, Load, Outcome};
use crate::replicas::{self, Replicas};
use crate::{DEADLINE, step};

const REPLICAS: usize = 2;
/// The time after a case in which its effects are counted.
const AFTERMATH: Duration = Duration::from_secs(3);

pub fn lose_nothing(cluster: &Cluster) {
    for policy in [Policy::Fail, Policy::Ignore] {
        policy.set(cluster);
        Course::run(cluster, policy);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Fail,
    Ignore,
}

impl Policy {
    fn set(self, cluster: &Cluster) {
        let patch = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": format!("{self:?}")}]);
        let configuration = "mutatingwebhookconfiguration/zz-pullthrough";
        cluster.kubectl(&["patch", configuration, "--type=json", "--patch", &patch.to_string()]).ok();
    }

    /// Returns whether this is the outcome of a Pod when the webhook does not answer.
    fn brings(self, fault: Option<&Fault>) -> bool {
        match self {
            Policy::Fail => matches!(fault, Some(Fault::Refused(_))),
            Policy::Ignore => fault == Some(&Fault::SlippedThrough),
        }
    }
}

/// All cases with one policy, one after the other, with one load for all of them.
struct Course<'a> {
    cluster: &'a Cluster,
    policy: Policy,
    replicas: Replicas<'a>,
    load: Load,
}

/// A killed replica, by the clock of the load.
struct Killed {
    time: Range<Duration>,
    at: Duration,
    /// The time at which its endpoint was not ready, if that was observed.
    left: Option<Duration>,
    /// The time at which it was ready again.
    ready: Duration,
    /// The reasons for which the API server could not call the webhook, from its log.
    failing_open: BTreeMap<String, usize>,
}

impl<'a> Course<'a> {
    fn run(cluster: &'a Cluster, policy: Policy) {
        let course = Self { cluster, policy, replicas: Replicas::of(cluster), load: Load::start(cluster) };
        let mut graceful = Vec::new();
        graceful.push(course.case("a rolling restart", || {
            course.replicas.restart();
            course.replicas.wait_until_settled(REPLICAS);
        }));
        for (from, to) in [(REPLICAS, 4), (4, 1), (1, 3)] {
            graceful.push(course.case(&format!("scaling from {from} to {to}"), || {
                course.replicas.scale(to);
                course.replicas.wait_until_settled(to);
            }));
        }
        graceful.push(course.case("eviction of each of 3", || course.evict_each()));
        graceful.push(course.case("scaling from 3 to 1", || {
            course.replicas.scale(1);
            course.replicas.wait_until_settled(1);
        }));
        let only = course.case("eviction of the only one", || course.evict_each());
        graceful.push(course.case("scaling from 1 to 2", || {
            course.replicas.scale(REPLICAS);
            course.replicas.wait_until_settled(REPLICAS);
        }));
        let names: Vec<_> = course.replicas.pods().iter().map(|pod| replicas::name(pod).to_owned()).collect();
        let killed: Vec<_> = names.iter().map(|name| course.kill(name)).collect();
        let none = course.case("no replica at all", || {
            course.replicas.scale(0);
            course.replicas.wait_until_settled(0);
            course.watch_for(AFTERMATH);
            course.replicas.scale(REPLICAS);
            course.replicas.wait_until_settled(REPLICAS);
        });

        let outcome = course.load.stop();
        for (what, time) in &graceful {
            println!("          {what}: {}", outcome.during(time));
        }
        for killed in &killed {
            killed.print(&outcome, policy);
        }
        println!(
            "          (the kill cuts connections with open requests, and new connections are refused until kubelet and"
        );
        println!("          kube-proxy have noticed the end of the process)");
        for (what, time) in [&only, &none] {
            println!("          {what}: {}", outcome.during(time));
            print_reasons(outcome.during(time).reasons());
        }

        for (what, time) in &graceful {
            outcome.during(time).assert_nothing_lost(&format!("{what} with failurePolicy {policy:?}"));
        }
        for killed in &killed {
            killed.check(&outcome, policy);
        }
        // The replica drains for some seconds, in which the next one may not become ready.
        assert_brought(&outcome.during(&only.1), policy);
        // Otherwise the results above would be meaningless.
        let lost = outcome.during(&none.1);
        assert!(lost.faulty().count() > 0, "no replica rewrites, and the load reports no fault");
        assert_brought(&lost, policy);
    }

    /// Runs a case. Returns its name and its time.
    fn case(&self, what: &str, act: impl FnOnce()) -> (String, Range<Duration>) {
        let start = self.load.elapsed();
        step(&format!("failurePolicy {:?}: {what}", self.policy), act);
        (what.to_owned(), start..self.load.elapsed())
    }

    /// Continues the load for some time.
    fn watch_for(&self, time: Duration) {
        let end = self.load.elapsed() + time;
        wait_for(2 * time, || (self.load.elapsed() >= end).then_some(())).expect("a later time");
    }

    /// Evicts one Pod after the other, like `kubectl drain`. If the PodDisruptionBudget does not allow it yet, the eviction is
    /// retried.
    fn evict_each(&self) {
        let pods = self.replicas.pods();
        for (index, pod) in pods.iter().enumerate() {
            let name = replicas::name(pod);
            let eviction = json!({
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": name, "namespace": NAMESPACE},
            });
            let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction");
            let mut blocked = 0;
            let evicted = wait_for(DEADLINE, || match self.replicas.client.post(&path, &eviction) {
                Ok(_) => Some(()),
                Err(kube::Error::Api(status)) if status.code == 429 => {
                    assert!(status.message.contains("disruption budget"), "{status:#?}");
                    blocked += 1;
                    None
                }
                Err(error) => panic!("eviction of {name}: {error}"),
            });
            evicted.unwrap_or_else(|error| panic!("eviction of {name}: {error:#}"));
            assert!(self.replicas.ready_count() >= pods.len() - 1, "the other replicas are affected while {name} ends");
            assert!(
                index == 0 || blocked > 0,
                "the disruption budget did not block {name} until the previous Pod was replaced"
            );
        }
        self.replicas.wait_until_settled(pods.len());
        let now = self.replicas.pods();
        assert!(
            !now.iter().any(|new| pods.iter().any(|old| replicas::name(old) == replicas::name(new))),
            "a Pod was not replaced"
        );
    }

    fn kill(&self, name: &str) -> Killed {
        let pod = self.replicas.pod(name);
        let container = &pod["status"]["containerStatuses"][0];
        let id = container["containerID"].as_str().and_then(|id| id.strip_prefix("containerd://"));
        let restarts = container["restartCount"].as_u64().expect("a count");
        let log_before = self.cluster.control_plane.log().len();

        let (mut at, mut left, mut ready) = (Duration::ZERO, None, Duration::ZERO);
        let (_, time) = self.case("a replica of 2 killed", || {
            at = self.load.elapsed();
            self.cluster.node.kill_container(id.expect("a container of containerd")).unwrap();
            let is_back = wait_for(DEADLINE, || {
                let is_endpoint = self.replicas.is_endpoint(name);
                if !is_endpoint && left.is_none() {
                    left = Some(self.load.elapsed());
                }
                let pod = self.replicas.pod(name);
                let restarted = pod["status"]["containerStatuses"][0]["restartCount"].as_u64() > Some(restarts);
                (restarted && replicas::is_ready(&pod) && is_endpoint).then_some(())
            });
            is_back.unwrap_or_else(|error| panic!("{name} is not recreated: {error:#}"));
            ready = self.load.elapsed();
            self.watch_for(AFTERMATH);
        });

        let log = self.cluster.control_plane.log();
        let mut failing_open = BTreeMap::new();
        for line in log[log_before..].lines().filter(|line| line.contains("failing open rewrite.pullthrough.dev")) {
            *failing_open.entry(load::cause(line).to_owned()).or_default() += 1;
        }
        Killed { time, at, left, ready, failing_open }
    }
}

impl Killed {
    fn print(&self, outcome: &Outcome, policy: Policy) {
        let outcome = outcome.during(&self.time);
        println!("          a replica of {REPLICAS} killed: {outcome}");
        let after = |time: Duration| format!("{:.2} s", time.saturating_sub(self.at).as_secs_f64());
        let left = self
            .left
            .map_or("always in the endpoints".into(), |left| format!("not in the endpoints after {}", after(left)));
        println!("            {left}, ready again after {}", after(self.ready));
        print_reasons(if policy == Policy::Fail { outcome.reasons() } else { self.failing_open.clone() });
        let times: Vec<_> = outcome.faulty().map(|creation| after(creation.sent)).collect();
        if !times.is_empty() {
            println!("            sent {} after the kill", times.join(", "));
        }
    }

    /// Asserts that Pods are lost only because of the kill, and only between it and the recovery.
    fn check(&self, outcome: &Outcome, policy: Policy) {
        let during = outcome.during(&self.time);
        assert_brought(&during, policy);
        let is_explained = |creation: &Creation| creation.answered >= self.at && creation.sent <= self.ready;
        let unexplained: Vec<_> = during.faulty().filter(|creation| !is_explained(creation)).collect();
        assert!(unexplained.is_empty(), "killed at {:?}, ready at {:?}: {unexplained:#?}", self.at, self.ready);
        let after = outcome.during(&(self.ready..self.time.end)).count();
        assert!(after > 0, "the load ended before the recovery");
    }
}

/// Asserts that lost Pods have the outcome that the policy has for a webhook that does not answer.
#[track_caller]
fn assert_brought(outcome: &Outcome, policy: Policy) {
    let other: Vec<_> = outcome.faulty().filter(|creation| !policy.brings(creation.fault.as_ref())).collect();
    assert!(other.is_empty(), "unexpected outcome with failurePolicy {policy:?}: {other:#?}");
}

fn print_reasons(reasons: BTreeMap<String, usize>) {
    for (reason, count) in reasons {
        println!("            {count} × {reason}");
    }
}
