//! Updates: policy and webhook rewrite and revert the same images, after any earlier rules.

use serde_json::{Value, json};

use super::mutating_policies_are_served;
use super::twins::{Outcome, Twins, Way};
use crate::harness::wait_for;
use crate::scene::{pod, rules};
use crate::{CLUSTER, DEADLINE};

const RULES: &str = "  - {name: hub, from: [docker.io], to: cache.example.com/hub, except: [docker.io/mycorp]}
  - {name: exact, from: [quay.io/tools/jq], to: cache.example.com/jq}
  - {name: elsewhere, from: [ghcr.io], to: cache.example.com/ghcr, namespaces: {exclude: ['*']}}
  - {name: watched, from: [k8s.gcr.io], to: cache.example.com/k8s, mode: observe}
  - {name: kubernetes, from: [registry.k8s.io], to: new.example.com/k8s}\n";

/// Stored images, and images that replace them.
const IMAGES: [&str; 24] = [
    "nginx",
    "nginx:1",
    "docker.io/library/nginx:1",
    "cache.example.com/hub/library/nginx:1",
    "cache.example.com/hub/library/nginx",
    "cache.example.com/hub/nginx:1",
    "old.example.com/hub/library/nginx:1",
    "library/nginx:1",
    "mycorp/app:1",
    "cache.example.com/hub/mycorp/app:1",
    "quay.io/tools/jq:1",
    "cache.example.com/jq:1",
    "old.example.com/jq:1",
    "ghcr.io/a/b:1",
    "cache.example.com/ghcr/a/b:1",
    "k8s.gcr.io/pause:3",
    "cache.example.com/k8s/pause:3",
    "registry.k8s.io/pause:3",
    "new.example.com/k8s/pause:3",
    "old.example.com/k8s/pause:3",
    "registry.k8s.io/k8s/pause:3",
    "quay.io/pause:3",
    "localhost/pause:3",
    "no image at all",
];

/// Rules with facts: stored images may have any name of a rule, since the state of its caches changed. In the time of the test,
/// no cache is down: that needs three probes.
const FAILOVER_SETTINGS: &str = "caches:
  - {prefix: eu.example.com, health: {interval: 1h}}
  - {prefix: us.example.com, health: {interval: 1h}}\n";
const FAILOVER_RULES: &str = "  - {name: hub, from: [docker.io], to: eu.example.com/hub, failover: ['US.example.com:443/hub', ap.example.com], whenCacheDown: keep}
  - {name: exact, from: [quay.io/tools/jq], to: eu.example.com/jq, failover: [us.example.com/tools/jq]}
  - {name: quay, from: [quay.io], to: eu.example.com/quay, whenCacheDown: upstream}
  - {name: elsewhere, from: [ghcr.io], to: eu.example.com/ghcr, failover: [us.example.com/ghcr], namespaces: {exclude: ['*']}}
  - {name: watched, from: [k8s.gcr.io], to: eu.example.com/k8s, failover: [us.example.com/k8s], mode: observe}
  - {name: plain, from: [registry.k8s.io], to: eu.example.com/plain}\n";
const FAILOVER_IMAGES: [&str; 26] = [
    "nginx:1",
    "nginx:2",
    "docker.io/library/nginx:1",
    "eu.example.com/hub/library/nginx:1",
    "EU.example.com/hub/library/nginx:1",
    "us.example.com/hub/library/nginx:1",
    "US.example.com:443/hub/library/nginx:1",
    "ap.example.com/library/nginx:1",
    "ap.example.com/library/nginx:2",
    "us.example.com/hub/library/redis:1",
    "old.example.com/hub/library/nginx:1",
    "quay.io/tools/jq:1",
    "eu.example.com/jq:1",
    "us.example.com/tools/jq:1",
    "quay.io/a:1",
    "eu.example.com/quay/a:1",
    "us.example.com/quay/a:1",
    "ghcr.io/a/b:1",
    "eu.example.com/ghcr/a/b:1",
    "us.example.com/ghcr/a/b:1",
    "k8s.gcr.io/pause:3",
    "eu.example.com/k8s/pause:3",
    "us.example.com/k8s/pause:3",
    "registry.k8s.io/pause:3",
    "eu.example.com/plain/pause:3",
    "no image at all",
];

