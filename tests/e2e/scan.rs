//! `pullthrough scan` of a control plane with generated workloads of every kind.

mod custom;
mod workloads;
pub mod yard;

use std::collections::BTreeSet;

use serde_json::Value;

use self::workloads::Expected;
use self::yard::{BLIND, READER, SCANNER, Yard};
use crate::DEADLINE;
use crate::harness::wait_for;

/// The keys of a line with image, place and decision.
const KEYS: [&str; 13] = [
    "image",
    "source",
    "node",
    "api_version",
    "kind",
    "namespace",
    "name",
    "place",
    "use",
    "decision",
    "result",
    "reason",
    "not_covered",
];

fn findings(lines: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    lines.lines().map(parse).collect()
}

/// Returns each finding as a text with these keys, sorted.
fn told(findings: &[Value]) -> Vec<String> {
    let text = |finding: &Value| KEYS.map(|key| format!("{key}={}", finding[key])).join(" ");
    let mut told: Vec<String> = findings.iter().map(text).collect();
    told.sort();
    told
}

#[track_caller]
fn assert_same(found: &[Value], expected: &[Value]) {
    let (found, expected) = (told(found), told(expected));
    let [found_set, expected_set] = [&found, &expected].map(|told| told.iter().collect::<BTreeSet<_>>());
    let missing: Vec<_> = expected_set.difference(&found_set).take(5).collect();
    let extra: Vec<_> = found_set.difference(&expected_set).take(5).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:#?}\nextra: {extra:#?}");
    assert_eq!(found.len(), expected.len(), "the scan has duplicate lines");
}

