//! The Helm chart, installed and removed.

use std::path::Path;

use crate::cluster::Cluster;
use crate::deployment;
use crate::harness;
use crate::installation::{self, CHECKOUT, NAMESPACE};
use crate::inventory::Inventory;
use crate::{run_program, step};

/// How Helm calls the installation.
const RELEASE: &str = "pullthrough";

/// Leaves the cluster as it was `before`.
pub fn installs(cluster: &Cluster, before: &Inventory) {
    let helm = |arguments: &[&str]| {
        let kubeconfig = cluster.control_plane.kubeconfig().display().to_string();
        let common = ["--kubeconfig", &kubeconfig, "--namespace", NAMESPACE];
        let program = harness::helm().unwrap_or_else(|error| panic!("{error:#}"));
        run_program(&program, &[arguments, &common].concat()).unwrap_or_else(|error| panic!("{error:#}"))
    };
    let empty = step("an empty namespace", || {
        cluster.control_plane.create_namespace(NAMESPACE);
        // With what every namespace gets by and by, and without what a controller made once more for the Service that is gone.
        let new = ["v1 Namespace /", "v1 ServiceAccount ", "v1 ConfigMap "];
        before.wait_until_also(cluster, &new)
    });
    step("from helm upgrade --install to Ready", || {
        let chart = Path::new(CHECKOUT).join("manifests/chart").display().to_string();
        let set = [
            format!("image.repository={}", cluster.upstream.image("pullthrough")),
            "image.tag=test".to_owned(),
            format!("cache={}", cluster.cache.image("k8s")),
        ];
        let mut arguments = vec!["upgrade", "--install", RELEASE, &chart, "--wait"];
        arguments.extend(set.iter().flat_map(|value| ["--set", value]));
        arguments.push("--timeout=3m");
        helm(&arguments);
    });
    installation::rewrites(cluster);
    deployment::runs_with_an_image_from_the_cache(cluster);
    step("helm uninstall", || {
        helm(&["uninstall", RELEASE, "--wait"]);
    });
    step("the namespace is empty again", || empty.wait_until_again(cluster));
    cluster.kubectl(&["delete", "namespace", NAMESPACE]).ok();
    step("the cluster is what it was", || before.wait_until_again(cluster));
}
