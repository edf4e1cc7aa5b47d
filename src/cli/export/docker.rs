use std::process::ExitCode;

use super::{StrictArgs, note};
use crate::cli::output;
use crate::cli::rules::RulesArgs;
use crate::engine::Policy;
use crate::export::{Export, docker};

/// Print the mirror of Docker Hub for Docker's daemon.json
///
/// Docker supports mirrors of Docker Hub only, and only mirrors without a path. If the mirror fails, images are pulled from
/// Docker Hub.
#[derive(clap::Args)]
#[command(after_long_help = "\
Exit codes:
  0  done
  1  with --strict: something was omitted
  2  wrong usage, or invalid or unreadable rules

Examples:
  $ pullthrough export docker --rules rules.yaml > daemon.json
  $ pullthrough export docker --rules rules.yaml --strict --plain-http")]
pub struct Args {
    #[command(flatten)]
    rules: RulesArgs,

    /// The cache has no TLS.
    #[arg(long)]
    plain_http: bool,

    #[command(flatten)]
    strict: StrictArgs,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { rules, plain_http, strict } = args;
    let policy = Policy::from(rules.load()?);
    let Export { what: daemon, notes, omissions } = docker::daemon(&policy, if plain_http { "http" } else { "https" });
    let printed = output::data(format_args!("{}\n", serde_json::to_string_pretty(&daemon)?));
    note(&notes);
    strict.verdict(printed, &omissions)
}
