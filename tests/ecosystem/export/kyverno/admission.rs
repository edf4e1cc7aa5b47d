//! The policies in Kyverno's admission controller, which a real API server calls.

use std::time::Duration;

use serde_json::{Value, json};

use super::{KINDS, Workshop, pointers};
use crate::harness::{ControlPlane, Options, Server, kyverno, wait_for};

const RULES: &str = "
  - name: kubernetes
    from: [k8s.gcr.io]
    to: cache.example.com/k8s
  - name: docker-hub
    from: [docker.io]
    to: cache.example.com/hub
    except: [docker.io/library/busybox]";
const DIGEST: &str = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const DEADLINE: Duration = Duration::from_secs(60);

fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "new", "namespace": "default"},
        "spec": {
            "initContainers": [{"name": "init", "image": "k8s.gcr.io/sig/pause:3.10"}],
            "containers": [
                {"name": "app", "image": "nginx"},
                {"name": "excepted", "image": "busybox"},
                {"name": "preloaded", "image": "redis", "imagePullPolicy": "Never"},
            ],
            "volumes": [{"name": "data", "image": {"reference": format!("Docker.io:443/team/data:1{DIGEST}")}}],
        },
    })
}

struct Scene {
    cluster: ControlPlane,
    // The controller must end before its API server.
    _controller: Server,
}

impl Scene {
    fn start() -> anyhow::Result<Self> {
        let cluster = ControlPlane::start(&Options::default())?;
        let controller = kyverno::start(&cluster, json!({}))?;
        Ok(Self { cluster, _controller: controller })
    }

    /// Waits until Pods are rewritten, or are not rewritten any more.
    fn wait(&self, rewritten: bool) {
        let pod = super::pod("probe", "default", vec![json!({"name": "app", "image": "nginx"})]).to_string();
        let create =
            || self.cluster.kubectl_with(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &pod).json();
        wait_for(DEADLINE, || ((create()["spec"]["containers"][0]["image"] != "nginx") == rewritten).then_some(()))
            .unwrap();
    }

    fn apply(&self, object: &Value) {
        self.cluster.kubectl_with(&["apply", "-f", "-"], &object.to_string()).ok();
    }

    fn images(&self, name: &str) -> Vec<String> {
        let pod = self.cluster.kubectl(&["get", "pod", name, "-o", "json"]).json();
        pointers(&pod).iter().map(|pointer| pod.pointer(pointer).unwrap().as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn pods_are_rewritten_on_create_update_and_debug() {
    let scene = Scene::start().unwrap_or_else(|error| panic!("{error:#}"));
    let kubectl = |arguments: &[&str]| scene.cluster.kubectl(arguments).ok();
    for kind in KINDS {
        let mut old = pod();
        old["metadata"]["name"] = json!("old");
        scene.apply(&old);
        let unchanged = scene.images("old");

        let workshop = Workshop::new(RULES, &[pod()]);
        workshop.export(kind);
        kubectl(&["apply", "--server-side", "-f", &workshop.policy(kind)]);
        scene.wait(true);

        scene.apply(&pod());
        let created = scene.images("new");
        let data = format!("cache.example.com/hub/team/data:1{DIGEST}");
        let mut expected =
            ["cache.example.com/k8s/sig/pause:3.10", "cache.example.com/hub/library/nginx", "busybox", "redis", &data]
                .map(str::to_owned)
                .to_vec();
        assert_eq!(created, expected, "{kind}");
        scene.apply(&pod());
        assert_eq!(scene.images("new"), created, "{kind}: applied again");

        for name in ["old", "new"] {
            kubectl(&["label", "pod", name, "some=label"]);
        }
        assert_eq!(scene.images("old"), unchanged, "{kind}: an image that an update does not change");
        kubectl(&["set", "image", "pod/new", "app=nginx:2"]);
        expected[1] = "cache.example.com/hub/library/nginx:2".to_owned();
        assert_eq!(scene.images("new"), expected, "{kind}: set image");
        kubectl(&["debug", "new", "--image=alpine", "--container=debugger", "--profile=general"]);
        expected.insert(4, "cache.example.com/hub/library/alpine".to_owned());
        assert_eq!(scene.images("new"), expected, "{kind}: debug");

        let resource = kind.to_lowercase();
        kubectl(&["delete", &resource, "zz-pullthrough"]);
        scene.wait(false);
        kubectl(&["delete", "pod", "old", "new", "--now"]);
    }
}
