//! Manifests that are hard to read or to change, one in each row.

use std::fmt::Write as _;

use pullthrough::engine::Policy;
use pullthrough::manifest::{self, Known, Manifest};

use super::{read, result, rules};

fn policy() -> Policy {
    let rules = "rules:\n  - {name: k8s, from: [k8s.gcr.io], to: c.io/k8s}\n  - {name: six, from: [six.io], to: '[::1]:5000/x'}\n";
    rules_of(rules)
}

fn rules_of(text: &str) -> Policy {
    rules(text).into()
}

/// Returns the rewritten text, and the rejected edits.
fn rewrite(file: &str, text: &str) -> (String, Vec<String>) {
    let manifest = read(file, text, &Known::default());
    let policy = policy();
    let written = manifest.write(|field| result(&policy, field));
    let again = read(file, &written.text, &Known::default());
    let again = again.write(|field| result(&policy, field));
    assert_eq!(again.text, written.text, "rewritten twice");
    let refused = written.refused.iter();
    (written.text, refused.map(|(field, why)| format!("{}: {why}", manifest.fields()[*field].line)).collect())
}

/// Returns a Pod with these containers.
fn pod(containers: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n{containers}")
}

#[test]
fn an_image_keeps_the_style_in_which_it_is_written() {
    let rows = [
        ("plain", "- image: k8s.gcr.io/a:1", "- image: c.io/k8s/a:1"),
        (
            "with spaces and a comment",
            "- image:   k8s.gcr.io/a:1   # k8s.gcr.io/b",
            "- image:   c.io/k8s/a:1   # k8s.gcr.io/b",
        ),
        ("single quotes", "- image: 'k8s.gcr.io/a'", "- image: 'c.io/k8s/a'"),
        ("double quotes", "- image: \"k8s.gcr.io/a\"", "- image: \"c.io/k8s/a\""),
        ("escapes", "- image: \"k8s.gc\\x72.io\\u002fa\"", "- image: \"c.io/k8s/a\""),
        ("folded by an escape", "- image: \"k8s.gcr.io\\\n    /a\"", "- image: \"c.io/k8s/a\""),
        ("quoted key", "- \"image\": k8s.gcr.io/a", "- \"image\": c.io/k8s/a"),
        ("key with an escape", "- \"im\\x61ge\": k8s.gcr.io/a", "- \"im\\x61ge\": c.io/k8s/a"),
        ("key with a question mark", "- ? image\n  : k8s.gcr.io/a", "- ? image\n  : c.io/k8s/a"),
        ("on the next line", "- image:\n    k8s.gcr.io/a", "- image:\n    c.io/k8s/a"),
        ("flow", "- {image: k8s.gcr.io/a, name: b}", "- {image: c.io/k8s/a, name: b}"),
        ("flow, at its end", "- {name: b, image: k8s.gcr.io/a}", "- {name: b, image: c.io/k8s/a}"),
        (
            "JSON in YAML",
            "- {\"name\":\"b\",\"image\":\"k8s.gcr.io/a\"}",
            "- {\"name\":\"b\",\"image\":\"c.io/k8s/a\"}",
        ),
        (
            "tabs between tokens",
            "- {\"name\":\t\"b\",\t\"image\":\t\"k8s.gcr.io/a\"}",
            "- {\"name\":\t\"b\",\t\"image\":\t\"c.io/k8s/a\"}",
        ),
        ("literal", "- image: |-\n    k8s.gcr.io/a\n  name: b", "- image: |-\n    c.io/k8s/a\n  name: b"),
        (
            "folded, behind an empty line",
            "- image: >-\n\n    k8s.gcr.io/a\n\n  name: b",
            "- image: >-\n\n    k8s.gcr.io/a\n\n  name: b",
        ),
        (
            "folded, indented by a number",
            "- image: >2-  # c\n    k8s.gcr.io/a\n  name: b",
            "- image: >2-  # c\n    c.io/k8s/a\n  name: b",
        ),
        ("ends in a line end", "- image: |\n    k8s.gcr.io/a\n  name: b", "- image: |\n    k8s.gcr.io/a\n  name: b"),
        ("a tag for strings", "- image: !!str k8s.gcr.io/a", "- image: !!str c.io/k8s/a"),
        (
            "a verbatim tag",
            "- image: !<tag:yaml.org,2002:str> k8s.gcr.io/a",
            "- image: !<tag:yaml.org,2002:str> c.io/k8s/a",
        ),
        ("an anchor of its own", "- image: &a k8s.gcr.io/a", "- image: &a c.io/k8s/a"),
        ("anchor and tag", "- image: &a !!str 'k8s.gcr.io/a'", "- image: &a !!str 'c.io/k8s/a'"),
        (
            "a digest",
            "- image: k8s.gcr.io/a:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "- image: c.io/k8s/a:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ),
        ("plain becomes quoted", "- image: six.io/a", "- image: \"[::1]:5000/x/a\""),
        ("plain becomes quoted, in braces", "- {image: six.io/a, name: b}", "- {image: \"[::1]:5000/x/a\", name: b}"),
        (
            "quoted before",
            "- image: \"[::1]:5000/y\"\n- image: 'six.io/a'",
            "- image: \"[::1]:5000/y\"\n- image: '[::1]:5000/x/a'",
        ),
        (
            "the last of two counts",
            "- image: k8s.gcr.io/a\n  image: k8s.gcr.io/b",
            "- image: k8s.gcr.io/a\n  image: c.io/k8s/b",
        ),
        (
            "the last of two is another",
            "- image: k8s.gcr.io/a\n  image: quay.io/b",
            "- image: k8s.gcr.io/a\n  image: quay.io/b",
        ),
        (
            "no string",
            "- image: 1.5\n- image: ~\n- image:\n- image: [k8s.gcr.io/a]\n- image: {a: k8s.gcr.io/a}",
            "- image: 1.5\n- image: ~\n- image:\n- image: [k8s.gcr.io/a]\n- image: {a: k8s.gcr.io/a}",
        ),
        (
            "never pulled",
            "- image: k8s.gcr.io/a\n  imagePullPolicy: Never",
            "- image: k8s.gcr.io/a\n  imagePullPolicy: Never",
        ),
        (
            "no image fields",
            "- name: k8s.gcr.io/a\n  env: [{name: A, value: k8s.gcr.io/a}]\n  args: [--x=k8s.gcr.io/a]",
            "- name: k8s.gcr.io/a\n  env: [{name: A, value: k8s.gcr.io/a}]\n  args: [--x=k8s.gcr.io/a]",
        ),
        (
            "characters of more bytes",
            "- name: \u{1f980}é\n  image: k8s.gcr.io/a # é",
            "- name: \u{1f980}é\n  image: c.io/k8s/a # é",
        ),
        ("multi-line plain is no reference", "- image: k8s.gcr.io/a\n    b", "- image: k8s.gcr.io/a\n    b"),
    ];
    for (what, before, after) in rows {
        for line_end in ["\n", "\r\n"] {
            for final_line_end in ["", "\n"] {
                let text = |containers: &str| {
                    let indented = format!("  {}", containers.replace('\n', "\n  "));
                    (pod(&indented) + final_line_end).replace('\n', line_end)
                };
                let (written, refused) = rewrite("pod.yaml", &text(before));
                assert_eq!(refused, [""; 0], "{what}");
                assert_eq!(written, text(after), "{what}");
            }
        }
    }
}

