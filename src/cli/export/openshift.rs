use std::process::ExitCode;

use clap::ValueEnum;

use super::{StrictArgs, note};
use crate::cli::output;
use crate::cli::rules::RulesArgs;
use crate::engine::Policy;
use crate::export::{Export, openshift};

/// Print an ImageDigestMirrorSet and an ImageTagMirrorSet for OpenShift
///
/// An `except` below a mirrored registry becomes a source whose first mirror is itself. Its second mirror is the same
/// registry under another name. OpenShift drops a source that has no other mirror.
#[derive(clap::Args)]
#[command(after_long_help = "\
Exit codes:
  0  done
  1  with --strict: something was omitted
  2  wrong usage, or invalid or unreadable rules

Examples:
  $ pullthrough export openshift --rules rules.yaml
  $ pullthrough export openshift --cache cache.example.com/k8s \\
      --source-policy NeverContactSource | kubectl apply -f -")]
pub struct Args {
    #[command(flatten)]
    rules: RulesArgs,

    /// Whether nodes pull an image from the original registry if the mirror fails.
    #[arg(long, value_name = "POLICY", default_value = "AllowContactingSource", ignore_case = true)]
    source_policy: SourcePolicy,

    #[command(flatten)]
    strict: StrictArgs,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum SourcePolicy {
    AllowContactingSource,
    NeverContactSource,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { rules, source_policy, strict } = args;
    let policy = Policy::from(rules.load()?);
    let source_policy = match source_policy {
        SourcePolicy::AllowContactingSource => "AllowContactingSource",
        SourcePolicy::NeverContactSource => "NeverContactSource",
    };
    let Export { what: [digests, tags], notes, omissions } = openshift::mirror_sets(&policy, source_policy);
    let (digests, tags) = (serde_saphyr::to_string(&digests)?, serde_saphyr::to_string(&tags)?);
    let printed = output::data(format_args!("{digests}---\n{tags}"));
    note(&notes);
    strict.verdict(printed, &omissions)
}
