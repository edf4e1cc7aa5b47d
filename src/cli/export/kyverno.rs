use std::process::ExitCode;

use anyhow::anyhow;
use clap::ValueEnum;

use super::{StrictArgs, documents, note};
use crate::cli::output;
use crate::cli::rules::RulesArgs;
use crate::engine::Policy;
use crate::export::Export;
use crate::export::kyverno::cluster_policy::cluster_policy;
use crate::export::kyverno::mutating_policy::mutating_policy;

/// Print a Kyverno policy that rewrites Pods as the webhook does
#[derive(clap::Args)]
#[command(after_long_help = "\
Exit codes:
  0  done
  1  with --strict: something was omitted
  2  wrong usage, or rules that are invalid, unreadable or too many

Examples:
  $ pullthrough export kyverno --rules rules.yaml | kubectl apply -f -
  $ pullthrough export kyverno --rules rules.yaml --kind ClusterPolicy \\
      > cluster-policy.yaml")]
pub struct Args {
    #[command(flatten)]
    rules: RulesArgs,

    /// The kind of policy: MutatingPolicy for Kyverno 1.18 and later, or ClusterPolicy (deprecated) for 1.10 to 1.19.
    #[arg(long, value_name = "KIND", default_value = "MutatingPolicy", ignore_case = true)]
    kind: Kind,

    #[command(flatten)]
    strict: StrictArgs,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Kind {
    MutatingPolicy,
    ClusterPolicy,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { rules, kind, strict } = args;
    let policy = Policy::from(rules.load()?);
    match kind {
        Kind::MutatingPolicy => {
            let Export { what: object, notes, omissions } =
                mutating_policy(&policy).map_err(|error| anyhow!("{error}, or use --kind ClusterPolicy"))?;
            note(&notes);
            strict.verdict(documents(&[object]), &omissions)
        }
        Kind::ClusterPolicy => {
            let Export { what: text, notes, omissions } = cluster_policy(&policy);
            note(&notes);
            strict.verdict(output::data(text), &omissions)
        }
    }
}