#[test]
fn what_is_shared_changes_where_nothing_else_does() {
    let rows = [
        (
            "an alias of an image that changes too",
            "  - image: &i k8s.gcr.io/a\n  - image: *i\n",
            Ok("  - image: &i c.io/k8s/a\n  - image: *i\n"),
        ),
        (
            "an alias of something else",
            "  - name: &i k8s.gcr.io/a\n    image: *i\n",
            Ok("  - name: &i k8s.gcr.io/a\n    image: c.io/k8s/a\n"),
        ),
        (
            "an alias that is quoted when it is written out",
            "  - name: &i six.io/a\n    image: *i\n  - {name: b, image: *i}\n",
            Ok("  - name: &i six.io/a\n    image: \"[::1]:5000/x/a\"\n  - {name: b, image: \"[::1]:5000/x/a\"}\n"),
        ),
        (
            "something else is an alias of the image",
            "  - image: &i k8s.gcr.io/a\n    args: [*i]\n",
            Err("5: `*i` in line 6 shares it and must stay unchanged; write the value out there, or here"),
        ),
        (
            "an alias that is never pulled",
            "  - image: &i k8s.gcr.io/a\n  - image: *i\n    imagePullPolicy: Never\n",
            Err("5: `*i` in line 6 shares it and must stay unchanged; write the value out there, or here"),
        ),
        (
            "a container twice",
            "  - &c\n    image: k8s.gcr.io/a\n  - *c\n",
            Ok("  - &c\n    image: c.io/k8s/a\n  - *c\n"),
        ),
        (
            "a container that is something else too",
            "  - &c\n    image: k8s.gcr.io/a\n  volumes:\n  - *c\n",
            Err("6: `*c` in line 8 shares it and must stay unchanged; write the value out there, or here"),
        ),
        (
            "merged twice",
            "  - &c\n    image: k8s.gcr.io/a\n    name: a\n  - <<: *c\n    name: b\n",
            Ok("  - &c\n    image: c.io/k8s/a\n    name: a\n  - <<: *c\n    name: b\n"),
        ),
        (
            "merged, but not the image",
            "  - &c\n    image: k8s.gcr.io/a\n  - <<: *c\n    image: quay.io/b\n",
            Ok("  - &c\n    image: c.io/k8s/a\n  - <<: *c\n    image: quay.io/b\n"),
        ),
        (
            "merged behind the image, which the API server's reader takes",
            "  - &c\n    image: k8s.gcr.io/a\n  - image: quay.io/b\n    <<: *c\n",
            Ok("  - &c\n    image: c.io/k8s/a\n  - image: quay.io/b\n    <<: *c\n"),
        ),
        (
            "merged into what is never pulled",
            "  - &c\n    image: k8s.gcr.io/a\n  - <<: *c\n    imagePullPolicy: Never\n",
            Err("6: `*c` in line 7 shares it and must stay unchanged; write the value out there, or here"),
        ),
        (
            "the first of a list of merges counts",
            "  - &c {image: k8s.gcr.io/a}\n  - &d {image: k8s.gcr.io/b}\n  - <<: [*c, *d]\n",
            Ok("  - &c {image: c.io/k8s/a}\n  - &d {image: c.io/k8s/b}\n  - <<: [*c, *d]\n"),
        ),
        (
            "a key that is no merge",
            "  - &c {image: k8s.gcr.io/a}\n  - \"<<\": *c\n",
            Err("5: `*c` in line 6 shares it and must stay unchanged; write the value out there, or here"),
        ),
        (
            "an anchor that is given again",
            "  - image: &i k8s.gcr.io/a\n  - image: &i k8s.gcr.io/b\n  - image: *i\n    args: [&i x, *i]\n",
            Ok("  - image: &i c.io/k8s/a\n  - image: &i c.io/k8s/b\n  - image: *i\n    args: [&i x, *i]\n"),
        ),
        (
            "an image that is overridden is no use",
            "  - image: &i k8s.gcr.io/a\n  - image: *i\n    image: quay.io/b\n",
            Ok("  - image: &i c.io/k8s/a\n  - image: *i\n    image: quay.io/b\n"),
        ),
    ];
    for (what, before, after) in rows {
        let (written, refused) = rewrite("pod.yaml", &pod(before));
        match after {
            Ok(after) => {
                assert_eq!(refused, [""; 0], "{what}");
                assert_eq!(written, pod(after), "{what}");
            }
            Err(why) => {
                assert_eq!(refused, [why], "{what}");
                assert_eq!(written, pod(before), "{what}");
            }
        }
    }
}

