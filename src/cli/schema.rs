use super::output;
use crate::{config, golden};

/// Print the JSON Schema of the rules file
///
/// An editor with the YAML language server checks a rules file as it is written if its first line is
/// `# yaml-language-server: $schema=rules.schema.json`.
///
/// Exit codes: 0 done; 2 wrong usage.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:\n  \
    $ pullthrough schema > rules.schema.json\n  \
    $ pullthrough schema --of tests > tests.schema.json")]
pub struct Args {
    /// Which file: the rules, or what `pullthrough test` reads.
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
