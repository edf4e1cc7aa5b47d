//! Workloads of every kind in every namespace, each with images at all places, and the expected findings.

use axum::http::Method;
use serde_json::{Value, json};

use super::yard::NAMESPACES;
use crate::harness::{Client, ControlPlane};

/// The number of objects of each kind in each namespace.
const COPIES: usize = 8;
/// API path, kind, resource.
const KINDS: [(&str, &str, &str); 9] = [
    ("api/v1", "Pod", "pods"),
    ("apis/apps/v1", "Deployment", "deployments"),
    ("apis/apps/v1", "StatefulSet", "statefulsets"),
    ("apis/apps/v1", "DaemonSet", "daemonsets"),
    ("apis/apps/v1", "ReplicaSet", "replicasets"),
    ("apis/batch/v1", "Job", "jobs"),
    ("apis/batch/v1", "CronJob", "cronjobs"),
    ("api/v1", "ReplicationController", "replicationcontrollers"),
    ("api/v1", "PodTemplate", "podtemplates"),
];
const DIGEST: &str = "sha256:5516d103a9c2ecc4f026efbd4b40662ce22dc1f824fb129ed121460aaa5c47f8";

/// An image, and its result or reason with the rules of the yard.
const IMAGES: [(&str, Result<&str, &str>); 12] = [
    ("registry.k8s.io/coredns/coredns:v1.12.0", Ok("cache.example.com/k8s/coredns/coredns:v1.12.0")),
    ("K8s.gcr.io:443/etcd:3.5", Ok("cache.example.com/k8s/etcd:3.5")),
    ("nginx", Ok("cache.example.com/hub/library/nginx")),
    ("bitnami/redis:7.2", Ok("cache.example.com/hub/bitnami/redis:7.2")),
    ("docker.io/library/busybox:1.36", Err("excepted")),
    ("quay.io/prometheus/node-exporter:v1.9.1", Err("no_rule")),
    ("ghcr.io/org/app:1", Err("observed")),
    ("cache.example.com/hub/library/httpd:2", Err("already_cached")),
    ("localhost:5000/app", Err("no_rule")),
    ("auto", Err("placeholder")),
    ("registry.k8s.io/Not/Valid", Err("invalid")),
    ("mcr.microsoft.com/dotnet/runtime:9.0", Err("no_rule")),
];

/// The expected part of a line of `scan -o json`.
#[derive(Debug, Clone)]
pub struct Expected {
    pub image: String,
    pub node: Option<String>,
    pub api_version: &'static str,
    pub kind: &'static str,
    pub namespace: Option<&'static str>,
    pub name: String,
    pub place: String,
    pub in_use: &'static str,
    pub verdict: Result<String, String>,
    pub not_covered: Option<&'static str>,
}

impl Expected {
    pub fn line(&self) -> Value {
        let is_object = self.node.is_none();
        let of_object = |text: &str| if is_object { json!(text) } else { Value::Null };
        json!({
            "image": self.image,
            "source": if is_object { "cluster" } else { "node" },
            "node": self.node,
            "api_version": of_object(self.api_version),
            "kind": of_object(self.kind),
            "namespace": self.namespace,
            "name": of_object(&self.name),
            "place": of_object(&self.place),
            "use": self.in_use,
            "decision": if self.verdict.is_ok() { "rewritten" } else { "not_rewritten" },
            "result": self.verdict.as_ref().unwrap_or(&self.image),
            "reason": self.verdict.as_ref().err(),
            "not_covered": self.not_covered,
        })
    }

    /// Returns the line of a scan without rules and without access to the webhook configuration.
    pub fn undecided_line(&self) -> Value {
        let mut line = self.line();
        for key in ["decision", "result", "reason"] {
            line[key] = Value::Null;
        }
        if matches!(self.not_covered, Some("namespace" | "label")) {
            line["not_covered"] = Value::Null;
        }
        line
    }
}

/// A generator of numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }
}

struct Maker<'c> {
    client: Client,
    cluster: &'c ControlPlane,
    dice: Dice,
    expected: Vec<Expected>,
}

