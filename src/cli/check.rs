use std::path::PathBuf;

use super::{output, rules};

/// Check a rules file.
///
/// Prints each problem with its line and what to write instead, and exits with 2 if there is one. What is valid but may not
/// be meant is noted.
#[derive(clap::Args)]
pub struct Args {
    /// The rules file.
    #[arg(long, value_name = "FILE", env = "PULLTHROUGH_RULES")]
    rules: PathBuf,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let Args { rules } = args;
    let config = rules::parse(&rules, &rules::read_file(&rules)?)?;
    for note in &config.notes {
        output::talk(format_args!("{note}\n"));
    }
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (count, notes) = (config.rules.len(), config.notes.len());
    let found = match notes {
        0 => "no problem found".to_owned(),
        notes => format!("valid, with {notes} note{}", plural(notes)),
    };
    output::talk(format_args!("{}: {count} rule{}, {found}", rules.display(), plural(count)));
    Ok(())
}
