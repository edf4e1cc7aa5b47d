//! The examples of all help texts.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::commands;

/// Returns whether an example is only parsed. A server does not end by itself, and there is no cluster and no
/// registry.
fn is_read_only(command: &str, example: &str) -> bool {
    match command {
        "serve" | "doctor" | "certificates" | "verify" | "warm" | "drill" => true,
        "scan" => !example.contains("deploy/") && !example.ends_with(" -"),
        _ => false,
    }
}

/// Stand-ins for programs in examples.
const STUBS: [(&str, &str); 3] = [("kubectl", "cat >/dev/null"), ("helm", HELM), ("jq", "cat >/dev/null")];
/// Prints the ConfigMap of the chart's rules if it is asked for, or else a Deployment.
const HELM: &str = "case \"$*\" in *templates/rules.yaml*)
  printf 'kind: ConfigMap\\ndata:\\n  rules.yaml: |\\n'; sed 's/^/    /' rules.yaml;;
*) cat deploy/app.yaml;; esac";

pub fn help(path: &[String]) -> String {
    let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let output = super::pullthrough(&arguments, b"");
    assert!(output.status.success(), "{path:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Returns the lines that begin with `$`, with their continuation lines.
fn examples(help: &str) -> Vec<String> {
    let Some((_, section)) = help.split_once("\nExamples:\n") else { return Vec::new() };
    let mut examples: Vec<String> = Vec::new();
    for line in section.lines().take_while(|line| !line.is_empty()) {
        match line.strip_prefix("  $ ") {
            Some(example) => examples.push(example.to_owned()),
            None => {
                let example = examples.last_mut().expect("an example comes first");
                assert!(example.ends_with('\\'), "not an example, or wrapped because it is too long: {line:?}");
                example.push('\n');
                example.push_str(line);
            }
        }
    }
    examples
}

/// Runs a line of shell in a copy of the folder with the examples.
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
        let finds = help.contains("\n  1  ");
        let examples = examples(&help);
        assert!(!examples.is_empty(), "{path:?}: the help has no lines `  $ …` below `Examples:`");
        for example in examples {
            assert!(
                example.contains(&format!("pullthrough {}", path.join(" "))),
                "the example has another command: {example}"
            );
            let is_read = is_read_only(&path[0], &example);
            // It reads its input, so that the program before it in a pipe does not fail.
            let stand_in = "pullthrough() { cat >/dev/null; printf '%s\\0' \"$@\" >arguments; }\n";
            let prelude = if is_read { stand_in } else { "" };
            let (output, folder) = run(&example, prelude);
            let error = String::from_utf8_lossy(&output.stderr);
            // An example may exit with 1 for what it finds.
            let has_found = output.status.code() == Some(1) && finds && !error.starts_with("error: ");
            assert!(output.status.success() || has_found, "{example}\n{error}");
            if is_read {
                let arguments =
                    std::fs::read_to_string(folder.path().join("arguments")).expect("the stand-in was called");
                let arguments = arguments.split_terminator('\0');
                let parsed =
                    pullthrough::cli::command(None).try_get_matches_from(["pullthrough"].into_iter().chain(arguments));
                assert!(parsed.is_ok(), "{example}\n{parsed:?}");
            }
        }
    }
}

/// kubectl calls its plugin by this name.
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