pub fn create(cluster: &ControlPlane) -> Vec<Expected> {
    let mut maker = Maker { client: cluster.client(), cluster, dice: Dice(5), expected: Vec::new() };
    for namespace in NAMESPACES {
        for kind in KINDS {
            for copy in 0..COPIES {
                maker.workload(namespace, kind, copy);
            }
        }
        maker.history(namespace);
    }
    maker.static_pod();
    maker.deleting_pod();
    maker.nodes();
    maker.expected
}

impl Maker<'_> {
    fn post(&self, path: &str, object: &Value) -> Value {
        self.client.post(path, object).unwrap_or_else(|error| panic!("{path}: {error}: {object:#}"))
    }

    fn workload(
        &mut self,
        namespace: &'static str,
        (api, kind, resource): (&'static str, &'static str, &str),
        copy: usize,
    ) {
        let name = format!("{}-{copy}", kind.to_lowercase());
        let opted_out = copy == 3;
        let mut labels = json!({"app": name});
        if opted_out {
            labels["pullthrough.dev/rewrite"] = json!("disabled");
        }
        let spec = self.spec(kind);
        let object = written(api, kind, &name, &labels, &spec);
        let path = format!("/{api}/namespaces/{namespace}/{resource}");
        self.post(&path, &object);
        self.expect(namespace, api, kind, &name, &spec, opted_out);
        if kind == "Pod" && copy.is_multiple_of(2) {
            self.debug(namespace, &name, opted_out);
        }
    }

    /// Returns a PodSpec with images at every place that the kind allows.
    fn spec(&mut self, kind: &str) -> Value {
        let mut containers = |list: &str, least: usize, sides: usize| -> Vec<Value> {
            let count = least + self.dice.roll(sides);
            let container = |n| {
                let (image, _) = IMAGES[self.dice.roll(IMAGES.len())];
                let mut container = json!({"name": format!("{list}{n}"), "image": image});
                if self.dice.roll(6) == 0 {
                    container["imagePullPolicy"] = json!("Never");
                }
                container
            };
            (0..count).map(container).collect()
        };
        let init = containers("i", 0, 3);
        let app = containers("c", 1, 3);
        let mut spec =
            json!({"initContainers": init, "containers": app, "volumes": [{"name": "scratch", "emptyDir": {}}]});
        if matches!(kind, "Job" | "CronJob") {
            spec["restartPolicy"] = json!("Never");
        }
        // Before 1.35 a feature gate drops them.
        if self.cluster.minor() >= 35 && self.dice.roll(2) == 0 {
            let image =
                json!({"name": "data", "image": {"reference": "ghcr.io/org/data:1", "pullPolicy": "IfNotPresent"}});
            spec["volumes"].as_array_mut().expect("a list").push(image);
        }
        spec
    }

    fn expect(
        &mut self,
        namespace: &'static str,
        api: &'static str,
        kind: &'static str,
        name: &str,
        spec: &Value,
        opted_out: bool,
    ) {
        for list in ["initContainers", "containers", "ephemeralContainers"] {
            for container in spec[list].as_array().into_iter().flatten() {
                let never = container["imagePullPolicy"] == "Never";
                self.expect_at(
                    namespace,
                    api,
                    kind,
                    name,
                    list,
                    (&container["name"], &container["image"], never),
                    opted_out,
                );
            }
        }
        for volume in spec["volumes"].as_array().into_iter().flatten().filter(|volume| volume["image"].is_object()) {
            let reference = &volume["image"]["reference"];
            self.expect_at(namespace, api, kind, name, "volumes", (&volume["name"], reference, false), opted_out);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "each is a column")]
    fn expect_at(
        &mut self,
        namespace: &'static str,
        api: &'static str,
        kind: &'static str,
        name: &str,
        list: &str,
        (at, image, never): (&Value, &Value, bool),
        opted_out: bool,
    ) {
        let image = image.as_str().expect("an image");
        let known = IMAGES.iter().find(|(known, _)| *known == image);
        let by_rules = known.map_or(Err("observed"), |(_, verdict)| *verdict);
        let is_hub = matches!(image, "nginx" | "bitnami/redis:7.2" | "docker.io/library/busybox:1.36");
        let verdict = match by_rules {
            _ if opted_out => Err("opted_out"),
            Err(reason @ ("placeholder" | "invalid")) => Err(reason),
            _ if never => Err("pull_never"),
            _ if is_hub && namespace == "scan-excluded" => Err("namespace_excluded"),
            verdict => verdict,
        };
        let not_covered = match () {
            () if namespace == "scan-off" => Some("namespace"),
            () if opted_out => Some("label"),
            () => None,
        };
        self.expected.push(Expected {
            image: image.to_owned(),
            node: None,
            api_version: api.strip_prefix("apis/").or(api.strip_prefix("api/")).expect("an API"),
            kind,
            namespace: Some(namespace),
            name: name.to_owned(),
            place: format!("{list}/{}", at.as_str().expect("a name")),
            in_use: if kind == "Pod" { "running" } else { "template" },
            verdict: verdict.map(str::to_owned).map_err(str::to_owned),
            not_covered,
        });
    }

    /// Adds an ephemeral container, as `kubectl debug` does.
    fn debug(&mut self, namespace: &'static str, name: &str, opted_out: bool) {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/ephemeralcontainers");
        let mut pod = self.client.get(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let containers = json!([{"name": "debugger", "image": "docker.io/library/busybox:1.36"}]);
        pod["spec"]["ephemeralContainers"] = containers.clone();
        let answer = self.client.request(Method::PUT, &path, pod.to_string().into_bytes());
        answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        self.expect(namespace, "api/v1", "Pod", name, &json!({"ephemeralContainers": containers}), opted_out);
    }

    /// Adds objects that create no Pods any more, and objects that only appear to.
    fn history(&mut self, namespace: &'static str) {
        let image = |image: &str| json!({"containers": [{"name": "c", "image": image}], "restartPolicy": "Always"});
        let owner = json!([{
            "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "5e9c4a3e-0b5f-4f5c-9c0e-7a4f6a0d0001",
            "controller": true,
        }]);
        for (name, replicas, owned, counts) in
            [("old-revision", 0, true, false), ("current-revision", 2, true, true), ("parked", 0, false, true)]
        {
            let spec = image("nginx");
            let mut set = written("apis/apps/v1", "ReplicaSet", name, &json!({"app": name}), &spec);
            set["spec"]["replicas"] = json!(replicas);
            if owned {
                set["metadata"]["ownerReferences"] = owner.clone();
            }
            self.post(&format!("/apis/apps/v1/namespaces/{namespace}/replicasets"), &set);
            if counts {
                self.expect(namespace, "apis/apps/v1", "ReplicaSet", name, &spec, false);
            }
        }
        let mut spec = image("nginx");
        spec["restartPolicy"] = json!("Never");
        let job = written("apis/batch/v1", "Job", "ended", &json!({"app": "ended"}), &spec);
        let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
        let mut job = self.post(&path, &job);
        let time = "2026-01-01T00:00:00Z";
        let condition =
            |name: &str| json!({"type": name, "status": "True", "lastTransitionTime": time, "lastProbeTime": time});
        job["status"] = json!({
            "startTime": time,
            "completionTime": time,
            "succeeded": 1,
            "uncountedTerminatedPods": {},
            "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
        });
        let path = format!("{path}/ended/status");
        let answer = self.client.request(Method::PUT, &path, job.to_string().into_bytes());
        answer.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Adds a mirror Pod, which only the kubelet of its node can create.
    fn static_pod(&mut self) {
        let node = self.node("scan-node-1", &[]);
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "kube-proxy-scan-node-1",
                "annotations": {"kubernetes.io/config.mirror": "hash"},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": "scan-node-1", "uid": node["metadata"]["uid"], "controller": true},
                ],
            },
            "spec": {"nodeName": "scan-node-1", "containers": [{"name": "c", "image": "registry.k8s.io/kube-proxy:v1.36.3"}]},
        });
        let create = ["create", "-n", "scan-b", "-f", "-", "--as=system:node:scan-node-1", "--as-group=system:nodes"];
        self.cluster.kubectl_with(&create, &pod.to_string()).ok();
        self.expected.push(Expected {
            image: "registry.k8s.io/kube-proxy:v1.36.3".to_owned(),
            name: "kube-proxy-scan-node-1".to_owned(),
            verdict: Err("mirror_pod".to_owned()),
            not_covered: Some("static_pod"),
            ..object_of(Some("scan-b"))
        });
    }

    fn deleting_pod(&mut self) {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "deleting", "finalizers": ["example.com/hold"]},
            "spec": {"containers": [{"name": "c", "image": "nginx"}]},
        });
        self.post("/api/v1/namespaces/scan-b/pods", &pod);
        self.cluster.kubectl(&["delete", "pod", "deleting", "-n", "scan-b", "--wait=false"]).ok();
        let (image, verdict) = ("nginx".to_owned(), Err("deleting".to_owned()));
        self.expected.push(Expected { image, name: "deleting".to_owned(), verdict, ..object_of(Some("scan-b")) });
    }

    fn node(&self, name: &str, images: &[Value]) -> Value {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        let mut node = self.post("/api/v1/nodes", &node);
        node["status"]["images"] = json!(images.iter().map(|names| json!({"names": names})).collect::<Vec<_>>());
        let path = format!("/api/v1/nodes/{name}/status");
        let answer = self.client.request(Method::PUT, &path, node.to_string().into_bytes());
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Adds nodes with images of Pods, which are not listed again, and with other images.
    fn nodes(&mut self) {
        let mut images = vec![
            json!([format!("docker.io/library/nginx@{DIGEST}"), "docker.io/library/nginx:latest"]),
            json!(["quay.io/prometheus/node-exporter:v1.9.1"]),
            json!([format!("registry.k8s.io/pause@{DIGEST}"), "registry.k8s.io/pause:3.10"]),
            json!([format!("held.example.com/by-digest@{DIGEST}")]),
            json!(["docker.io/library/nginx:1.27"]),
        ];
        let held = [
            ("registry.k8s.io/pause:3.10", Ok("cache.example.com/k8s/pause:3.10"), Some("sandbox_image")),
            (&format!("held.example.com/by-digest@{DIGEST}"), Err("no_rule"), None),
            ("docker.io/library/nginx:1.27", Ok("cache.example.com/hub/library/nginx:1.27"), None),
        ];
        for (image, verdict, not_covered) in held {
            self.expect_held("scan-node-2", image, verdict, not_covered);
        }
        while images.len() < 50 {
            let image = format!("held.example.com/app:{}", images.len());
            self.expect_held("scan-node-2", &image, Err("no_rule"), None);
            images.push(json!([image]));
        }
        self.node("scan-node-2", &images);
        self.node("scan-node-3", &[json!(["sandbox.example.com/eks/pause:3.5"])]);
        self.expect_held("scan-node-3", "sandbox.example.com/eks/pause:3.5", Err("no_rule"), Some("sandbox_image"));
    }

    fn expect_held(&mut self, node: &str, image: &str, verdict: Result<&str, &str>, not_covered: Option<&'static str>) {
        self.expected.push(Expected {
            image: image.to_owned(),
            node: Some(node.to_owned()),
            in_use: "held",
            verdict: verdict.map(str::to_owned).map_err(str::to_owned),
            not_covered,
            ..object_of(None)
        });
    }
}

