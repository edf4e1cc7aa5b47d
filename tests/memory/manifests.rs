//! The memory for reading and changing a manifest with many images, beside its text.

use pullthrough::manifest::{self, Edits, Known};

use super::{most_held, turn};

/// The limit for each byte of the text. Most of it is the tree of a document, in a vector whose capacity doubles.
const MOST: usize = 5;
const PODS: usize = 2_000;

fn list(separator: &str) -> String {
    let pod = |at| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p{at}"}},"spec":{{"containers":[{{"name":"app","image":"k8s.gcr.io/app:v1.{at}"}}]}}}}"#
        )
    };
    let pods: Vec<String> = (0..PODS).map(pod).collect();
    format!(r#"{{"apiVersion":"v1","kind":"List","items":[{}]}}"#, pods.join(separator))
}

fn documents(start: &str) -> String {
    let pod = |at| {
        format!(
            "{start}kind: Pod\nmetadata: {{name: p{at}}}\nspec:\n  containers:\n  - name: app\n    image: k8s.gcr.io/app:v1.{at}\n"
        )
    };
    (0..PODS).map(pod).collect::<Vec<_>>().join("---\n")
}

#[test]
fn a_manifest_takes_a_few_times_the_bytes_of_its_text() {
    let _turn = turn();
    let texts = [
        ("a List on one line", list(",")),
        ("JSON on lines", list(",\n")),
        ("a List in YAML", list(",").replace('"', "'")),
        ("documents", documents("apiVersion: v1\n")),
        ("documents of an unknown kind", documents("apiVersion: example.com/v1\n")),
        ("documents that are no objects", documents("")),
    ];
    for (what, text) in texts {
        let held = most_held(|| {
            let mut edits = Edits::default();
            let change = |image: &str| Some(image.replace("k8s.gcr.io", "cache.example.com/k8s"));
            let read = manifest::parts_in_tree("a.yaml", &text, &Known::default(), |part| {
                part.edit(&mut edits, |field| change(&field.image));
            });
            (read.expect(what), edits.apply(&text))
        });
        assert!(held <= MOST * text.len(), "{what}: {held} bytes for a text of {}", text.len());
        println!("{what}: {:.1}", held as f64 / text.len() as f64);
    }
}
