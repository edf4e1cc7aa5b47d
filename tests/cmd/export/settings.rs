//! The omissions that each export reports for settings beside the rules.

use crate::program::{file, lines_with, pullthrough};

const SETTINGS: [&str; 3] = ["allowOptOut: true", "recordOriginals: true", "whenNotUnderstood: deny"];

#[test]
fn settings_that_a_format_does_not_support_are_omissions() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: quay.io/a/b}]}\n";
    let (pod, values) = (file("pod.yaml", pod), file("values.yaml", "image: quay.io/a/b:1\n"));
    let path = |file: &tempfile::NamedTempFile| file.path().display().to_string();
    let annotation = "`recordOriginals`: policies write no annotation";
    let ignored = "`whenNotUnderstood`: with failurePolicy Ignore, Pods that the API server can't evaluate are admitted unchanged: add \
                   --failure-policy Fail";
    let admitted = "`whenNotUnderstood`: with the policy's `failurePolicy: Ignore`, Pods that Kyverno can't evaluate are \
                    admitted unchanged";
    let of_nodes = [
        "`allowOptOut`: nodes pull in the same way for all Pods",
        "`recordOriginals`: nodes write no annotations",
        "`whenNotUnderstood`: nodes deny no Pods",
    ];
    for (arguments, omitted) in [
        ("admission-policy".to_owned(), &[annotation, ignored][..]),
        ("admission-policy --failure-policy Fail".to_owned(), &[annotation]),
        ("admission-policy --action audit".to_owned(), &[ignored]),
        ("kyverno".to_owned(), &[annotation, admitted]),
        (
            "kyverno --kind ClusterPolicy".to_owned(),
            &["`recordOriginals`: a ClusterPolicy changes images only", admitted],
        ),
        ("containerd --daemon-set".to_owned(), &of_nodes),
        ("crio".to_owned(), &of_nodes),
        ("docker".to_owned(), &of_nodes),
        ("openshift".to_owned(), &of_nodes),
        ("renovate".to_owned(), &[]),
        (format!("kustomize {}", path(&pod)), &["`recordOriginals`: kustomize's `images` only rename"]),
        (
            format!("helm-values {}", path(&values)),
            &[
                "`allowOptOut`: values apply to every Pod, whatever its labels",
                "`recordOriginals`: values write no annotations",
            ],
        ),
    ] {
        // Every format supports the rule itself.
        let rule = if arguments == "docker" { "from: [docker.io]" } else { "from: [quay.io]" };
        for setting in SETTINGS {
            let rules = file(
                "rules.yaml",
                &format!(
                    "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\n{setting}\n\
                     rules: [{{name: a, {rule}, to: cache.example.com}}]\n"
                ),
            );
            let arguments: Vec<&str> = ["export"].into_iter().chain(arguments.split(' ')).collect();
            let output = pullthrough(&[&arguments[..], &["--strict", "--rules", &path(&rules)]].concat());
            let (name, _) = setting.split_once(':').expect("a setting");
            let expected: Vec<&str> =
                omitted.iter().copied().filter(|line| line.starts_with(&format!("`{name}`"))).collect();
            assert_eq!(lines_with(&output.stderr, "omitted"), expected, "{arguments:?} {setting}");
            assert_eq!(output.status.code(), Some(i32::from(!expected.is_empty())), "{arguments:?} {setting}");
        }
    }
}

/// Nodes pull with a CA of their own. Other formats send no request to a cache.
#[test]
fn a_ca_file_is_a_note_where_nodes_pull() {
    let folder = tempfile::tempdir().expect("a folder");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: quay.io/a/b}]}\n";
    let (pod, values) = (file("pod.yaml", pod), file("values.yaml", "image: quay.io/a/b:1\n"));
    let ca = file("ca.crt", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    let path = |file: &tempfile::NamedTempFile| file.path().display().to_string();
    let rules = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\ncaches:\n  \
                 - {prefix: cache.example.com, product: harbor, caFile: /no/such/file}\n  - {prefix: d.io}\n\
                 rules: [{name: a, from: [docker.io], to: cache.example.com}, {name: b, from: [quay.io], to: d.io}]\n";
    let rules = file("rules.yaml", rules);
    let directory = folder.path().display().to_string();
    for (arguments, expected) in [
        ("crio".to_owned(), 1),
        ("docker".to_owned(), 1),
        ("openshift".to_owned(), 1),
        (format!("containerd --directory {directory}"), 1),
        (format!("containerd --directory {directory} --ca-file {}", path(&ca)), 0),
        ("admission-policy".to_owned(), 0),
        ("kyverno".to_owned(), 0),
        ("kyverno --kind ClusterPolicy".to_owned(), 0),
        ("renovate".to_owned(), 0),
        ("webhook --service a/b".to_owned(), 0),
        (format!("kustomize {}", path(&pod)), 0),
        (format!("helm-values {}", path(&values)), 0),
    ] {
        let arguments: Vec<&str> = ["export"].into_iter().chain(arguments.split(' ')).collect();
        let output = pullthrough(&[&arguments[..], &["--rules", &path(&rules)]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        let note = "the cache `cache.example.com` has a `caFile`: nodes need its CA too";
        let notes = lines_with(&output.stderr, "note").iter().filter(|line| *line == note).count();
        assert_eq!(notes, expected, "{arguments:?}: {stderr}");
        assert!(!stderr.contains("omitted: `caches`"), "{stderr}");
    }
}
