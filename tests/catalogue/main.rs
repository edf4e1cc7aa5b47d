//! `cargo test --test catalogue -- FOLDER`: `scan` without rules compared with `grep`, over repositories in FOLDER. For each
//! repository it prints the number of lines that `grep` finds, and the findings of `scan` for them. It fails if a line has no finding
//! and no explanation. `--places` lists the findings of the catalogue by kind and path, for people to read. `--no-catalogue` runs
//! without the catalogue, `--deep` reads texts too.
//!
//! `grep` finds a line by its key: `image`, `…Image`, `…_image` or `…-image`, or `repository` with `tag` near it. The value must have
//! the form of an image, so `grep` also finds other texts of that form.
//!
//! Repositories of other projects are not part of this repository. docs/reference/catalogue.md lists those that were used.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use pullthrough::engine::ImageRef;
use regex::Regex;
use serde_json::Value;
use walkdir::WalkDir;

/// Groups, including their subgroups, and kinds whose fields describe or match images, but pull none.
const NO_IMAGES: [&str; 8] = [
    "apiextensions.k8s.io",
    "admissionregistration.k8s.io",
    "kyverno.io",
    "gatekeeper.sh",
    "image.toolkit.fluxcd.io",
    "CompositeResourceDefinition",
    "ConfigMap",
    "Secret",
];
/// Keys above texts, and above fields that the cluster sets.
const TEXTS: [&str; 5] = ["status", "metadata", "annotations", "labels", "matchLabels"];
/// The most lines without a finding, and the most places, that are printed.
const FEW: usize = 200;

#[derive(Default, Clone, Copy)]
struct Counts {
    lines: usize,
    found: usize,
    reported: usize,
    /// Lines in files that were reported as unreadable: templates, invalid YAML.
    not_read: usize,
    /// Lines in `metadata` or `status`, or in a description.
    text: usize,
    /// Lines in schemas, policies and documentation of fields.
    no_images: usize,
    silent: usize,
    /// Findings that `grep` has not.
    more: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.found += other.found;
        self.reported += other.reported;
        self.not_read += other.not_read;
        self.text += other.text;
        self.no_images += other.no_images;
        self.silent += other.silent;
        self.more += other.more;
    }

    fn row(&self, name: &str) -> String {
        let Self { lines, found, reported, not_read, text, no_images, silent, more } = self;
        format!("| {name} | {lines} | {found} | {reported} | {not_read} | {text} | {no_images} | {silent} | {more} |")
    }
}