#[test]
fn objects_of_a_list_share_what_aliases_name() {
    let text = |image: &str, policy: &str| {
        let pod =
            |container: &str| format!("- {{apiVersion: v1, kind: Pod, spec: {{containers: [{{{container}}}]}}}}\n");
        let (first, second) = (pod(&format!("image: &i {image}")), pod(&format!("image: *i{policy}")));
        format!("apiVersion: v1\nkind: List\nitems:\n{first}{second}")
    };
    assert_eq!(rewrite("a.yaml", &text("k8s.gcr.io/a", "")), (text("c.io/k8s/a", ""), Vec::new()));
    let kept = text("k8s.gcr.io/a", ", imagePullPolicy: Never");
    let why = "4: `*i` in line 5 shares it and must stay unchanged; write the value out there, or here";
    assert_eq!(rewrite("a.yaml", &kept), (kept, vec![why.to_owned()]));
}

#[test]
fn definitions_for_their_own_sake_change() {
    let rows = [
        ("x-image: &i k8s.gcr.io/a", "image: *i", "x-image: &i c.io/k8s/a"),
        ("definitions: [&i k8s.gcr.io/a]", "image: *i", "definitions: [&i c.io/k8s/a]"),
        ("x-c: &c\n  image: k8s.gcr.io/a", "<<: *c", "x-c: &c\n  image: c.io/k8s/a"),
        ("x-c: {a: &i k8s.gcr.io/a, b: &c {image: *i}}", "<<: *c", "x-c: {a: &i c.io/k8s/a, b: &c {image: *i}}"),
    ];
    for (before, container, after) in rows {
        let text = |definition: &str| format!("{definition}\n{}", pod(&format!("  - {container}\n  - {container}\n")));
        assert_eq!(rewrite("pod.yaml", &text(before)), (text(after), Vec::new()));
    }
}

