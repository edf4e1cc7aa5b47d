use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;

use super::{StrictArgs, note};
use crate::cli::catalogue::CatalogueArgs;
use crate::cli::rules::RulesArgs;
use crate::cli::{output, parse_namespace, unknown};
use crate::engine::Policy;
use crate::export::Export;
use crate::export::kustomize::{MARKER, Tree};
use crate::files::{self, Found, Skipped};

/// Print a kustomize Component that renames the images of a tree of manifests
///
/// Its `images` have one entry for each name, as it is written in the manifests, that the rules rewrite. An entry counts for
/// all that a kustomization builds: a name that is not to become the same everywhere is left out, and so is what kustomize does
/// not look at. For an image that comes into the tree later, print it again.
///
/// Exit codes: 0 done; 1 with --strict: something was left out; 2 wrong usage, invalid rules, or a file that was named and
/// can't be read. With --strict, 2 also if no path has a Kubernetes object.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  $ pullthrough export kustomize --rules rules.yaml deploy/ > kustomization.yaml
  $ helm template charts/web | pullthrough export kustomize --rules rules.yaml -n shop -")]
pub struct Args {
    /// Files, and folders with manifests; `-` is standard input, such as the output of `kustomize build`.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    rules: RulesArgs,

    /// The namespace of objects that name none.
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default", value_parser = parse_namespace)]
    namespace: String,

    #[command(flatten)]
    catalogue: CatalogueArgs,

    #[command(flatten)]
    strict: StrictArgs,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { paths, rules, namespace, catalogue, strict } = args;
    let config = rules.load()?;
    let known = catalogue.for_writing(config.manifests.clone())?;
    let policy = Policy::from(config);
    let mut tree = Tree::new(&policy, &namespace, known);
    let Found { sources, problems, skipped, .. } = files::find(&paths);
    skipped.into_iter().for_each(|Skipped { name, why, cure }| tree.leave_out(name, format!("{why}; {cure}")));
    for problem in problems {
        match paths.iter().any(|path| path.display().to_string() == problem.name) {
            true => bail!(problem),
            false => tree.leave_out(problem.name, problem.why),
        }
    }
    for source in sources {
        match source.read() {
            Ok(text) => match tree.add(&source.name, &text) {
                Err(unreadable) if source.is_named => bail!(unreadable),
                Err(unreadable) => {
                    tree.leave_out(format!("{}:{}", unreadable.file, unreadable.line), unreadable.message)
                }
                Ok(()) => {}
            },
            Err(problem) if source.is_named => bail!(problem),
            Err(problem) => tree.leave_out(problem.name, problem.why),
        }
    }
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    if strict.strict && !tree.has_objects() {
        bail!(unknown::nothing(&paths.join(", ")));
    }
    if tree.is_empty() {
        output::talk(format_args!("note: no image found in {}", paths.join(", ")));
    }
    let Export { what: component, notes, omissions } = tree.component();
    note(&notes);
    strict.verdict(output::data(format_args!("{MARKER}\n{}", serde_saphyr::to_string(&component)?)), &omissions)
}
