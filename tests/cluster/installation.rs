//! pullthrough from `manifests/`, installed as an operator does.

use std::path::Path;

use pullthrough::words::ONE_NAMESPACE;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::{Cluster, write};
use crate::deployment::HELLO;
use crate::harness::wait_for;
use crate::{DEADLINE, ROLLOUT_TIMEOUT, run_program, step};

pub const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");
pub const NAMESPACE: &str = "pullthrough";
/// The overlay of `manifests/overlays` in use.
const OVERLAY: &str = "self-managed";

/// An overlay in a folder, with rules and an image.
pub struct Installation {
    folder: TempDir,
}

impl Installation {
    /// Applies the overlay with a rule that observes, then with one that enforces. Waits until the Pods are ready and the API
    /// server calls them.
    pub fn apply(cluster: &Cluster) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), cluster);
        let installation = Self { folder };
        step("from apply to Ready", || {
            installation.apply_rules(cluster, "observe");
            let status = ["rollout", "status", "deployment/pullthrough", "--namespace", NAMESPACE, ROLLOUT_TIMEOUT];
            cluster.kubectl(&status).ok();
        });
        observes(cluster);
        let log = cluster.kubectl(&["logs", "--namespace", NAMESPACE, "deployment/pullthrough"]).ok();
        assert!(log.contains(ONE_NAMESPACE), "the log does not name the next step: {log}");
        installation.apply_rules(cluster, "enforce");
        mount_again(cluster);
        rewrites(cluster);
        installation
    }

    fn apply_rules(&self, cluster: &Cluster, mode: &str) {
        let rules = json!({
            "apiVersion": "pullthrough.dev/v1alpha1",
            "kind": "Rules",
            "rules": [{"name": "kubernetes", "from": ["registry.k8s.io"], "to": cluster.cache.image("k8s"), "mode": mode}],
        });
        write(self.folder.path(), "own/rules.yaml", &rules.to_string()).unwrap();
        let output = cluster.kubectl(&["apply", "--kustomize", &self.kustomization()]);
        assert_eq!(output.stderr, "", "kubectl printed a warning, such as one of Pod Security");
        output.ok();
    }

    /// Applies other rules, with components of `manifests/components`.
    pub fn apply_with(&self, cluster: &Cluster, rules: &Value, components: &[&str]) {
        write(self.folder.path(), "own/rules.yaml", &rules.to_string()).unwrap();
        kustomize(self.folder.path(), cluster, components);
        cluster.kubectl(&["apply", "--kustomize", &self.kustomization()]).ok();
    }

    /// Undoes [`Self::apply_with`].
    pub fn restore(&self, cluster: &Cluster) {
        kustomize(self.folder.path(), cluster, &[]);
        self.apply_rules(cluster, "enforce");
        let status = ["rollout", "status", "deployment/pullthrough", "--namespace", NAMESPACE, ROLLOUT_TIMEOUT];
        cluster.kubectl(&status).ok();
        mount_again(cluster);
        rewrites(cluster);
    }

    pub fn delete(&self, cluster: &Cluster) {
        cluster.kubectl(&["delete", "--kustomize", &self.kustomization()]).ok();
    }

    fn kustomization(&self) -> String {
        self.folder.path().join("own").display().to_string()
    }
}

/// Creates a Pod as a dry run. Prints the image that it gets.
pub const fn probe(image: &str) -> [&str; 6] {
    ["run", "probe", "--image", image, "--dry-run=server", "--output=jsonpath={.spec.containers[0].image}"]
}

/// Waits until the API server calls the Service, whose rules observe. The image is not rewritten.
pub fn observes(cluster: &Cluster) {
    step("the API server calls the Service, and no image is rewritten", || {
        let would_be = format!("would be pulled through {}", cluster.cache.image("k8s"));
        let warned = wait_for(DEADLINE, || {
            let output = cluster.kubectl(&probe(HELLO));
            assert_eq!(output.stdout, HELLO);
            output.stderr.contains(&would_be).then_some(())
        });
        warned.unwrap_or_else(|error| panic!("no warning that {HELLO} {would_be}: {error:#}"));
    });
}

/// Waits until the API server calls the Service, whose rules enforce.
pub fn rewrites(cluster: &Cluster) {
    step("the API server calls the Service, and the image is rewritten", || {
        let expected = cluster.cache.image("k8s/hello:1");
        let mut image = String::new();
        let rewritten = wait_for(DEADLINE, || {
            image = cluster.kubectl(&probe(HELLO)).ok();
            (image == expected).then_some(())
        });
        rewritten.unwrap_or_else(|error| panic!("{HELLO} was rewritten to {image}, not {expected}: {error:#}"));
    });
}

/// Makes the kubelet update the mounted rules now, not within a minute.
pub fn mount_again(cluster: &Cluster) {
    let selector = "--selector=app.kubernetes.io/name=pullthrough";
    cluster.kubectl(&["annotate", "pods", "--namespace", NAMESPACE, selector, "example.com/rules=changed"]).ok();
}

fn prepare(folder: &Path, cluster: &Cluster) {
    let manifests = folder.join("manifests").display().to_string();
    run_program("cp".as_ref(), &["-r", &format!("{CHECKOUT}/manifests"), &manifests]).unwrap();

    kustomize(folder, cluster, &[]);
}

/// The steps of docs/start/install-with-kustomize.md, with an image of the test.
fn kustomize(folder: &Path, cluster: &Cluster, components: &[&str]) {
    let components: Vec<String> = components.iter().map(|name| format!("../manifests/components/{name}")).collect();
    let kustomization = json!({
        "components": components,
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
    write(folder, "own/kustomization.yaml", &kustomization.to_string()).unwrap();
}
