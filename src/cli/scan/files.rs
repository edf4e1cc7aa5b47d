//! Files and folders, scanned.

use std::path::{Path, PathBuf};
use std::{fs, iter, mem};

use anyhow::bail;
use rayon::prelude::*;

use super::output::{Output, Weight};
use crate::cli::unknown;
use crate::engine::Policy;
use crate::files::{self, Found, Problem, Skipped, Source};
use crate::manifest::{self, Contents, Field, Known, Lookalike, Unreadable};
use crate::scan::{Finding, Place, Unseen, Use, Verdict};

const DEFAULT_NAMESPACE: &str = "default";
/// Files that are read at once, and printed in order, with their bytes: what is found takes several times as much.
const CHUNK: usize = 256;
const CHUNK_BYTES: u64 = 8 << 20;
/// Images of a large file that are printed at once.
const PORTION: usize = 1_000;

/// What could not be looked at, and what that means.
type Left = (Unseen, Weight);

const RENDER: &str = "render it first, as in `helm template … | pullthrough scan -`";

/// What headings call the paths.
pub fn subject(paths: &[PathBuf]) -> String {
    let name =
        |path: &PathBuf| if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    paths.iter().map(name).collect::<Vec<_>>().join(", ")
}

pub fn scan(
    paths: &[PathBuf],
    namespaces: &[String],
    policy: Option<&Policy>,
    known: &Known,
    output: &mut Output,
) -> anyhow::Result<()> {
    let namespace = match namespaces {
        [] => DEFAULT_NAMESPACE,
        [namespace] => namespace,
        [_, other, ..] => {
            bail!("with PATH, --namespace is for manifests that name none, and there is only one: remove `{other}`")
        }
    };
    let Found { sources, problems, skipped, .. } = files::find(paths);
    for Skipped { name, why, cure } in skipped {
        output.unseen(Unseen { what: name, why, cure: cure.to_owned() }, Weight::Aside);
    }
    let missing: Vec<String> = problems.iter().map(|problem| problem.name.clone()).collect();
    for Problem { name, why } in problems {
        let weight =
            if paths.iter().any(|path| path.display().to_string() == name) { Weight::Named } else { Weight::Part };
        output.unseen(Unseen { what: name, why, cure: "see whether it is there, and may be read".to_owned() }, weight);
    }
    output.contents(Contents::default());
    let mut done = 0;
    // What is said of a path: objects in it, or why something could not be looked at.
    let mut named: Vec<&Source> = Vec::new();
    for chunk in chunks(&sources) {
        let outcomes = match chunk {
            [source] => {
                let mut given = Ok(());
                let outcome = read(source, namespace, policy, known, &mut |portion| {
                    if given.is_ok() {
                        given = portion.add_to(output, source);
                    }
                });
                given?;
                vec![(Portion::default(), outcome)]
            }
            _ => chunk
                .par_iter()
                .map(|source| {
                    let mut all = Portion::default();
                    let outcome = read(source, namespace, policy, known, &mut |portion| all.extend(portion));
                    (all, outcome)
                })
                .collect(),
        };
        for (source, (portion, outcome)) in chunk.iter().zip(outcomes) {
            portion.add_to(output, source)?;
            let is_silent = match outcome {
                Ok(Read { contents, has_lookalikes, left }) => {
                    output.looked_at(1);
                    output.contents(contents);
                    let is_silent = contents.objects == 0 && !has_lookalikes && left.is_empty();
                    left.into_iter().for_each(|(unseen, weight)| output.unseen(unseen, weight));
                    is_silent
                }
                Err((unseen, weight)) => {
                    output.unseen(unseen, weight);
                    false
                }
            };
            named.extend((!is_silent).then_some(source));
        }
        done += chunk.len();
        output.progress("files", done, Some(sources.len() - done));
    }
    let named = named.into_iter().map(|source| (source.name.as_str(), source.path.as_deref()));
    let missing = missing.iter().map(|name| (name.as_str(), None));
    for path in files::silent(paths, named.chain(missing)) {
        let (what, why, cure) =
            (path.display().to_string(), unknown::NOTHING.to_owned(), unknown::NOTHING_CURE.to_owned());
        output.unseen(Unseen { what, why, cure }, Weight::Unknown);
    }
    Ok(())
}

/// Files with a few bytes, or one alone.
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

/// Some of what is found in a file, in the order of its text.
#[derive(Default)]
struct Portion {
    found: Vec<Finding>,
    lookalikes: Vec<Lookalike>,
}

impl Portion {
    fn extend(&mut self, next: Self) {
        self.found.extend(next.found);
        self.lookalikes.extend(next.lookalikes);
    }

    fn add_to(self, output: &mut Output, source: &Source) -> anyhow::Result<()> {
        output.add(self.found)?;
        output.lookalikes(&source.name, &self.lookalikes)
    }
}

/// What else is known of a file.
struct Read {
    contents: Contents,
    has_lookalikes: bool,
    /// What of it could not be looked at.
    left: Vec<Left>,
}

fn read(
    source: &Source,
    namespace: &str,
    policy: Option<&Policy>,
    known: &Known,
    give: &mut dyn FnMut(Portion),
) -> Result<Read, Left> {
    let (weight, template_weight) =
        if source.is_named { (Weight::Named, Weight::Named) } else { (Weight::Part, Weight::Unknown) };
    let text = source.read().map_err(|Problem { name, why }| {
        (Unseen { what: name, why, cure: "see whether it is text that may be read".to_owned() }, weight)
    })?;
    let left = |unreadable: &Unreadable| {
        let what = format!("{}:{}", unreadable.file, unreadable.line);
        let (cure, weight) = match unreadable.is_template {
            true => (RENDER, template_weight),
            false => ("mend the file there", weight),
        };
        (Unseen { what, why: unreadable.message.clone(), cure: cure.to_owned() }, weight)
    };
    let (mut portion, mut has_lookalikes) = (Portion::default(), false);
    let outline = manifest::parts(&source.name, &text, known, |part| {
        portion.found.extend(part.fields.iter().map(|field| finding(source, field, namespace, policy)));
        has_lookalikes |= !part.lookalikes.is_empty();
        portion.lookalikes.extend(part.lookalikes);
        if portion.found.len() + portion.lookalikes.len() >= PORTION {
            give(mem::take(&mut portion));
        }
    });
    let outline = outline.map_err(|unreadable| left(&unreadable))?;
    give(portion);
    let template = outline.template_line.map(|line| {
        let why = "a template: what is rendered for `{{` is not known".to_owned();
        let unseen = Unseen { what: format!("{}:{line}", source.name), why, cure: RENDER.to_owned() };
        (unseen, template_weight)
    });
    let left = outline.unreadable.iter().map(left).chain(template).collect();
    Ok(Read { contents: outline.contents, has_lookalikes, left })
}

fn finding(source: &Source, field: &Field, namespace: &str, policy: Option<&Policy>) -> Finding {
    let verdict = policy.map(|policy| Verdict::from(&field.decide(policy, namespace)));
    let place = Place::File {
        file: source.name.clone(),
        line: field.line,
        column: field.column,
        api_version: field.object.api_version.clone(),
        kind: field.object.kind.clone(),
        namespace: field.object.namespace.clone(),
        name: field.object.name.clone(),
        place: field.place.clone(),
    };
    Finding::new(field.image.clone(), place, Use::Manifest, verdict, None)
}
