use std::process::ExitCode;

use anyhow::anyhow;
use clap::ValueEnum;

use super::{StrictArgs, documents, note};
use crate::cli::output;
use crate::cli::rules::RulesArgs;
use crate::engine::Policy;
use crate::export::kyverno::cluster_policy::{NOTE, cluster_policy};
use crate::export::kyverno::mutating_policy::mutating_policy;

/// Print a policy for Kyverno that rewrites Pods as the webhook would
///
/// Exit codes: 0 done; 1 something was left out, with --strict; 2 wrong usage, or the rules are invalid, too many, or can't be read.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  $ pullthrough export kyverno --rules rules.yaml | kubectl apply -f -
  $ pullthrough export kyverno --rules rules.yaml --kind ClusterPolicy > cluster-policy.yaml")]
pub struct Args {
    #[command(flatten)]
    rules: RulesArgs,

    /// MutatingPolicy is for Kyverno 1.18 and later, ClusterPolicy for 1.10 and later.
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
    let (printed, left_out) = match kind {
        Kind::MutatingPolicy => {
            let (object, left_out) =
                mutating_policy(&policy).map_err(|error| anyhow!("{error}, or --kind ClusterPolicy"))?;
            (documents(&[object]), left_out)
        }
        Kind::ClusterPolicy => {
            let (text, left_out) = cluster_policy(&policy);
            note(&[NOTE.to_owned()]);
            (output::data(text), left_out)
        }
    };
    strict.verdict(printed, &left_out)
}
