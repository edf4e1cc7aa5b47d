//! Scans files and folders.

use std::path::{Path, PathBuf};
use std::{fs, iter, mem};

use rayon::prelude::*;

use super::{Comparison, FoundImage, FoundWorkload, Location, Skipped, Use, Verdict, Weight};
use crate::engine::Policy;
use crate::files::{self, Found, Problem, SkippedFile, Source};
use crate::manifest::{self, Contents, Field, Known, Lookalike, Unreadable};

/// Limits of files read in parallel. Their findings are reported in order, and take several times the bytes of the text.
const CHUNK: usize = 256;
const CHUNK_BYTES: u64 = 8 << 20;
/// The number of images of a large file that are reported together.
const PORTION: usize = 1_000;

/// A skipped part, and its effect on the exit code.
type Left = (Skipped, Weight);

const RENDER: &str = "render it first: `helm template … | pullthrough scan -`";

/// Returns the name of the paths in headings.
pub fn subject(paths: &[PathBuf]) -> String {
    let name =
        |path: &PathBuf| if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    paths.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Returns the folder that is the only path, as the names of its files begin.
pub fn folder(paths: &[PathBuf]) -> Option<String> {
    let [path] = paths else { return None };
    let name = path.display().to_string();
    path.is_dir().then(|| if name.ends_with('/') { name } else { name + "/" })
}

/// An event of a scan of files. Events are in the order of the files.
#[derive(Debug)]
pub enum FileEvent<'s> {
    Found(Vec<FoundImage>),
    /// Fields of a file that look like images, with the file's name.
    Lookalikes(&'s str, Vec<Lookalike>),
    /// The contents of a file that was read.
    Read(Contents),
    Skipped(Skipped, Weight),
    Progress {
        done: usize,
        remaining: usize,
    },
}

/// The options of a scan of files.
#[derive(Debug, Clone, Copy)]
pub struct FileScan<'k> {
    /// The namespace of objects that name none.
    pub namespace: &'k str,
    pub policy: Option<&'k Policy>,
    pub known: &'k Known,
}

