//! Manifests of other projects. Images found and changed are compared with those of another program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pullthrough::engine::Policy;
use pullthrough::manifest::{Known, Manifest};
use serde_json::Value;

use super::{read, result, rules};

const CACHE: &str = "cache.example.com";

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Returns names, texts, and what go-yaml reads in each.
pub fn files() -> Vec<(String, String, String)> {
    let index = std::fs::read_to_string(data("manifests/INDEX.tsv")).expect("the index");
    let rows = index.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    rows.map(|row| {
        let text = std::fs::read(data("manifests").join(row[0])).expect(row[0]);
        (row[0].to_owned(), String::from_utf8(text).expect("UTF-8"), row[7].to_owned())
    })
    .collect()
}

fn lines(name: &str) -> BTreeMap<String, Vec<Value>> {
    let mut by_file: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in std::fs::read_to_string(data(name)).expect(name).lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        by_file.entry(line["file"].as_str().expect("a file").to_owned()).or_default().push(line);
    }
    by_file
}

pub fn policy() -> Policy {
    rules(&format!("rules: [{{name: kubernetes, from: [k8s.gcr.io, registry.k8s.io], to: {CACHE}/k8s}}]")).into()
}

fn plain() -> Known {
    Known { without_kustomize: true, ..Known::default() }
}

/// Returns `None` if a part is unreadable.
fn whole<'t>(name: &str, text: &'t str) -> Option<Manifest<'t>> {
    Manifest::read(name, text, &plain()).ok().filter(|manifest| manifest.unreadable().is_empty())
}

