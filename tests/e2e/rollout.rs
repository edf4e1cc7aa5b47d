//! `rollout` with the controllers of Kubernetes, which create the Pods of Deployments, StatefulSets and Jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use pullthrough::engine::Workload;
use serde_json::{Value, json};

use crate::harness::{ControlPlane, Options, Server, Webhook, assets, wait_for};
use crate::scene::{image, rules};

const NAMESPACE: &str = "shop";
const CONTROLLER_MANAGER: &str = "kube-controller-manager";
const USER: &str = "system:kube-controller-manager";
/// Controllers take several seconds for a roll-out of all Deployments on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);
const REPLICAS: usize = 3;
const DEPLOYMENTS: usize = 6;

fn hub(percent: u8) -> String {
    rules("", &format!("  - {{name: hub, from: [docker.io], to: cache.example.com/hub, rollout: {percent}%}}\n"))
}

// Fields are dropped in this order.
struct Shop {
    _controllers: Server,
    webhook: Webhook,
    control_plane: ControlPlane,
    _folder: tempfile::TempDir,
}

impl Shop {
    fn open(percent: u8) -> Self {
        let options = Options { controllers: true, users: vec![(USER, "")], ..Options::default() };
        let control_plane = ControlPlane::start(&options).unwrap_or_else(|error| panic!("{error:#}"));
        let program = assets(None, &[CONTROLLER_MANAGER]).expect("the binary").join(CONTROLLER_MANAGER);
        let folder = tempfile::tempdir().expect("a folder");
        let arguments = [
            format!("--kubeconfig={}", control_plane.kubeconfig_of(USER).display()),
            "--leader-elect=false".to_owned(),
            // It listens nowhere.
            "--secure-port=0".to_owned(),
            "--use-service-account-credentials=true".to_owned(),
            format!("--service-account-private-key-file={}", control_plane.service_account_key().display()),
        ];
        let controllers = Server::start(&program, &arguments, folder.path()).expect("the controllers start");
        control_plane.create_namespace(NAMESPACE);
        let account = || {
            control_plane.kubectl(&["get", "serviceaccount/default", "-n", NAMESPACE]).status.success().then_some(())
        };
        wait_for(DEADLINE, account).expect("the controllers create service accounts");
        let webhook = Webhook::start(&hub(percent)).unwrap_or_else(|error| panic!("{error:#}"));
        let mut configuration = webhook.configuration(&[]).unwrap_or_else(|error| panic!("{error:#}"));
        // A Pod that the API server admits without a call must fail the test.
        configuration["webhooks"][0]["failurePolicy"] = json!("Fail");
        control_plane.kubectl_with(&["apply", "-f", "-"], &configuration.to_string()).ok();
        let shop = Self { _controllers: controllers, webhook, control_plane, _folder: folder };
        wait_for(DEADLINE, || (shop.is_called() == Some(true)).then_some(()))
            .expect("the API server calls the webhook");
        shop
    }

    /// Returns whether the API server calls the webhook for a Pod.
    fn is_called(&self) -> Option<bool> {
        let before = self.webhook.metrics().ok()?;
        let run = ["-n", NAMESPACE, "run", "probe", "--image=nginx", "--dry-run=server"];
        self.control_plane.kubectl(&run).status.success().then_some(())?;
        let requests = |metrics: &BTreeMap<String, f64>| -> f64 {
            metrics
                .iter()
                .filter(|(name, _)| name.starts_with("pullthrough_admission_requests_total{"))
                .map(|(_, count)| count)
                .sum()
        };
        Some(requests(&self.webhook.metrics().ok()?) > requests(&before))
    }

    fn apply(&self, objects: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.control_plane.kubectl_with(&["-n", NAMESPACE, "apply", "-f", "-"], &list.to_string()).ok();
    }

    fn pods(&self, app: &str) -> Vec<Value> {
        let pods = self
            .control_plane
            .kubectl(&["-n", NAMESPACE, "get", "pods", "-l", &format!("app={app}"), "-o", "json"])
            .json();
        pods["items"].as_array().expect("a list").clone()
    }

