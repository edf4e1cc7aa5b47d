//! Gates: `scan --fail-on` and `rewrite --check` fail if they inspected nothing, or skipped something.

use std::fs;
use std::path::Path;

use crate::pullthrough;

const POD: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: quay.io/a/b}]}\n";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n";
const WIDGET: &str = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a}\nspec: {image: nginx}\n";
const LIST_OF_WIDGET: &str = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a}\nspec: {containers: [{name: a, image: quay.io/a/b}]}\n";
const VALUES: &str = "image: {repository: nginx, tag: v1}\n";
const RULES: &str =
    "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: [{name: a, from: [docker.io], to: c.io}]\n";
/// All rules of the example observe.
const BASE: &str = "manifests/base/rules.yaml";
const DECLARED: &str = "manifests: [{group: example.com, kind: Widget, images: [$.spec.image]}]\n";
/// A manifest in a text of another one.
const TEXT: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  pod.yaml: |\n    apiVersion: v1\n    kind: Pod\n    metadata: {name: a}\n    spec: {containers: [{name: a, image: quay.io/a/b}]}\n";
const TEMPLATE: &str = "{{ if .Values.a }}\nkind: Pod\n{{ end }}\n";
const HALF: &str = "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, image: {{ .Values.image }}}]}\n";

/// The start of the error if nothing was inspected.
const NOTHING: &str = "error: nothing was inspected: no Kubernetes object in ";
const UNKNOWN: &str = "error: fields that were not understood may have images ";

/// The input of a gate.
enum Input<'t> {
    Stdin(&'t str),
    File(&'t str),
    Folder(&'t [(&'t str, &'t str)]),
}

use Input::{File, Folder, Stdin};

/// Returns the argument that names an input below a folder, and standard input.
fn place<'t>(input: &Input<'t>, root: &Path) -> (String, &'t str) {
    let path = root.join("in");
    match input {
        Stdin(text) => ("-".to_owned(), text),
        File(text) => {
            fs::write(&path, text).expect("a file");
            (path.display().to_string(), "")
        }
        Folder(files) => {
            fs::create_dir(&path).expect("a folder");
            for (name, text) in *files {
                fs::write(path.join(name), text).expect("a file");
            }
            (path.display().to_string(), "")
        }
    }
}

/// Returns exit code, standard error and arguments of each of the two gates.
fn run(input: &Input, rules: &str, more: &[&str]) -> Vec<(Option<i32>, String, Vec<String>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, stdin) = place(input, folder.path());
    let file = folder.path().join("rules");
    fs::write(&file, rules).expect("a file");
    let rules = file.display().to_string();
    let gates = [
        &["scan", "--fail-on", "ghcr.io", "-o", "json", "--rules", &rules][..],
        &["rewrite", "--check", "--rules", &rules],
    ];
    let outcome = |gate: &&[&str]| {
        let arguments = [gate, more, &[path.as_str()]].concat();
        let output = pullthrough(&arguments, stdin.as_bytes());
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        let code = output.status.code();
        (code, told, arguments.into_iter().map(str::to_owned).collect())
    };
    gates.iter().map(outcome).collect()
}

#[test]
fn a_gate_that_saw_nothing_fails() {
    for input in [
        Stdin(""),
        Stdin("\n"),
        Stdin("null\n"),
        Stdin("---\n---\n# nothing\n"),
        Stdin("Error: chart not found\n"),
        Stdin("helm: command not found\n"),
        Stdin("apiVersion: v1\nkind: List\nitems: []\n"),
        Stdin("{}"),
        Stdin("[]"),
        Stdin(VALUES),
        File(""),
        File(RULES),
        File("apiVersion: pullthrough.dev/v1alpha1\nkind: Tests\ntests: []\n"),
        Folder(&[]),
        Folder(&[("a.yaml", "")]),
        Folder(&[("rules.yaml", RULES)]),
        Folder(&[("notes.txt", "image: nginx\n")]),
        Folder(&[("values.yaml", VALUES)]),
    ] {
        for more in [&[][..], &["--allow-unknown"]] {
            for (code, told, arguments) in run(&input, RULES, more) {
                assert_eq!(code, Some(2), "{arguments:?}: {told}");
                assert!(told.contains(NOTHING), "{arguments:?}: {told}");
            }
        }
    }
}