/// Returns the finding for container `c` of a Pod. Other fields depend on the object.
pub fn object_of(namespace: Option<&'static str>) -> Expected {
    Expected {
        image: String::new(),
        node: None,
        api_version: "v1",
        kind: "Pod",
        namespace,
        name: String::new(),
        place: "containers/c".to_owned(),
        in_use: "running",
        verdict: Err(String::new()),
        not_covered: None,
    }
}

/// Returns the object in the form of its API.
fn written(api: &str, kind: &str, name: &str, labels: &Value, spec: &Value) -> Value {
    let api_version = api.strip_prefix("apis/").or(api.strip_prefix("api/")).expect("an API");
    let template = json!({"metadata": {"labels": labels}, "spec": spec});
    let selector = json!({"matchLabels": {"app": name}});
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    match kind {
        "Pod" => {
            object["metadata"]["labels"] = labels.clone();
            object["spec"] = spec.clone();
        }
        "PodTemplate" => object["template"] = template,
        "CronJob" => object["spec"] = json!({"schedule": "@daily", "jobTemplate": {"spec": {"template": template}}}),
        "Job" => object["spec"] = json!({"template": template}),
        "ReplicationController" => object["spec"] = json!({"selector": {"app": name}, "template": template}),
        _ => object["spec"] = json!({"selector": selector, "template": template}),
    }
    object
}
