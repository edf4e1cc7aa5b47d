use std::process::ExitCode;

use super::{StrictArgs, note};
use crate::cli::output;
use crate::cli::rules::RulesArgs;
use crate::engine::Policy;
use crate::export::{Export, docker};

/// Print the mirror of Docker Hub for Docker's daemon.json
///
/// It is the one registry that Docker has mirrors of, and a mirror has no path. Where it fails, images come from Docker Hub.
///
/// Not run with Docker: checked with the library by which it chooses registries.
///
/// Exit codes: 0 done; 1 with --strict: something was left out; 2 wrong usage, or invalid rules.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  $ pullthrough export docker --rules rules.yaml > daemon.json
  $ pullthrough export docker --rules rules.yaml --strict --plain-http")]
pub struct Args {
    #[command(flatten)]
    rules: RulesArgs,

    /// The cache speaks plain HTTP.
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
