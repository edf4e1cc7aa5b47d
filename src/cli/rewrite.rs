mod diff;
mod function;
mod outcome;
mod progress;
mod summary;

use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use self::outcome::{Kept, Options, Outcome, Task};
use self::progress::Progress;
use self::summary::{Gate, Summary};
use super::catalogue::CatalogueArgs;
use super::rules::RulesArgs;
use super::{output, parse_namespace};
use crate::files::{self, Found, Source, Writer};

/// A thread that writes waits for the disk most of the time, and the file system stores together what waits together.
const WRITING_THREADS: usize = 16;

const HELP: &str = "\
Examples:
  $ pullthrough rewrite --diff --rules rules.yaml deploy/
  $ pullthrough rewrite -w --rules rules.yaml deploy/ app.yaml
  $ pullthrough rewrite --check --rules rules.yaml deploy/
  $ helm template ./chart | pullthrough rewrite --rewrite-short-names --rules rules.yaml

Exit codes: 0 done; 1 with --check: an image is not what the rules want; 2 wrong usage, invalid
rules, or something could not be read, parsed or written. Templates among files don't count, but
with --check. With --check, 2 also if there was nothing to inspect, or if something was not
understood: a template, a path without a Kubernetes object, an object of a kind that is not known
with fields that look like images. --allow-unknown lets the latter pass.";

/// Rewrite the images in manifests, and not one other byte.
///
/// Reads YAML and JSON: objects, Lists, several documents, the `images` of kustomizations, the kinds of the built-in catalogue,
/// and what `manifests` in the rules file declares. Images and the kustomizations that name them change in step. Comments,
/// quotes, line ends and all else stay as they are. A document that can't be read is unchanged and named with its line, and
/// the others of its file are rewritten. Templates must be rendered first.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
// A KRM function may have its rules elsewhere.
#[command(mut_group("RulesArgs", |group| group.required(false)))]
pub struct Args {
    /// Files, and folders with all files below that are named as YAML or JSON, or begin like a manifest. `-`, or none: from
    /// standard input to standard output.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    rules: Option<RulesArgs>,

    /// Write the files in place.
    #[arg(short, long)]
    write: bool,

    /// Print what changes, for people and for `patch -p1`.
    #[arg(long)]
    diff: bool,

    /// Write nothing; list each image that is not what the rules want, and exit with 1 if there is one.
    #[arg(long, conflicts_with = "write")]
    check: bool,

    /// With --check: let pass what is not understood. These are objects of kinds that are not known with fields that look
    /// like images, templates among files, and paths without a Kubernetes object. Nothing to inspect at all still fails.
    #[arg(long, requires = "check")]
    allow_unknown: bool,

    /// The namespace of objects that name none.
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default", value_parser = parse_namespace)]
    namespace: String,

    #[command(flatten)]
    catalogue: CatalogueArgs,

    /// Also rewrite images in texts, such as data of ConfigMaps, annotations and scripts, where they are YAML or JSON. What is
    /// quoted, folded or in base64 is reported, and not rewritten.
    #[arg(long)]
    deep: bool,

    /// Don't edit kustomizations. What their `images` name is not rewritten either.
    #[arg(long)]
    no_kustomize: bool,

    /// Also rewrite images without a host, such as `nginx`, where a kustomization that is not among the files may rename them.
    #[arg(long)]
    rewrite_short_names: bool,

    /// Be a KRM function: from a ResourceList on standard input to one on standard output. Its functionConfig may hold the
    /// rules.
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
    let options = Options { namespace, catalogue, deep, no_kustomize, rewrite_short_names };
    let config = rules.map(|rules| rules.load()).transpose()?;
    if function {
        return function::run(config, options);
    }
    let config = config.ok_or_else(|| anyhow!("name the rules with --rules FILE, or the cache with --cache PREFIX"))?;
    let is_stream = paths.is_empty() || paths.iter().any(|path| path.as_os_str() == "-");
    if write && is_stream {
        bail!("standard input can't be written in place: leave out -w, and the new text is printed");
    }
    let is_special = |path: &&PathBuf| fs::metadata(path).is_ok_and(|path| !path.is_file() && !path.is_dir());
    if let Some(path) = paths.iter().find(is_special).filter(|_| write) {
        bail!(
            "{} is no file, and can't be written in place: leave out -w, and the new text is printed",
            path.display()
        );
    }
    if paths.is_empty() && io::stdin().is_terminal() {
        bail!("name files or folders, or pipe manifests in: helm template CHART | pullthrough rewrite …");
    }
    let print = !(write || diff || check);
    if print && (paths.len() > 1 || paths.iter().any(|path| path.is_dir())) {
        bail!("say what to do with files: --diff shows what changes, -w writes them, --check only asks");
    }

    let mut task = Task::new(config, options)?;
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
    // 0 is the default: one thread for each processor.
    let threads = ThreadPoolBuilder::new().num_threads(if write { WRITING_THREADS } else { 0 }).build()?;
    let outcomes: Vec<Outcome> = threads.install(|| sources.par_iter().map(step).collect());
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
