//! The messages of `export admission-policy`. `tests/e2e/policies` compares its policies with the engine, on a real API server.

use std::fmt::Write;

use crate::program::{file, pullthrough};

const RULES: &str = "apiVersion: pullthrough.dev/v1alpha1
kind: Rules
recordOriginals: true
rules:
  - {name: gitlab, pattern: 'registry\\.gitlab\\.com/([^/]+)/(.+)', to: cache.example.com/$1/$2}
  - {name: mirrored, pattern: '([^/]+)\\.io/library/(.+)', to: cache.example.com/$1/$2, namespaces: {include: [a]}}
  - {name: watched, from: [ghcr.io], to: cache.example.com/ghcr, mode: observe}
  - {name: hub, from: [docker.io], to: cache.example.com/hub}
  - {name: tools, from: [quay.io/tools], to: docker.io/tools}
";

#[test]
fn omissions_are_reported() {
    let rules = file("rules.yaml", RULES);
    let rules = rules.path().display().to_string();
    for (arguments, code) in [(&["--strict"][..], 1), (&[], 0)] {
        let output = pullthrough(&[&["export", "admission-policy", "--rules", &rules], arguments].concat());
        assert_eq!(output.status.code(), Some(code));
        insta::assert_snapshot!("left_out", String::from_utf8(output.stderr).unwrap());
        assert!(
            output.stdout.starts_with(b"apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingAdmissionPolicy\n")
        );
    }
    let output = pullthrough(&["export", "admission-policy", "--cache", "cache.example.com/k8s", "--strict"]);
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

/// Only names differ. `tests/e2e/policies/manifests.rs` gives such files to a real API server.
#[test]
fn static_manifests_have_reserved_names() {
    const END: &str = ".static.k8s.io";
    for (action, plugin) in [("rewrite", "MutatingAdmissionPolicy"), ("audit,deny", "ValidatingAdmissionPolicy")] {
        let arguments = ["export", "admission-policy", "--cache", "cache.example.com/k8s", "--action", action];
        let plain = pullthrough(&arguments);
        let output = pullthrough(&[&arguments[..], &["--static"]].concat());
        assert_eq!(output.status.code(), Some(0));
        let note = String::from_utf8(output.stderr).unwrap();
        let expected =
            format!("note: put this file into staticManifestsDir of the plugin {plugin}, on the disk of each");
        assert!(note.starts_with(&expected), "{note}");
        let text = String::from_utf8(output.stdout).unwrap();
        let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert_eq!(documents.len(), 2);
        for object in &documents {
            assert!(object["metadata"]["name"].as_str().unwrap().ends_with(END), "{object}");
            assert_eq!(object["spec"].get("paramKind"), None);
        }
        assert_eq!(documents[1]["spec"]["policyName"], documents[0]["metadata"]["name"]);
        assert_eq!(text.replace(END, "").into_bytes(), plain.stdout);
    }
    let arguments = ["export", "admission-policy", "--cache", "c.example.com", "--static", "--action", "rewrite,audit"];
    let output = pullthrough(&arguments);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!("static_of_both_kinds", String::from_utf8(output.stderr).unwrap());
}

#[test]
fn what_the_api_server_would_reject_is_an_error() {
    let output = pullthrough(&["export", "admission-policy", "--cache", "cache.example.com", "--action", "deny,warn"]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!("deny_and_warn", String::from_utf8(output.stderr).unwrap());

    let mut many = String::from("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n");
    let path = "long/".repeat(40);
    for number in 0..300 {
        let _ = writeln!(
            many,
            "  - {{name: r{number}, from: [quay.io/{path}{number}], to: cache.example.com/{path}{number}}}"
        );
    }
    let many = file("many.yaml", &many);
    let output = pullthrough(&["export", "admission-policy", "--rules", &many.path().display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!("too_long", String::from_utf8(output.stderr).unwrap());
}
