//! What files of the repository say of one another: versions, workflows, licences, links.

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

/// As GitHub names the headings of a page.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut in_code = false;
    let headings = page.lines().filter(|line| {
        in_code ^= line.trim_start().starts_with("```");
        !in_code && line.starts_with('#')
    });
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_between_files_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("an expression");
    let top = std::fs::read_dir(".").expect("this repository").map(|entry| entry.expect("an entry").path());
    let top = top.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let others = ["docs", "manifests", "certs"].into_iter().flat_map(|folder| files(folder, "md"));
    let pages: Vec<PathBuf> = top.chain(others).chain([PathBuf::from("tests/data/ATTRIBUTION.md")]).collect();
    assert!(pages.len() > 20, "{pages:?}");
    let mut dead = Vec::new();
    for page in &pages {
        let text = read(page);
        let links = link.captures_iter(&text).map(|found| found[1].to_owned());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.with_file_name("").join(file) };
            let leads = match anchor {
                "" => target.exists(),
                _ => std::fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(anchor)),
            };
            if !leads {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "these links lead to no file or heading:\n{}", dead.join("\n"));
}

#[test]
fn the_architecture_page_names_every_module() {
    let (page, map) = (read("docs/architecture.md"), read("src/lib.rs"));
    let modules = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let is_named = |module: &&str| {
        ["`src/MODULE/`", "`src/MODULE.rs`", "`MODULE`"]
            .iter()
            .any(|name| page.contains(&name.replace("MODULE", module)))
    };
    let missing: Vec<&str> = modules.filter(|module| !is_named(module)).collect();
    assert!(missing.is_empty(), "docs/architecture.md: the table of modules lacks these of src/lib.rs: {missing:?}");
}
