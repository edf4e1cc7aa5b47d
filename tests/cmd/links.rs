//! Links and paths to pages of this repository: in pages, in alerts, in sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

/// What is not of this repository: what is built, and files of other projects.
const FOREIGN: [&str; 4] = ["./target", "./dist", "./.git", "./tests/data/manifests"];

/// The text files of this repository.
fn texts() -> Vec<(PathBuf, String)> {
    let walk = walkdir::WalkDir::new(".").sort_by_file_name().into_iter();
    let walk = walk.filter_entry(|entry| {
        let is_foreign = FOREIGN.iter().any(|foreign| entry.path() == Path::new(foreign));
        !is_foreign && !matches!(entry.file_name().to_str(), Some("target" | "corpus" | "artifacts"))
    });
    let files = walk.map(|entry| entry.expect("an entry")).filter(|entry| entry.file_type().is_file());
    files
        .filter_map(|entry| {
            let path = entry.path().strip_prefix(".").expect("below").to_owned();
            Some((path, std::fs::read_to_string(entry.path()).ok()?))
        })
        .collect()
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

/// Whether there is such a file or folder and, where an anchor is named, such a heading in it.
fn leads(target: &Path, anchor: &str) -> bool {
    match anchor {
        "" => target.exists(),
        _ => std::fs::read_to_string(target).is_ok_and(|text| anchors(&text).contains(anchor)),
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("an expression");
    let texts = texts();
    let pages: Vec<_> =
        texts.iter().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "md")).collect();
    assert!(pages.len() > 50, "{pages:?}");
    let mut dead = Vec::new();
    for (page, text) in pages {
        let links = link.captures_iter(text).map(|found| found[1].to_owned());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.with_file_name("").join(file) };
            if !leads(&target, anchor) {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "these links lead to no file or heading:\n{}", dead.join("\n"));
}

/// Alerts' runbooks, the chart's links, and paths in comments, messages and pages.
#[test]
fn paths_to_pages_lead_somewhere() {
    let url = r"https://github\.com/pullthrough/pullthrough/(?:blob|tree)/main/([\w./-]+)(?:#([\w-]+))?";
    let path = r"(?m)(?:^|[^\w/.+@-])(?:\.\./)*(docs/[\w./-]+)(?:#([\w-]+))?";
    let [url, path] = [url, path].map(|expression| Regex::new(expression).expect("an expression"));
    let (mut dead, mut found) = (Vec::new(), [0; 2]);
    for (file, text) in texts() {
        for (kind, expression) in [&url, &path].into_iter().enumerate() {
            for link in expression.captures_iter(&text) {
                let target = link[1].trim_end_matches(['.', '/']);
                found[kind] += 1;
                if !leads(Path::new(target), link.get(2).map_or("", |anchor| anchor.as_str())) {
                    dead.push(format!("{}: {}", file.display(), link[0].trim()));
                }
            }
        }
    }
    assert!(found.into_iter().all(|count| count > 30), "{found:?}");
    assert!(dead.is_empty(), "these name no file or heading of this repository:\n{}", dead.join("\n"));
}

/// A page that no index names is found by nobody.
#[test]
fn every_page_is_in_an_index() {
    let link = Regex::new(r"\]\(([^)\s#]+)").expect("an expression");
    let linked = |index: &str| -> BTreeSet<PathBuf> {
        let text = std::fs::read_to_string(index).unwrap_or_else(|error| panic!("{index}: {error}"));
        link.captures_iter(&text).map(|found| Path::new(index).with_file_name(&found[1])).collect()
    };
    let indexed: BTreeSet<PathBuf> = &linked("docs/README.md") | &linked("docs/reference/cli/README.md");
    let is_page = |path: &PathBuf| path.starts_with("docs") && path.extension().is_some_and(|found| found == "md");
    let pages: Vec<PathBuf> = texts().into_iter().map(|(path, _)| path).filter(is_page).collect();
    assert!(pages.len() > 40, "{pages:?}");
    let missing: Vec<_> =
        pages.iter().filter(|page| *page != Path::new("docs/README.md") && !indexed.contains(*page)).collect();
    assert!(missing.is_empty(), "docs/README.md does not link these pages: {missing:?}");
}