#[test]
fn a_gate_that_did_not_understand_something_fails_unless_it_may() {
    for (input, said) in [
        (Stdin(WIDGET), UNKNOWN),
        (File(WIDGET), UNKNOWN),
        (Folder(&[("a.yaml", WIDGET)][..]), UNKNOWN),
        (Folder(&[("a.yaml", POD), ("b.yaml", WIDGET)]), UNKNOWN),
        (Folder(&[("a.yaml", POD), ("values.yaml", VALUES)]), UNKNOWN),
        (Folder(&[("a.yaml", POD), ("b.yaml", TEMPLATE)]), "error: "),
        (Folder(&[("a.yaml", POD), ("b.yaml", HALF)]), "error: "),
        (File(TEXT), UNKNOWN),
        (Folder(&[("a.yaml", POD), ("b.yaml", TEXT)]), UNKNOWN),
    ] {
        for (code, told, arguments) in run(&input, RULES, &[]) {
            assert!(code == Some(2) && told.contains(said), "{arguments:?}: {told}");
        }
        for (code, told, arguments) in run(&input, RULES, &["--allow-unknown"]) {
            assert_eq!(code, Some(0), "{arguments:?}: {told}");
            assert!(!told.contains("error: "), "{arguments:?}: {told}");
        }
    }
}

/// Text that `--deep` can parse counts as inspected. Other text counts as skipped.
#[test]
fn a_gate_understands_texts_where_they_are_read() {
    let rules = RULES.replace("docker.io", "quay.io");
    let half = TEXT.replace("data:\n", "data:\n  b: |\n    {{ .x }}\n    image: quay.io/a/b\n");
    for (text, rules, expected) in [(TEXT, RULES, [0, 0]), (TEXT, &rules, [0, 1]), (&half, RULES, [2, 2])] {
        let codes: Vec<_> = run(&File(text), rules, &["--deep"]).into_iter().map(|(code, ..)| code).collect();
        assert_eq!(codes, expected.map(Some), "{text}");
    }
    // The file of a CI system, whose script has a manifest.
    let script = format!("run: |\n  kubectl apply -f - <<END\n  {}\n  END\n", POD.trim_end().replace('\n', "\n  "));
    for (code, told, arguments) in run(&File(&script), RULES, &["--deep"]) {
        assert_eq!(code, Some(0), "{arguments:?}: {told}");
    }
}

/// Exports with --strict and `check` are gates too.
#[test]
fn exports_and_checks_of_nothing_fail() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (rules, empty, values, pod) = (path("rules"), path("empty"), path("values.yaml"), path("pod.yaml"));
    let no_rules = path("no-rules");
    fs::create_dir(&empty).expect("a folder");
    for (file, text) in [
        (&rules, RULES),
        (&values, "replicas: 1\n"),
        (&pod, POD),
        (&no_rules, "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\n"),
    ] {
        fs::write(file, text).expect("a file");
    }
    for (arguments, code, said) in [
        (&["export", "kustomize", "--strict", "--rules", &rules, &empty][..], 2, NOTHING),
        (&["export", "kustomize", "--strict", "--rules", &rules, &values], 2, NOTHING),
        (&["export", "kustomize", "--strict", "--rules", &rules, &pod], 0, ""),
        (&["export", "kustomize", "--rules", &rules, &empty], 0, "note: no image in"),
        (&["export", "helm-values", "--strict", "--rules", &rules, &values], 2, "error: nothing was inspected: "),
        (&["export", "helm-values", "--rules", &rules, &values], 0, "note: no image in"),
        (&["export", "admission-policy", "--rules", BASE], 0, "note: no rule enforces"),
        (&["export", "kyverno", "--rules", BASE], 0, "note: no rule enforces"),
        (&["export", "kyverno", "--kind", "ClusterPolicy", "--rules", BASE], 0, "note: no rule enforces"),
        (&["check", &no_rules], 1, "0 rules, 1 finding"),
        (&["check", &rules], 0, "no problem found"),
    ] {
        let output = pullthrough(arguments, b"");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && told.contains(said), "{arguments:?}: {told}");
    }
}

