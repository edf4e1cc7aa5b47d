use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use super::{StrictArgs, note, parse_image, write_marked};
use crate::cli::output;
use crate::cli::rules::RulesArgs;
use crate::engine::Policy;
use crate::export::{Export, crio};

/// Print registry mirrors and the sandbox image for nodes with CRI-O
///
/// There are two files: registries.conf.d/50-pullthrough.conf, which Podman, Buildah and Skopeo read too, and
/// crio.conf.d/50-pullthrough.conf. If a mirror fails, images are pulled from the original registry, unless --no-fallback is set.
#[derive(clap::Args)]
#[command(after_long_help = "\
Exit codes:
  0  done
  1  with --strict: something was omitted
  2  wrong usage, invalid or unreadable rules, or a file that can't be written

Examples:
  $ pullthrough export crio --rules rules.yaml > 50-pullthrough.conf
  $ pullthrough export crio --rules rules.yaml --directory etc
  $ pullthrough export crio --cache cache.example.com/k8s --part crio")]
pub struct Args {
    #[command(flatten)]
    rules: RulesArgs,

    /// The file to print.
    #[arg(long, value_name = "FILE", default_value = "registries", conflicts_with = "directory")]
    part: Part,

    /// Write both files below this directory, which is /etc of the node.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,

    /// The sandbox image of Pods, to which the rules are applied.
    #[arg(long, value_name = "IMAGE", default_value = "registry.k8s.io/pause:3.10.1", value_parser = parse_image)]
    pause_image: String,

    /// Pull from the cache only, as with the webhook. If the cache fails, pulls fail.
    #[arg(long)]
    no_fallback: bool,

    /// Use plain HTTP if the cache has no TLS, and don't verify its certificate.
    #[arg(long)]
    insecure: bool,

    #[command(flatten)]
    strict: StrictArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Registries,
    Crio,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { rules, part, directory, pause_image, no_fallback, insecure, strict } = args;
    let policy = Policy::from(rules.load()?);
    let registries = || crio::registries(&policy, crio::CrioOptions { no_fallback, insecure });
    let crio = || crio::crio(&policy, &pause_image);
    let Some(directory) = directory else {
        let Export { what: text, notes, omissions } = match part {
            Part::Registries => registries(),
            Part::Crio => crio().map(Option::unwrap_or_default),
        };
        note(&notes);
        return strict.verdict(output::data(text), &omissions);
    };
    let Export { what: registries, mut notes, mut omissions } = registries();
    let crio = crio();
    notes.extend(crio.notes);
    omissions.extend(crio.omissions);
    note(&notes);
    let files = [(crio::REGISTRIES_FILE, Some(registries)), (crio::CRIO_FILE, crio.what)];
    let files = files.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?))).collect();
    strict.verdict(write_marked(&directory, crio::CRIO_FOLDER, crio::MARKER, &files, Vec::new()), &omissions)
}
