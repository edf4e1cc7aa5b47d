//! Helm 4 and Helm 3, with a chart that `helm create` created.

use std::path::Path;

use super::pre_commit::clone_of_this_repository;
use super::workshop::Workshop;
use super::{NGINX, tool};
use crate::CLUSTER;
use crate::harness::{self, Kubectl};

/// Returns a workshop with the chart `web`, which is installed in a namespace of its own.
fn workshop(heading: &str, helm: &Path, namespace: &'static str) -> Workshop {
    CLUSTER.create_namespace(namespace);
    let workshop = Workshop::new(heading)
        .with("helm", helm)
        .with_variable("KUBECONFIG", CLUSTER.kubeconfig().display().to_string())
        .with_variable("HELM_NAMESPACE", namespace.to_owned());
    workshop.ok("helm create web");
    workshop
}

fn image_of_the_deployment(admin: &Kubectl, namespace: &str) -> String {
    let path = "jsonpath={.spec.template.spec.containers[*].image}";
    admin.run(&["get", "deployment", "web", "--namespace", namespace, "-o", path]).ok()
}

/// Returns the images of the hooks that Helm has stored with the release.
fn images_of_hooks(workshop: &Workshop) -> String {
    workshop.ok("helm get hooks web | grep image:")
}

#[test]
fn helm_4_installs_through_the_plugin() {
    let helm = harness::helm().unwrap_or_else(|error| panic!("{error:#}"));
    let workshop = clone_of_this_repository(workshop("Helm 4", &helm, "helm-4"));
    workshop.ok_as_shown();
    assert!(workshop.ok("helm plugin list").contains(env!("CARGO_PKG_VERSION")));
    assert!(image_of_the_deployment(CLUSTER.admin(), "helm-4").starts_with(NGINX));
    assert!(images_of_hooks(&workshop).contains("image: cache.example.com/hub/library/busybox"));

    let failed =
        workshop.run("helm template web ./web --post-renderer pullthrough --post-renderer-args --rules=absent.yaml");
    assert!(!failed.status.success() && failed.stdout.is_empty());
}

#[test]
fn helm_3_installs_through_the_program() {
    let workshop = workshop("Helm 3", &tool("helm3"), "helm-3");
    workshop.ok_as_shown();
    assert!(image_of_the_deployment(CLUSTER.admin(), "helm-3").starts_with(NGINX));
    assert!(images_of_hooks(&workshop).contains("image: busybox"));
}

/// The rewritten text differs from Helm's output in images only, and Helm 4 prints it unchanged.
#[test]
fn helm_template_pipes() {
    let helm = harness::helm().unwrap_or_else(|error| panic!("{error:#}"));
    let workshop = Workshop::new("Helm 4").with("helm", &helm);
    workshop.ok("helm create web");
    let rendered = workshop.ok("helm template web ./web");
    let piped = workshop.ok("helm template web ./web | pullthrough rewrite --rewrite-short-names --rules rules.yaml");
    let expected = rendered
        .replace("\"nginx:", &format!("\"{NGINX}:"))
        .replace("image: busybox", "image: cache.example.com/hub/library/busybox");
    assert_ne!(rendered, piped);
    assert_eq!(piped, expected);
}
