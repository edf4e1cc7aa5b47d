//! Objects of a cluster, and the workloads that they are.

use serde_json::json;

use super::*;

fn place(kind: &str, name: &str, place: &str) -> Location {
    Location::Cluster {
        api_version: "v1".to_owned(),
        kind: kind.to_owned(),
        namespace: Some("shop".to_owned()),
        name: name.to_owned(),
        place: place.to_owned(),
    }
}

fn finding(kind: &str, name: &str, at: &str, image: &str) -> FoundImage {
    let decision = Decision::Rewrite { result: format!("cache.io/{image}"), rule: "r".to_owned() };
    FoundImage::new(image.to_owned(), place(kind, name, at), Use::Template, Some(decision), None)
}

fn object(kind: &str, name: &str, owner: Option<(&str, &str)>, pull_policy: &str) -> String {
    let containers = json!([{"name": "app", "image": "x", "imagePullPolicy": pull_policy}]);
    let pod = json!({"nodeName": "n", "containers": containers});
    let spec = if kind == "Pod" { pod } else { json!({"template": {"spec": pod}}) };
    let owners: Vec<_> =
        owner.iter().map(|(kind, name)| json!({"kind": kind, "name": name, "controller": true})).collect();
    json!({"metadata": {"name": name, "namespace": "shop", "ownerReferences": owners}, "spec": spec}).to_string()
}

#[test]
fn pods_and_revisions_count_with_their_controller() {
    let mut workloads = Workloads::default();
    for (kind, name, owner) in [
        ("Deployment", "web", None),
        ("ReplicaSet", "web-1", Some(("Deployment", "web"))),
        ("Pod", "web-1-a", Some(("ReplicaSet", "web-1"))),
        ("Pod", "db-0", Some(("Database", "db"))),
        ("Pod", "bare", None),
    ] {
        workloads.read(kind, &object(kind, name, owner, "Always"));
        workloads.add(finding(kind, name, "containers/app", "quay.io/app:1"));
    }
    workloads.add(finding("Pod", "web-1-a", "containers/proxy", "quay.io/proxy:1"));
    workloads.add(finding("Pod", "web-1-a", "ephemeralContainers/debug", "quay.io/debug:1"));
    let Collected { workloads: found, unjudged, .. } = workloads.finish();
    assert_eq!(unjudged.lines(), ["1 image not judged, of ephemeral containers: quay.io/debug:1"]);
    let names: Vec<_> = found.iter().map(|workload| workload.place.object().unwrap()).collect();
    assert_eq!(names, ["Deployment shop/web", "Pod shop/db-0", "Pod shop/bare"]);
    let images: Vec<_> = found[0].images.iter().map(|image| (&*image.written, image.policy)).collect();
    assert_eq!(images, [("quay.io/app:1", PullPolicy::Always), ("quay.io/proxy:1", PullPolicy::IfNotPresent)]);
    // A controller may create its Pod on another node.
    let nodes: Vec<_> = found.iter().map(|workload| workload.scheduling.node_name.as_deref()).collect();
    assert_eq!(nodes, [Some("n"), None, Some("n")]);
}