/// Rules whose number was lowered: they include no workload, and stored images may have their names.
const ROLLOUT_RULES: &str = "  - {name: probe, from: [docker.io/probe], to: cache.example.com/probe}
  - {name: hub, from: [docker.io], to: cache.example.com/hub, rollout: 0%}
  - {name: quay, from: [quay.io], to: cache.example.com/quay, except: [quay.io/own], namespaces: {exclude: [none]}, rollout: 0%}
  - {name: later, from: [docker.io, registry.k8s.io], to: cache.example.com/later}\n";
const ROLLOUT_IMAGES: [&str; 14] = [
    "nginx:1",
    "nginx:2",
    "docker.io/library/nginx:1",
    "cache.example.com/hub/library/nginx:1",
    "cache.example.com/hub/library/nginx:2",
    "cache.example.com/later/library/nginx:1",
    "old.example.com/hub/library/nginx:1",
    "quay.io/a:1",
    "cache.example.com/quay/a:1",
    "quay.io/own/a:1",
    "cache.example.com/quay/own/a:1",
    "registry.k8s.io/pause:3",
    "cache.example.com/later/pause:3",
    "no image at all",
];

#[test]
fn the_policy_restores_a_name_of_a_rule_that_is_not_rolled_out_as_the_webhook_does() {
    update_alike("policies-rollout", &rules("", ROLLOUT_RULES), &ROLLOUT_IMAGES);
}

#[test]
fn the_policy_updates_as_the_webhook_does() {
    update_alike("policies-update", &rules("", RULES), &IMAGES);
}

#[test]
fn the_policy_restores_another_name_of_a_rule_as_the_webhook_does() {
    update_alike("policies-failover", &rules(FAILOVER_SETTINGS, FAILOVER_RULES), &FAILOVER_IMAGES);
}

/// Replaces each stored image by each other one, at each kind of place.
fn update_alike(namespace: &'static str, rules: &str, stored_images: &[&str]) {
    if !mutating_policies_are_served() {
        return;
    }
    let mut twins = Twins::new(namespace, rules);
    for (number, image) in stored_images.iter().enumerate() {
        twins.create(&pod(
            &format!("p{number}"),
            json!({
                "initContainers": [{"name": "i", "image": image}],
                "containers": [{"name": "c", "image": image}, {"name": "d", "image": "docker.io/kept:1"}],
                "volumes": [
                    {"name": "v", "image": {"reference": image, "pullPolicy": "Always"}},
                    {"name": "w", "image": {"reference": "docker.io/kept:1"}},
                ],
            }),
        ));
        for way in Way::BOTH {
            let debug = json!({"spec": {"ephemeralContainers": [{"name": "e", "image": image}]}});
            let name = format!("p{number}-{}", if way == Way::Webhook { "webhook" } else { "policy" });
            let patch = ["patch", "pod", &name, "--subresource=ephemeralcontainers", "--patch", &debug.to_string()];
            twins.scene.kubectl(&patch).ok();
        }
    }
    twins.register();
    let (mut accepted, mut refused, mut put_back) = (0, 0, 0);
    for (number, &stored) in stored_images.iter().enumerate() {
        let name = format!("p{number}");
        for &image in stored_images {
            let all = |pod: &mut Value| {
                pod["spec"]["containers"][0]["image"] = json!(image);
                pod["spec"]["initContainers"][0]["image"] = json!(image);
                pod["spec"]["volumes"][0]["image"]["reference"] = json!(image);
            };
            let mutable = |pod: &mut Value| pod["spec"]["containers"][0]["image"] = json!(image);
            let debug = |pod: &mut Value| {
                pod["spec"]["ephemeralContainers"][0]["image"] = json!(image);
                pod["spec"]["containers"][0]["image"] = json!("registry.k8s.io/dropped:1");
                let list = pod["spec"]["ephemeralContainers"].as_array_mut().expect("a list");
                list.push(json!({"name": "f", "image": image, "imagePullPolicy": "Always"}));
            };
            let outcomes = |subresource: &str, change: &dyn Fn(&mut Value)| {
                let [webhook, policy] = Way::BOTH.map(|way| twins.dry_update(way, &name, subresource, change));
                assert_eq!(webhook, policy, "{} becomes {image} ({subresource})", stored);
                webhook
            };
            for Outcome(outcome) in
                [outcomes("", &all), outcomes("", &mutable), outcomes("/ephemeralcontainers", &debug)]
            {
                match outcome {
                    Ok(pod) if pod["spec"]["volumes"][0]["image"]["reference"] == stored && image != stored => {
                        accepted += 1;
                        put_back += usize::from(pod["spec"]["initContainers"][0]["image"] != stored);
                    }
                    Ok(_) => accepted += 1,
                    Err(_) => refused += 1,
                }
            }
        }
    }
    println!("{accepted} updates accepted, {put_back} of them with a reverted image, {refused} rejected");
    assert!(3 * accepted > accepted + refused && put_back > 5 && 6 * refused > accepted + refused);
}

