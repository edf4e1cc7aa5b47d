use clap::builder::PossibleValue;
use clap_complete::Shell;

use super::output;

/// Print completions for a shell
///
/// For Bash, they go where bash-completion looks: ~/.local/share/bash-completion/completions/pullthrough. For Zsh, to the file
/// _pullthrough in a folder of $fpath; for fish, to ~/.config/fish/completions/pullthrough.fish. For Elvish and PowerShell,
/// into what the shell reads at its start.
///
/// For `kubectl pullthrough …`, those of kubectl go into an executable file of the PATH: kubectl_complete-pullthrough.
///
/// Exit codes: 0 done; 2 wrong usage.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  $ pullthrough completions bash > pullthrough
  $ pullthrough completions zsh > _pullthrough
  $ pullthrough completions kubectl > kubectl_complete-pullthrough")]
pub struct Args {
    shell: For,
}

#[derive(Clone, Copy)]
enum For {
    Shell(Shell),
    Kubectl,
}

impl clap::ValueEnum for For {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Shell(Shell::Bash),
            Self::Shell(Shell::Elvish),
            Self::Shell(Shell::Fish),
            Self::Shell(Shell::PowerShell),
            Self::Shell(Shell::Zsh),
            Self::Kubectl,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Shell(shell) => shell.to_possible_value(),
            Self::Kubectl => Some(PossibleValue::new("kubectl")),
        }
    }
}

/// What kubectl runs to complete the arguments of its plugin. It asks Bash, whatever shell the user has.
const KUBECTL: &str = include_str!("completions/kubectl.sh");

pub fn run(args: Args) -> anyhow::Result<()> {
    let shell = match args.shell {
        For::Shell(shell) => shell,
        For::Kubectl => return output::data(KUBECTL),
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut super::command(None), "pullthrough", &mut text);
    output::data(String::from_utf8_lossy(&text))
}
