//! The kubectl plugin: by its name in the PATH, and as krew installs it.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use super::tool;

/// Returns a folder for the PATH with the plugin and its completions.
fn plugged() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    symlink(env!("CARGO_BIN_EXE_pullthrough"), folder.path().join("kubectl-pullthrough")).expect("a link");
    folder
}

fn kubectl(folder: &Path, arguments: &[&str]) -> Output {
    let kubectl = crate::harness::assets(None, &[]).unwrap_or_else(|error| panic!("{error:#}")).join("kubectl");
    // kubectl warns about folders of the PATH that do not exist.
    let path = format!("{}:/usr/bin:/bin", folder.display());
    Command::new(kubectl).args(arguments).env("PATH", path).env("HOME", folder).output().expect("kubectl runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn kubectl_has_it_as_a_plugin() {
    let folder = plugged();
    let list = kubectl(folder.path(), &["plugin", "list", "--name-only"]);
    assert!(list.status.success(), "{}", text(&list.stderr));
    assert_eq!(text(&list.stdout).trim().lines().last(), Some("kubectl-pullthrough"));
    assert!(text(&list.stderr).is_empty(), "no warning, such as of a name that kubectl has: {}", text(&list.stderr));

    let explained =
        kubectl(folder.path(), &["pullthrough", "explain", "--cache", "cache.example.com/k8s", "k8s.gcr.io/pause:3.9"]);
    assert!(explained.status.success(), "{}", text(&explained.stderr));
    assert!(text(&explained.stdout).contains("  rewrite    cache.example.com/k8s/pause:3.9  (rule kubernetes)\n"));

    let wrong = kubectl(folder.path(), &["pullthrough", "explain", "nginx"]);
    assert_eq!(wrong.status.code(), Some(2), "kubectl must return the exit code of the plugin");
    assert!(text(&wrong.stderr).contains("Usage: kubectl pullthrough explain "), "{}", text(&wrong.stderr));
}

#[test]
fn kubectl_completes_it() {
    use std::os::unix::fs::PermissionsExt;

    let folder = plugged();
    let printed = kubectl(folder.path(), &["pullthrough", "completions", "kubectl"]);
    let script = folder.path().join("kubectl_complete-pullthrough");
    std::fs::write(&script, printed.stdout).expect("a file");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let complete = |words: &[&str]| {
        let completed = kubectl(folder.path(), &[&["__complete", "pullthrough"], words].concat());
        text(&completed.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["ex"]), ["explain", "export", ":4"]);
    assert_eq!(complete(&["check", "--allow", "fro"]), ["frozen", ":4"]);
}

#[test]
fn krew_takes_the_manifest() {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let folder = tempfile::tempdir().expect("a folder");
    let sums = folder.path().join("SHA256SUMS");
    let fill = || {
        let output = Command::new("manifests/krew/fill.sh").arg(VERSION).arg(&sums).output().expect("bash");
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let line = |(platform, digit): (&str, u8)| {
        let sum = char::from(digit).to_string().repeat(64);
        format!("{sum}  pullthrough-{VERSION}-{platform}.tar.gz\n")
    };
    let platforms = [("linux-amd64", b'a'), ("linux-arm64", b'b'), ("darwin-amd64", b'c'), ("darwin-arm64", b'd')];
    std::fs::write(&sums, platforms[..3].iter().copied().map(line).collect::<String>()).expect("a file");
    let (is_filled, _, error) = fill();
    assert!(!is_filled && error.contains(&format!("lacks pullthrough-{VERSION}-darwin-arm64.tar.gz: run ")), "{error}");

    std::fs::write(&sums, platforms.into_iter().map(line).collect::<String>()).expect("a file");
    let (is_filled, manifest, error) = fill();
    assert!(is_filled && !manifest.contains('@'), "{error}\n{manifest}");
    // krew expects the name of the plugin as the name of the file.
    let file = folder.path().join("pullthrough.yaml");
    std::fs::write(&file, &manifest).expect("a file");
    let validated = Command::new(tool("validate-krew-manifest"))
        .arg("-manifest")
        .arg(&file)
        .arg("-skip-install")
        .output()
        .expect("the validator runs");
    assert!(validated.status.success(), "{}", text(&validated.stderr));
}
