//! Nodes on which a Pod may run, and what an image on them proves.

use serde_json::{Value, json};

use super::*;

const DIGEST: &str = "sha256:5516d103a9c2ecc4f026efbd4b40662ce22dc1f824fb129ed121460aaa5c47f8";

fn node(name: &str, version: &str, images: &[&str], spec: Value) -> Node {
    let text = json!({
        "metadata": {"name": name, "labels": {"disk": name, "kubernetes.io/hostname": name}},
        "spec": spec,
        "status": {
            "nodeInfo": {"operatingSystem": "linux", "architecture": "amd64", "kubeletVersion": version},
            "images": [{"names": images}, {"names": null}, {}],
        },
    });
    Node::read(&text.to_string()).unwrap()
}

fn scheduling(spec: Value) -> Scheduling {
    serde_json::from_value(spec).unwrap()
}

#[test]
fn pods_run_where_the_scheduler_may_place_them() {
    let taint = |key: &str, effect: &str| json!({"taints": [{"key": key, "value": "v", "effect": effect}]});
    let plain = node("a", "v1.34.0", &[], json!({}));
    let tainted = node("b", "v1.34.0", &[], taint("gpu", "NoSchedule"));
    let cordoned = node("c", "v1.34.0", &[], taint("node.kubernetes.io/unschedulable", "NoSchedule"));
    let preferred = node("d", "v1.34.0", &[], taint("gpu", "PreferNoSchedule"));
    let nodes = Nodes(vec![plain, tainted, cordoned, preferred]);
    let affinity = |terms: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
    let expression = |operator: &str, values: Value| {
        affinity(json!([{"matchExpressions": [{"key": "disk", "operator": operator, "values": values}]}]))
    };
    for (spec, expected) in [
        (json!({}), "acd"),
        (json!({"nodeName": "b"}), "b"),
        (json!({"nodeName": ""}), "acd"),
        (json!({"nodeSelector": {"disk": "a"}}), "a"),
        (json!({"nodeSelector": {"absent": "a"}}), ""),
        (json!({"tolerations": [{"operator": "Exists"}]}), "abcd"),
        (json!({"tolerations": [{"key": "gpu", "operator": "Equal", "value": "v", "effect": "NoSchedule"}]}), "abcd"),
        (json!({"tolerations": [{"key": "gpu", "value": "other"}]}), "acd"),
        (json!({"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}]}), "acd"),
        (expression("In", json!(["a", "c"])), "ac"),
        (expression("NotIn", json!(["a"])), "cd"),
        (expression("DoesNotExist", json!(null)), ""),
        // Not evaluated.
        (expression("Gt", json!(["1"])), "acd"),
        (affinity(json!([{}])), ""),
        (affinity(json!([{}, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["d"]}]}])), "d"),
    ] {
        let allowed: String = nodes.allowed(&scheduling(spec.clone())).iter().map(|node| node.name.clone()).collect();
        assert_eq!(allowed, expected, "{spec}");
    }
}

#[test]
fn an_image_counts_if_every_node_has_it() {
    let by_tag = "cache.example.com/hub/app:1";
    let by_digest = format!("cache.example.com/hub/app@{DIGEST}");
    let by_both = format!("{by_tag}@{DIGEST}");
    let nodes = |versions: &[(&str, &[&str])]| {
        Nodes(
            versions
                .iter()
                .enumerate()
                .map(|(index, (version, images))| node(&index.to_string(), version, images, json!({})))
                .collect(),
        )
    };
    let all: &[&str] = &[by_tag, &by_digest];
    let (present, never, always) = (PullPolicy::IfNotPresent, PullPolicy::Never, PullPolicy::Always);
    for (of_nodes, image, policy, expected) in [
        (&[("v1.34.1", all), ("v1.34.1", all)][..], by_tag, present, Some(Verdict::Yes)),
        (&[("v1.34.1", all)], by_tag, never, Some(Verdict::Yes)),
        (&[("v1.34.1", all)], &by_digest, present, Some(Verdict::Yes)),
        (&[("v1.34.1", all)], &by_both, present, Some(Verdict::Yes)),
        (&[("v1.34.1", all)], by_tag, always, Some(Verdict::No)),
        (&[("v1.34.1", all), ("v1.34.1", &[])], by_tag, present, Some(Verdict::Unknown)),
        (&[("v1.35.0+k3s1", all)], by_tag, present, Some(Verdict::Unknown)),
        (&[("", all)], by_tag, present, Some(Verdict::Unknown)),
        // The tag may have another digest by now.
        (&[("v1.34.1", &[by_tag])], &by_both, present, None),
        // The same image under another name is pulled again.
        (&[("v1.34.1", all)], "docker.io/hub/app:1", present, None),
        (&[("v1.34.1", all)], "cache.example.com/hub/app", present, None),
        (&[], by_tag, present, None),
    ] {
        let found = nodes(of_nodes).look(image, policy, &Scheduling::default());
        assert_eq!(found.map(|evidence| evidence.verdict), expected, "{of_nodes:?} {image} {policy:?}");
    }
}