fn main() -> Result<()> {
    let with_places = env::args().any(|argument| argument == "--places");
    let Some(folder) = env::args().skip(1).find(|argument| !argument.starts_with('-')) else {
        bail!("name a folder with repositories: cargo test --test catalogue -- FOLDER");
    };
    let grep = Grep::new()?;
    let mut repositories: Vec<_> = fs::read_dir(&folder)?.collect::<Result<Vec<_>, _>>()?;
    repositories.retain(|entry| entry.path().is_dir());
    repositories.sort_by_key(fs::DirEntry::file_name);
    ensure!(!repositories.is_empty(), "{folder} has no subfolder");
    println!(
        "| Repository | `grep` | Found | Reported | In files not read | In texts | Schemas, policies | Silent | Found beside |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    let mut total = Counts::default();
    let (mut silent, mut places) = (Vec::new(), BTreeMap::new());
    for repository in repositories {
        let name = repository.file_name().to_string_lossy().into_owned();
        let counts = count(&repository.path(), &grep, &mut silent, &mut places).with_context(|| name.clone())?;
        println!("{}", counts.row(&name));
        total.add(counts);
    }
    println!("{}", total.row("**all**"));
    if with_places {
        for ((kind, path), (count, image)) in places {
            println!("{count:6} {kind} {path}   {image}");
        }
    }
    for line in silent.iter().take(FEW) {
        println!("silent: {line}");
    }
    ensure!(total.silent == 0, "{} lines have no finding and no explanation", total.silent);
    Ok(())
}

/// The findings of the catalogue by kind and path, with their number and the first image.
type Places = BTreeMap<(String, String), (usize, String)>;

fn count(root: &Path, grep: &Grep, silent: &mut Vec<String>, places: &mut Places) -> Result<Counts> {
    let output = Command::new(env!("CARGO_BIN_EXE_pullthrough"))
        .args(["scan", "-o", "json"])
        .args(env::args().filter(|argument| ["--no-catalogue", "--deep"].contains(&argument.as_str())))
        .arg(root)
        .env_remove("PULLTHROUGH_RULES")
        .env_remove("PULLTHROUGH_CACHE")
        .stdin(Stdio::null())
        .output()?;
    let lines = String::from_utf8(output.stdout)?;
    let mut scanned: HashMap<(String, u64), bool> = HashMap::new();
    for line in lines.lines() {
        let finding: Value = serde_json::from_str(line)?;
        let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let is_found = text("use") == "manifest";
        let key = (text("file"), finding["line"].as_u64().unwrap_or_default());
        let entry = scanned.entry(key).or_default();
        *entry |= is_found;
        if is_found && text("place").contains(['$', '=', '-']) {
            let kind = format!("{}/{}", text("api_version"), text("kind"));
            let place = places.entry((kind, grep.index.replace_all(&text("place"), "[*]").into_owned()));
            place.or_insert_with(|| (0, text("image"))).0 += 1;
        }
    }
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let not_read: HashSet<&str> =
        grep.not_read.captures_iter(&told).filter_map(|c| Some(c.get(1).or_else(|| c.get(2))?.as_str())).collect();
    let mut counts = Counts::default();
    let mut seen = HashSet::new();
    let files = WalkDir::new(root).sort_by_file_name().into_iter().filter_map(Result::ok);
    let is_manifest =
        |path: &Path| path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
    for file in files.filter(|entry| entry.file_type().is_file() && is_manifest(entry.path())) {
        let Ok(text) = fs::read_to_string(file.path()) else { continue };
        let name = file.path().display().to_string();
        for hit in grep.hits(&text) {
            counts.lines += 1;
            let at = |line: u64| scanned.get(&(name.clone(), line)).copied();
            let nearby = || (hit.line.saturating_sub(NEAR as u64)..=hit.line + NEAR as u64).filter_map(at).max();
            match at(hit.line).or_else(|| nearby().filter(|_| hit.has_parts)) {
                Some(true) => counts.found += 1,
                Some(false) => counts.reported += 1,
                None if not_read.contains(name.as_str()) => counts.not_read += 1,
                None if hit.is_text => counts.text += 1,
                None if hit.has_no_images || has_duplicate_key(&hit.document(&text)) => counts.no_images += 1,
                None => {
                    counts.silent += 1;
                    silent.push(format!("{name}:{}: {}", hit.line, hit.text));
                }
            }
            seen.insert((name.clone(), hit.line));
        }
    }
    counts.more = scanned.iter().filter(|(key, is_found)| **is_found && !seen.contains(*key)).count();
    Ok(counts)
}

struct Grep {
    image: Regex,
    repository: Regex,
    tag: Regex,
    block: Regex,
    kind: Regex,
    not_read: Regex,
    index: Regex,
}

struct Hit {
    line: u64,
    text: String,
    is_text: bool,
    has_no_images: bool,
    /// The lines of the document.
    lines: Range<usize>,
    /// Whether a part of the name is in a line nearby.
    has_parts: bool,
}

impl Hit {
    fn document(&self, text: &str) -> String {
        let lines: Vec<&str> = text.lines().skip(self.lines.start).take(self.lines.len()).collect();
        lines.join("\n")
    }
}

/// The number of lines within which parts of one image may be.
const NEAR: usize = 3;

fn near<'l>(lines: &'l [&str], index: usize) -> impl Iterator<Item = &'l str> {
    lines[index.saturating_sub(NEAR)..(index + NEAR + 1).min(lines.len())].iter().copied()
}

