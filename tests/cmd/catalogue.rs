//! The built-in catalogue, and `--no-catalogue`.

use std::fs;

use serde_json::Value;

use crate::pullthrough;

const RULES: &str =
    "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: [{name: quay, from: [quay.io], to: c.io}]\n";
const TASK: &str =
    "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: a}\nspec: {steps: [{image: quay.io/a/b}]}\n";
const VALUES: &str = "image: {repository: quay.io/a/b, tag: v1}\nother: {image: {repository: a/b, tag: v1}}\n";
const JOBS: &str = "periodics:\n- name: a\n  spec: {containers: [{image: quay.io/a/b}]}\n";
const RELEASE: &str = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: a}\nspec: {values: {image: {repository: quay.io/a/b, tag: v1}}}\n";

/// Returns `use` and image of each line that `scan` prints about a file.
fn scan(name: &str, text: &str, more: &[&str]) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(name);
    fs::write(&file, text).expect("a file");
    let path = file.display().to_string();
    let output = pullthrough(&[&["scan", "-o", "json", path.as_str()], more].concat(), b"");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    lines.map(|line| (text(&line, "use"), text(&line, "image"))).collect()
}

#[test]
fn scan_finds_what_the_catalogue_knows() {
    for (name, text, with, without) in [
        ("task.yaml", TASK, &[("manifest", "quay.io/a/b")][..], &[("unknown", "quay.io/a/b")][..]),
        ("jobs.yaml", JOBS, &[("manifest", "quay.io/a/b")], &[("unknown", "quay.io/a/b")]),
        ("release.yaml", RELEASE, &[("manifest", "quay.io/a/b:v1")], &[("unknown", "quay.io/a/b:v1")]),
        (
            "values.yaml",
            VALUES,
            &[("manifest", "quay.io/a/b:v1"), ("unknown", "a/b:v1")],
            &[("unknown", "quay.io/a/b:v1"), ("unknown", "a/b:v1")],
        ),
    ] {
        for (more, expected) in [(&[][..], with), (&["--no-catalogue"], without)] {
            let expected: Vec<(String, String)> =
                expected.iter().map(|(used, image)| ((*used).to_owned(), (*image).to_owned())).collect();
            assert_eq!(scan(name, text, more), expected, "{name} {more:?}");
        }
    }
}

#[test]
fn rewrite_goes_by_the_catalogue_but_leaves_values_of_charts() {
    for (name, text, after) in [
        ("task.yaml", TASK, Some(TASK.replace("quay.io", "c.io"))),
        ("jobs.yaml", JOBS, Some(JOBS.replace("quay.io", "c.io"))),
        ("release.yaml", RELEASE, Some(RELEASE.replace("quay.io", "c.io"))),
        ("values.yaml", VALUES, None),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, rules) = (folder.path().join(name), folder.path().join("rules"));
        fs::write(&file, text).expect("a file");
        fs::write(&rules, RULES).expect("a file");
        let (file, rules) = (file.display().to_string(), rules.display().to_string());
        let run = |more: &[&str]| {
            let output = pullthrough(&[&["rewrite", "--rules", rules.as_str(), file.as_str()], more].concat(), b"");
            (String::from_utf8(output.stdout).expect("UTF-8"), String::from_utf8(output.stderr).expect("UTF-8"))
        };
        assert_eq!(run(&["--no-catalogue"]).0, text, "{name}");
        let (printed, told) = run(&[]);
        assert_eq!(printed, after.clone().unwrap_or_else(|| text.to_owned()), "{name}: {told}");
        assert_eq!(told.contains("look like images"), after.is_none(), "{name}: {told}");
    }
}

#[test]
fn a_gate_passes_what_the_catalogue_knows() {
    for (text, name) in [(TASK, "task.yaml"), (JOBS, "jobs.yaml"), (RELEASE, "release.yaml")] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(name);
        fs::write(&file, text).expect("a file");
        let file = file.display().to_string();
        for (registry, more, code) in
            [("ghcr.io", &[][..], 0), ("quay.io", &[], 1), ("ghcr.io", &["--no-catalogue"], 2)]
        {
            let output = pullthrough(&[&["scan", "--fail-on", registry, file.as_str()], more].concat(), b"");
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{name} {registry} {more:?}: {told}");
        }
    }
}
