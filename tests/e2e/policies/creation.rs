//! Thousands of images in Pods of all shapes: the policy and the webhook create the same Pods.

use std::collections::BTreeSet;

use pullthrough::config;
use pullthrough::engine::{Policy, Question};
use serde_json::{Value, json};

use super::twins::{Twins, Way};
use super::{RULES, images, mutating_policies_are_served};
use crate::scene::{pod, rules};

#[test]
fn the_policy_makes_the_same_pods_as_the_webhook() {
    if !mutating_policies_are_served() {
        return;
    }
    let images = images();
    let mut sums = Sums::default();
    for (name, head, entries) in RULES {
        let text = rules(head, entries);
        let mut twins = Twins::new(format!("policies-{name}").leak(), &text);
        twins.register();
        sums.compare(name, &twins, &text, &images);
    }
    sums.check(5_000);
}

/// Numbers of images.
#[derive(Default)]
pub struct Sums {
    asked: usize,
    rewritten: usize,
    announced: usize,
}

impl Sums {
    /// Compares the Pods with these images that webhook and policy make. Only reported omissions may differ.
    pub fn compare(&mut self, name: &str, twins: &Twins, rules: &str, images: &[String]) {
        let namespace = twins.scene.namespace;
        let policy = Policy::from(config::parse("rules.yaml", rules).expect("valid rules"));
        let mut announced = BTreeSet::new();
        for pod in pods(images) {
            let [webhook, mut rewritten] =
                Way::BOTH.map(|way| twins.dry_run(way, &pod).0.unwrap_or_else(|e| panic!("{e}: {pod}")));
            for place in places(&webhook) {
                let (asked, image) = (webhook.pointer(&place), rewritten.pointer_mut(&place).expect("the same place"));
                let original = pod.pointer(&place).and_then(Value::as_str).expect("an image");
                self.asked += 1;
                self.rewritten += usize::from(asked != pod.pointer(&place));
                if asked != Some(image) {
                    // Only reported omissions are not rewritten.
                    assert_eq!(image, original, "{name}");
                    let question =
                        Question { image: original, namespace, pull_never: false, previous: None, included_from: None };
                    let rule = policy.decide(question).rule().expect("a rule that rewrites").name.clone();
                    assert!(
                        twins.left_out.contains(&format!("omitted: rule `{rule}`")),
                        "{name}: {original}: {}",
                        twins.left_out
                    );
                    announced.insert(rule);
                    self.announced += 1;
                    *image = asked.expect("an image").clone();
                }
            }
            assert_eq!(webhook, rewritten, "{name}");
        }
        let expected: &[&str] = if name == "patterns" { &["gitlab", "some"] } else { &[] };
        assert!(announced.iter().eq(expected), "{name}: {announced:?}");
    }

    pub fn check(&self, least: usize) {
        let Self { asked, rewritten, announced } = self;
        println!(
            "{asked} images, {rewritten} rewritten by the webhook, {announced} of them announced not to be by the policy"
        );
        assert!(*asked > least && *rewritten > least / 5);
    }
}

/// Returns Pods that have every image at some place, with some pull policy.
fn pods(images: &[String]) -> Vec<Value> {
    let pods = images.chunks(24).enumerate().map(|(number, images)| {
        let container = |(index, image): (usize, &String)| {
            let policy = ["Always", "IfNotPresent", "Always", "Never", "IfNotPresent"][(number + index) % 5];
            json!({"name": format!("c{index}"), "image": image, "imagePullPolicy": policy})
        };
        let volume = |(index, image): (usize, &String)| {
            json!({"name": format!("v{index}"), "image": {"reference": image, "pullPolicy": if index == 2 { "Never" } else { "Always" }}})
        };
        let (init, rest) = images.split_at(images.len() / 3);
        let (containers, volumes) = rest.split_at(rest.len().div_ceil(2));
        let mut pod = pod(
            &format!("p{number}"),
            json!({
                "initContainers": init.iter().enumerate().map(|(index, image)| {
                    let mut container = container((index, image));
                    container["name"] = json!(format!("i{index}"));
                    container
                }).collect::<Vec<_>>(),
                "containers": containers.iter().enumerate().map(container).collect::<Vec<_>>(),
                "volumes": volumes.iter().enumerate().map(volume).chain([json!({"name": "e", "emptyDir": {}})]).collect::<Vec<_>>(),
            }),
        );
        match number % 12 {
            3 => pod["metadata"]["labels"] = json!({"pullthrough.dev/rewrite": "disabled"}),
            5 => {
                pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x", "other": "y"});
                pod["spec"]["nodeName"] = json!("node");
            }
            7 => pod["spec"]["imagePullSecrets"] = json!([{"name": "two"}]),
            8 => pod["spec"]["imagePullSecrets"] = json!([]),
            _ => {}
        }
        pod
    });
    pods.collect()
}

/// Returns the JSON pointers of the images of a Pod.
fn places(pod: &Value) -> Vec<String> {
    let lists = [
        ("initContainers", "image"),
        ("containers", "image"),
        ("ephemeralContainers", "image"),
        ("volumes", "image/reference"),
    ];
    let of_list = |(list, field): (&str, &str)| {
        let count = pod["spec"][list].as_array().map_or(0, Vec::len);
        let pointers: Vec<String> = (0..count).map(|index| format!("/spec/{list}/{index}/{field}")).collect();
        pointers
    };
    lists.into_iter().flat_map(of_list).filter(|pointer| pod.pointer(pointer).is_some()).collect()
}
