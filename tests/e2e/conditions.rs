//! `--skip-unaffected-pods`: the API server calls the webhook for each Pod that the engine would change, and for few others.

use std::fmt::Write;

use pullthrough::config;
use pullthrough::engine::{Policy, Question};
use serde_json::{Value, json};

use crate::CLUSTER;
use crate::scene::{Scene, pod, rules, simple_pod};

const ENTRIES: &str =
    "  - {name: kubernetes, from: [registry.k8s.io, k8s.gcr.io, gcr.io/google_containers], to: cache.example.com/k8s}
  - {name: local, from: ['localhost:5000', '[::1]:5000', 'port.example.com:443'], to: cache.example.com/local}\n";
const DOCKER_HUB: &str = "  - {name: hub, from: [docker.io], to: cache.example.com/hub}\n";

/// Image names whose host is hard to find.
const IMAGES: [&str; 36] = [
    "registry.k8s.io/pause:3.9",
    "Registry.K8S.io/pause",
    "registry.k8s.io:443/pause",
    "REGISTRY.K8S.IO:443/a/b/c@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "registry.k8s.io:8443/pause",
    "registry.k8s.io:0443/pause",
    "localhost:05000/x",
    "registry.hub.docker.com:00443/nginx",
    "Registry.Hub.Docker.com/nginx",
    "registry.k8s.io",
    "registry.k8s.io:3.9",
    "registry.k8s.io.evil.com/pause",
    "k8s.gcr.io/pause:3.1",
    "gcr.io/google_containers/pause",
    "gcr.io/other/pause",
    "localhost:5000/x",
    "localhost/x",
    "LOCALHOST:5000/x",
    "[::1]:5000/x",
    "[::1]/x",
    "port.example.com/x",
    "port.example.com:443/x",
    "port.example.com:444/x",
    "nginx",
    "nginx:1.29",
    "library/nginx",
    "docker.io/nginx",
    "Docker.IO/nginx",
    "index.docker.io:443/nginx",
    "registry-1.docker.io/nginx",
    "foo_bar.com/baz",
    "Foo/bar",
    "quay.io/a/b",
    "cache.example.com/k8s/pause",
    "auto",
    "not an image/at all",
];

/// Returns the same Pods in each run: images in all places, and some Pods large.
fn pods() -> Vec<Value> {
    let image = |n: usize| IMAGES[(n * 7 + n / 5) % IMAGES.len()];
    (0..240)
        .map(|n| {
            let containers = match n {
                n if n < IMAGES.len() => 1,
                n if n % 40 == 0 => 50,
                n => 1 + n % 3,
            };
            let unaffected = |m: usize| if n % 3 == 0 || m % 49 == 48 { image(n + m) } else { "quay.io/a/b:1" };
            let first = if n < IMAGES.len() { IMAGES[n] } else { "quay.io/first" };
            let mut spec = json!({"containers": (0..containers).map(|m| {
                json!({"name": format!("c{m}"), "image": if m == 0 { first } else { unaffected(m) }})
            }).collect::<Vec<_>>()});
            if n % 4 == 1 {
                spec["initContainers"] = json!([{"name": "i", "image": image(n)}]);
            }
            if n % 5 == 2 {
                spec["volumes"] =
                    json!([{"name": "v", "image": {"reference": image(n + 1)}}, {"name": "e", "emptyDir": {}}]);
            }
            pod(&format!("p{n}"), spec)
        })
        .collect()
}

/// Returns whether the engine rewrites an image of the Pod.
fn engine_rewrites(policy: &Policy, pod: &Value) -> bool {
    let spec = &pod["spec"];
    let containers =
        ["containers", "initContainers"].into_iter().flat_map(|list| spec[list].as_array().into_iter().flatten());
    let references = spec["volumes"].as_array().into_iter().flatten().map(|volume| &volume["image"]["reference"]);
    let images = containers.map(|container| &container["image"]).chain(references).filter_map(Value::as_str);
    images.into_iter().any(|image| {
        let question =
            Question { image, namespace: "conditions", pull_never: false, previous: None, included_from: None };
        policy.decide(question).reason().is_none()
    })
}

fn compare(namespace: &'static str, entries: &str) {
    let text = rules("", entries);
    let policy = Policy::from(config::parse("rules.yaml", &text).expect("valid rules"));
    let scene = Scene::unregistered(namespace, &text);
    scene.register(&["--skip-unaffected-pods"]);

    let mut rewritten = 0;
    let pods = pods();
    let client = CLUSTER.client();
    let asked_before = scene.asked();
    for pod in &pods {
        let created = client.dry_run(namespace, pod).unwrap_or_else(|error| panic!("{pod}: {error:#}"));
        let is_rewritten = created.to_string().contains("cache.example.com/local")
            || created.to_string().contains("cache.example.com/hub")
            || created.to_string().matches("cache.example.com/k8s").count()
                > pod.to_string().matches("cache.example.com/k8s").count();
        let mut admitted = pod.clone();
        if created["spec"]["volumes"][0].get("image").is_none() {
            // An API server without image volumes drops them before it calls the webhook.
            admitted["spec"]["volumes"] = Value::Null;
        }
        assert_eq!(is_rewritten, engine_rewrites(&policy, &admitted), "{pod}");
        rewritten += usize::from(is_rewritten);
    }
    let asked_in_vain = (scene.asked() - asked_before) as usize - rewritten;
    println!("{namespace}: {} Pods, {rewritten} rewritten, {asked_in_vain} asked about in vain", pods.len());
    assert!(rewritten > 20 && rewritten < pods.len() - 20, "the Pods must include both kinds");
    // The conditions compare hosts, not paths. An image beside the paths of a rule causes a call.
    assert!(asked_in_vain < pods.len() / 5, "{asked_in_vain} of {}", pods.len());
}

