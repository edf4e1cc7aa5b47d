//! Completions in shells, and manual pages in the programs that display them.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::needs;
use crate::program::{commands, pullthrough};

fn installed(program: &str) -> Command {
    needs(program);
    Command::new(program)
}

fn written(folder: &Path, name: &str, arguments: &[&str]) -> String {
    let output = pullthrough(arguments);
    assert!(output.status.success(), "{arguments:?}");
    let file = folder.join(name);
    std::fs::write(&file, output.stdout).expect("a file");
    file.to_str().expect("UTF-8").to_owned()
}

/// Returns the output of a script in this shell.
fn run(shell: &str, script: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_pullthrough")).parent().expect("a folder");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let output = installed(shell).args(["-c", script]).env("PATH", path).stdin(Stdio::null()).output().expect(shell);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{shell}: {}: {error}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.split('\t').next().unwrap_or_default().trim()).collect()
}

#[test]
fn bash_completes() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = written(folder.path(), "pullthrough", &["completions", "bash"]);
    let complete = |words: &str| {
        let script = format!(
            "source {file}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=(); \
             _pullthrough pullthrough \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        run("bash", &script)
    };
    assert_eq!(lines(&complete("pullthrough ex")), ["explain", "export"]);
    assert_eq!(lines(&complete("pullthrough init har")), ["harbor"]);
    assert_eq!(lines(&complete("pullthrough check --allow uns")), ["unsupported-upstream"]);
}

#[test]
fn fish_completes() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = written(folder.path(), "pullthrough.fish", &["completions", "fish"]);
    let script = format!("source {file}; complete --do-complete 'pullthrough ex'");
    assert_eq!(lines(&run("fish", &script)), ["explain", "export"]);
}

#[test]
fn zsh_completes() {
    let folder = tempfile::tempdir().expect("a folder");
    written(folder.path(), "_pullthrough", &["completions", "zsh"]);
    // Zsh only completes typed text. So the test types into a shell in a terminal of its own.
    let script = format!(
        "zmodload zsh/zpty; zpty shell zsh -f -i; \
         zpty -w shell 'PS1=; fpath=({} $fpath); autoload -U compinit; compinit -u -D; LISTMAX=999; echo ready-$((1 + 1))'; \
         zpty -r -m shell ignored '*ready-2*'; zpty -w -n shell $'pullthrough ex\\t\\t'; \
         zpty -r -m shell text '*explain*export*'; print -rn -- $text; zpty -d shell",
        folder.path().display()
    );
    let shown = run("zsh", &script);
    assert!(shown.contains("explain") && shown.contains("export"), "{shown:?}");
}

/// The completions of the kubectl plugin: the file that kubectl runs, and its output.
#[test]
fn the_completions_for_kubectl_are_those_of_bash() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = written(folder.path(), "kubectl_complete-pullthrough", &["completions", "kubectl"]);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_pullthrough"), folder.path().join("kubectl-pullthrough"))
        .expect("a link");
    let complete = |words: &str| run("bash", &format!("PATH={}:$PATH; bash {file} {words}", folder.path().display()));
    assert_eq!(lines(&complete("ex")), ["explain", "export", ":4"]);
    assert_eq!(lines(&complete("init har")), ["harbor", ":4"]);
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().to_str().expect("UTF-8");
    assert!(pullthrough(&["man", "--dir", dir]).status.success());
    let mut pages: Vec<_> =
        std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    pages.sort();
    let names: Vec<_> = pages.iter().filter_map(|page| page.file_name()?.to_str()).collect();
    assert!(names.contains(&"pullthrough.1") && names.contains(&"pullthrough-export-webhook.1"), "{names:?}");
    assert!(pages.len() > commands().len(), "{names:?}");
    let one = pullthrough(&["man", "export", "webhook"]).stdout;
    assert_eq!(one, std::fs::read(folder.path().join("pullthrough-export-webhook.1")).expect("a file"));
    for page in &pages {
        let lint = installed("mandoc").args(["-T", "lint", "-W", "error"]).arg(page).output().expect("mandoc");
        assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
        let shown = installed("man").arg("-l").arg(page).env("MANWIDTH", "100").output().expect("man");
        let (text, error) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
        assert!(shown.status.success() && error.is_empty(), "{}: {error}", page.display());
        assert!(text.contains("NAME") && text.contains("SYNOPSIS"), "{text}");
    }
}
