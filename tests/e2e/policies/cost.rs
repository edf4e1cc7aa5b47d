//! The API server limits the cost of an expression. A Pod that exceeds the limit would be admitted unchanged.

use std::fmt::Write;

use serde_json::{Value, json};

use super::mutating_policies_are_served;
use super::twins::{Twins, Way, try_export};
use crate::CLUSTER;
use crate::scene::{pod, rules, simple_pod};

/// Returns 50 rules with the deepest prefixes, an exception, both kinds of namespaces, and a pull secret.
fn fifty_rules() -> String {
    let mut entries = String::from("  - {name: probe, from: [docker.io/probe], to: cache.example.com/probe}\n");
    for number in 1..50 {
        let _ = writeln!(
            entries,
            "  - {{name: rule-{number}, from: [registry-{number}.example.org, r{number}.example.org/a/b/c/d], \
             to: cache.example.com/mirror/of/registry-{number}, except: [registry-{number}.example.org/private/x/y], \
             namespaces: {{exclude: [kube-system, 'ci-{number}-*', '*-x-*']}}, imagePullSecrets: [secret-{number}]}}"
        );
    }
    entries
}

/// The export rejects rules that the API server's parser would reject.
#[test]
fn the_most_rules_that_are_exported_work() {
    if !mutating_policies_are_served() {
        return;
    }
    let path = "a-long-path/".repeat(12) + "application";
    let many = |count: usize| {
        let mut entries = String::from("  - {name: probe, from: [docker.io/probe], to: cache.example.com/probe}\n");
        for number in 1..count {
            let _ = writeln!(
                entries,
                "  - {{name: r{number}, from: [docker.io/team-{number}/{path}], to: cache.example.com/team-{number}/{path}}}"
            );
        }
        rules("", &entries)
    };
    let mut twins = Twins::new("policies-many", &many(300));
    let told = try_export(&twins.scene, &["--action=rewrite"]).expect_err("too many rules");
    assert!(told.contains("and the API server allows 100000"), "{told}");
    twins.scene.webhook.change_rules(&many(250)).expect("valid rules");
    twins.register();
    let pod = simple_pod("p", &format!("team-249/{path}:1"));
    let [webhook, policy] = Way::BOTH.map(|way| twins.dry_run(way, &pod));
    assert_eq!(webhook, policy);
}

#[test]
fn fifty_containers_and_fifty_rules_stay_within_the_limits() {
    if !mutating_policies_are_served() {
        return;
    }
    let mut twins = Twins::new("policies-cost", &rules("", &fifty_rules()));
    // Names of usual length, and then of the largest length.
    let short = |number: usize| format!("r{}.example.org/a/b/c/d/team/application-{number}:v1.2.3", 1 + number % 49);
    let long = |number: usize| {
        let digest = "0123456789abcdef".repeat(8);
        format!(
            "r{}.example.org/a/b/c/d/{}:{}@sha512:{digest}",
            1 + number % 49,
            "x/".repeat(80) + "y",
            "t".repeat(128)
        )
    };
    let of = |count: usize, image: &dyn Fn(usize) -> String| -> Vec<Value> {
        (0..count).map(|number| json!({"name": format!("c{number}"), "image": image(number)})).collect()
    };
    twins.create(&pod("stored", json!({"containers": of(50, &|number| format!("before.example.com/{number}"))})));
    twins.register();
    let images: [(&str, &dyn Fn(usize) -> String); 2] = [("ordinary", &short), ("longest", &long)];
    for (kind, image) in images {
        let created = pod("p", json!({"containers": of(50, image)}));
        let [webhook, policy] = Way::BOTH.map(|way| twins.dry_run(way, &created));
        assert_eq!(webhook, policy);
        assert!(
            policy.0.expect("a Pod")["spec"]["containers"][49]["image"]
                .as_str()
                .expect("an image")
                .starts_with("cache.")
        );
        let change = |pod: &mut Value| {
            for number in 0..50 {
                pod["spec"]["containers"][number]["image"] = json!(image(number));
            }
        };
        let [webhook, policy] = Way::BOTH.map(|way| twins.dry_update(way, "stored", "", change));
        assert_eq!(webhook, policy);

        // The margin to the limits.
        let mut enough = 50;
        while enough < 3_200 {
            let created = pod("p", json!({"containers": of(enough * 2, image)}));
            let Ok(created) = twins.dry_run(Way::Policy, &created).0 else { break };
            if !created["spec"]["containers"][0]["image"].as_str().expect("an image").starts_with("cache.") {
                break;
            }
            enough *= 2;
        }
        println!("50 rules, {kind} images: {enough} containers are rewritten");
    }
    // The API server counts such errors.
    let exceeded = r#"apiserver_mutating_admission_policy_check_total{error_type="invalid_error",policy="zz-pullthrough-policies-cost""#;
    assert!(CLUSTER.kubectl(&["get", "--raw=/metrics"]).ok().contains(exceeded));
}