#[test]
fn what_can_be_read_is_what_kubectl_can_read() {
    let mut differences = Vec::new();
    for (name, text, parse) in files() {
        let read = Manifest::read(&name, &text, &plain());
        let unreadable = match &read {
            Ok(manifest) => manifest.unreadable(),
            Err(unreadable) => std::slice::from_ref(unreadable),
        };
        let agrees = match (unreadable, parse.split(':').next()) {
            ([], Some("yaml")) => true,
            ([first, ..], Some("template")) => first.is_template,
            ([first, ..], Some("unparsable")) => !first.is_template,
            _ => false,
        };
        if !agrees {
            differences.push(format!("{name}: {parse}, but {:?}", read.map(|_| ())));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Splits a text into documents like `kubectl`, before it parses them.
fn separated(text: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let mut rest = text;
    while let Some((document, after)) = rest.split_once("\n---") {
        documents.push(document);
        rest = after.split_once('\n').map_or("", |(_, rest)| rest);
    }
    documents.push(rest);
    documents
}

/// Returns images and the number of unreadable documents, for a whole file and for each of its documents.
#[test]
fn documents_that_can_not_be_read_leave_their_neighbours_as_they_are() {
    let images = |name: &str, text: &str| match Manifest::read(name, text, &plain()) {
        Ok(manifest) => {
            let fields = manifest.fields().iter().map(|field| (field.pointer.clone(), field.image.clone()));
            (fields.collect::<Vec<_>>(), manifest.unreadable().len())
        }
        Err(_) => (Vec::new(), 1),
    };
    let mut counts = (0, 0);
    let broken = ["a: b: c\n", "a: [\n", "a: 'x\n", "{{ if }}\na: b\n", "a: |\n  b\n c\n"];
    for ((name, text, parse), broken) in files().into_iter().zip(broken.iter().cycle()) {
        let documents = separated(&text);
        let alone: Vec<_> = documents.iter().map(|document| images(&name, document)).collect();
        let found: Vec<_> = alone.iter().flat_map(|(images, _)| images.clone()).collect();
        let unreadable: usize = alone.iter().map(|(_, unreadable)| unreadable).sum();
        if parse != "yaml" {
            let (images, whole) = images(&name, &text);
            counts = (counts.0 + images.len(), counts.1 + unreadable);
            // If no document is readable, the first one is reported.
            assert!(images == found && (whole == unreadable || whole == 1 && images.is_empty()), "{name}: {images:?}");
        }
        let separator = format!("\n---\n{broken}\n---\n");
        let mixed = format!("{broken}---\n{}{separator}", documents.join(&separator));
        assert_eq!(images(&name, &mixed), (found, unreadable + 2 + documents.len() - 1), "{name}\n{mixed}");
    }
    assert_eq!(counts, (8, 53), "images beside documents that can't be read, and those");
}

#[test]
fn every_image_is_found_and_nothing_else() {
    let mut expected = lines("manifests-images.jsonl");
    let (mut count, mut of_any_kind) = (0, 0);
    for (name, text, _) in files() {
        let Some(manifest) = whole(&name, &text) else { continue };
        let (built_in, others): (Vec<_>, Vec<_>) =
            manifest.fields().iter().partition(|field| is_built_in(&field.object.api_version, &field.object.kind));
        let found: BTreeSet<(usize, String)> =
            others.iter().map(|field| (field.object.document, field.pointer.clone())).collect();
        assert_eq!(found, container_lists(&text), "{name}");
        of_any_kind += found.len();
        let found: Vec<Value> = built_in
            .iter()
            .map(|field| {
                serde_json::json!({
                    "document": field.object.document, "kind": field.object.kind, "apiVersion": field.object.api_version,
                    "pointer": field.pointer, "line": field.line, "image": field.image, "place": field.place,
                })
            })
            .collect();
        let mut images = expected.remove(&name).unwrap_or_default();
        images.sort_by_key(|image| image["line"].as_u64());
        let images: Vec<Value> = images
            .iter()
            .map(|image| {
                let list = match image["where"].as_str() {
                    Some("imageVolume") => "volumes",
                    list => list.expect("a list"),
                };
                serde_json::json!({
                    "document": image["doc"], "kind": image["kind"], "apiVersion": image["apiVersion"],
                    "pointer": image["pointer"], "line": image["line"], "image": image["before"],
                    "place": format!("{list}/{}", image["name"].as_str().expect("a name")),
                })
            })
            .collect();
        count += images.len();
        assert_eq!(found, images, "{name}");
    }
    assert!(expected.is_empty(), "not read: {:?}", expected.keys());
    assert_eq!(count, 548);
    assert_eq!(of_any_kind, 10);
}

fn is_built_in(api_version: &str, kind: &str) -> bool {
    const KINDS: [&str; 9] = [
        "Pod",
        "PodTemplate",
        "ReplicationController",
        "Deployment",
        "DaemonSet",
        "StatefulSet",
        "ReplicaSet",
        "Job",
        "CronJob",
    ];
    let groups = ["v1", "apps/", "extensions/", "batch/"];
    KINDS.contains(&kind) && groups.iter().any(|group| api_version.starts_with(group))
}

/// Returns document and pointer of the container lists of all other kinds. It shares no code with this crate.
fn container_lists(text: &str) -> BTreeSet<(usize, String)> {
    fn walk(value: &Value, pointer: &str, found: &mut BTreeSet<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Array(items) => items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect(),
            Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), value)).collect(),
            _ => return,
        };
        for (key, child) in children.iter().filter(|(key, _)| key != "metadata") {
            let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            let items = child.as_array().filter(|_| key.to_lowercase().ends_with("containers"));
            if items.is_some_and(|items| items.iter().any(|item| item["name"].is_string() && item["image"].is_string()))
            {
                let images = items.into_iter().flatten().enumerate().filter(|(_, item)| item["image"].is_string());
                found.extend(images.map(|(index, _)| format!("{pointer}/{index}/image")));
            }
            walk(child, &pointer, found);
        }
    }
    let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options).unwrap_or_default();
    let mut found = BTreeSet::new();
    for (number, document) in documents.iter().enumerate() {
        let text = |key: &str| document[key].as_str().unwrap_or_default();
        let is_any = !text("apiVersion").is_empty() && !is_built_in(text("apiVersion"), text("kind"));
        if is_any && !matches!(text("kind"), "" | "CustomResourceDefinition" | "List" | "ConfigMap") {
            let mut object = document.clone();
            object.as_object_mut().expect("an object").remove("status");
            let mut pointers = BTreeSet::new();
            walk(&object, "", &mut pointers);
            found.extend(pointers.into_iter().map(|pointer| (number, pointer)));
        }
    }
    found
}