/// `--allow-unknown` does not cover files that are broken or missing.
#[test]
fn a_gate_that_could_not_read_something_fails() {
    for input in [
        Folder(&[("a.yaml", POD), ("b.yaml", "a: [\n")][..]),
        Folder(&[("a.yaml", "a: [\n")]),
        // Helm's errors are valid YAML in some cases.
        Stdin("Error: INSTALLATION FAILED: repo x not found\n"),
        Stdin("a: [\n"),
    ] {
        for more in [&[][..], &["--allow-unknown"]] {
            for (code, told, arguments) in run(&input, RULES, more) {
                assert_eq!(code, Some(2), "{arguments:?}: {told}");
            }
        }
    }
}

#[test]
fn a_gate_that_looked_and_found_nothing_passes() {
    let declared = RULES.to_owned() + DECLARED;
    for (input, rules) in [
        (Stdin(POD), RULES),
        (File(SERVICE), RULES),
        (Stdin(LIST_OF_WIDGET), RULES),
        (Folder(&[("a.yaml", POD), ("b.yaml", RULES), ("c.yaml", ""), ("ci.yaml", "on: push\n")][..]), RULES),
        (File(&WIDGET.replace("nginx", "quay.io/a/b")), &declared),
    ] {
        for (code, told, arguments) in run(&input, rules, &[]) {
            assert_eq!(code, Some(0), "{arguments:?}: {told}");
        }
    }
    for (code, told, _) in run(&File(WIDGET), &declared, &[]) {
        // The place is known, so there is a decision.
        assert!(code == Some(0) && told.contains("1 place") || code == Some(1), "{told}");
    }
}

/// Each path must have something to inspect. Otherwise a failed command could go unnoticed.
#[test]
fn every_named_path_is_inspected() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    for (name, text) in [("pod.yaml", POD), ("empty.yaml", ""), ("mkdocs.yml", "site_name: a\n"), ("rules", RULES)] {
        fs::write(at(name), text).expect("a file");
    }
    fs::create_dir_all(folder.path().join("folder/in")).expect("a folder");
    fs::write(at("folder/in/pod.yaml"), POD).expect("a file");
    fs::create_dir(at("none")).expect("a folder");
    std::os::unix::fs::symlink("folder", at("link")).expect("a link");
    let rules = at("rules");
    let gates = [&["scan", "--fail-on", "ghcr.io"][..], &["rewrite", "--check", "--rules", &rules]];
    for (names, silent) in [
        (["pod.yaml", "folder"], None),
        (["folder/in/pod.yaml", "folder"], None),
        (["folder", "folder/in"], None),
        (["folder", "link"], None),
        (["pod.yaml", "."], None),
        (["pod.yaml", "empty.yaml"], Some("empty.yaml")),
        (["mkdocs.yml", "pod.yaml"], Some("mkdocs.yml")),
        (["pod.yaml", "none"], Some("none")),
        (["pod.yaml", "-"], Some("-")),
    ] {
        let path = |name: &str| if name == "-" { "-".to_owned() } else { at(name) };
        let paths = names.map(path);
        for (gate, more) in gates.iter().flat_map(|gate| [(gate, &[][..]), (gate, &["--allow-unknown"])]) {
            let output = pullthrough(&[gate, more, &paths.each_ref().map(String::as_str)].concat(), b"");
            let told = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
            let code = if silent.is_some() && more.is_empty() { 2 } else { 0 };
            assert_eq!(output.status.code(), Some(code), "{gate:?} {more:?} {names:?}: {told}");
            let is_named = silent.is_some_and(|silent| told.contains(&path(silent)));
            let is_told = told.contains("no Kubernetes object");
            assert_eq!((is_told, is_named || silent.is_none()), (silent.is_some(), true), "{gate:?} {names:?}: {told}");
        }
    }
}

