//! pre-commit with the hooks of this repository.

use std::process::Output;

use super::workshop::Workshop;
use super::{PAUSE, tool};

const REPOSITORY: &str = "https://github.com/pullthrough/pullthrough";

/// Returns a workshop whose git replaces the released repository by a new one with the same files.
pub fn clone_of_this_repository(workshop: Workshop) -> Workshop {
    let checkout = env!("CARGO_MANIFEST_DIR");
    workshop.ok(&format!(
        "
        mkdir home/released
        cp -r '{checkout}'/.pre-commit-hooks.yaml '{checkout}'/integrations home/released
        git config --global user.name test
        git config --global user.email test@example.com
        git config --global init.defaultBranch main
        git config --global advice.detachedHead false
        git config --global 'url.file://{released}.insteadOf' {REPOSITORY}
        git -C home/released init --quiet
        git -C home/released add --all
        git -C home/released commit --quiet --message released
        git -C home/released tag v{version}
        ",
        released = workshop.path("home/released").display(),
        version = env!("CARGO_PKG_VERSION"),
    ));
    workshop
}

fn workshop() -> Workshop {
    let workshop = Workshop::new("pre-commit").with("pre-commit", &tool("pre-commit"));
    let workshop = clone_of_this_repository(workshop);
    workshop.write(".gitignore", "/home\n");
    workshop.write("chart/templates/a.yaml", "{{ if .Values.a }}\nkind: Pod\n{{ end }}\n");
    workshop.ok("git init --quiet && git add --all && git commit --quiet --message all");
    workshop
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_hook_rewrites() {
    let workshop = workshop();
    let first = workshop.run(&workshop.section.script);
    assert!(!first.status.success() && text(&first).contains("files were modified by this hook"), "{}", text(&first));
    assert_eq!(workshop.ok("git diff --name-only"), "deploy/web.yaml\n");
    assert!(workshop.read("deploy/web.yaml").contains(&format!("image: \"{PAUSE}\"  # until the volume is there\n")));
    workshop.ok("git add --all");
    workshop.ok_as_shown();
    workshop.ok("git diff --exit-code");
}

#[test]
fn the_hook_checks() {
    let workshop = workshop();
    let configuration = workshop.read(".pre-commit-config.yaml");
    workshop.write(".pre-commit-config.yaml", &configuration.replace("pullthrough-rewrite", "pullthrough-check"));
    let first = workshop.run(&workshop.section.script);
    let line = format!("deploy/web.yaml:12: registry.k8s.io/pause:3.10 → {PAUSE} (kubernetes)");
    assert!(!first.status.success() && text(&first).contains(&line), "{}", text(&first));
    workshop.ok("git diff --exit-code -- deploy && pullthrough rewrite -w --rules rules.yaml deploy");
    workshop.ok_as_shown();
    // The hooks ignore a commit without a manifest.
    workshop.write("mkdocs.yml", "site_name: a\n");
    workshop.ok("git add --all && pre-commit run --files mkdocs.yml");
}
