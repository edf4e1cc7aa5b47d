//! YAML that Go's parsers accept, with each command that reads YAML.

use std::fmt::Write as _;
use std::fs;

use crate::pullthrough;

/// Lines of a mapping. Each may be between a key and its value, and other lines before a key.
const PARTS: [(&str, &str); 5] = [
    ("33 comments", "x-a:\n#\n"),
    ("comments at any indentation", "x-a:\n    # c\n # c\n  # c\n"),
    ("a quoted scalar that goes on below its key", "x-a:\n  b: \"two\n  lines\"\n"),
    ("a quoted scalar that goes on at the start of a line", "x-a:\n  b: 'two\n\nlines'\n"),
    ("a quoted scalar that goes on with a tab", "x-a:\n  b: \"two\n\tlines\"\n"),
];

fn part(part: &str) -> String {
    part.lines().fold(String::new(), |mut text, line| {
        let times = if line.trim_start().starts_with('#') { 400 } else { 1 };
        for _ in 0..times {
            let _ = writeln!(text, "{line}");
        }
        text
    })
}

fn run(arguments: &[&str], stdin: &str) -> (Option<i32>, String, String) {
    let output = pullthrough(arguments, stdin.as_bytes());
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn manifests_are_rewritten_and_scanned() {
    for (what, lines) in PARTS {
        let pod = |image: &str| {
            let lines = part(lines);
            let lines = lines.replace('\n', "\n  ");
            let lines = lines.trim_end_matches(' ');
            format!("apiVersion: v1\nkind: Pod\nmetadata:\n  {lines}spec:\n  containers:\n  # c\n  - image: {image}\n")
        };
        let stream = |image: &str| format!("{}---\nkind: [\n---\n{}", pod(image), pod(image));
        let (before, after) = (pod("registry.k8s.io/a:1"), pod("c.io/a:1"));
        assert_eq!(run(&["rewrite", "--cache", "c.io"], &before).1, after, "{what}");
        let line = 2 + before.lines().count();
        let (code, stdout, stderr) = run(&["rewrite", "--cache", "c.io"], &stream("registry.k8s.io/a:1"));
        assert_eq!((code, stdout), (Some(2), stream("c.io/a:1")), "{what}");
        assert_eq!(
            stderr,
            format!(
                "error: -:{line}: unclosed bracket '['\n1 file: 2 images rewritten in 1, 0 unchanged; 1 document unreadable\n"
            )
        );
        let (code, stdout, stderr) = run(&["rewrite", "--check", "--cache", "c.io"], &stream("c.io/a:1"));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{what}: {stderr}");
        let (code, stdout, stderr) = run(&["scan", "-o", "json", "-"], &stream("a.io/b"));
        assert_eq!((code, stdout.lines().count()), (Some(2), 2), "{what}: {stderr}");
        assert!(stderr.contains(&format!("skipped: -:{line}: unclosed bracket '['")), "{stderr}");
    }
}

#[test]
fn rules_are_checked_and_charts_exported() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: &str| fs::write(path(name), text).expect("a file");
    for (what, lines) in PARTS {
        let comments: String = part(lines).lines().filter(|line| line.trim_start().starts_with('#')).fold(
            String::new(),
            |mut text, line| {
                let _ = writeln!(text, "{line}");
                text
            },
        );
        write(
            "rules.yaml",
            &format!(
                "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n{comments}- name: \"k\n  s\"\n  from:\n{comments}  - registry.k8s.io\n  to: 'c.io/k8s'\n"
            )
            .replace("\"k\n  s\"", "ks"),
        );
        let (code, stdout, stderr) = run(&["check", &path("rules.yaml")], "");
        assert_eq!(code, Some(0), "{what}: {stdout}{stderr}");
        write(
            "Chart.yaml",
            &format!("{}apiVersion: v2\nname: c\nname: d\nversion: 0.1.0\ndependencies:\n", part(lines)),
        );
        write(
            "values.yaml",
            &format!(
                "image: {{repository: a, tag: b}}\n{}image: {{repository: registry.k8s.io/a, tag: b}}\n",
                part(lines)
            ),
        );
        let folder = folder.path().display().to_string();
        let (code, stdout, stderr) = run(&["export", "helm-values", "--rules", &path("rules.yaml"), &folder], "");
        assert_eq!((code, stdout.as_str()), (Some(0), "image:\n  repository: c.io/k8s/a\n"), "{what}: {stderr}");
    }
    write("values.yaml", "a: 1\nb: [\n");
    let chart = folder.path().display().to_string();
    let (code, _, stderr) = run(&["export", "helm-values", "--rules", &path("rules.yaml"), &chart], "");
    assert_eq!((code, stderr), (Some(2), format!("error: {}:2: unclosed bracket '['\n", path("values.yaml"))));
}
