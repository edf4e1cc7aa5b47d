//! The command line: one file per command.

mod check;
mod doctor;
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
/// Exit codes: 0 done; 1 `doctor` found faults; 2 wrong usage, unreadable or invalid rules, a server that can't start, or a
/// cluster that can't be looked at.
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
    Doctor(doctor::Args),
}

/// Runs the command that the arguments of the process name.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(args).map(done),
        Command::Explain(args) => explain::run(args).map(done),
        Command::Check(args) => check::run(args).map(done),
        Command::Schema(args) => schema::run(args).map(done),
        Command::Export(args) => export::run(args).map(done),
        Command::Doctor(args) => doctor::run(args),
    };
    match result {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::from(2)
        }
    }
}

fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}
