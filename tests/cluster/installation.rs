//! pullthrough from `manifests/`, as an operator would install it.

use std::path::Path;

use serde_json::json;

use crate::cluster::{Cluster, write};
use crate::deployment::HELLO;
use crate::harness::wait_for;
use crate::{DEADLINE, ROLLOUT_TIMEOUT, run_program, step};

const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");
const NAMESPACE: &str = "pullthrough";

pub fn becomes_ready(cluster: &Cluster) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let manifests = folder.join("manifests");
    let overlay = manifests.join("overlays/own-certificates");
    let text = |path: &Path| path.display().to_string();
    run_program("cp".as_ref(), &["-r", &format!("{CHECKOUT}/manifests"), &text(&manifests)]).unwrap();
    let make_certificates = Path::new(CHECKOUT).join("certs/dev.sh");
    run_program(&make_certificates, &[&text(&overlay), "pullthrough.pullthrough.svc"]).unwrap();

    // As manifests/README.md says, with rules and an image of our own.
    let rules = json!({
        "apiVersion": "pullthrough.dev/v1alpha1",
        "kind": "Rules",
        "rules": [{"name": "kubernetes", "from": ["registry.k8s.io"], "to": cluster.cache.image("k8s")}],
    });
    let kustomization = json!({
        "resources": ["../manifests/overlays/own-certificates"],
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

    step("from apply to Ready", || {
        let output = cluster.kubectl(&["apply", "--kustomize", &text(&folder.join("own"))]);
        assert_eq!(output.stderr, "", "no warning, such as one of Pod security");
        output.ok();
        let status = ["rollout", "status", "deployment/pullthrough", "--namespace", NAMESPACE, ROLLOUT_TIMEOUT];
        cluster.kubectl(&status).ok();
    });

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
