//! Every example of every help text.

use std::path::Path;
use std::process::{Command, Stdio};

/// Whether an example is read, but not run: a server runs until it is stopped, and there is no cluster here.
fn is_read_only(command: &str, example: &str) -> bool {
    match command {
        "serve" | "doctor" | "certificates" => true,
        "scan" => !example.contains("deploy/") && !example.ends_with(" -"),
        _ => false,
    }
}

/// Programs that examples name, as they are here.
const STUBS: [(&str, &str); 3] =
    [("kubectl", "cat >/dev/null"), ("helm", "cat deploy/app.yaml"), ("jq", "cat >/dev/null")];

/// The commands that do something, as their arguments.
pub fn commands() -> Vec<Vec<String>> {
    fn collect(command: &clap::Command, path: &[String], paths: &mut Vec<Vec<String>>) {
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            let path = [path, &[command.get_name().to_owned()]].concat();
            match command.has_subcommands() {
                true => collect(command, &path, paths),
                false => paths.push(path),
            }
        }
    }
    let mut paths = Vec::new();
    collect(&pullthrough::cli::command(None), &[], &mut paths);
    paths
}

pub fn help(path: &[String]) -> String {
    let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let output = super::pullthrough(&arguments, b"");
    assert!(output.status.success(), "{path:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The lines that begin with `$`, those that they are continued on included.
fn examples(help: &str) -> Vec<String> {
    let Some((_, section)) = help.split_once("\nExamples:\n") else { return Vec::new() };
    let mut examples: Vec<String> = Vec::new();
    for line in section.lines().take_while(|line| !line.is_empty()) {
        match line.strip_prefix("  $ ") {
            Some(example) => examples.push(example.to_owned()),
            None => {
                let example = examples.last_mut().expect("an example comes first");
                assert!(example.ends_with('\\'), "a line that is none, or was too long: {line:?}");
                example.push('\n');
                example.push_str(line);
            }
        }
    }
    examples
}

/// Runs a line of shell in a copy of the examples' folder.
fn run(line: &str, prelude: &str) -> (std::process::Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let copied = Command::new("cp").args(["-r", "tests/data/examples/."]).arg(folder.path()).status();
    assert!(copied.expect("cp").success());
    let stubs: String = STUBS.iter().map(|(name, body)| format!("{name}() {{ {body}; }}\n")).collect();
    let binary = Path::new(env!("CARGO_BIN_EXE_pullthrough")).parent().expect("a folder");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("{stubs}{prelude}{line}")])
        .current_dir(folder.path())
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .expect("bash");
    (output, folder)
}

#[test]
fn every_example_works() {
    for path in commands() {
        let help = help(&path);
        let finds = help.contains("; 1 ");
        let examples = examples(&help);
        assert!(!examples.is_empty(), "{path:?}: the help has no lines `  $ …` below `Examples:`");
        for example in examples {
            assert!(example.contains(&format!("pullthrough {}", path.join(" "))), "of another command: {example}");
            let is_read = is_read_only(&path[0], &example);
            let prelude = if is_read { "pullthrough() { printf '%s\\0' \"$@\" >arguments; }\n" } else { "" };
            let (output, folder) = run(&example, prelude);
            let error = String::from_utf8_lossy(&output.stderr);
            // What an example finds, it may find.
            let has_found = output.status.code() == Some(1) && finds && !error.starts_with("error: ");
            assert!(output.status.success() || has_found, "{example}\n{error}");
            if is_read {
                let arguments = std::fs::read_to_string(folder.path().join("arguments")).expect("it was called");
                let arguments = arguments.split_terminator('\0');
                let parsed =
                    pullthrough::cli::command(None).try_get_matches_from(["pullthrough"].into_iter().chain(arguments));
                assert!(parsed.is_ok(), "{example}\n{parsed:?}");
            }
        }
    }
}

/// As kubectl calls its plugin.
#[test]
fn the_plugin_of_kubectl_calls_itself_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = folder.path().join("kubectl-pullthrough");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_pullthrough"), &plugin).expect("a link");
    let print = |arguments: &[&str]| {
        let output = Command::new(&plugin).args(arguments).output().expect("the binary runs");
        String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8")
    };
    let help = print(&["export", "webhook", "--help"]);
    assert!(help.contains("Usage: kubectl pullthrough export webhook [OPTIONS]"), "{help}");
    assert!(help.contains("\n  $ kubectl pullthrough export webhook --rules rules.yaml"), "{help}");
    assert!(print(&["explain"]).contains("Usage: kubectl pullthrough explain "));
}
