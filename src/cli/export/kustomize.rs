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
use crate::files::{self, Found, SkippedFile};
use crate::manifest::Known;

/// Print a kustomize Component that rewrites the images of manifests
///
/// Its `images` have an entry for each image name in the manifests that the rules rewrite. An entry applies to all images
/// of a kustomization. Omitted are names that the rules do not rewrite alike everywhere, and fields that kustomize does not
/// read. If images are added later, print the Component again.
#[derive(clap::Args)]
#[command(after_long_help = "\
Exit codes:
  0  done
  1  with --strict: something was omitted
  2  wrong usage, invalid or unreadable rules, or a named file that can't be
     read; with --strict also if no path has a Kubernetes object

Examples:
  $ pullthrough export kustomize --rules rules.yaml deploy/ > kustomization.yaml
  $ helm template charts/web \\
      | pullthrough export kustomize --rules rules.yaml -n shop -")]
pub struct Args {
    /// Files, and folders with manifests; `-` is standard input, such as the output of `kustomize build`.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    rules: RulesArgs,

    /// The namespace of objects without one.
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
    let known = Known { declared: config.manifests.clone(), catalogue: catalogue.for_writing()?, ..Known::default() };
    let policy = Policy::from(config);
    let mut tree = Tree::new(&policy, &namespace, known);
    let Found { sources, problems, skipped, .. } = files::find(&paths);
    skipped.into_iter().for_each(|SkippedFile { name, why, fix }| tree.omit(name, format!("{why}; {fix}")));
    for problem in problems {
        if paths.iter().any(|path| path.display().to_string() == problem.name) {
            bail!(problem)
        } else {
            tree.omit(problem.name.clone(), problem.reason())
        }
    }
    for source in sources {
        match source.read() {
            Ok(text) => match tree.add(&source.name, &text) {
                Err(unreadable) if source.is_named => bail!(unreadable),
                Err(unreadable) => tree.omit(format!("{}:{}", unreadable.file, unreadable.line), unreadable.message),
                Ok(()) => {}
            },
            Err(problem) if source.is_named => bail!(problem),
            Err(problem) => tree.omit(problem.name.clone(), problem.reason()),
        }
    }
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    if strict.strict && !tree.has_objects() {
        bail!(unknown::nothing(&paths.join(", ")));
    }
    if tree.is_empty() {
        output::note(format_args!("note: no image in {}", paths.join(", ")));
    }
    let Export { what: component, notes, omissions } = tree.component();
    note(&notes);
    strict.verdict(output::data(format_args!("{MARKER}\n{}", serde_saphyr::to_string(&component)?)), &omissions)
}
