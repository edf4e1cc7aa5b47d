use std::process::ExitCode;

fn main() -> ExitCode {
    pullthrough::cli::main()
}
