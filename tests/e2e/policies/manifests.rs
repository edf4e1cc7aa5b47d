//! `export admission-policy --static`: policies that the API server reads from its own disk (KEP-5793).

use std::path::Path;
use std::process::Command;
use std::time::Instant;
use std::{fs, io};

use serde_json::Value;

use super::creation::Sums;
use super::twins::{STATIC, Twins};
use super::{RULES, images, mutating_policies_are_served};
use crate::DEADLINE;
use crate::harness::{ControlPlane, Options, wait_for};
use crate::scene::{image, rules, simple_pod};

/// A part of the images: the expressions are those of the policy in etcd, which a test compares over all of them.
const EACH: usize = 4;

const PAGE: &str = include_str!("../../../docs/how-to/bootstrap.md");
/// The folder of the page.
const FOLDER: &str = "/etc/kubernetes/admission";

/// Returns the AdmissionConfiguration of the page, with another folder.
fn admission_configuration(folder: &Path) -> String {
    let mut blocks = PAGE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block =
        blocks.find(|block| block.contains("kind: AdmissionConfiguration\n")).expect("an AdmissionConfiguration");
    block.replace(FOLDER, folder.to_str().expect("UTF-8"))
}

/// Returns what `export admission-policy --static` prints.
fn exported(rules: &str, action: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml");
    fs::write(&file, rules).expect("write the rules");
    let output = Command::new(env!("CARGO_BIN_EXE_pullthrough"))
        .args(["export", "admission-policy", "--static", "--action", action, "--rules"])
        .arg(file)
        .output()
        .expect("run pullthrough");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Replaces a file in one step: the API server may read the folder at any time.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, file)
}

#[test]
fn manifests_rewrite_the_first_pod_cannot_be_deleted_and_are_reloaded() {
    if !mutating_policies_are_served() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let [mutating, validating] = ["mutating", "validating"].map(|kind| folder.path().join(kind));
    let text = rules("", "  - {name: kubernetes, from: [registry.k8s.io], to: cache.example.com/k8s}\n");
    for (kind, action) in [(&mutating, "rewrite"), (&validating, "deny")] {
        fs::create_dir(kind).expect("create a folder");
        fs::write(kind.join("pullthrough.yaml"), exported(&text, action)).expect("write the manifests");
    }
    let configuration = folder.path().join("admission.yaml");
    fs::write(&configuration, admission_configuration(folder.path())).expect("write the configuration");
    // etcd is empty.
    let options = Options {
        arguments: vec![
            "--feature-gates=ManifestBasedAdmissionControlConfig=true".to_owned(),
            format!("--admission-control-config-file={}", configuration.display()),
        ],
        ..Options::default()
    };
    let cluster: &'static ControlPlane =
        Box::leak(Box::new(ControlPlane::start(&options).unwrap_or_else(|error| panic!("{error:#}"))));
    let client = cluster.client();
    let original = "registry.k8s.io/pause:3.10";
    let first = client.post("/api/v1/namespaces/default/pods", &simple_pod("first", original)).expect("a Pod");
    assert_eq!(image(&first), "cache.example.com/k8s/pause:3.10");

    // The API has no such object, and reserves its name.
    for kind in ["mutatingadmissionpolicy", "mutatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        assert_eq!(cluster.kubectl(&["get", kind, "-o", "name"]).ok(), "");
        let name =
            if kind.starts_with('m') { format!("zz-pullthrough{STATIC}") } else { format!("pullthrough{STATIC}") };
        let deleted = cluster.kubectl(&["delete", kind, &name]).err();
        assert!(deleted.contains("NotFound"), "{deleted}");
        cluster.kubectl(&["delete", kind, "--all"]).ok();
    }
    let created = cluster.kubectl_with(&["create", "-f", "-"], &exported(&text, "rewrite")).err();
    assert!(created.contains(STATIC), "{created}");
    println!("kubectl create of the manifests: {created}");
    let second = client.post("/api/v1/namespaces/default/pods", &simple_pod("second", original)).expect("a Pod");
    assert_eq!(image(&second), "cache.example.com/k8s/pause:3.10");

    // The same comparison as of the policy in etcd, with manifests that the API server reloads.
    let reloads = || {
        let metrics = cluster.kubectl(&["get", "--raw=/metrics"]).ok();
        let is_ours = |line: &&str| {
            line.starts_with("apiserver_manifest_admission_config_controller_automatic_reloads_total{")
                && line.contains(r#"plugin="MutatingAdmissionPolicy""#)
                && line.contains(r#"status="success""#)
        };
        let value = metrics.lines().find(is_ours).and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        value.expect("the metric of reloads")
    };
    let before = reloads();
    let mut sets: Vec<(&str, String, Twins)> = Vec::new();
    let mut manifests: Vec<Value> = Vec::new();
    for (name, head, entries) in RULES {
        let text = rules(head, entries);
        let mut twins = Twins::within(cluster, format!("policies-{name}").leak(), &text);
        twins.register_webhook();
        manifests.extend(twins.policy(&["--static"]));
        sets.push((name, text, twins));
    }
    let documents: Vec<String> = manifests.iter().map(ToString::to_string).collect();
    let start = Instant::now();
    replace(&mutating.join("pullthrough.yaml"), &documents.join("\n---\n")).expect("replace the manifests");
    fs::remove_file(validating.join("pullthrough.yaml")).expect("remove the manifests");
    sets.iter().for_each(|(_, _, twins)| twins.wait());
    println!("the API server has reloaded the folder after at most {:?}", start.elapsed());
    wait_for(DEADLINE, || (reloads() > before).then_some(())).expect("a reload is counted");
    let mut images = images();
    let mut number = 0;
    images.retain(|_| {
        number += 1;
        number % EACH == 0
    });
    let mut sums = Sums::default();
    for (name, text, twins) in &sets {
        sums.compare(name, twins, text, &images);
    }
    sums.check(5_000 / EACH);
}
