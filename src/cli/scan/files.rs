//! Files and folders, scanned.

use std::path::{Path, PathBuf};

use anyhow::bail;
use rayon::prelude::*;

use super::output::{Output, Weight};
use crate::cli::unknown;
use crate::engine::Policy;
use crate::files::{self, Found, Problem, Skipped, Source};
use crate::manifest::{Contents, Field, Known, Lookalike, Manifest, Unreadable};
use crate::scan::{Finding, Place, Unseen, Use, Verdict};

const DEFAULT_NAMESPACE: &str = "default";
/// Files that are read at once, and printed in order.
const CHUNK: usize = 256;

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
    for chunk in sources.chunks(CHUNK) {
        let read: Vec<_> = chunk.par_iter().map(|source| read(source, namespace, policy, known)).collect();
        for (source, read) in chunk.iter().zip(read) {
            let is_silent = match read {
                Ok(Read { found, contents, lookalikes, left }) => {
                    output.add(1, found)?;
                    output.contents(contents);
                    output.lookalikes(&source.name, &lookalikes)?;
                    let is_silent = contents.objects == 0 && lookalikes.is_empty() && left.is_empty();
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

/// What a file has.
struct Read {
    found: Vec<Finding>,
    contents: Contents,
    lookalikes: Vec<Lookalike>,
    /// What of it could not be looked at.
    left: Vec<Left>,
}

fn read(source: &Source, namespace: &str, policy: Option<&Policy>, known: &Known) -> Result<Read, Left> {
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
    let manifest = Manifest::read(&source.name, &text, known).map_err(|unreadable| left(&unreadable))?;
    let template = manifest.template_line().map(|line| {
        let why = "a template: what is rendered for `{{` is not known".to_owned();
        let unseen = Unseen { what: format!("{}:{line}", source.name), why, cure: RENDER.to_owned() };
        (unseen, template_weight)
    });
    let left = manifest.unreadable().iter().map(left).chain(template).collect();
    let found = manifest.fields().iter().map(|field| finding(source, field, namespace, policy)).collect();
    Ok(Read { found, contents: manifest.contents(), lookalikes: manifest.lookalikes().to_vec(), left })
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
