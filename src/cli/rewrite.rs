mod function;
mod progress;
mod summary;

use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use self::progress::Progress;
use self::summary::{Gate, Summary};
use super::catalogue::CatalogueArgs;
use super::rules::RulesArgs;
use super::{output, parse_namespace};
use crate::files::{self, Found, Source, Writer};
use crate::rewrite::{Kept, RewriteOptions, Task, TextOutcome, diff};

/// Threads that write mostly wait for the disk, and the file system batches concurrent writes.
const WRITING_THREADS: usize = 16;

const HELP: &str = "\
Exit codes:
  0  done
  1  with --check: the rules rewrite an image
  2  wrong usage, invalid rules, or an input that could not be read, parsed or
     written; with --check also if nothing was inspected, or something was not
     understood

Examples:
  $ pullthrough rewrite --diff --rules rules.yaml deploy/
  $ pullthrough rewrite -w --rules rules.yaml deploy/ app.yaml
  $ pullthrough rewrite --check --rules rules.yaml deploy/
  $ helm template ./chart \\
      | pullthrough rewrite --rewrite-short-names --rules rules.yaml";

/// Rewrite the images in manifests, and no other byte
///
/// Reads YAML and JSON: objects, Lists, streams of documents, and `images` of kustomizations. Besides kinds of Kubernetes, it
/// knows those of the built-in catalogue and of `manifests` in the rules file. Images and the kustomizations that name them are
/// rewritten together. Comments, quotes and line ends do not change. Render templates first.
///
/// An unreadable document is unchanged, and reported with its line. The other documents of its file are rewritten.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
// The functionConfig of a KRM function may have the rules.
#[command(mut_group("RulesArgs", |group| group.required(false)))]
pub struct Args {
    /// Files, and folders. In folders, files are read that are named as YAML or JSON, or that start like a manifest. `-`, or no
    /// path: standard input to standard output.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    rules: Option<RulesArgs>,

    /// Change the files in place.
    #[arg(short, long)]
    write: bool,

    /// Print the changes as a diff, for `patch -p1` too.
    #[arg(long)]
    diff: bool,

    /// Change nothing. List the images that the rules rewrite, and exit with 1 if the list is not empty.
    #[arg(long, conflicts_with = "write")]
    check: bool,

    /// With --check: allow what is not understood. This is: fields that look like images in objects of unknown kinds, templates
    /// in folders, and paths without Kubernetes objects. If there is nothing to inspect, --check still fails.
    #[arg(long, requires = "check")]
    allow_unknown: bool,

    /// The namespace of objects without one.
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default", value_parser = parse_namespace)]
    namespace: String,

    #[command(flatten)]
    catalogue: CatalogueArgs,

    /// Also rewrite images in texts that are YAML or JSON, such as data of ConfigMaps, annotations and scripts. Quoted, folded
    /// and base64 texts are reported, and not rewritten.
    #[arg(long)]
    deep: bool,

    /// Don't change kustomizations. Images that their `images` name are not rewritten either.
    #[arg(long)]
    no_kustomize: bool,

    /// Also rewrite images without a host, such as `nginx`, that a kustomization outside the files may rename.
    #[arg(long)]
    rewrite_short_names: bool,

    /// Run as a KRM function: read a ResourceList from standard input and print it to standard output. Its functionConfig may
    /// have the rules.
    #[arg(long = "fn", conflicts_with_all = ["paths", "write", "diff", "check"])]
    function: bool,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        paths,
        rules,
        write,
        diff,
        check,
        allow_unknown,
        namespace,
        catalogue,
        deep,
        no_kustomize,
        rewrite_short_names,
        function,
    } = args;
    let catalogue = catalogue.for_writing()?;
    let options = RewriteOptions { namespace, catalogue, deep, no_kustomize, rewrite_short_names };
    let config = rules.map(|rules| rules.load()).transpose()?;
    if function {
        return function::run(config, options);
    }
    let config = config.ok_or_else(|| anyhow!("rules missing; set --rules FILE or --cache PREFIX"))?;
    let is_stream = paths.is_empty() || paths.iter().any(|path| path.as_os_str() == "-");
    if write && is_stream {
        bail!("standard input can't be changed in place; remove -w to print the new text");
    }
    let is_special = |path: &&PathBuf| fs::metadata(path).is_ok_and(|path| !path.is_file() && !path.is_dir());
    if let Some(path) = paths.iter().find(is_special).filter(|_| write) {
        bail!(
            "{} is not a regular file, and can't be changed in place; remove -w to print the new text",
            path.display()
        );
    }
    if paths.is_empty() && io::stdin().is_terminal() {
        bail!("no input; name files or folders, or pipe manifests: helm template CHART | pullthrough rewrite …");
    }
    let print = !(write || diff || check);
    if print && (paths.len() > 1 || paths.iter().any(|path| path.is_dir())) {
        bail!(
            "several files can't be printed; use --diff to show the changes, -w to write them, or --check to list images"
        );
    }

    let mut task = Task::new(config, options);
    task.writer = write.then(Writer::default);
    task.kept = match () {
        () if print || diff => Kept::Texts,
        () if check => Kept::Lists,
        () => Kept::Nothing,
    };
    let stdin = [PathBuf::from("-")];
    let paths = if paths.is_empty() { &stdin } else { paths.as_slice() };
    let Found { sources, mut problems, skipped, .. } = files::find(paths);
    task.prepare(paths, &sources);
    let progress = Progress::new(sources.len());
    let step = |source: &Source| {
        let outcome = task.perform(source);
        progress.step();
        outcome
    };
    // 0 is one thread for each processor.
    let threads = ThreadPoolBuilder::new().num_threads(if write { WRITING_THREADS } else { 0 }).build()?;
    let outcomes: Vec<TextOutcome> = threads.install(|| sources.par_iter().map(step).collect());
    progress.finish();
    problems.extend(task.writer.take().and_then(|writer| writer.finish().err()));

    let printed = outcomes.iter().flatten().try_for_each(|done| match () {
        () if print => output::data(done.text()),
        () if diff => output::data(diff::unified(done, output::is_coloured())),
        () if check => output::data(&done.list),
        () => Ok(()),
    });
    let summary = Summary {
        paths,
        sources: &sources,
        problems: &problems,
        skipped: &skipped,
        outcomes: &outcomes,
        notes: task.notes(),
        is_print: print,
        is_done: write || print,
        gate: check.then_some(Gate { allow_unknown }),
    };
    let is_shut = summary.tell();
    let code = match () {
        () if summary.has_failed() || is_shut => 2,
        () if check && summary.would_change() => 1,
        () => 0,
    };
    output::verdict(printed, code)
}
