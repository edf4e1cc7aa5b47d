//! Helm 4 and Helm 3, which install a chart that `helm create` made.

use std::path::Path;

use crate::harness::{self, Kubectl};
use crate::pre_commit::clone_of_this_repository;
use crate::workshop::Workshop;
use crate::{CLUSTER, NGINX, tool};

/// A workshop with the chart `web`, which installs into a namespace of its own.
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

/// Of what Helm keeps of the release.
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

/// Rewritten text is what Helm rendered but for the image, and comes back from Helm 4 the same.
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
