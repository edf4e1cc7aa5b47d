//! `pullthrough export`.

mod admission_policy;
mod containerd;
mod crio;
mod docker;
mod helm_values;
mod kustomize;
mod kyverno;
mod openshift;
mod renovate;
mod webhook;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use super::output;
use crate::engine::ImageRef;
use crate::export::Omission;
use crate::files::marked::{self, Change};
use crate::files::{Problem, Writer};

/// Export the rules to other formats
///
/// Rules that a format does not support are omitted, never approximated. Standard error lists each with the reason.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Webhook(webhook::Args),
    AdmissionPolicy(admission_policy::Args),
    Kyverno(kyverno::Args),
    Containerd(containerd::Args),
    Crio(crio::Args),
    Docker(docker::Args),
    Openshift(openshift::Args),
    Kustomize(kustomize::Args),
    HelmValues(helm_values::Args),
    Renovate(renovate::Args),
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Webhook(args) => webhook::run(args).map(|()| ExitCode::SUCCESS),
        What::AdmissionPolicy(args) => admission_policy::run(args),
        What::Kyverno(args) => kyverno::run(args),
        What::Containerd(args) => containerd::run(args),
        What::Crio(args) => crio::run(args),
        What::Docker(args) => docker::run(args),
        What::Openshift(args) => openshift::run(args),
        What::Kustomize(args) => kustomize::run(args),
        What::HelmValues(args) => helm_values::run(args),
        What::Renovate(args) => renovate::run(args),
    }
}

/// `--strict`.
#[derive(clap::Args)]
struct StrictArgs {
    /// Exit with 1 if something was omitted.
    #[arg(long)]
    strict: bool,
}

impl StrictArgs {
    /// Prints the omissions of an export, and returns its exit code.
    fn verdict(&self, printed: anyhow::Result<()>, omissions: &[Omission]) -> anyhow::Result<ExitCode> {
        for omission in omissions {
            output::talk(format_args!("omitted: {omission}"));
        }
        output::verdict(printed, u8::from(self.strict && !omissions.is_empty()))
    }
}

/// Prints the notes of an export.
fn note(notes: &[String]) {
    for note in notes {
        output::note(format_args!("note: {note}"));
    }
}

/// Prints objects as a stream of YAML documents.
fn documents(objects: &[serde_json::Value]) -> anyhow::Result<()> {
    let documents = objects.iter().map(serde_saphyr::to_string).collect::<Result<Vec<_>, _>>()?;
    output::data(documents.join("---\n"))
}

/// Writes texts, which begin with the marker, to their paths below a directory. Other files of `owned` that begin with the marker
/// are removed. Nothing is written if there are problems already, or if a file of another origin has one of the paths.
fn write_marked(
    directory: &Path,
    owned: &str,
    marker: &str,
    texts: &BTreeMap<String, String>,
    mut problems: Vec<Problem>,
) -> anyhow::Result<()> {
    let nearest = directory.ancestors().find(|folder| folder.exists());
    if let Some(file) = nearest.filter(|folder| !folder.is_dir()) {
        anyhow::bail!("--directory {}: {} is not a folder; use another", directory.display(), file.display());
    }
    let changes = marked::plan(directory, owned, marker, texts);
    let changes = changes.map_err(|more| problems.extend(more)).unwrap_or_default();
    if !problems.is_empty() {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::bail!("nothing was written:\n  {}", lines.join("\n  "));
    }
    let writer = Writer::default();
    for change in changes {
        change.make(&writer)?;
        match change {
            Change::Write { path, .. } => output::note(format_args!("wrote {}", path.display())),
            Change::Remove { path } => output::note(format_args!("removed {}", path.display())),
        }
    }
    Ok(writer.finish()?)
}

fn parse_image(text: &str) -> Result<String, String> {
    ImageRef::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
