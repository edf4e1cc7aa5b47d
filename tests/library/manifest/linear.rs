//! Eight times the input takes about eight times the time, also if it is all on one line.

use pullthrough::manifest::{Known, Manifest};

use crate::linear_time::assert_linear;

const FEW: usize = 150;

/// The name of a text, its file name, and a function that returns the text with a number of images.
type Text = (&'static str, &'static str, fn(usize) -> String);

const TEXTS: [Text; 14] = [
    ("JSON on one line", "l.json", |size| list(size, "", "\"")),
    ("JSON on lines", "l.json", |size| list(size, "\n", "\"")),
    ("YAML in braces on one line", "l.yaml", |size| list(size, "", "'")),
    ("JSON that ends early", "l.json", |size| list(size, "", "\"").trim_end_matches('}').to_owned() + "\n[x"),
    ("a kustomization on one line", "kustomization.yaml", |size| {
        let images: Vec<String> = (0..size).map(|at| format!("{{name: 'k8s.gcr.io/{at}', newTag: 'é'}}")).collect();
        format!("images: [{}]", images.join(", "))
    }),
    ("documents", "d.yaml", |size| documents(size, "")),
    ("documents among others that can't be read", "d.yaml", |size| documents(size, "a: 'x\n---\n")),
    ("comments", "c.yaml", |size| documents(1, &"# é\n".repeat(20 * size))),
    ("texts of a ConfigMap", "t.yaml", |size| {
        let texts =
            (0..size).map(|at| format!("  t{at}: |\n    {{\"kind\": \"Pod\", \"image\": \"k8s.gcr.io/{at}\"}}\n"));
        format!("apiVersion: v1\nkind: ConfigMap\ndata:\n{}", texts.collect::<String>())
    }),
    ("quoted texts on one line", "t.json", |size| {
        let texts: Vec<String> = (0..size).map(|at| format!(r#""t{at}":"é\nimage: k8s.gcr.io/{at}""#)).collect();
        format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","data":{{{}}}}}"#, texts.join(","))
    }),
    ("documents in a block", "t.yaml", |size| {
        let indented: String = documents(size, "").lines().map(|line| format!("    {line}\n")).collect();
        format!("apiVersion: v1\nkind: ConfigMap\ndata:\n  a: |\n{indented}")
    }),
    ("documents in a quoted text", "t.json", |size| {
        let text = serde_json::Value::from(documents(size, ""));
        format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","data":{{"a":{text}}}}}"#)
    }),
    ("here-documents", "t.yaml", |size| {
        let pod = |at| format!("    cat <<E\n    kind: Pod\n    E\n    image: k8s.gcr.io/{at}\n");
        format!("run:\n  a: |\n{}", (0..size).map(pod).collect::<String>())
    }),
    ("a quoted scalar on many lines", "q.yaml", |size| documents(1, &format!("a: \"{}\"\n", "é\n".repeat(20 * size)))),
];

fn list(size: usize, separator: &str, quote: &str) -> String {
    let pod = |at| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"é{at}"}},"spec":{{"containers":[{{"image":"k8s.gcr.io/{at}"}}]}}}}"#
        )
    };
    let pods: Vec<String> = (0..size).map(pod).collect();
    let text = format!(r#"{{"apiVersion":"v1","kind":"List","items":[{}]}}"#, pods.join(&format!(",{separator}")));
    text.replace('"', quote)
}

/// Returns documents with a text before each.
fn documents(size: usize, before: &str) -> String {
    let pod = |at| format!("{before}apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: k8s.gcr.io/{at}\n");
    (0..size).map(pod).collect::<Vec<_>>().join("---\n")
}

#[test]
fn manifests_are_read_and_changed_in_linear_time() {
    for (what, file, text) in TEXTS {
        let rewrite = |size| {
            let text = text(size);
            let known = Known { deep: true, ..Known::default() };
            if let Ok(manifest) = Manifest::read(file, &text, &known) {
                manifest.write(|field| Some(field.image.replace("k8s.gcr.io", "c.io")));
            }
        };
        assert_linear(what, rewrite, FEW);
    }
}
