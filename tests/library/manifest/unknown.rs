//! Unknown kinds. Their container lists are found, and other values that look like images are reported.

use std::path::Path;

use proptest::prelude::*;
use pullthrough::engine::Policy;
use pullthrough::manifest::{Contents, Known, Manifest};
use pullthrough::scan::{Unknowns, declaration_of};

use super::{read, result, rules};

/// Returns places and images that were found, and paths and images of lookalikes.
fn look(text: &str) -> (Vec<String>, Vec<String>) {
    let manifest = read("a.yaml", text, &Known::default());
    let found = manifest.fields().iter().map(|field| format!("{} {}", field.place, field.image));
    let lookalikes = manifest.lookalikes().iter().map(|field| format!("{} {}", field.path, field.image));
    (found.collect(), lookalikes.collect())
}

fn object(api_version: &str, kind: &str, spec: &str) -> String {
    format!(
        "apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a, labels: {{image: nginx}}}}\nspec: {spec}\nstatus: {{image: nginx, containers: [{{name: a, image: a}}]}}\n"
    )
}

#[test]
fn container_lists_of_any_kind_are_found() {
    for (spec, expected) in [
        ("{containers: [{name: a, image: b}]}", &["containers/a b"][..]),
        ("{x: [{y: {template: {spec: {initContainers: [{image: b, name: a}]}}}}]}", &["initContainers/a b"]),
        ("{ephemeralContainers: [{name: a, image: b}]}", &["ephemeralContainers/a b"]),
        ("{containers: [{name: a, image: b}, {image: c}]}", &["containers/a b", "containers[1] c"]),
        (
            "{containers: [{name: a, image: b}], volumes: [{name: v, image: {reference: c}}]}",
            &["containers/a b", "volumes/v c"],
        ),
        ("{a: &a {containers: [{name: a, image: b}]}, b: {<<: *a}}", &["containers/a b", "containers/a b"]),
        ("{containers: [{image: b}]}", &[]),
        ("{containers: [{name: a}]}", &[]),
        ("{containers: [{name: a, image: {repository: b}}]}", &[]),
        ("{containers: {name: a, image: b}}", &[]),
        ("{volumes: [{name: v, image: {reference: c}}]}", &[]),
        ("{metadata: {containers: [{name: a, image: b}]}}", &[]),
    ] {
        for kind in ["Widget", "Deployment", "Policy"] {
            let text = object("example.com/v1", kind, spec);
            assert_eq!(look(&text).0, expected, "{text}");
            let listed = format!("apiVersion: v1\nkind: List\nitems:\n- {}", text.trim_end().replace('\n', "\n  "));
            assert_eq!(look(&listed).0, expected, "{listed}");
        }
    }
}

/// The label in their Pod template counts, as in any template.
#[test]
fn what_excludes_a_template_excludes_any_kind() {
    let policy: Policy = rules("allowOptOut: true\nrules: [{name: a, from: [docker.io], to: c.io}]").into();
    let labelled =
        "{metadata: {labels: {pullthrough.dev/rewrite: disabled}}, spec: {containers: [{name: a, image: nginx}]}}";
    let text = object(
        "example.com/v1",
        "Widget",
        &format!("{{a: {labelled}, b: {{spec: {{containers: [{{name: b, image: nginx}}]}}}}}}"),
    );
    let manifest = read("", &text, &Known::default());
    let results: Vec<_> =
        manifest.fields().iter().map(|field| (field.place.as_str(), result(&policy, field))).collect();
    assert_eq!(results, [("containers/a", None), ("containers/b", Some("c.io/library/nginx".to_owned()))]);
}

#[test]
fn schemas_policies_and_texts_have_no_images() {
    let spec = "{containers: [{name: a, image: nginx}], image: nginx, sidecarImage: nginx}";
    for (api_version, kind) in [
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("apiextensions.crossplane.io/v1", "CompositeResourceDefinition"),
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
        ("kyverno.io/v1", "ClusterPolicy"),
        ("policies.kyverno.io/v1", "ImageValidatingPolicy"),
        ("templates.gatekeeper.sh/v1", "ConstraintTemplate"),
        ("constraints.gatekeeper.sh/v1beta1", "K8sAllowedRepos"),
        ("mutations.gatekeeper.sh/v1", "AssignImage"),
        ("policies.kubewarden.io/v1", "ClusterAdmissionPolicy"),
        ("policy.sigstore.dev/v1beta1", "ClusterImagePolicy"),
        ("apps/v1", "ControllerRevision"),
        ("v1", "ConfigMap"),
        ("v1", "Secret"),
    ] {
        assert_eq!(look(&object(api_version, kind, spec)), (vec![], vec![]), "{kind}");
    }
    for text in [
        "openapi: 3.0.0\nimage: nginx\n",
        "swagger: '2.0'\nimage: nginx\n",
        "$schema: http://json-schema.org/draft-07/schema#\nimage: nginx\n",
    ] {
        assert_eq!(look(text), (vec![], vec![]), "{text}");
    }
    let schema = object("example.com/v1", "Widget", "{versions: [{schema: {openAPIV3Schema: {image: nginx}}}]}");
    assert_eq!(look(&schema), (vec![], vec![]));
}

