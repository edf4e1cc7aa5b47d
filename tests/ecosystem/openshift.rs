//! OpenShift's mirror sets, stored by an API server with its CRDs.

use std::fs;

use serde_json::json;

use crate::{CLUSTER, DEADLINE, harness};

const RULES: &str = "
apiVersion: pullthrough.dev/v1alpha1
kind: Rules
rules:
- {name: hub, from: [docker.io], to: cache.example.com:5000/hub, except: [docker.io/mycorp/a--b]}
";

#[test]
fn the_crds_take_the_mirror_sets() {
    let crds = harness::assets(Some("openshift-crds"), &[]).expect("the CRDs").join("openshift-crds");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("rules.yaml"), RULES).expect("a file");
    let export = std::process::Command::new(env!("CARGO_BIN_EXE_pullthrough"))
        .args(["export", "openshift", "--rules", &path("rules.yaml"), "--source-policy", "nevercontactsource"])
        .output()
        .expect("the program runs");
    assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
    fs::write(path("mirrors.yaml"), export.stdout).expect("a file");

    let admin = CLUSTER.admin();
    admin.run(&["create", "-f", crds.to_str().expect("UTF-8")]).ok();
    let is_known = || admin.run(&["get", "idms,itms"]).status.success().then_some(());
    harness::wait_for(DEADLINE, is_known).expect("the API server serves the kinds");
    // Strict validation rejects a field that the CRD does not have.
    admin.run(&["create", "--validate=strict", "-f", &path("mirrors.yaml")]).ok();
    let sources = json!([
        {"source": "docker.io", "mirrors": ["cache.example.com:5000/hub"], "mirrorSourcePolicy": "NeverContactSource"},
        {"source": "docker.io/mycorp/a--b", "mirrors": ["docker.io/mycorp/a--b", "registry-1.docker.io/mycorp/a--b"]},
        {"source": "docker.io:443", "mirrors": ["docker.io:443", "registry-1.docker.io"]},
    ]);
    for (kind, list) in [("idms", "imageDigestMirrors"), ("itms", "imageTagMirrors")] {
        let stored = admin.run(&["get", kind, "pullthrough", "-o", "json"]).json();
        assert_eq!(stored["spec"], json!({ list: sources }));
    }
}
