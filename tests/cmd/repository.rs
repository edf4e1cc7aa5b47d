//! What files of the repository say of one another: versions, workflows, licences.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::Value;

fn read(file: impl AsRef<Path>) -> String {
    let file = file.as_ref();
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let files =
        walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(|entry| entry.expect(folder).into_path());
    files.filter(|file| file.extension().is_some_and(|found| found == extension)).collect()
}

fn workflow(name: &str) -> Value {
    let file = format!(".github/workflows/{name}");
    serde_saphyr::from_str(&read(&file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn one_file_has_the_version_of_rust() {
    let toolchain = read("rust-toolchain.toml");
    let (_, channel) = toolchain.split_once("channel = \"").expect("a channel");
    let channel = channel.split('"').next().expect("a version");
    let image = Regex::new(r"\brust:([0-9][^\s-]*)").expect("an expression");
    let mut named = vec![("Cargo.toml".to_owned(), env!("CARGO_PKG_RUST_VERSION").to_owned())];
    for file in files(".github", "yml").into_iter().chain([PathBuf::from("Dockerfile")]) {
        let text = read(&file);
        let installed = text.lines().filter_map(|line| line.split_once("rustup ")).map(|(_, arguments)| arguments);
        let installed = installed.filter(|arguments| arguments.contains(|c: char| c.is_ascii_digit()));
        let images = image.captures_iter(&text).map(|found| found.extract::<1>().1[0]);
        named.extend(installed.chain(images).map(|version| (file.display().to_string(), version.to_owned())));
    }
    assert!(named.len() > 2, "{named:?}");
    named.retain(|(_, version)| version != channel);
    assert!(named.is_empty(), "rust-toolchain.toml has {channel}; change it there, and here to the same: {named:?}");
}

#[test]
fn hosted_workflows_run_what_must_pass() {
    let runs = |job: &Value| {
        let steps = job["steps"].as_array().into_iter().flatten();
        steps.into_iter().any(|step| step["run"] == ".ci/run")
    };
    let checks = workflow("ci.yml");
    assert!(checks["jobs"].as_object().expect("jobs").values().any(runs), "no job of ci.yml runs .ci/run");
    for trigger in ["pull_request", "push", "workflow_call"] {
        assert!(checks["on"].get(trigger).is_some(), "ci.yml does not run on {trigger}");
    }

    let release = workflow("release.yml");
    let jobs = release["jobs"].as_object().expect("jobs");
    let needed = |name: &str| -> BTreeSet<String> {
        let (mut needed, mut left) = (BTreeSet::new(), vec![name.to_owned()]);
        while let Some(name) = left.pop() {
            left.extend(
                jobs[&name]["needs"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|need| need.as_str().expect("a job").to_owned()),
            );
            needed.insert(name);
        }
        needed
    };
    let publishes = |job: &&String| {
        let may = |scope: &str| jobs[*job]["permissions"][scope] == "write";
        may("contents") || may("id-token")
    };
    let publishing: Vec<&String> = jobs.keys().filter(publishes).collect();
    assert!(!publishing.is_empty(), "no job of release.yml publishes");
    for name in publishing {
        let is_checked = needed(name).iter().any(|name| jobs[name]["uses"] == "./.github/workflows/ci.yml");
        assert!(is_checked, "the job {name} of release.yml does not need one that uses ci.yml");
    }
}

/// Tests that need a folder of the user's, or are for people to look at.
const BY_HAND: [&str; 4] = ["catalogue", "charts", "demo", "scale"];

#[test]
fn every_test_binary_is_run_by_what_must_pass() {
    let (cargo, make, ci) = (read("Cargo.toml"), read("Makefile"), read(".ci/run"));
    let binaries = cargo.split("\n[[test]]\n").skip(1).map(|section| {
        let section = section.split("\n[").next().unwrap_or_default();
        let name = section.split("name = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a name");
        (name, section.contains("\ntest = false"))
    });
    // `make test` runs what `cargo test` runs.
    let mut targets = BTreeSet::from(["test".to_owned()]);
    for (name, _) in binaries.filter(|(name, is_apart)| *is_apart && !BY_HAND.contains(name)) {
        let target = format!("test-{name}");
        assert!(
            make.contains(&format!("\n{target}: ")),
            "Makefile: add a target {target}, which runs the tests of {name}"
        );
        targets.insert(target);
    }
    assert!(targets.len() > 3, "{targets:?}");
    let lacks = |target: &&String| !ci.lines().any(|line| line.ends_with(&format!("step make {target}")));
    let missing: Vec<&String> = targets.iter().filter(lacks).collect();
    assert!(missing.is_empty(), ".ci/run does not run these targets of the Makefile: {missing:?}");
}

#[test]
fn files_of_others_have_their_licence_beside_them() {
    let page = read("tests/data/ATTRIBUTION.md");
    let index = read("tests/data/manifests/INDEX.tsv");
    let mut licences: BTreeMap<&str, usize> = BTreeMap::new();
    for row in index.lines().skip(1) {
        let [file, licence, ..] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("a file and a licence: {row}")
        };
        let folder = file.split('/').next().expect("a folder");
        let repository = folder.split('@').next().expect("a name").replacen('+', "/", 1);
        let named = match licence {
            "Apache-2.0" => format!("](https://github.com/{repository})"),
            "CC-BY-4.0" => format!("`{file}`"),
            _ => panic!("{file}: give the licence {licence} a section in tests/data/ATTRIBUTION.md, and here"),
        };
        assert!(page.contains(&named), "tests/data/ATTRIBUTION.md does not name {file} ({licence})");
        *licences.entry(licence).or_default() += 1;
    }
    assert_eq!(licences.len(), 2, "{licences:?}");
}

/// By its first sentence a reader decides whether to read on.
#[test]
fn every_page_opens_with_its_use() {
    let opens =
        |page: &PathBuf| read(page).split("\n\n").nth(1).is_some_and(|text| text.starts_with("Use this page to "));
    let pages = files("docs", "md");
    assert!(pages.len() > 60, "{pages:?}");
    let others: Vec<_> = pages.iter().filter(|page| !opens(page)).collect();
    assert!(others.is_empty(), "these pages do not open with \"Use this page to …\": {others:?}");
}

#[test]
fn the_architecture_page_names_every_module() {
    let (page, map) = (read("docs/background/architecture.md"), read("src/lib.rs"));
    let modules = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let is_named = |module: &&str| {
        ["`src/MODULE/`", "`src/MODULE.rs`", "`MODULE`"]
            .iter()
            .any(|name| page.contains(&name.replace("MODULE", module)))
    };
    let missing: Vec<&str> = modules.filter(|module| !is_named(module)).collect();
    assert!(
        missing.is_empty(),
        "docs/background/architecture.md: the table of modules lacks these of src/lib.rs: {missing:?}"
    );
}