    /// Waits until there are as many Pods as wanted, all with this tag, and returns their images.
    fn settled(&self, app: &str, count: usize, tag: &str) -> Vec<String> {
        let images = wait_for(DEADLINE, || {
            let pods = self.pods(app);
            let images: Vec<String> = pods.iter().map(|pod| image(pod).to_owned()).collect();
            (images.len() == count && images.iter().all(|image| image.ends_with(tag))).then_some(images)
        });
        images.unwrap_or_else(|error| panic!("{app} has no {count} Pods of {tag}: {error:#}"))
    }
}

/// Returns a controller whose Pods have this tag.
fn controller(kind: &str, name: &str, tag: &str) -> Value {
    let labels = json!({"app": name});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": format!("nginx:{tag}")}]}});
    let mut object = json!({
        "apiVersion": if kind == "Job" { "batch/v1" } else { "apps/v1" }, "kind": kind,
        "metadata": {"name": name}, "spec": {"template": template},
    });
    let more = match kind {
        "Job" => {
            object["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
            json!({"parallelism": REPLICAS, "completions": REPLICAS})
        }
        "StatefulSet" => {
            json!({"replicas": REPLICAS, "selector": {"matchLabels": labels}, "serviceName": name, "podManagementPolicy": "Parallel"})
        }
        // No Pod becomes ready without a node, so a rolling update would wait for ever.
        _ => json!({"replicas": REPLICAS, "selector": {"matchLabels": labels}, "strategy": {"type": "Recreate"}}),
    };
    let spec = object["spec"].as_object_mut().expect("an object");
    spec.extend(more.as_object().expect("an object").clone());
    object
}

fn included_from(kind: &str, name: &str) -> u8 {
    Workload::new(kind, name).included_from(NAMESPACE).get()
}

#[test]
fn all_pods_of_a_workload_are_alike_over_three_rollouts() {
    let names: Vec<String> = (0..DEPLOYMENTS).map(|number| format!("web-{number}")).collect();
    let mut percents: Vec<u8> = names.iter().map(|name| included_from("Deployment", name)).collect();
    percents.sort_unstable();
    let percent = percents[DEPLOYMENTS / 2 - 1];
    assert!(percent < percents[DEPLOYMENTS - 1], "some Deployments are included and some are not");
    let shop = Shop::open(percent);
    let expected = |kind: &str, name: &str, percent: u8, tag: &str| {
        let is_included = included_from(kind, name) <= percent;
        if is_included { format!("cache.example.com/hub/library/nginx:{tag}") } else { format!("nginx:{tag}") }
    };
    for tag in ["1.1", "1.2", "1.3"] {
        let deployments: Vec<Value> = names.iter().map(|name| controller("Deployment", name, tag)).collect();
        shop.apply(&deployments);
        for name in &names {
            assert_eq!(
                shop.settled(name, REPLICAS, tag),
                vec![expected("Deployment", name, percent, tag); REPLICAS],
                "{name}"
            );
        }
    }
    for (kind, name) in [("StatefulSet", "db"), ("Job", "migrate")] {
        shop.apply(&[controller(kind, name, "1.1")]);
        assert_eq!(shop.settled(name, REPLICAS, "1.1"), vec![expected(kind, name, percent, "1.1"); REPLICAS], "{name}");
    }

    // Lowering the number moves no Pod, whatever is updated. Pods that are created afterwards are not rewritten.
    shop.webhook.change_rules(&hub(0)).expect("the rules are loaded");
    let in_cache = names.iter().find(|name| included_from("Deployment", name) <= percent).expect("an included one");
    let before = shop.settled(in_cache, REPLICAS, "1.3");
    for pod in shop.pods(in_cache) {
        let name = pod["metadata"]["name"].as_str().expect("a name");
        let as_written = ["-n", NAMESPACE, "set", "image", &format!("pod/{name}"), "app=nginx:1.3"];
        shop.control_plane.kubectl(&as_written).ok();
        shop.control_plane.kubectl(&["-n", NAMESPACE, "label", "pod", name, "touched=yes"]).ok();
    }
    assert_eq!(shop.settled(in_cache, REPLICAS, "1.3"), before);
    shop.control_plane.kubectl(&["-n", NAMESPACE, "rollout", "restart", &format!("deployment/{in_cache}")]).ok();
    let restarted = wait_for(DEADLINE, || {
        let images = shop.settled(in_cache, REPLICAS, "1.3");
        images.iter().all(|image| image == "nginx:1.3").then_some(())
    });
    restarted.expect("new Pods have their images as written");
}