#[test]
fn what_is_spread_over_lines_is_rejected() {
    let text = pod("  - image: |-\n      a\n      b\n");
    let written = read("pod.yaml", &text, &Known::default()).write(|_| Some("c".to_owned()));
    assert_eq!(written.text, text);
    assert_eq!(written.refused, [(0, "it spans several lines; write it on one line".to_owned())]);
}

#[test]
fn documents_keep_their_separators() {
    let pod = |image: &str| pod(&format!("  - image: {image}\n"));
    let (before, after) = (pod("k8s.gcr.io/a"), pod("c.io/k8s/a"));
    for shell in [
        "\u{feff}POD",
        "---\nPOD",
        "# k8s.gcr.io/a\n--- # k8s.gcr.io/a\nPOD...\n---\nPOD---\n",
        "%YAML 1.1\n---\nPOD",
        "%YAML 1.2\n# c\n---\nPOD...\n%TAG ! tag:a,2000:\n---\nPOD",
        "---\n---\n---\n# nothing\n---\nPOD---\nnull\n---\n~\n---\n",
        "\n\n  \n# c\nPOD\n\n# c",
        "just text\n---\n- a\n- b\n---\n1\n---\nPOD",
    ] {
        let text = |pod: &str| shell.replace("POD", pod);
        assert_eq!(rewrite("pods.yaml", &text(&before)), (text(&after), Vec::new()), "{shell:?}");
    }
    let text = format!("---\n---\n# c\n---\n{before}---\n{before}");
    let documents: Vec<usize> = read("", &text, &Known::default()).fields().iter().map(|f| f.object.document).collect();
    assert_eq!(documents, [2, 3]);
}

#[test]
fn json_is_read_as_the_clients_of_the_api_server_do() {
    let rows = [
        (
            "tabs",
            "{\n\t\"apiVersion\":\t\"v1\",\n\t\"kind\": \"Pod\", \"spec\": {\"containers\": [{\"image\": \"k8s.gcr.io/a\"}]}\n}",
        ),
        (
            "escapes",
            "{\"apiVersion\": \"v1\", \"k\\u0069nd\": \"Pod\", \"spec\": {\"containers\": [{\"image\": \"k8s.gcr.io\\/a\"}]}}",
        ),
        (
            "surrogates",
            "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"a\": \"\\ud83e\\udd80\", \"b\": \"\\ud800\", \"spec\": {\"containers\": [{\"image\": \"k8s.gcr.io/a\"}]}}",
        ),
        (
            "several",
            "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"spec\": {\"containers\": [{\"image\": \"k8s.gcr.io/a\"}]}}{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"spec\": {\"containers\": [{\"image\": \"k8s.gcr.io/a\"}]}}\n{}",
        ),
        (
            "a key twice",
            "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"spec\": 1, \"spec\": {\"containers\": [{\"image\": 1, \"image\": \"k8s.gcr.io/a\"}]}}",
        ),
        (
            "a BOM",
            "\u{feff} {\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"spec\": {\"containers\": [{\"image\": \"k8s.gcr.io/a\"}]}}",
        ),
        ("YAML in braces", "{apiVersion: v1, kind: Pod, spec: {containers: [{image: 'k8s.gcr.io/a'}]}}"),
        (
            "JSON between separators",
            "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"spec\": {\"containers\": [{\"image\": \"k8s.gcr.io/a\"}]}}\n---\n{\"a\": 1}",
        ),
        (
            "a list",
            "[{\"image\": \"k8s.gcr.io/b\"}]\n---\n{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"spec\": {\"containers\": [{\"image\": \"k8s.gcr.io/a\"}]}}",
        ),
    ];
    for (what, text) in rows {
        let (written, refused) = rewrite("pod.json", text);
        assert_eq!(refused, [""; 0], "{what}");
        let expected = text.replace("k8s.gcr.io\\/a", "c.io/k8s/a").replace("k8s.gcr.io/a", "c.io/k8s/a");
        assert_eq!(written, expected, "{what}");
    }
}

