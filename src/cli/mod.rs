//! The command line: one file per command.

mod check;
mod explain;
mod export;
mod output;
mod rules;
mod schema;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sends every image pull of a Kubernetes cluster through the organisation's pull-through cache.
///
/// Exit codes: 0 done; 2 wrong usage, unreadable or invalid rules, or a server that can't start.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Args),
    Explain(explain::Args),
    Check(check::Args),
    Schema(schema::Args),
    Export(export::Args),
}

/// Runs the command that the arguments of the process name.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Check(args) => check::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Export(args) => export::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::from(2)
        }
    }
}