#[test]
fn without_a_gate_it_is_said_and_exits_with_0() {
    let case = "tests/data/cases/13-scan-says-no-image/two.yaml";
    let known = String::from_utf8(pullthrough(&["scan", case], b"").stdout).expect("UTF-8");
    assert!(known.contains("ghcr.io  1 image at 1 place\n") && !known.contains("Not understood"), "{known}");
    let scan = |more: &[&str]| pullthrough(&[&["scan", "--no-catalogue", case], more].concat(), b"");
    let output = scan(&[]);
    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    for line in [
        "docker.io  1 image at 1 place\n",
        "1 object of 1 unknown kind has fields that look like images\n",
        " HelmRelease of helm.toolkit.fluxcd.io: 1 field of 1 object looks like an image\n",
        &format!("   where   {case}:10\n"),
        "   declare - {group: \"helm.toolkit.fluxcd.io\", kind: \"HelmRelease\", splitImages: [\"$.spec.values.controllers.main.containers.app.image\"]}\n",
        "; 1 file with 2 objects scanned\n",
    ] {
        assert!(printed.contains(line), "{line}{printed}");
    }
    for format in ["table", "sarif", "markdown", "html"] {
        let printed = String::from_utf8(scan(&["-o", format]).stdout).expect("UTF-8");
        assert!(printed.contains("HelmRelease of helm.toolkit.fluxcd.io"), "{format}: {printed}");
    }
    let lines = String::from_utf8(scan(&["-o", "json"]).stdout).expect("UTF-8");
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [known, unknown] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&known["use"], &known["declaration"]), (&"manifest".into(), &serde_json::Value::Null));
    assert_eq!((&unknown["use"], &unknown["image"]), (&"unknown".into(), &"ghcr.io/acme/app:v1".into()));
    assert!(unknown["declaration"].as_str().is_some_and(|text| text.starts_with("{group: \"helm.toolkit.fluxcd.io\"")));

    for (input, said) in [("", "0 objects"), ("Error: chart not found\n", "1 document that is not a Kubernetes object")]
    {
        let output = pullthrough(&["scan", "-"], input.as_bytes());
        let printed = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.code() == Some(0) && printed.contains(said), "{printed}");
    }
    let output = pullthrough(&["rewrite", "--cache", "c.io/k8s"], WIDGET.as_bytes());
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), WIDGET.as_bytes()));
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(told.starts_with("warning: 1 object of 1 unknown kind has fields that look like images\n"), "{told}");
}

#[test]
fn a_report_has_a_title_a_date_and_the_hash_of_its_rules() {
    let scan =
        |more: &[&str]| pullthrough(&[&["scan", "--cache", "c.io/k8s"], more, &["-"]].concat(), WIDGET.as_bytes());
    let page = String::from_utf8(scan(&["-o", "html", "--title", "Before the <move>"]).stdout).expect("UTF-8");
    let hash = pullthrough::config::fingerprint(b"c.io/k8s");
    assert!(
        page.contains("<h1>Before the &lt;move&gt;</h1>") && page.contains(&format!("<code>{hash}</code>")),
        "{page}"
    );
    assert!(page.contains("<dt>Date</dt><dd>20") && page.contains(" UTC</dd>"), "{page}");
    let markdown = String::from_utf8(scan(&["-o", "markdown", "--title", "Before"]).stdout).expect("UTF-8");
    assert!(markdown.starts_with("## Before\n"), "{markdown}");
    let output = scan(&["--title", "Before"]);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(
        (output.status.code(), said.as_str()),
        (Some(2), "error: --title needs -o markdown or -o html; the other formats have no heading\n")
    );
}

#[test]
fn allow_unknown_is_for_gates() {
    for arguments in [&["scan", "--allow-unknown", "-"][..], &["rewrite", "--allow-unknown", "--cache", "c.io", "-"]] {
        let output = pullthrough(arguments, POD.as_bytes());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
