//! `rollout`: which workloads it includes, through the answer to the API server.

use json_patch::Patch;
use proptest::prelude::*;
use pullthrough_engine::{Context, Policy, Workload, answer};
use serde_json::{Value, json};

use crate::file;

const IMAGE: &str = "docker.io/library/nginx:1.29";
const CACHED: &str = "cache.example.com/hub/library/nginx:1.29";

/// A rule at a percentage, between others that change.
fn rules(percent: u8, others: &str) -> Policy {
    file(&format!(
        "rules:\n{others}  - {{name: hub, from: [docker.io], to: cache.example.com/hub, rollout: {percent}%}}\n"
    ))
}

fn review(operation: &str, subresource: &str, namespace: &str, object: &Value, old_object: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": operation, "namespace": namespace, "subResource": subresource,
        "resource": {"group": "", "version": "v1", "resource": "pods"}, "object": object, "oldObject": old_object,
    }})
}

/// Returns the object as it is stored, and the reason for its first image.
fn store(policy: &Policy, review: &Value) -> (Value, Option<&'static str>) {
    let body = review.to_string();
    let answer = answer(Context::of(policy), body.as_bytes()).expect("an answer");
    assert_eq!(answer.summary.problem, None);
    let response: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let mut object = review["request"]["object"].clone();
    if let Some(patch) = response["response"]["patch"].as_str() {
        use base64::prelude::{BASE64_STANDARD, Engine as _};
        let patch: Patch = serde_json::from_slice(&BASE64_STANDARD.decode(patch).expect("base64")).expect("a patch");
        json_patch::patch(&mut object, &patch).expect("a patch that applies");
    }
    (object, answer.summary.images.first().and_then(|image| image.decision.reason()).map(|reason| reason.as_str()))
}

fn image(pod: &Value) -> &str {
    pod["spec"]["containers"][0]["image"].as_str().expect("an image")
}

/// What creates a Pod, and the least percentage that includes its workload, as its name says it.
#[derive(Debug, Clone)]
struct Creator {
    kind: &'static str,
    name: String,
}

impl Creator {
    /// Returns a Pod of a revision and a replica.
    fn pod(&self, revision: &str, replica: &str) -> Value {
        let Self { kind, name } = self;
        let metadata = match *kind {
            "Deployment" => json!({
                "generateName": format!("{name}-{revision}-"),
                "labels": {"app": name, "pod-template-hash": revision},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": replica},
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-{revision}"), "controller": true},
                ],
            }),
            "Pod" => json!({"generateName": name, "labels": {"pod-template-hash": revision}}),
            "named" => json!({"name": name}),
            kind => json!({
                "name": format!("{name}-{replica}"),
                "labels": {"controller-revision-hash": revision},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": name, "controller": true}],
            }),
        };
        json!({"metadata": metadata, "spec": {"containers": [{"name": "app", "image": IMAGE}]}})
    }

    fn included_from(&self, namespace: &str) -> u8 {
        let kind = if self.kind == "named" { "Pod" } else { self.kind };
        Workload::new(kind, self.name.as_str()).included_from(namespace).get()
    }
}