#[test]
fn objects_are_known_by_group_and_kind() {
    let template = |api_version: &str, kind: &str, path: &[&str]| {
        let mut text = format!("apiVersion: {api_version}\nkind: {kind}\n");
        for (depth, key) in path.iter().enumerate() {
            let _ = writeln!(text, "{}{key}:", "  ".repeat(depth));
        }
        let indentation = "  ".repeat(path.len());
        let _ = writeln!(text, "{indentation}containers: [{{name: a, image: k8s.gcr.io/a}}]");
        text
    };
    let spec: &[&str] = &["spec", "template", "spec"];
    for (api_version, kind, path, is_known) in [
        ("v1", "Pod", &["spec"][..], true),
        ("v1", "PodTemplate", &["template", "spec"], true),
        ("v1", "ReplicationController", spec, true),
        ("apps/v1", "Deployment", spec, true),
        ("apps/v1beta2", "StatefulSet", spec, true),
        ("apps/v1", "ReplicaSet", spec, true),
        ("extensions/v1beta1", "DaemonSet", spec, true),
        ("batch/v1", "Job", spec, true),
        ("batch/v1beta1", "CronJob", &["spec", "jobTemplate", "spec", "template", "spec"], true),
        ("apps.kruise.io/v1", "StatefulSet", spec, true),
        ("apps.openshift.io/v1", "DeploymentConfig", spec, true),
        ("serving.knative.dev/v1", "Service", spec, true),
        ("apps/v1", "ControllerRevision", &["data", "spec", "template", "spec"], false),
        ("v1", "Deployment", spec, true),
        ("apps/v1", "Pod", &["spec"], true),
        ("v1", "Pod", &["status"], false),
        ("\"\"", "Pod", &["spec"], false),
        ("1", "Pod", &["spec"], false),
        ("v1", "pod", &["spec"], true),
        ("v1", "ConfigMap", &["data"], false),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", spec, false),
        ("kyverno.io/v1", "ClusterPolicy", spec, false),
        // The API server drops a field here.
        ("apps/v1", "Deployment", &["spec"], false),
    ] {
        let text = template(api_version, kind, path);
        let after = if is_known { text.replace("k8s.gcr.io", "c.io/k8s") } else { text.clone() };
        assert_eq!(rewrite("a.yaml", &text).0, after);
    }
}

#[test]
fn lists_hold_objects() {
    let pod = "{metadata: {name: a}, spec: {containers: [{name: c, image: k8s.gcr.io/a}]}}";
    let whole = pod.replace("{metadata", "{apiVersion: v1, kind: Pod, metadata");
    for (head, items, pointers) in [
        ("apiVersion: v1\nkind: List", format!("[{whole}, {whole}]"), vec!["/items/0", "/items/1"]),
        ("apiVersion: v1\nkind: List", format!("[{pod}]"), vec![]),
        ("apiVersion: v1\nkind: PodList", format!("[{pod}, {whole}]"), vec!["/items/0", "/items/1"]),
        (
            "apiVersion: v1\nkind: List",
            format!("[{{apiVersion: v1, kind: List, items: [{{apiVersion: v1, kind: PodList, items: [{pod}]}}]}}]"),
            vec!["/items/0/items/0/items/0"],
        ),
        (
            "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nfunctionConfig: FUNCTION",
            format!("[{whole}]"),
            vec!["/items/0"],
        ),
        ("apiVersion: v1\nkind: List", "x".to_owned(), vec![]),
        ("apiVersion: v1\nkind: PodList", "[~, 1, [a]]".to_owned(), vec![]),
    ] {
        let text = format!("{}\nitems: {items}\n", head.replace("FUNCTION", &whole));
        let manifest = read("list.yaml", &text, &Known::default());
        let found: Vec<&str> = manifest.fields().iter().map(|field| field.pointer.as_str()).collect();
        let expected: Vec<String> = pointers.iter().map(|item| format!("{item}/spec/containers/0/image")).collect();
        assert_eq!(found, expected, "{text}");
        for field in manifest.fields() {
            assert_eq!((field.object.api_version.as_str(), field.object.kind.as_str()), ("v1", "Pod"), "{text}");
            assert_eq!((field.object.name.as_str(), field.place.as_str()), ("a", "containers/c"), "{text}");
        }
    }
}

#[test]
fn places_are_named_as_admission_names_them() {
    let text = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: ns, labels: {pullthrough.dev/rewrite: disabled}}
spec:
  template:
    spec:
      volumes: [{name: v, image: {reference: a, pullPolicy: Never}}, {name: w, configMap: {name: x}}]
      initContainers: [{name: i, image: b}]
      ephemeralContainers: [{image: c}]
      containers:
        - name: a/b~c
          image: d