impl FileScan<'_> {
    /// Scans the paths and reports to `tell`. The first error of `tell` ends the scan.
    pub fn run<E>(self, paths: &[PathBuf], tell: &mut dyn FnMut(FileEvent) -> Result<(), E>) -> Result<(), E> {
        let Found { sources, problems, skipped, .. } = files::find(paths);
        for SkippedFile { name, why, fix } in skipped {
            let skipped = Skipped { what: name, why, fix: fix.to_owned(), is_failure: false };
            tell(FileEvent::Skipped(skipped, Weight::Aside))?;
        }
        let missing: Vec<String> = problems.iter().map(|problem| problem.name.clone()).collect();
        for Problem { name, why, fix } in problems {
            let is_named = paths.iter().any(|path| path.display().to_string() == name);
            let weight = if is_named { Weight::Named } else { Weight::Part };
            tell(FileEvent::Skipped(unreadable(name, why, fix), weight))?;
        }
        let mut done = 0;
        // Sources with objects, or with an event that says why they have none.
        let mut named: Vec<&Source> = Vec::new();
        for chunk in chunks(&sources) {
            let parts = if let [source] = chunk {
                let mut told = Ok(());
                let read = self.read(source, &mut |portion| {
                    if told.is_ok() {
                        told = portion.tell(source, tell);
                    }
                });
                told?;
                vec![(Portion::default(), read)]
            } else {
                let read = |source| {
                    let mut all = Portion::default();
                    let read = self.read(source, &mut |portion| all.extend(portion));
                    (all, read)
                };
                chunk.par_iter().map(read).collect()
            };
            for (source, (portion, read)) in chunk.iter().zip(parts) {
                portion.tell(source, tell)?;
                let is_silent = match read {
                    Ok(Read { contents, has_lookalikes, left }) => {
                        let is_silent = contents.objects == 0 && !has_lookalikes && left.is_empty();
                        tell(FileEvent::Read(contents))?;
                        left.into_iter().try_for_each(|(skipped, weight)| tell(FileEvent::Skipped(skipped, weight)))?;
                        is_silent
                    }
                    Err((skipped, weight)) => {
                        tell(FileEvent::Skipped(skipped, weight))?;
                        false
                    }
                };
                named.extend((!is_silent).then_some(source));
            }
            done += chunk.len();
            tell(FileEvent::Progress { done, remaining: sources.len() - done })?;
        }
        let named = named.into_iter().map(|source| (source.name.as_str(), source.path.as_deref()));
        let missing = missing.iter().map(|name| (name.as_str(), None));
        for path in files::silent(paths, named.chain(missing)) {
            let (what, (why, fix)) = (path.display().to_string(), files::nothing(path));
            let skipped = Skipped { what, why: why.to_owned(), fix: fix.to_owned(), is_failure: false };
            tell(FileEvent::Skipped(skipped, Weight::Unknown))?;
        }
        Ok(())
    }

    fn read(self, source: &Source, give: &mut dyn FnMut(Portion)) -> Result<Read, Left> {
        let (weight, template_weight) =
            if source.is_named { (Weight::Named, Weight::Named) } else { (Weight::Part, Weight::Unknown) };
        let text = source.read().map_err(|Problem { name, why, fix }| (unreadable(name, why, fix), weight))?;
        let left = |unreadable: &Unreadable| {
            let what = format!("{}:{}", unreadable.file, unreadable.line);
            let (fix, weight) = if unreadable.is_template {
                (RENDER, template_weight)
            } else {
                ("fix the syntax on this line", weight)
            };
            let is_failure = !unreadable.is_template;
            (Skipped { what, why: unreadable.message.clone(), fix: fix.to_owned(), is_failure }, weight)
        };
        let (mut portion, mut has_lookalikes) = (Portion::default(), false);
        let outline = manifest::parts(&source.name, &text, self.known, |part| {
            portion.found.extend(part.fields.iter().map(|field| self.found(source, field)));
            has_lookalikes |= !part.lookalikes.is_empty();
            portion.lookalikes.extend(part.lookalikes);
            if portion.found.len() + portion.lookalikes.len() >= PORTION {
                give(mem::take(&mut portion));
            }
        });
        let outline = outline.map_err(|unreadable| left(&unreadable))?;
        give(portion);
        let template = outline.template_line.map(|line| {
            let why = "this is a template: the values of `{{` are unknown".to_owned();
            let what = format!("{}:{line}", source.name);
            let skipped = Skipped { what, why, fix: RENDER.to_owned(), is_failure: false };
            (skipped, template_weight)
        });
        let left = outline.unreadable.iter().map(left).chain(template).collect();
        Ok(Read { contents: outline.contents, has_lookalikes, left })
    }

    fn found(self, source: &Source, field: &Field) -> FoundImage {
        let namespace = field.namespace(self.namespace);
        let workload = FoundWorkload::of(self.policy, field.object.workload.as_ref(), namespace);
        let included_from = workload.as_ref().map(|workload| workload.included_from);
        let verdict = self.policy.map(|policy| Verdict::from(&field.decide(policy, self.namespace, included_from)));
        let place = Location::File {
            file: source.name.clone(),
            line: field.line,
            column: field.column,
            api_version: field.object.api_version.clone(),
            kind: field.object.kind.clone(),
            namespace: field.object.namespace.clone(),
            name: field.object.name.clone(),
            place: field.place.clone(),
        };
        let comparison = Comparison::of_resource(&field.object.api_version, &field.object.kind);
        let found = FoundImage::new(field.image.clone(), place, Use::Manifest, verdict, None);
        FoundImage { comparison, workload, ..found }
    }
}

fn unreadable(what: String, why: String, fix: Option<&str>) -> Skipped {
    Skipped { what, why, fix: fix.unwrap_or("check the file and its permissions").to_owned(), is_failure: true }
}

/// Splits the sources into chunks within the limits. A large file is a chunk of its own.
fn chunks(mut sources: &[Source]) -> impl Iterator<Item = &[Source]> {
    let bytes = |source: &Source| {
        let metadata = source.path.as_ref().and_then(|path| fs::metadata(path).ok());
        metadata.map_or(u64::MAX, |metadata| metadata.len())
    };
    iter::from_fn(move || {
        let mut sum: u64 = 0;
        let fits = |source: &&Source| {
            sum = sum.saturating_add(bytes(source));
            sum <= CHUNK_BYTES
        };
        let count = sources.iter().take(CHUNK).take_while(fits).count().max(1);
        let (chunk, rest) = sources.split_at_checked(count)?;
        sources = rest;
        Some(chunk)
    })
}

/// Some findings of a file, in the order of its text.
#[derive(Default)]
struct Portion {
    found: Vec<FoundImage>,
    lookalikes: Vec<Lookalike>,
}

impl Portion {
    fn extend(&mut self, next: Self) {
        self.found.extend(next.found);
        self.lookalikes.extend(next.lookalikes);
    }

    fn tell<E>(self, source: &Source, tell: &mut dyn FnMut(FileEvent) -> Result<(), E>) -> Result<(), E> {
        tell(FileEvent::Found(self.found))?;
        tell(FileEvent::Lookalikes(&source.name, self.lookalikes))
    }
}

/// What is known of a file when all of it was read.
struct Read {
    contents: Contents,
    has_lookalikes: bool,
    /// The parts that were skipped.
    left: Vec<Left>,
}