fn creator() -> impl Strategy<Value = Creator> {
    let kind = prop::sample::select(vec!["Deployment", "StatefulSet", "DaemonSet", "Job", "Pod", "named", "Cluster"]);
    (kind, "[a-z]{1,8}(-[a-z0-9]{1,5}){0,2}").prop_map(|(kind, name)| Creator { kind, name })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Replicas of the webhook have nothing in common but the rules, so two answers show two replicas.
    #[test]
    fn a_workload_is_in_as_a_whole(
        creator in creator(), namespace in "[a-z]{1,8}", percent in 0..=100_u8,
        pods in prop::collection::vec(("[a-f0-9]{8,10}", "[a-z0-9]{5}"), 1..4)
    ) {
        let policy = rules(percent, "");
        let is_included = creator.included_from(&namespace) <= percent;
        for (revision, replica) in pods {
            let pod = creator.pod(&revision, &replica);
            let (stored, reason) = store(&policy, &review("CREATE", "", &namespace, &pod, &Value::Null));
            prop_assert_eq!(image(&stored), if is_included { CACHED } else { IMAGE });
            prop_assert_eq!(reason, if is_included { None } else { Some("not_rolled_out") });
            // A webhook between the rounds added a label; the second round changes nothing.
            let mut again = stored.clone();
            again["metadata"]["labels"]["sidecar"] = json!("yes");
            let (after, _) = store(&policy, &review("CREATE", "", &namespace, &again, &Value::Null));
            prop_assert_eq!(image(&after), image(&stored));
            // The API server has completed the name, and the Pod is debugged: whatever the client sends of the Pod.
            let mut old = stored.clone();
            if old["metadata"]["name"].is_null() {
                old["metadata"]["name"] = json!(format!("{}{replica}", creator.name));
            }
            let added = json!([{"name": "debug", "image": IMAGE}]);
            for mut new in [old.clone(), json!({"metadata": {"name": old["metadata"]["name"]}})] {
                new["spec"]["ephemeralContainers"] = added.clone();
                let (debugged, _) = store(&policy, &review("UPDATE", "ephemeralcontainers", &namespace, &new, &old));
                let image = debugged["spec"]["ephemeralContainers"][0]["image"].as_str();
                prop_assert_eq!(image, Some(if is_included { CACHED } else { IMAGE }));
            }
            let mut new = old.clone();
            new["spec"]["containers"][0]["image"] = json!(IMAGE.replace("1.29", "1.30"));
            let (updated, _) = store(&policy, &review("UPDATE", "", &namespace, &new, &old));
            prop_assert_eq!(image(&updated).starts_with("cache.example.com"), is_included);
        }
    }

    #[test]
    fn raising_only_adds_workloads(creator in creator(), namespace in "[a-z]{1,8}") {
        let pod = creator.pod("5d4f8c7b9", "abcde");
        let review = review("CREATE", "", &namespace, &pod, &Value::Null);
        let from = creator.included_from(&namespace);
        prop_assert!((1..=100).contains(&from));
        for percent in [0, from - 1, from, (from + 1).min(100), from.midpoint(100), 100] {
            let (stored, _) = store(&rules(percent, ""), &review);
            prop_assert_eq!(image(&stored) == CACHED, percent >= from, "{}% and {}%", percent, from);
        }
    }

    /// Names of rules, other rules and the order of the file have no influence.
    #[test]
    fn edits_elsewhere_move_no_workload(creator in creator(), namespace in "[a-z]{1,8}", percent in 0..=100_u8) {
        let review = review("CREATE", "", &namespace, &creator.pod("5d4f8c7b9", "abcde"), &Value::Null);
        let expected = store(&rules(percent, ""), &review);
        for others in [
            "  - {name: a, from: [quay.io], to: cache.example.com/quay, rollout: 3%}\n",
            "  - {name: b, from: [docker.io], to: cache.example.com/x, namespaces: {include: ['*0']}}\n",
        ] {
            prop_assert_eq!(&store(&rules(percent, others), &review), &expected);
        }
        let renamed = format!(
            "rules:\n  - {{name: renamed, from: [docker.io], except: [docker.io/x], to: cache.example.com/hub, imagePullSecrets: [], rollout: {percent}%}}\n"
        );
        prop_assert_eq!(&store(&file(&renamed), &review), &expected);
    }

    /// Whatever the number was and is, an update with the manifest as written changes no running container.
    #[test]
    fn another_percentage_moves_no_running_container(
        creator in creator(), namespace in "[a-z]{1,8}", [before, after] in [0..=100_u8, 0..=100_u8], has_failover in any::<bool>()
    ) {
        let of = |percent| {
            let failover = if has_failover { ", failover: [cache-2.example.com/hub]" } else { "" };
            file(&format!(
                "caches: [{{prefix: cache.example.com, health: {{}}}}]\nrules:\n  - {{name: hub, from: [docker.io], to: cache.example.com/hub, rollout: {percent}%{failover}}}\n"
            ))
        };
        let pod = creator.pod("5d4f8c7b9", "abcde");
        let (old, _) = store(&of(before), &review("CREATE", "", &namespace, &pod, &Value::Null));
        let policy = of(after);
        for new in [&pod, &old] {
            let is_written = image(new) == IMAGE && image(&old) == CACHED;
            // A rule for everybody changes what is written, as it always did.
            if is_written && after == 100 && !has_failover {
                continue;
            }
            let mut new = new.clone();
            new["metadata"]["annotations"] = json!({"touched": "yes"});
            let (stored, reason) = store(&policy, &review("UPDATE", "", &namespace, &new, &old));
            prop_assert_eq!(image(&stored), image(&old));
            prop_assert_eq!(reason, Some("unchanged"));
            let (again, _) = store(&policy, &review("UPDATE", "", &namespace, &stored, &old));
            prop_assert_eq!(image(&again), image(&old));
        }
    }
}

/// Returns how many of the workloads each percentage includes.
fn included(workloads: &[(&'static str, String, String)]) -> [usize; 101] {
    let mut included = [0; 101];
    for (kind, name, namespace) in workloads {
        let from = Workload::new(*kind, name.as_str()).included_from(namespace).get();
        included[usize::from(from)..].iter_mut().for_each(|count| *count += 1);
    }
    included
}

/// The share that is included differs from the percentage by at most 1 % of 10,000 workloads of a cluster. In each family of
/// names by itself, it differs by at most four standard deviations of a random choice: 2 % of 10,000.
#[test]
fn the_share_of_workloads_is_the_percentage() {
    const COUNT: usize = 10_000;
    let numbered = |form: fn(usize) -> (&'static str, String, String)| (0..COUNT).map(form).collect::<Vec<_>>();
    let families = [
        // One namespace with many, and many namespaces with one each.
        numbered(|at| ("Deployment", format!("service-{at}"), "shop".to_owned())),
        numbered(|at| ("Deployment", "web".to_owned(), format!("team-{at}"))),
        numbered(|at| ("StatefulSet", format!("db-{}", at % 40), format!("tenant-{}", at / 40))),
        // Runs of a CronJob: minutes since 1970.
        numbered(|at| ("Job", format!("backup-{}", 29_384_920 + at), "ops".to_owned())),
        numbered(|at| ("DaemonSet", format!("{}-agent-{at}", ["log", "metrics", "csi"][at % 3]), "nodes".to_owned())),
        numbered(|at| ("Pod", format!("pr-{at}-"), "ci".to_owned())),
    ];
    for workloads in &families {
        for (percent, included) in included(workloads).into_iter().enumerate() {
            let difference = included.abs_diff(COUNT * percent / 100);
            assert!(difference <= COUNT / 50, "{percent}%: {included} of {COUNT}, such as {:?}", workloads[0]);
        }
    }
    let cluster: Vec<_> = (0..COUNT).map(|at| families[at % families.len()][at].clone()).collect();
    for (percent, included) in included(&cluster).into_iter().enumerate() {
        let difference = included.abs_diff(COUNT * percent / 100);
        assert!(difference <= COUNT / 100, "{percent}%: {included} of {COUNT}");
    }
}