#[test]
fn both_together_change_nothing_twice_and_either_can_go() {
    if !mutating_policies_are_served() {
        return;
    }
    // Another rule matches the cache of Docker Hub, so its images must not be rewritten twice.
    let text = rules(
        "",
        "  - {name: hub, from: [docker.io], to: quay.io/hub}\n  - {name: quay, from: [quay.io], to: cache.example.com/quay}\n",
    );
    let mut twins = Twins::new("policies-together", &text);
    twins.register();
    // From now on, the webhook is called for the Pods of both.
    twins.scene.register(&[]);
    let images =
        ["nginx:1", "quay.io/a/b:1", "quay.io/hub/library/nginx:1", "cache.example.com/quay/a:1", "ghcr.io/x:1"];
    let containers: Vec<Value> =
        images.iter().enumerate().map(|(index, image)| json!({"name": format!("c{index}"), "image": image})).collect();
    twins.create(&pod("p", json!({"containers": containers})));
    let expected = [
        "quay.io/hub/library/nginx:1",
        "cache.example.com/quay/a/b:1",
        "quay.io/hub/library/nginx:1",
        "cache.example.com/quay/a:1",
        "ghcr.io/x:1",
    ];
    let check = |when: &str| {
        for way in ["webhook", "policy"] {
            let pod = twins.scene.get(&format!("p-{way}"));
            let images: Vec<&Value> =
                pod["spec"]["containers"].as_array().expect("a list").iter().map(|c| &c["image"]).collect();
            assert_eq!(images, expected, "{way}: {when}");
            assert_eq!(pod["metadata"]["generation"], 1, "{way}: {when}: the Pod's spec was changed");
        }
    };
    check("with both");
    // The webhook is called for images that the policy has rewritten, and does not rewrite them again.
    let kept = || twins.scene.sum("pullthrough_images_not_rewritten_total{dry_run=\"false\",reason=\"already_cached\"");
    // Metrics are up to a second old.
    wait_for(DEADLINE, || (kept() > 0.0).then_some(())).expect("an image that is under a `to`");

    let touch = |value: &str| {
        for way in ["webhook", "policy"] {
            twins
                .scene
                .kubectl(&["annotate", "--overwrite", "pod", &format!("p-{way}"), &format!("touched={value}")])
                .ok();
        }
    };
    touch("both");
    CLUSTER.kubectl(&["delete", "mutatingwebhookconfiguration", "zz-pullthrough-policies-together"]).ok();
    twins.wait_until(Way::Webhook, false);
    touch("policy");
    check("without the webhook");
    twins.scene.register(&[]);
    CLUSTER.kubectl(&["delete", "mutatingadmissionpolicybinding", "zz-pullthrough-policies-together"]).ok();
    CLUSTER.kubectl(&["delete", "mutatingadmissionpolicy", "zz-pullthrough-policies-together"]).ok();
    touch("webhook");
    check("without the policy");
    for way in Way::BOTH {
        twins.wait_until(way, true);
    }
}