";
    let manifest = read("", text, &Known::default());
    let found: Vec<String> = manifest
        .fields()
        .iter()
        .map(|field| {
            let namespace = field.object.namespace.as_deref().unwrap_or_default();
            format!(
                "{}:{} {namespace} {} {} {} {}",
                field.line, field.column, field.object.name, field.place, field.image, field.pull_never
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            "8:46 ns d volumes/v a true",
            "9:41 ns d initContainers/i b false",
            "10:37 ns d ephemeralContainers[0] c false",
            "13:18 ns d containers/a/b~c d false",
        ]
    );
    assert_eq!(manifest.fields()[0].pointer, "/spec/template/spec/volumes/0/image/reference");
    assert!(!manifest.fields()[0].object.state.opted_out, "the label is not the template's");
}

#[test]
fn what_excludes_a_pod_excludes_its_images() {
    let policy = rules_of("allowOptOut: true\nrules: [{name: a, from: [k8s.gcr.io], to: c.io}]\n");
    for (metadata, reason) in [
        ("{}", None),
        ("{labels: {pullthrough.dev/rewrite: disabled}}", Some("opted_out")),
        ("{labels: {pullthrough.dev/rewrite: enabled}}", None),
        ("{annotations: {kubernetes.io/config.mirror: ''}}", Some("mirror_pod")),
        ("{annotations: {kubernetes.io/config.mirror: ~}}", None),
        ("{deletionTimestamp: 2026-01-01T00:00:00Z}", Some("deleting")),
        ("{deletionTimestamp: null}", None),
    ] {
        for text in [
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {metadata}\nspec: {{containers: [{{image: k8s.gcr.io/a}}]}}\n"
            ),
            format!(
                "apiVersion: batch/v1\nkind: Job\nspec:\n  template:\n    metadata: {metadata}\n    spec: {{containers: [{{image: k8s.gcr.io/a}}]}}\n"
            ),
        ] {
            let manifest = read("", &text, &Known::default());
            let decision = manifest.fields()[0].decide(&policy, "default", None);
            assert_eq!(decision.reason().map(|reason| reason.as_str()), reason, "{text}");
        }
    }
}

#[test]
fn kustomizations_are_changed_by_a_new_name() {
    let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
    let rows = [
        ("images:\n- name: k8s.gcr.io/a\n", "images:\n- name: k8s.gcr.io/a\n  newName: c.io/k8s/a\n"),
        (
            "images:\n  - name: k8s.gcr.io/a # c\n    newTag: v1",
            "images:\n  - name: k8s.gcr.io/a # c\n    newName: c.io/k8s/a\n    newTag: v1",
        ),
        (
            "images:\n  - newTag: v1\n    name: k8s.gcr.io/a",
            "images:\n  - newTag: v1\n    name: k8s.gcr.io/a\n    newName: c.io/k8s/a",
        ),
        (
            "images: [{name: k8s.gcr.io/a, newTag: v1}]",
            "images: [{name: k8s.gcr.io/a, newName: c.io/k8s/a, newTag: v1}]",
        ),
        (
            "images: [{\"name\": \"k8s.gcr.io/a\"}]",
            "images: [{\"name\": \"k8s.gcr.io/a\", \"newName\": \"c.io/k8s/a\"}]",
        ),
        (
            "images:\n- name: a\n  newName: k8s.gcr.io/a\n  newTag: '1'\n",
            "images:\n- name: a\n  newName: c.io/k8s/a\n  newTag: '1'\n",
        ),
        (
            "images:\n- name: k8s.gcr.io/a\n  newName: quay.io/a\n",
            "images:\n- name: k8s.gcr.io/a\n  newName: quay.io/a\n",
        ),
        // kustomize writes the tag itself.
        ("images:\n- name: k8s.gcr.io/a:1\n", "images:\n- name: k8s.gcr.io/a:1\n  newName: c.io/k8s/a\n"),
        ("images:\n- name: six.io/a\n", "images:\n- name: six.io/a\n  newName: \"[::1]:5000/x/a\"\n"),
        (
            "images:\n-   name: k8s.gcr.io/a\n    newTag: 1\n- name: b",
            "images:\n-   name: k8s.gcr.io/a\n    newName: c.io/k8s/a\n    newTag: 1\n- name: b",
        ),
        ("images:\n-\n  name: k8s.gcr.io/a\n", "images:\n-\n  name: k8s.gcr.io/a\n  newName: c.io/k8s/a\n"),
        ("images: &i\n- name: k8s.gcr.io/a\n", "images: &i\n- name: k8s.gcr.io/a\n  newName: c.io/k8s/a\n"),
        (
            "namePrefix: k8s.gcr.io/a\npatches: [{patch: 'image: k8s.gcr.io/a'}]",
            "namePrefix: k8s.gcr.io/a\npatches: [{patch: 'image: k8s.gcr.io/a'}]",
        ),
    ];
    for (before, after) in rows {
        for line_end in ["\n", "\r\n"] {
            let text = |body: &str| [head, body].concat().replace('\n', line_end);
            assert_eq!(rewrite("any.yaml", &text(before)), (text(after), Vec::new()));
            assert_eq!(
                rewrite("base/kustomization.yaml", &before.replace('\n', line_end)).0,
                after.replace('\n', line_end)
            );
        }
        assert_eq!(rewrite("other.yaml", before).0, before, "not named as a kustomization");
        let flux = format!("apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n{before}");
        assert_eq!(rewrite("kustomization.yaml", &flux).0, flux);
        let known = Known { without_kustomize: true, ..Known::default() };
        assert!(read("kustomization.yaml", before, &known).fields().is_empty());
    }
    let (_, refused) = rewrite("Kustomization", "images:\n- &a name: k8s.gcr.io/a\n");
    assert_eq!(refused, ["2: no safe place for `newName`; add it by hand after `name`"]);
    let manifest = "namespace: kube-system\nimages: [{name: a, newTag: 1.20, digest: 'sha256:b'}]";
    let manifest = read("kustomization.yml", manifest, &Known::default());
    let field = &manifest.fields()[0];
    assert_eq!((field.image.as_str(), field.place.as_str()), ("a:1.20@sha256:b", "images/a"));
    assert_eq!(field.object.namespace.as_deref(), Some("kube-system"));
}

