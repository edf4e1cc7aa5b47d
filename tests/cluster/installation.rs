//! pullthrough from `manifests/`, as an operator would install it.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::cluster::{Cluster, write};
use crate::deployment::HELLO;
use crate::harness::wait_for;
use crate::{DEADLINE, ROLLOUT_TIMEOUT, run_program, step};

pub const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");
pub const NAMESPACE: &str = "pullthrough";
/// The one of `manifests/overlays` that is installed.
const OVERLAY: &str = "self-managed";

/// Applied from a folder with rules and an image of its own.
pub struct Installation {
    folder: TempDir,
}

impl Installation {
    /// Returns when the Pods are ready and the API server asks them.
    pub fn apply(cluster: &Cluster) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), cluster);
        let installation = Self { folder };
        step("from apply to Ready", || {
            let output = cluster.kubectl(&["apply", "--kustomize", &installation.kustomization()]);
            assert_eq!(output.stderr, "", "no warning, such as one of Pod security");
            output.ok();
            let status = ["rollout", "status", "deployment/pullthrough", "--namespace", NAMESPACE, ROLLOUT_TIMEOUT];
            cluster.kubectl(&status).ok();
        });
        rewrites(cluster);
        installation
    }

    pub fn delete(&self, cluster: &Cluster) {
        cluster.kubectl(&["delete", "--kustomize", &self.kustomization()]).ok();
    }

    fn kustomization(&self) -> String {
        self.folder.path().join("own").display().to_string()
    }
}

/// Returns when the API server calls the Service.
pub fn rewrites(cluster: &Cluster) {
    step("the API server calls the Service", || {
        let run =
            ["run", "probe", "--image", HELLO, "--dry-run=server", "--output=jsonpath={.spec.containers[0].image}"];
        let expected = cluster.cache.image("k8s/hello:1");
        let mut image = String::new();
        let rewritten = wait_for(DEADLINE, || {
            image = cluster.kubectl(&run).ok();
            (image == expected).then_some(())
        });
        rewritten.unwrap_or_else(|error| panic!("{HELLO} became {image}, not {expected}: {error:#}"));
    });
}

fn prepare(folder: &Path, cluster: &Cluster) {
    let manifests = folder.join("manifests").display().to_string();
    run_program("cp".as_ref(), &["-r", &format!("{CHECKOUT}/manifests"), &manifests]).unwrap();

    // As manifests/README.md says, with rules and an image of our own.
    let rules = json!({
        "apiVersion": "pullthrough.dev/v1alpha1",
        "kind": "Rules",
        "rules": [{"name": "kubernetes", "from": ["registry.k8s.io"], "to": cluster.cache.image("k8s")}],
    });
    let kustomization = json!({
        "resources": [format!("../manifests/overlays/{OVERLAY}")],
        "configMapGenerator": [
            {"name": "pullthrough-rules", "namespace": NAMESPACE, "behavior": "merge", "files": ["rules.yaml"]},
        ],
        "images": [{
            "name": "ghcr.io/pullthrough/pullthrough",
            "newName": cluster.upstream.image("pullthrough"),
            "newTag": "test",
        }],
    });
    write(folder, "own/rules.yaml", &rules.to_string()).unwrap();
    write(folder, "own/kustomization.yaml", &kustomization.to_string()).unwrap();
}