#[test]
fn a_scan_finds_what_was_created() {
    let yard = Yard::get();
    let said = yard.scan(&["--rules", &yard.rules(), "-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let expected: Vec<Value> = yard.expected.iter().map(Expected::line).collect();
    assert!(expected.len() > 800, "{}", expected.len());
    assert_same(&findings(&said.stdout), &expected);
    assert!(!said.stderr.contains("skipped: "), "{}", said.stderr);
    assert!(said.stderr.contains("1 node reports at least 50 images"), "{}", said.stderr);
    // There is no progress bar in a pipe.
    assert!(!said.stderr.contains(['\r', '\u{1b}']), "{:?}", said.stderr);
}

#[test]
fn what_the_rules_declare_is_found_too() {
    let yard = Yard::get();
    let said = yard.scan(&["--rules", &yard.declaring_rules(), "-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let all = yard.expected.iter().chain(&yard.declared);
    assert_same(&findings(&said.stdout), &all.map(Expected::line).collect::<Vec<_>>());
    for told in [
        "note: the rules declare the kind Pipeline of tekton.dev, which the cluster does not have\n",
        "note: the rules declare the kind Absent of example.com, which the cluster does not have\n",
    ] {
        assert!(said.stderr.contains(told), "{}", said.stderr);
    }
    // Objects without a namespace are not listed if there is one.
    let said = yard.scan(&["--rules", &yard.declaring_rules(), "-o", "json", "-n", "scan-b"]);
    let all = yard.expected.iter().chain(&yard.declared).filter(|expected| expected.namespace == Some("scan-b"));
    assert_same(&findings(&said.stdout), &all.map(Expected::line).collect::<Vec<_>>());
}

#[test]
fn without_rules_nothing_is_decided() {
    let yard = Yard::get();
    let said = yard.scan(&["-o", "json"]);
    let undecided = |expected: &Expected| {
        let mut line = expected.line();
        for key in ["decision", "result", "reason"] {
            line[key] = Value::Null;
        }
        line
    };
    assert_same(&findings(&said.stdout), &yard.expected.iter().map(undecided).collect::<Vec<_>>());
}

#[test]
fn only_named_namespaces_are_scanned() {
    let yard = Yard::get();
    let said = yard.scan(&["--rules", &yard.rules(), "-o", "json", "-n", "scan-a", "--namespace", "scan-off"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let is_in = |expected: &&Expected| matches!(expected.namespace, Some("scan-a" | "scan-off"));
    assert_same(&findings(&said.stdout), &yard.expected.iter().filter(is_in).map(Expected::line).collect::<Vec<_>>());
    assert!(said.stderr.contains("nodes are scanned only without --namespace"), "{}", said.stderr);

    let said = yard.scan(&["-n", "scan-absent"]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    let told = "error: namespace scan-absent does not exist; `kubectl get namespaces` lists those that exist\n";
    let cluster =
        format!("note: cluster {}, context admin of {}\n", yard.cluster.url(), yard.cluster.kubeconfig().display());
    assert_eq!(said.stderr, cluster + told);
}

#[test]
fn what_may_not_be_listed_is_reported_and_the_rest_is_found() {
    let yard = Yard::get();
    let said = yard.scan_as(READER, &["-o", "json", "-n", "scan-a"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let may_see =
        |expected: &&Expected| expected.namespace == Some("scan-a") && ["Pod", "Deployment"].contains(&expected.kind);
    let expected: Vec<Value> = yard.expected.iter().filter(may_see).map(Expected::undecided_line).collect();
    assert!(!expected.is_empty());
    assert_same(&findings(&said.stdout), &expected);
    let told = "skipped: StatefulSets of namespace scan-a: forbidden: statefulsets.apps is forbidden: User \"reader\" \
                cannot list resource \"statefulsets\" in API group \"apps\" in the namespace \"scan-a\"; bind a Role of \
                namespace scan-a with the rule {apiGroups: [\"apps\"], resources: [statefulsets], verbs: [list]} to your user\n";
    assert!(said.stderr.contains(told), "{}", said.stderr);
    let told = "skipped: which namespaces and Pods the webhook covers: ";
    assert!(said.stderr.contains(told), "{}", said.stderr);

    // With --fail-on, an incomplete scan fails.
    let gate = yard.scan_as(READER, &["-n", "scan-a", "--fail-on", "absent.example.com"]);
    assert_eq!(gate.code, 2, "{}", gate.stderr);
    // The report lists it too.
    assert!(gate.stdout.contains("StatefulSets of namespace scan-a"), "{}", gate.stdout);

    let said = yard.scan_as(BLIND, &[]);
    assert_eq!(said.code, 2, "{}", said.stdout);
    assert!(said.stdout.contains("{apiGroups: [\"\"], resources: [pods], verbs: [list]}"), "{}", said.stdout);
}

#[test]
fn the_documented_role_is_enough() {
    let yard = Yard::get();
    let said = yard.scan_as(SCANNER, &["--rules", &yard.rules(), "-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(!said.stderr.contains("skipped: "), "{}", said.stderr);
    assert_same(&findings(&said.stdout), &yard.expected.iter().map(Expected::line).collect::<Vec<_>>());
}

#[test]
fn a_registry_can_be_forbidden() {
    let yard = Yard::get();
    for (fail_on, code) in [
        ("registry.k8s.io", 1),
        ("absent.example.com,Index.Docker.io", 1),
        ("docker.io/library/nginx", 1),
        ("docker.io/library/ngin", 0),
        // A node holds it, and no Pod pulls it.
        ("held.example.com", 0),
        // The container runtime pulls it, and no Pod.
        ("sandbox.example.com", 1),
    ] {
        let said = yard.scan(&["--fail-on", fail_on]);
        assert_eq!(said.code, code, "{fail_on}: {}", said.stderr);
        assert_eq!(said.stderr.contains(" from "), code == 1, "{fail_on}: {}", said.stderr);
    }
}

#[test]
fn a_gate_that_saw_no_pod_and_no_template_fails() {
    let yard = Yard::get();
    for more in [&[][..], &["--allow-unknown"]] {
        let said = yard.scan(&[&["-n", "kube-public", "--fail-on", "absent.example.com"], more].concat());
        assert_eq!(said.code, 2, "{}", said.stderr);
        let told = format!(
            "error: nothing was inspected: no Pods and no templates in cluster {}/; check --namespace and --context\n",
            yard.cluster.url()
        );
        assert!(said.stderr.contains(&told), "{}", said.stderr);
    }
    // Without --fail-on, the cluster counts as one without images.
    let said = yard.scan(&["-n", "kube-public"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains("no image; "), "{}", said.stdout);
}

#[test]
fn a_cluster_that_can_not_be_asked_is_an_error() {
    let yard = Yard::get();
    let kubeconfig = std::fs::read_to_string(yard.cluster.kubeconfig()).expect("a kubeconfig");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("kubeconfig");
    let certificate = yard.cluster.certificate_authority().display().to_string();
    let kubeconfig = kubeconfig.replace("apiserver.crt", &certificate);
    for (server, token, told) in [
        ("https://127.0.0.1:1", yard.cluster.admin().token(), "onnection refused"),
        (yard.cluster.url(), "nonsense", "Unauthorized"),
    ] {
        let other = kubeconfig.replace(yard.cluster.url(), server).replace(yard.cluster.admin().token(), token);
        std::fs::write(&file, other).expect("a file");
        let said = yard.scan_with(&file, &["-o", "json"]);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{}", said.stderr);
        assert!(said.stderr.contains(&format!("\nerror: request to the API server at {server}")), "{}", said.stderr);
        assert!(said.stderr.contains(told), "{}", said.stderr);
    }
}

#[test]
fn without_a_webhook_configuration_every_namespace_counts_as_covered() {
    let yard = Yard::get();
    let said = yard.scan(&["--rules", &yard.rules(), "-o", "json", "--configuration", "absent"]);
    let told =
        "note: there is no MutatingWebhookConfiguration absent of pullthrough; every namespace counts as covered";
    assert!(said.stderr.contains(told), "{}", said.stderr);
    let reachable = |expected: &Expected| {
        let mut line = expected.line();
        if matches!(expected.not_covered, Some("namespace" | "label")) {
            line["not_covered"] = Value::Null;
        }
        line
    };
    assert_same(&findings(&said.stdout), &yard.expected.iter().map(reachable).collect::<Vec<_>>());
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_scan() {
    let yard = Yard::get();
    let mut command = yard.command(&yard.cluster.kubeconfig(), &["-o", "json"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("the binary runs");
    drop(child.stdout.take());
    let ended = wait_for(DEADLINE, || child.try_wait().expect("a status"));
    assert_eq!(ended.expect("the program ends").code(), Some(0));
}