#[test]
fn exactly_the_expected_bytes_change() {
    let policy = policy();
    let mut expected = lines("manifests-expected.jsonl");
    let mut count = 0;
    for (name, text, _) in files() {
        let Some(manifest) = whole(&name, &text) else { continue };
        let written = manifest.write(|field| result(&policy, field));
        assert_eq!(written.refused, [], "{name}");
        let changes = expected.remove(&name).unwrap_or_default();
        // Replaces by hand: the old image is unique on its line, and the new one replaces it.
        let mut by_hand: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        for change in &changes {
            assert_eq!(change["after_valid"], true);
            let line = usize::try_from(change["line"].as_u64().expect("a line")).expect("small") - 1;
            let (before, after) = (change["before"].as_str().expect("text"), change["after"].as_str().expect("text"));
            assert_eq!(by_hand[line].matches(before).count(), 1, "{name}:{line}");
            by_hand[line] = by_hand[line].replace(before, &after.replace("CACHE", CACHE));
        }
        assert_eq!(written.text, by_hand.concat(), "{name}");
        assert_eq!(written.changed.len(), changes.len(), "{name}");
        count += changes.len();
        let again = read(&name, &written.text, &plain());
        assert_eq!(again.write(|field| result(&policy, field)).changed, [0; 0], "{name}: rewritten twice");
    }
    assert!(expected.is_empty(), "not read: {:?}", expected.keys());
    assert_eq!(count, 256);
}

#[test]
fn kustomizations_get_a_new_name() {
    let policy = policy();
    let mut changes = Vec::new();
    for (name, text, _) in files() {
        let (Ok(plain), Ok(manifest)) =
            (Manifest::read(&name, &text, &plain()), Manifest::read(&name, &text, &Known::default()))
        else {
            continue;
        };
        let (plain, written) =
            (plain.write(|field| result(&policy, field)), manifest.write(|field| result(&policy, field)));
        if plain.text == written.text {
            continue;
        }
        assert_eq!(plain.text, text);
        let (old, new): (Vec<&str>, Vec<&str>) = (text.lines().collect(), written.text.lines().collect());
        let added: Vec<&str> = new.iter().filter(|line| !old.contains(line)).copied().collect();
        let removed: Vec<&str> = old.iter().filter(|line| !new.contains(line)).copied().collect();
        changes.push(format!("{name}\n-{}\n+{}", removed.join("\n-"), added.join("\n+")));
    }
    insta::assert_snapshot!(changes.join("\n"), @r"
    kubernetes-sigs+aws-ebs-csi-driver/deploy/kubernetes/overlays/stable/gcr/kustomization.yaml
    -    newName: registry.k8s.io/provider-aws/aws-ebs-csi-driver
    -    newName: registry.k8s.io/sig-storage/csi-provisioner
    -    newName: registry.k8s.io/sig-storage/csi-attacher
    -    newName: registry.k8s.io/sig-storage/livenessprobe
    -    newName: registry.k8s.io/sig-storage/csi-snapshotter
    -    newName: registry.k8s.io/sig-storage/csi-resizer
    -    newName: registry.k8s.io/sig-storage/csi-node-driver-registrar
    +    newName: cache.example.com/k8s/provider-aws/aws-ebs-csi-driver
    +    newName: cache.example.com/k8s/sig-storage/csi-provisioner
    +    newName: cache.example.com/k8s/sig-storage/csi-attacher
    +    newName: cache.example.com/k8s/sig-storage/livenessprobe
    +    newName: cache.example.com/k8s/sig-storage/csi-snapshotter
    +    newName: cache.example.com/k8s/sig-storage/csi-resizer
    +    newName: cache.example.com/k8s/sig-storage/csi-node-driver-registrar
    kubernetes-sigs+metrics-server/manifests/components/release/kustomization.yaml
    -  newName: registry.k8s.io/metrics-server/metrics-server
    +  newName: cache.example.com/k8s/metrics-server/metrics-server
    kubernetes-sigs+metrics-server@81893cde10/manifests/release/kustomization.yaml
    -    newName: k8s.gcr.io/metrics-server/metrics-server
    +    newName: cache.example.com/k8s/metrics-server/metrics-server
    ");
}
