//! The session of the page, and `git apply` and `patch` with the output of `--diff`.

use std::fs;

use super::workshop::Workshop;

#[test]
fn the_page_shows_what_is_printed() {
    let workshop = Workshop::new("Rewrite manifests");
    for (command, shown) in &workshop.section.session {
        assert_eq!(workshop.ok(&format!("{{ {command}; }} 2>&1")), *shown, "$ {command}");
    }
}

#[test]
fn git_applies_as_shown() {
    let workshop = Workshop::new("git and patch");
    workshop.ok("cp -r deploy expected && pullthrough rewrite -w --rules rules.yaml expected");
    workshop.ok_as_shown();
    workshop.ok("diff -r deploy expected");
}

const POD: &str = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    image: nginx\n";

/// Texts with other line ends than `\n`, texts without a last line end, and names that need quotes.
#[test]
fn any_diff_is_applied() {
    let more = "  - name: b\n    image: busybox\n    # 1\n    # 2\n    # 3\n    # 4\n    # 5\n    # 6\n    # 7\n    # 8\n  - name: c\n    image: redis";
    for (name, text) in [
        ("plain.yaml", POD.to_owned()),
        ("crlf.yaml", POD.replace('\n', "\r\n")),
        ("bom.yaml", format!("\u{feff}{POD}")),
        ("no-newline.yaml", POD.trim_end().to_owned()),
        ("crlf-no-newline.yaml", format!("{POD}{more}").replace('\n', "\r\n")),
        ("two-hunks.yaml", format!("{POD}{more}\n")),
        ("with space.yaml", POD.to_owned()),
        ("with \"quotes\".yaml", POD.to_owned()),
        ("ünï.yaml", POD.to_owned()),
        ("kustomization.yaml", "images:\n- name: nginx\n  newTag: '1'\n".to_owned()),
    ] {
        for apply in ["git apply -", "patch --binary -p1"] {
            let workshop = Workshop::new("git and patch");
            workshop.write(&format!("d/{name}"), &text);
            workshop.ok("cp -r d expected && pullthrough rewrite -w --rules rules.yaml expected");
            workshop.ok(&format!("pullthrough rewrite --diff --rules rules.yaml d | {apply}"));
            let read = |folder: &str| fs::read(workshop.path(folder).join(name)).expect("a file");
            assert_ne!(read("d"), text.as_bytes(), "{name}");
            assert_eq!(read("d"), read("expected"), "{name}: {apply}");
        }
    }
}

/// The rules of the page, applied to real manifests.
#[test]
fn the_diff_of_the_corpus_is_what_is_written() {
    let workshop = Workshop::new("git and patch");
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/manifests");
    // Some files do not parse, and are reported.
    workshop.ok(&format!(
        "
        cp -r '{corpus}' d
        cp -r d expected
        pullthrough rewrite -w --rules rules.yaml expected && exit 1
        pullthrough rewrite --diff --rules rules.yaml d >d.patch && exit 1
        [[ $(grep -c '^+++ ' d.patch) -gt 100 ]]
        git apply d.patch
        diff -r d expected
        "
    ));
}
