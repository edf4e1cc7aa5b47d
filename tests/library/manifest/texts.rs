//! Manifests in texts of other manifests are read and changed as manifests of their own.

use std::fmt::Write;

use pullthrough::manifest::{Field, Holder, Known, Manifest};

use super::corpus::{files, policy};
use super::result;

const MARGIN: &str = "    ";

fn deep(deep: bool) -> Known {
    Known { deep, ..Known::default() }
}

/// Returns a ConfigMap with a text as a literal block.
fn with_block(text: &str) -> String {
    let mut whole = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a.yaml: |\n".to_owned();
    for line in text.split_inclusive('\n') {
        let margin = if line.trim().is_empty() { "" } else { MARGIN };
        whole += &[margin, line].concat();
    }
    if !whole.ends_with('\n') {
        whole.push('\n');
    }
    whole + "other: 1\n"
}

/// Returns a ConfigMap in JSON, where each character may be escaped.
fn with_string(text: &str) -> String {
    let text = serde_json::Value::from(text);
    format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"a\"}},\"data\":{{\"a.yaml\":{text}}}}}"
    )
}

/// Returns the texts of the corpus that a literal block can hold unchanged.
fn texts() -> impl Iterator<Item = (String, String)> {
    let is_plain = |text: &str| {
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        !first.starts_with([' ', '\t', '%']) && !text.contains(['\r', '\t', '\u{feff}']) && !text.contains(" \n")
    };
    let known = Known::default();
    files().into_iter().filter_map(move |(name, text, parse)| {
        let manifest = Manifest::read("", &text, &known).ok()?;
        let is_read = parse == "yaml" && manifest.unreadable().is_empty() && manifest.template_line().is_none();
        (is_read && is_plain(&text)).then_some((name, text))
    })
}

#[test]
fn a_manifest_in_a_block_is_found_and_changed_as_it_is_alone() {
    let policy = policy();
    let (mut compared, mut images) = (0, 0);
    for (name, text) in texts() {
        let whole = with_block(&text);
        let (known, shallow) = (deep(true), deep(false));
        let alone = Manifest::read("", &text, &known).expect("a manifest");
        let inner = Manifest::read("", &whole, &known).expect("a manifest");
        let of = |field: &Field| (field.image.clone(), field.object.kind.clone(), field.object.name.clone());
        let place = |field: &Field| (field.line, field.column);
        let moved = |field: &Field| (field.line + 5, field.column + MARGIN.len());
        let fields = |manifest: &Manifest| manifest.fields().iter().map(of).collect::<Vec<_>>();
        assert_eq!(fields(&alone), fields(&inner), "{name}");
        let moved: Vec<_> = alone.fields().iter().map(moved).collect();
        assert_eq!(inner.fields().iter().map(place).collect::<Vec<_>>(), moved, "{name}");
        let write = |manifest: &Manifest| manifest.write(|field| result(&policy, field));
        let (alone, inner) = (write(&alone), write(&inner));
        assert_eq!(inner.text, with_block(&alone.text), "{name}");
        assert_eq!(inner.changed, alone.changed, "{name}");
        assert_eq!(inner.refused, alone.refused, "{name}");

        // Without `deep`, the text is not read and not changed.
        let unread = Manifest::read("", &whole, &shallow).expect("a manifest");
        assert!(unread.fields().is_empty() && write(&unread).text == whole, "{name}");
        let in_texts = unread.lookalikes().iter().filter(|field| field.in_text.is_some());
        assert_eq!(in_texts.count(), unread.lookalikes().len(), "{name}");
        compared += 1;
        images += alone.changed.len();
    }
    assert!(compared >= 100 && images >= 100, "{compared} texts with {images} images to change");
}

