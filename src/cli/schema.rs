use super::output;
use crate::{config, golden};

/// Print the JSON Schema of the rules file
///
/// Editors with the YAML language server check a rules file with it. Start the file with the line
/// `# yaml-language-server: $schema=rules.schema.json`.
#[derive(clap::Args)]
#[command(after_long_help = "Exit codes:\n  0  done\n  2  wrong usage\n\nExamples:\n  \
    $ pullthrough schema > rules.schema.json\n  \
    $ pullthrough schema --of tests > tests.schema.json")]
pub struct Args {
    /// The file: rules, or tests for `pullthrough test`.
    #[arg(long, value_name = "FILE", default_value = "rules")]
    of: Of,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Of {
    Rules,
    Tests,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let schema = match args.of {
        Of::Rules => config::schema(),
        Of::Tests => golden::schema(),
    };
    output::data(format_args!("{}\n", serde_json::to_string_pretty(&schema)?))
}