#[test]
fn no_pod_is_skipped_that_the_engine_would_rewrite() {
    compare("conditions", ENTRIES);
}

#[test]
fn no_pod_is_skipped_with_docker_hub_among_the_sources() {
    compare("conditions-hub", &format!("{ENTRIES}{DOCKER_HUB}"));
}

#[test]
fn a_pod_with_nothing_to_rewrite_is_not_asked_about() {
    let scene = Scene::unregistered("conditions-counter", &rules("", ENTRIES));
    scene.register(&["--skip-unaffected-pods"]);
    let asked = scene.asked();
    for image in ["nginx", "quay.io/a", "cache.example.com/k8s/pause", "example.com:443/x", ""] {
        let mut pod = simple_pod("p", image);
        pod["spec"]["volumes"] = json!([{"name": "e", "emptyDir": {}}]);
        // The API server rejects an empty image after it has called the webhook.
        let _ = scene.create(&pod, &["--dry-run=server"]);
    }
    assert_eq!(scene.asked(), asked);
}

/// If the call were skipped, the one image that a rule matches would not be rewritten.
#[test]
fn the_dearest_pod_stays_within_the_cost_limit() {
    let mut hosts = String::new();
    for number in 0..63 {
        let _ = write!(hosts, "{}{number}.example.com, ", "h".repeat(40));
    }
    let entries = format!("  - {{name: many, from: [{hosts}registry.k8s.io], to: cache.example.com/k8s}}\n");
    let scene = Scene::unregistered("conditions-cost", &rules("", &entries));
    scene.register(&["--skip-unaffected-pods"]);
    let long = |n: usize| format!("{}{n:03}.example.net/{}", "H".repeat(200), "x/".repeat(400));
    for count in [50, 255, 256, 400] {
        let mut containers: Vec<Value> = (1..count)
            .map(|n| json!({"name": format!("c{n}"), "image": long(n)[..1000].trim_end_matches('/')}))
            .collect();
        containers.push(json!({"name": "last", "image": "registry.k8s.io/pause"}));
        let created = scene.create(&pod("p", json!({"containers": containers})), &["--dry-run=server"]).json();
        let last = &created["spec"]["containers"][count - 1]["image"];
        assert_eq!(last, "cache.example.com/k8s/pause", "{count} containers");
    }
    // One very long image, and one that a rule matches.
    let containers =
        json!([{"name": "a", "image": "x".repeat(1_000_000)}, {"name": "b", "image": "registry.k8s.io/pause"}]);
    let created = scene.create(&pod("p", json!({"containers": containers})), &["--dry-run=server"]).json();
    assert_eq!(created["spec"]["containers"][1]["image"], "cache.example.com/k8s/pause");
}

/// An immutable image is reverted to the stored one, also if no rule names its registry any more.
#[test]
fn an_update_of_image_volumes_is_always_asked_about() {
    let scene = Scene::unregistered("conditions-update", &rules("", &format!("{ENTRIES}{DOCKER_HUB}")));
    scene.register(&["--skip-unaffected-pods"]);
    let manifest = pod(
        "p",
        json!({
            "containers": [{"name": "c", "image": "quay.io/app", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
            "volumes": [{"name": "v", "image": {"reference": "nginx:1"}}],
        }),
    );
    let apply =
        ["apply", "--server-side", "--force-conflicts", "-o", "json", "-f", "-", "--namespace", scene.namespace];
    let before = CLUSTER.kubectl_with(&apply, &manifest.to_string()).json();
    if before["spec"]["volumes"][0].get("image").is_none() {
        println!("skipped: image volumes, which this API server drops");
        return;
    }
    assert_eq!(before["spec"]["volumes"][0]["image"]["reference"], "cache.example.com/hub/library/nginx:1");
    let moved = ENTRIES.to_owned() + "  - {name: elsewhere, from: [quay.io], to: cache.example.com/hub}\n";
    scene.webhook.change_rules(&rules("", &moved)).expect("the rules are loaded");
    scene.register(&["--skip-unaffected-pods"]);
    let after = CLUSTER.kubectl_with(&apply, &manifest.to_string()).json();
    assert_eq!(after["spec"]["volumes"], before["spec"]["volumes"]);
}
