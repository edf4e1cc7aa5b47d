//! The Helm chart, installed and removed.

use std::path::Path;

use crate::cluster::Cluster;
use crate::deployment;
use crate::harness;
use crate::installation::{self, CHECKOUT, NAMESPACE};
use crate::inventory::Inventory;
use crate::{run_program, step};

/// The name of the release.
const RELEASE: &str = "pullthrough";

/// Installs and removes the chart. The cluster must be as it was `before`.
pub fn installs(cluster: &Cluster, before: &Inventory) {
    let helm = |arguments: &[&str]| {
        let kubeconfig = cluster.control_plane.kubeconfig().display().to_string();
        let common = ["--kubeconfig", &kubeconfig, "--namespace", NAMESPACE];
        let program = harness::helm().unwrap_or_else(|error| panic!("{error:#}"));
        run_program(&program, &[arguments, &common].concat()).unwrap_or_else(|error| panic!("{error:#}"))
    };
    let empty = step("an empty namespace", || {
        cluster.control_plane.create_namespace(NAMESPACE);
        // Controllers add objects to every namespace, and one may recreate an object for the deleted Service.
        let new = ["v1 Namespace /", "v1 ServiceAccount ", "v1 ConfigMap "];
        before.wait_until_also(cluster, &new)
    });
    step("from helm upgrade --install to Ready", || {
        let chart = Path::new(CHECKOUT).join("manifests/chart").display().to_string();
        let set = [
            format!("image.repository={}", cluster.upstream.image("pullthrough")),
            "image.tag=test".to_owned(),
            format!("cache.prefix={}", cluster.cache.image("k8s")),
        ];
        let mut arguments = vec!["upgrade", "--install", RELEASE, &chart, "--wait"];
        arguments.extend(set.iter().flat_map(|value| ["--set", value]));
        arguments.push("--timeout=3m");
        let notes = helm(&arguments);
        assert!(
            notes.contains("No image is rewritten") && notes.contains("Next: rewrite images in one namespace"),
            "{notes}"
        );
    });
    installation::observes(cluster);
    step("helm upgrade, which enforces", || {
        let chart = Path::new(CHECKOUT).join("manifests/chart").display().to_string();
        helm(&["upgrade", RELEASE, &chart, "--reuse-values", "--set", "cache.mode=enforce"]);
        installation::mount_again(cluster);
    });
    installation::rewrites(cluster);
    deployment::runs_with_an_image_from_the_cache(cluster);
    step("helm uninstall", || {
        helm(&["uninstall", RELEASE, "--wait"]);
    });
    step("the namespace is empty again", || empty.wait_until_again(cluster));
    cluster.kubectl(&["delete", "namespace", NAMESPACE]).ok();
    step("the cluster has the same objects as before", || before.wait_until_again(cluster));
}