#[test]
fn what_can_not_be_read_is_named() {
    for (text, line, message, is_template) in [
        ("a: b: c\n", 1, "mapping values", false),
        ("a: 1\nb: [\n", 2, "", false),
        ("a: 'x\n", 1, "unclosed quote", false),
        ("a: *b\n", 1, "anchor", false),
        ("a: &b [*b]\n", 1, "inside its own anchor", false),
        ("a:\n\t- b\n", 2, "tab", false),
        ("a: {{ .Values.a }}\nb: {{ if\n", 2, "render it first", true),
        ("{{ if .a }}\na: b\n{{ end }}\n", 2, "render it first", true),
        ("{% if a %}\na: b\n", 1, "render it first", true),
        ("{\"a\": 1,\n\"b\" 2}\n", 2, "", false),
        ("{\"a\": \"b\n\"} {", 2, "", false),
        ("a: &x 1\nb: {<<: *x}\n", 2, "`<<` needs a mapping", false),
    ] {
        let error = Manifest::read("dir/file.yaml", text, &Known::default()).expect_err(text);
        assert_eq!((error.line, error.is_template), (line, is_template), "{text:?}: {error}");
        assert!(error.to_string().starts_with(&format!("dir/file.yaml:{line}: ")), "{error}");
        assert!(error.message.contains(message), "{text:?}: {error}");
    }
}

/// Documents that are unreadable, with the line of the error.
const BROKEN: [(&str, usize); 8] = [
    ("a: b: c\n", 1),
    ("a:\n- [1, 2\n", 2),
    ("a: 'x\n", 1),
    ("a: \"x\n\n", 1),
    ("a: 1\nb: *c\n", 2),
    ("a: &x 1\nb: {<<: *x}\n", 2),
    ("a:\n\t- b\n", 2),
    ("a: |\n  x\n y: z\n", 3),
];

#[test]
fn what_can_not_be_read_does_not_take_its_neighbours_with_it() {
    let pod = |image: &str| format!("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: k8s.gcr.io/{image}\n");
    let [first, last] = [pod("first"), pod("last")];
    for (broken, line) in BROKEN {
        let template = "{{ if .a }}\nb: c\n{{ end }}\n";
        for line_end in ["\n", "\r\n"] {
            let text = format!("---\n{first}---\n{broken}---\n{template}---\n{last}---\n{broken}");
            let text = text.replace('\n', line_end);
            let manifest = read("a.yaml", &text, &Known::default());
            let fields: Vec<_> = manifest.fields().iter().map(|field| (field.object.document, &*field.image)).collect();
            assert_eq!(fields, [(0, "k8s.gcr.io/first"), (3, "k8s.gcr.io/last")], "{broken}");
            // The line, and whether the file is a template.
            let lines = |text: &str| text.lines().count() + 1;
            let [second, third] = [1 + lines(&first), 1 + lines(&first) + lines(broken)];
            let fifth = third + lines(template) + lines(&last);
            let unreadable: Vec<_> = manifest.unreadable().iter().map(|it| (it.line, it.is_template)).collect();
            assert_eq!(unreadable, [(second + line, false), (third + 2, true), (fifth + line, false)], "{broken}");
            let written = manifest.write(|field| Some(field.image.replace("k8s.gcr.io", "c.io")));
            assert_eq!(written.text, text.replace("k8s.gcr.io", "c.io"), "{broken}");
        }
    }
}

