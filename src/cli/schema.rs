use super::output;
use crate::config;

/// Print the JSON Schema of the rules file.
///
/// An editor with the YAML language server checks a rules file as it is written if its first line is
/// `# yaml-language-server: $schema=rules.schema.json`.
#[derive(clap::Args)]
pub struct Args {}

pub fn run(args: Args) -> anyhow::Result<()> {
    let Args {} = args;
    output::data(format_args!("{}\n", serde_json::to_string_pretty(&config::schema())?))
}