#[test]
fn a_manifest_in_a_quoted_text_is_found_and_not_changed() {
    let policy = policy();
    let mut images = 0;
    for (name, text) in texts() {
        let whole = with_string(&text);
        let known = deep(true);
        let alone = Manifest::read("", &text, &known).expect("a manifest");
        let inner = Manifest::read("", &whole, &known).expect("a manifest");
        let found = |manifest: &Manifest| manifest.fields().iter().map(|field| field.image.clone()).collect::<Vec<_>>();
        assert_eq!(found(&alone), found(&inner), "{name}");
        let written = inner.write(|field| result(&policy, field));
        assert_eq!(written.text, whole, "{name}");
        let wanted = alone.fields().iter().filter(|field| result(&policy, field).is_some()).count();
        assert_eq!(written.refused.len(), wanted, "{name}");
        images += wanted;
    }
    assert!(images >= 100, "{images} images");
}

/// Texts whose bytes differ from those of a file: markers, directives and empty lines behind a margin.
#[test]
fn blocks_are_read_as_files_are() {
    const POD: &str = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n";
    let pod = |images: &[&str]| {
        images.iter().fold(POD.to_owned(), |pod, image| format!("{pod}  - {{name: a, image: {image}}}\n"))
    };
    let nested = "apiVersion: v1\nkind: ConfigMap\ndata:\n  a.yaml: |\n    kind: A\n    ---\n    kind: B\nother:\n";
    let one = pod(&["quay.io/a/b:1"]);
    for (name, text, images) in [
        ("an empty line", format!("\n\n{one}"), 1),
        ("an end", format!("{one}...\n"), 1),
        ("an end between", format!("{one}...\n---\n{one}"), 2),
        ("a directive", format!("%YAML 1.2\n---\n{one}"), 1),
        ("a marker in a text", format!("{nested}---\n{one}"), 1),
        ("an alias", pod(&["&i quay.io/a/b:1", "*i"]), 2),
        ("another alias", pod(&["quay.io/a/b:1"]).replace("name: a", "name: &n a, other: *n"), 1),
        (
            "a folded image",
            one.replace(" quay.io", "\n      quay.io").replace('{', "").replace("}", "").replace("name: a, ", ""),
            1,
        ),
    ] {
        let whole = with_block(&text);
        let known = deep(true);
        let manifest = Manifest::read("", &whole, &known).expect("a manifest");
        let found: Vec<&str> = manifest.fields().iter().map(|field| field.image.as_str()).collect();
        assert_eq!(found, vec!["quay.io/a/b:1"; images], "{name}\n{whole}");
        let written = manifest.write(|_| Some("c.io/a/b:1".to_owned()));
        assert_eq!(written.text, whole.replace("quay.io", "c.io"), "{name}: {:?}", written.refused);
        assert!(manifest.lookalikes().is_empty(), "{name}");
    }
}