/// Returns whether the last of the lines is in a field with texts, by its indentation.
fn is_below_text(lines: &[&str]) -> bool {
    let indentation = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
    let mut inner = lines.last().map_or(0, |line| indentation(line));
    for line in lines.iter().rev().filter(|line| !line.trim().is_empty()) {
        if indentation(line) < inner {
            inner = indentation(line);
            let key = line.trim_start_matches([' ', '-']).split(':').next().unwrap_or_default();
            if TEXTS.contains(&key.trim_matches(['"', '\''])) {
                return true;
            }
        }
    }
    false
}

/// Returns whether the document has a duplicate key. The last one counts, so the others have no effect.
fn has_duplicate_key(document: &str) -> bool {
    serde_saphyr::from_str::<Value>(document).is_err_and(|error| error.to_string().contains("duplicate"))
}

impl Grep {
    fn new() -> Result<Self> {
        let value = r#"\s+["']?([^"'\s,]+)["']?,?(?:\s+#.*)?\s*$"#;
        let field = |key: &str| Regex::new(&format!(r#"^\s*(?:- +)*["']?{key}["']?:{value}"#));
        Ok(Self {
            image: field(r"(?:image|[A-Za-z0-9_.-]*(?:[_.-]image|[a-z0-9_.-]Image))")?,
            repository: field("repository")?,
            tag: Regex::new(r#"^\s*["']?tag["']?:"#)?,
            block: Regex::new(r"[:-]\s+[|>][+0-9-]*\s*(?:#.*)?$")?,
            kind: Regex::new(r#"^\s{0,2}["']?(?:kind|apiVersion)["']?:\s*["']?([A-Za-z0-9./-]+)"#)?,
            not_read: Regex::new(r"(?m)^(?:skipped: (.+?):\d+: |  (\S.*):\d+$)")?,
            index: Regex::new(r"\[\d+\]")?,
        })
    }

    fn hits(&self, text: &str) -> Vec<Hit> {
        let lines: Vec<&str> = text.lines().collect();
        let mut hits = Vec::new();
        // The indentation of the key of a block scalar.
        let mut block: Option<usize> = None;
        let mut start = 0;
        for (index, line) in lines.iter().enumerate() {
            if line.starts_with("---") {
                start = index + 1;
            }
            let indentation = line.len() - line.trim_start().len();
            if !line.trim().is_empty() && block.is_some_and(|of_key| indentation <= of_key) {
                block = None;
            }
            let value = self.image.captures(line).or_else(|| {
                self.repository.captures(line).filter(|_| near(&lines, index).any(|line| self.tag.is_match(line)))
            });
            if let Some(value) = value.and_then(|captures| Some(captures.get(1)?.as_str()))
                && is_image(value)
            {
                let end = lines[start..].iter().position(|line| line.starts_with("---")).map(|at| start + at);
                let document = &lines[start..end.unwrap_or(lines.len())];
                let names = document.iter().filter_map(|line| Some(self.kind.captures(line)?.get(1)?.as_str()));
                let is_off = |name: &str| {
                    let group = name.split('/').next().unwrap_or(name);
                    NO_IMAGES.iter().any(|off| group == *off || group.ends_with(&format!(".{off}")))
                };
                let is_schema =
                    |line: &&str| line.trim_start().starts_with("\"$schema\"") || line.starts_with("openapi");
                let has_no_images = names.clone().any(is_off) || document.iter().any(is_schema);
                let is_text = block.is_some() || is_below_text(&lines[start..=index]);
                let has_parts = near(&lines, index).any(|line| self.repository.is_match(line));
                let text = line.trim().to_owned();
                let end = end.unwrap_or(lines.len());
                hits.push(Hit { line: index as u64 + 1, text, is_text, has_no_images, lines: start..end, has_parts });
            }
            if block.is_none() && self.block.is_match(line) {
                block = Some(indentation);
            }
        }
        hits
    }
}

/// Returns whether a value can be an image. Words that YAML reads as another type can't.
fn is_image(value: &str) -> bool {
    let ends = [".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".ico", ".iso", ".img", ".qcow2", ".raw", ".vmdk"];
    let is_word = ["true", "false", "null", "string", "object", "array"].contains(&value);
    let is_number = value.parse::<f64>().is_ok();
    ImageRef::parse(value).is_ok() && !is_word && !is_number && !ends.iter().any(|end| value.ends_with(end))
}
