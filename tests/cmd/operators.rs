//! The page about operators is written from the engine's table.

use std::fmt::Write;

use pullthrough::engine::{Creator, Operator, Setting, SourceFile};
use serde_json::{Value, json};

use crate::{is_current, pullthrough};

const FILE: &str = "docs/reference/operators.md";
const START: &str = "<!-- written by `make generate` -->\n";
const END: &str = "<!-- end -->";

fn section(operator: &Operator) -> String {
    let Operator { name, title, versions, owner_group, owner_kinds, creator, effect, settings, sources, .. } = operator;
    let code = |texts: &[&str]| texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", ");
    let (created_by, known) = match creator {
        Creator::Operator { namespaces: [] } => {
            ("a service account of `operatorNamespaces`, which have no default".to_owned(), "no")
        }
        Creator::Operator { namespaces } => {
            (format!("a service account of `operatorNamespaces`, by default {}", code(namespaces)), "yes")
        }
        Creator::StatefulSetController => {
            ("Kubernetes' StatefulSet controller; `namespaces` with `include` is required".to_owned(), "no")
        }
    };
    let mut text = format!("\n## {name}\n\n{title}{}.\n\n", versions.map(|of| format!(", {of}")).unwrap_or_default());
    let _ = writeln!(text, "| | |\n| --- | --- |");
    let _ =
        writeln!(text, "| Pods | owner {} of `{owner_group}`, label `{}` |", code(owner_kinds), operator.selector());
    let _ = writeln!(text, "| Created by | {created_by} |");
    let _ = writeln!(text, "| Known | {known} |");
    let _ = writeln!(text, "| Effect of rewriting | {effect} |");
    for Setting { container, place } in *settings {
        let container = container.map_or_else(|| "other containers".to_owned(), |container| format!("`{container}`"));
        let _ = writeln!(text, "| Set for {container} | {place} |");
    }
    for SourceFile { repository, version, path } in *sources {
        let (file, what) = path.split_once(" (").map_or((*path, ""), |(file, what)| (file, what.trim_end_matches(')')));
        let what =
            if what.is_empty() { String::new() } else { format!(" ({})", code(&what.split(", ").collect::<Vec<_>>())) };
        let link = format!("https://github.com/{repository}/blob/{version}/{file}");
        let _ = writeln!(text, "| Source | [{repository} {version}, {file}]({link}){what} |");
    }
    text
}

/// `GENERATED=overwrite cargo test --test cmd` writes the page.
#[test]
fn the_operators_are_documented() {
    let page = std::fs::read_to_string(FILE).expect("a file of this repository");
    let (head, rest) = page.split_once(START).expect("the start of the sections");
    let (_, tail) = rest.split_once(END).expect("the end of the sections");
    let sections: String = Operator::ALL.iter().map(section).collect();
    is_current(
        FILE,
        &[head, START, &sections, "\n", END, tail].concat(),
        "the page with the operators that the code has",
    );
}

const RULES: &str =
    "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: [{name: quay, from: [quay.io], to: c.io/quay}]\n";

/// A custom resource of each operator, with an image in the field that its Pods get it from, and that field.
const RESOURCES: [(&str, &str, &str); 9] = [
    (
        "aerospike",
        "apiVersion: asdb.aerospike.com/v1\nkind: AerospikeCluster\nspec: {image: quay.io/a/b:1}\n",
        "spec.image",
    ),
    (
        "cloudnative-pg",
        "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nspec: {imageName: quay.io/a/b:1}\n",
        "spec.imageName",
    ),
    (
        "koperator",
        "apiVersion: kafka.banzaicloud.io/v1beta1\nkind: KafkaCluster\nspec: {clusterImage: quay.io/a/b:1}\n",
        "spec.clusterImage",
    ),
    (
        "kubeblocks",
        "apiVersion: apps.kubeblocks.io/v1\nkind: ComponentVersion\nspec: {releases: [{images: {mysql: quay.io/a/b:1}}]}\n",
        "mysql",
    ),
    (
        "kubevirt",
        "apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\nspec: {volumes: [{containerDisk: {image: quay.io/a/b:1}}]}\n",
        "containerDisk.image",
    ),
    (
        "nifikop",
        "apiVersion: nifi.konpyutaika.com/v1\nkind: NifiCluster\nspec: {clusterImage: quay.io/a/b:1}\n",
        "spec.clusterImage",
    ),
    (
        "olm",
        "apiVersion: operators.coreos.com/v1alpha1\nkind: CatalogSource\nspec: {image: quay.io/a/b:1}\n",
        "spec.image",
    ),
    (
        "vitess",
        "apiVersion: planetscale.com/v2\nkind: VitessCluster\nspec: {images: {vttablet: quay.io/a/b:1}}\n",
        "spec.images.vttablet",
    ),
    (
        "zalando-postgres-operator",
        "apiVersion: acid.zalan.do/v1\nkind: postgresql\nspec: {dockerImage: quay.io/a/b:1}\n",
        "spec.dockerImage",
    ),
];

/// `scan` names the field and the value, and `rewrite` writes it. Then the operator compares equal names.
#[test]
fn custom_resources_of_operators_are_reported_and_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.yaml");
    std::fs::write(&rules, RULES).expect("a file");
    let rules = rules.display().to_string();
    let names: Vec<&str> = Operator::ALL.iter().map(|operator| operator.name).collect();
    assert_eq!(RESOURCES.map(|(name, _, _)| name), names[..]);
    for (name, text, field) in RESOURCES {
        let run = |arguments: &[&str], input: &str| {
            let output = pullthrough(&[arguments, &["--rules", rules.as_str()]].concat(), input.as_bytes());
            String::from_utf8(output.stdout).expect("UTF-8")
        };
        let line: Value = serde_json::from_str(run(&["scan", "-o", "json", "-"], text).trim()).expect("one line");
        assert_eq!((&line["operator"], &line["result"]), (&json!(name), &json!("c.io/quay/a/b:1")), "{name}");
        let place = line["place_to_set"].as_str().expect("a place").replace('/', ".");
        assert!(place.contains(&field.replace('/', ".")), "{name}: {place}");
        let table = run(&["scan", "-"], text);
        let expected = " to c.io/quay/a/b:1 (1 place, such as -:3)";
        assert!(table.contains("\nOperators that compare images\n") && table.contains(expected), "{table}");
        for format in ["markdown", "html"] {
            assert!(
                run(&["scan", "-o", format, "-"], text).contains("Operators that compare images"),
                "{name} {format}"
            );
        }
        let written = run(&["rewrite"], text);
        assert_eq!(written, text.replace("quay.io", "c.io/quay"), "{name}");
        assert!(
            !run(&["scan", "-"], &written).contains("Operators that compare images"),
            "{name}: nothing is left to do"
        );
    }
}