#[test]
fn fields_that_look_like_images_are_told_from_others() {
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let by_digest = format!("{{image: 'a/b@{digest}'}}");
    for (spec, expected) in [
        ("{image: nginx}", &["$.spec.image nginx"][..]),
        ("{image: 'quay.io/a/b:v1'}", &["$.spec.image quay.io/a/b:v1"]),
        (&by_digest, &[&format!("$.spec.image a/b@{digest}")]),
        (
            "{sidecarImage: busybox, init_image: b, base-image: c}",
            &["$.spec.sidecarImage busybox", "$.spec.init_image b", "$.spec.base-image c"],
        ),
        ("{a: [{'b.c': {image: x}}]}", &["$.spec.a[0]['b.c'].image x"]),
        ("{image: {repository: a/b, tag: v1}}", &["$.spec.image a/b:v1"]),
        ("{image: {repository: a/b, tag: 1.10}}", &["$.spec.image a/b:1.10"]),
        ("{image: {repository: a/b, tag: ''}}", &["$.spec.image a/b"]),
        ("{any: {registry: quay.io, repository: b, tag: v1}}", &["$.spec.any quay.io/b:v1"]),
        // Other keys prevent a composed name. The value is still reported.
        ("{containers: {app: {image: {repository: a, digest: ''}}}}", &["$.spec.containers.app.image a"]),
        ("{containers: [{image: a}]}", &["$.spec.containers[0].image a"]),
        ("{containers: [{name: a, image: b}], toolImage: c}", &["$.spec.toolImage c"]),
        ("{image: {repository: a/b}}", &[]),
        ("{image: {tag: v1}}", &[]),
        ("{image: true, fooImage: 1, barImage: ~, bazImage: [a]}", &[]),
        ("{image: Ubuntu 24.04, logoImage: a.png, image2: nginx, imageTag: v1, imagePullPolicy: always}", &[]),
        ("{image: '{{ .Values.image }}', bImage: $(params.image), cImage: 'https://a/b'}", &[]),
        ("{template: {metadata: {annotations: {image: nginx}}}, selector: {matchLabels: {image: nginx}}}", &[]),
    ] {
        let text = object("example.com/v1", "Widget", spec);
        assert_eq!(look(&text).1, expected, "{text}");
        // The same fields without an object, from the root.
        let bare = expected.iter().map(|line| line.replacen("$.spec.containers[0].image", "$.containers[0].image", 1));
        let bare: Vec<String> = bare.map(|line| line.replacen("$.spec", "$", 1)).collect();
        let found = look(spec).1;
        assert!(bare.iter().all(|line| found.contains(line)), "{spec}: {found:?}");
    }
    assert_eq!(look("- {image: nginx}\n").1, ["$[0].image nginx"]);
    assert_eq!(look("apiVersion: apps/v1\nkind: Deployment\nspec: {image: nginx}\n").1, [""; 0]);
}

#[test]
fn what_a_text_has_is_counted() {
    let counted = |file: &str, text: &str| {
        let Contents { objects, others } = read(file, text, &Known::default()).contents();
        (objects, others)
    };
    for (text, expected) in [
        ("", (0, 0)),
        ("# nothing\n---\n---\n", (0, 0)),
        ("null\n", (0, 0)),
        ("Error: chart not found\n", (0, 1)),
        ("some text\n", (0, 1)),
        ("a: 1\n---\nb: 2\n", (0, 2)),
        ("apiVersion: v1\nkind: Service\n", (1, 0)),
        ("kind: Pod\n", (0, 1)),
        ("apiVersion: v1\nkind: List\nitems: []\n", (0, 0)),
        ("apiVersion: v1\nkind: List\n", (0, 0)),
        ("apiVersion: v1\nkind: PodList\nitems: [{}, {}]\n", (2, 0)),
        ("apiVersion: v1\nkind: List\nitems: [{}, {apiVersion: v1, kind: Pod}, {}]\n", (1, 1)),
        ("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\n", (0, 0)),
        ("{\"apiVersion\": \"v1\", \"kind\": \"Pod\"}\n{}\n", (1, 1)),
    ] {
        assert_eq!(counted("a.yaml", text), expected, "{text:?}");
    }
    assert_eq!(counted("a/kustomization.yaml", "resources: [a.yaml]\n"), (1, 0));
    let declared = Known {
        declared: rules("rules: []\nmanifests: [{files: [values.yaml], images: [$.a]}]").manifests,
        ..Known::default()
    };
    assert_eq!(read("values.yaml", "b: 1\n", &declared).contents(), Contents { objects: 1, others: 0 });
}