/// The kinds with texts, and the fields found in them with and without `deep`.
#[test]
fn texts_are_told_apart() {
    const POD: &str = "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"quay.io/a/b\"}]}}";
    let encoded = "eyJhcGlWZXJzaW9uIjoidjEiLCJraW5kIjoiUG9kIiwic3BlYyI6eyJjb250YWluZXJzIjpbeyJuYW1lIjoiYSIsImltYWdlIjoicXVheS5pby9hL2IifV19fQ==";
    let block = |key: &str, text: &str| {
        text.lines().fold(format!("{key}: |\n"), |mut block, line| {
            let _ = writeln!(block, "      {line}");
            block
        })
    };
    let script = format!("set -e\ncat <<'END' | kubectl apply -f -\n{POD}\nEND\n");
    let head = |kind: &str| format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: a}}\n");
    // The fields found, and the number of values in skipped texts that look like images.
    let rows: [(&str, String, Holder, usize, usize); 20] = [
        ("data", head("ConfigMap") + &format!("data: {{a.json: '{POD}'}}\n"), Holder::ConfigMap, 1, 0),
        ("an image", head("ConfigMap") + "data: {WEB_IMAGE: 'quay.io/a/b'}\n", Holder::ConfigMap, 0, 1),
        ("a setting", head("ConfigMap") + "data:\n  a: |\n    worker: {image: quay.io/a/b}\n", Holder::ConfigMap, 0, 1),
        (
            "a template",
            head("ConfigMap") + "data:\n  a: |\n    {{ if .b }}\n    image: quay.io/a/b\n    {{ end }}\n",
            Holder::ConfigMap,
            0,
            1,
        ),
        ("a secret", head("Secret") + &format!("data: {{a.json: {encoded}}}\n"), Holder::Secret, 1, 0),
        ("its strings", head("Secret") + &format!("stringData: {{a.json: '{POD}'}}\n"), Holder::Secret, 1, 0),
        (
            "an annotation",
            head("Service").replace("{name: a}", &format!("{{name: a, annotations: {{last: '{POD}'}}}}")),
            Holder::Annotation,
            1,
            0,
        ),
        (
            "of a sidecar",
            head("Service").replace("{name: a}", "{name: a, annotations: {example.com/proxyImage: quay.io/a/b}}"),
            Holder::Annotation,
            0,
            1,
        ),
        ("a field", head("Service") + "spec:\n  " + &block("script", &script), Holder::Field, 1, 0),
        ("no object", "jobs:\n  ".to_owned() + &block("run", &script), Holder::Document, 1, 0),
        ("a script", "jobs:\n  ".to_owned() + &block("run", "set -e\nimage: quay.io/a/b\n"), Holder::Document, 0, 1),
        (
            "parts",
            head("ConfigMap") + "data:\n  a: |\n    repository: quay.io/a/b\n    tag: 1\n",
            Holder::ConfigMap,
            0,
            1,
        ),
        (
            "a folded setting",
            head("ConfigMap") + "data:\n  a: |\n    worker:\n      image: >-\n        quay.io/a/b\n",
            Holder::ConfigMap,
            0,
            1,
        ),
        (
            "an indented setting",
            head("ConfigMap") + "data:\n  a: |\n    worker:\n      image:\n        quay.io/a/b\n",
            Holder::ConfigMap,
            0,
            1,
        ),
        (
            "an anchor",
            head("ConfigMap") + "data:\n  a: |\n    worker:\n      image: &i !!str quay.io/a/b\n",
            Holder::ConfigMap,
            0,
            1,
        ),
        (
            "no value",
            head("ConfigMap") + "data:\n  a: |\n    worker:\n      image:\n        name: quay.io/a/b\n",
            Holder::ConfigMap,
            0,
            0,
        ),
        ("a status", head("Service") + &format!("status: {{a: '{POD}'}}\n"), Holder::Field, 0, 0),
        (
            "a schema",
            head("Service") + &format!("spec: {{openAPIV3Schema: {{example: '{POD}'}}}}\n"),
            Holder::Field,
            0,
            0,
        ),
        (
            "a definition",
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec: {a: '".to_owned()
                + POD
                + "'}\n",
            Holder::Field,
            0,
            0,
        ),
        (
            "prose",
            head("ConfigMap") + "data:\n  a: |\n    The image: it is nice, see image.\n    images: quay.io/a/b\n",
            Holder::ConfigMap,
            0,
            0,
        ),
    ];
    for (name, text, holder, fields, lookalikes) in rows {
        for is_read in [false, true] {
            let known = deep(is_read);
            let manifest =
                Manifest::read("a.yaml", &text, &known).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
            let reported: Vec<_> = manifest.lookalikes().iter().filter_map(|field| field.in_text).collect();
            assert!(
                reported.iter().all(|text| text.holder == holder && text.is_read == is_read),
                "{name}: {reported:?}"
            );
            let expected = if is_read { (fields, lookalikes) } else { (0, fields + lookalikes) };
            assert_eq!((manifest.fields().len(), reported.len()), expected, "{name}\n{text}");
            assert!(manifest.fields().iter().all(|field| field.is_in_text), "{name}");
        }
    }
}