#[test]
fn values_of_json_before_an_error_are_read() {
    let pod = r#"{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "a"}]}}"#;
    let text = [pod, pod, &pod[..40]].join("\n");
    let manifest = read("a.json", &text, &Known::default());
    assert_eq!(manifest.fields().len(), 2);
    let unreadable: Vec<String> = manifest.unreadable().iter().map(ToString::to_string).collect();
    assert_eq!(unreadable, ["a.json:3: unclosed string"]);
}

/// The values are those of sigs.k8s.io/yaml 1.6.0.
#[test]
fn what_go_reads_is_read_alike() {
    let comments = "  # c\n".repeat(2_000);
    for (text, value) in [
        ("a: \"x\ny\"\n", r#"{"a": "x y"}"#),
        ("a:\n  b: 'x\n  y\n\n  z'\n", r#"{"a": {"b": "x y\nz"}}"#),
        ("a:\n  - b: \"x\n y\"\n", r#"{"a": [{"b": "x y"}]}"#),
        ("a:\n  b: \"x\n\ty\"\n", r#"{"a": {"b": "x y"}}"#),
        ("a:\n  \"b\": \"x\\\ny\"\nc: 1\n", r#"{"a": {"b": "xy"}, "c": 1}"#),
        (&format!("a:\n{comments}  b: 1\n"), r#"{"a": {"b": 1}}"#),
        (&format!("a:\n{comments}- b\n"), r#"{"a": ["b"]}"#),
        (&format!("a:\n{comments}b: 1\n"), r#"{"a": null, "b": 1}"#),
        ("a: {b: 1, c: 2}\na: {b: 3}\n", r#"{"a": {"b": 3}}"#),
        ("a: |\n  x", r#"{"a": "x"}"#),
        ("x: &x {a: 1, b: 2}\nz:\n  <<: *x\n  b: 3\n", r#"{"x": {"a": 1, "b": 2}, "z": {"a": 1, "b": 3}}"#),
        (
            "a: yes\nb: off\nc: 0755\nd: 0x1F\ne: 1_000\nf: .5\ng: -0o17\n1: ~\n",
            r#"{"a": true, "b": false, "c": 493, "d": 31, "e": 1000, "f": 0.5, "g": -15, "1": null}"#,
        ),
        (
            "a: 18446744073709551615\nb: 08\nc: 1e3\nd: 1.10\ne: '1'\nf: !!str 1\n",
            r#"{"a": 18446744073709551615, "b": 8, "c": 1000.0, "d": 1.1, "e": "1", "f": "1"}"#,
        ),
        ("# nothing\n", "null"),
        ("---\n---\na: 1\n---\n", r#"{"a": 1}"#),
        (r#"{"a": 1, "a": "\u00e9"}"#, r#"{"a": "é"}"#),
    ] {
        let value: serde_json::Value = serde_json::from_str(value).expect("JSON");
        assert_eq!(manifest::value("a.yaml", text).expect(text), value, "{text}");
    }
}

/// A simple parser would not end, or would overflow the stack.
#[test]
fn what_grows_without_bound_is_rejected() {
    let bomb = (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |mut text, level| {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        let _ = writeln!(text, "a{level}: &a{level} [{aliases}]");
        text
    });
    let chain = (1..100_000).fold("a0: &a0 {k: v}\n".to_owned(), |mut text, level| {
        let _ = writeln!(text, "a{level}: &a{level} {{<<: *a{}}}", level - 1);
        text
    });
    for (text, message) in [
        (bomb, "too many aliases"),
        (chain, "nested too deeply"),
        (format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000)), "nested too deeply"),
        (format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000)), "nested too deeply"),
        ((0..3_000).fold(String::new(), |text, depth| text + &" ".repeat(depth) + "a:\n"), "nested too deeply"),
    ] {
        let error = Manifest::read("", &text, &Known::default()).expect_err("an error").to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_value_to_be_rendered_is_reported() {
    for (text, line) in [
        ("kind: Pod\nspec:\n  image: {{ .Values.image }}\n", Some(3)),
        ("a: [1, {{ .x }}]\n---\nb: {{ .y }}\n", Some(1)),
        ("a: '{{ .x }}'\nb: x{{ .y }}\nc: |\n  {{ .z }}\n# {{ .c }}\n", None),
        (r#"{"a": {"b": "{{ .x }}"}}"#, None),
    ] {
        assert_eq!(read("t.yaml", text, &Known::default()).template_line(), line, "{text}");
    }
}