#[test]
fn fields_of_a_list_come_in_the_order_of_the_text() {
    let item =
        |name: &str| format!("- {{apiVersion: example.com/v1, kind: Unknown, spec: {{image: example.com/{name}}}}}\n");
    let text = format!("apiVersion: v1\nkind: List\nitems:\n{}{}{}", item("b"), item("a"), item("c"));
    let manifest = read("a.yaml", &text, &Known::default());
    let lines: Vec<usize> = manifest.lookalikes().iter().map(|lookalike| lookalike.line).collect();
    assert_eq!(lines, [4, 5, 6]);
}

fn declared(declarations: &[String]) -> Known {
    let entries: String = declarations.iter().map(|declaration| format!("- {declaration}\n")).collect();
    Known { declared: rules(&format!("rules: []\nmanifests:\n{entries}")).manifests, ..Known::default() }
}

/// Manifests of other projects: each printed declaration is valid, and makes the reported fields known.
#[test]
fn declarations_make_known_what_they_are_printed_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/manifests");
    let index = std::fs::read_to_string(root.join("INDEX.tsv")).expect("the index");
    let names = index.lines().skip(1).filter_map(|line| line.split('\t').next());
    let texts: Vec<(&str, String)> =
        names.map(|name| (name, std::fs::read_to_string(root.join(name)).expect(name))).collect();
    let mut unknowns = Unknowns::default();
    let read = |known: &Known| {
        let readable = texts.iter().filter_map(|(name, text)| Some((*name, Manifest::read(name, text, known).ok()?)));
        readable.collect::<Vec<_>>()
    };
    let before = read(&Known::default());
    before.iter().for_each(|(name, manifest)| unknowns.add(name, manifest.lookalikes()));
    let (shown, more) = unknowns.shown();
    assert!(shown.len() > 15 && more > 0, "{shown:?}");
    let each = before.iter().flat_map(|(name, manifest)| manifest.lookalikes().iter().map(move |field| (name, field)));
    let mut all: Vec<String> = each.clone().filter_map(|(name, field)| declaration_of(name, field)).collect();
    all.extend(shown.iter().filter_map(|(subject, unknown)| unknown.declaration(subject)));
    all.sort();
    all.dedup();
    let after = read(&declared(&all));
    let mut count = 0;
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        for field in before.lookalikes().iter().filter(|field| field.declaration.is_some()) {
            let is_found = |found: &&pullthrough::manifest::Field| {
                (found.line, found.column, &found.image) == (field.line, field.column, &field.image)
            };
            assert!(after.fields().iter().any(|found| is_found(&found)), "{name}: {field:?}");
            count += 1;
        }
        assert!(after.lookalikes().iter().all(|field| field.declaration.is_none()), "{name}: {:?}", after.lookalikes());
        // The known fields stay known at the same place.
        for field in before.fields() {
            assert!(after.fields().iter().any(|other| other.pointer == field.pointer), "{name}: {field:?}");
        }
    }
    assert!(count > 80, "{count}");
}

proptest! {
    /// The keys on the path do not matter.
    #[test]
    fn a_declaration_finds_its_field(keys in prop::collection::vec("[a-zA-Z./'\\\\\" *\\[\\]$é_-]{1,8}", 1..5), is_split: bool, group in "[a-z]{1,5}(\\.[a-z]{1,5}){0,2}", kind in "[A-Z][a-zA-Z./ -]{0,6}") {
        const SKIPPED: [&str; 4] = ["metadata", "status", "labels", "annotations"];
        prop_assume!(keys.iter().all(|key| !SKIPPED.contains(&key.as_str())));
        let image = if is_split { serde_json::json!({"repository": "a/b", "tag": "v1"}) } else { serde_json::json!("a/b:v1") };
        let spec = keys.iter().rev().fold(serde_json::json!({"image": image}), |inner, key| serde_json::json!([{key: inner}]));
        let text = serde_json::json!({"apiVersion": format!("{group}/v1"), "kind": kind, "spec": spec}).to_string();
        let manifest = read("dir/[a].yaml", &text, &Known::default());
        prop_assert_eq!(manifest.lookalikes().len(), 1);
        let declaration = declaration_of("dir/[a].yaml", &manifest.lookalikes()[0]).expect("a declaration");
        let known = declared(&[declaration]);
        let manifest = read("dir/[a].yaml", &text, &known);
        let images: Vec<&str> = manifest.fields().iter().map(|field| field.image.as_str()).collect();
        prop_assert_eq!(images, ["a/b:v1"]);
        prop_assert_eq!(manifest.lookalikes().len(), 0);
    }
}
