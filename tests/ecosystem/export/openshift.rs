//! The mirror sets as OpenShift's library converts them and containers/image reads the result.

use super::crio::{RULES, assert_same, folder, pulls};
use crate::program::{lines_with, pullthrough};

#[test]
fn the_first_source_is_what_the_rules_say() {
    for rules in RULES {
        let folder = folder(rules);
        let path = |name: &str| folder.path().join(name).display().to_string();
        for source_policy in ["AllowContactingSource", "NeverContactSource"] {
            let output =
                pullthrough(&["export", "openshift", "--rules", &path("rules.yaml"), "--source-policy", source_policy]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            std::fs::write(path("mirrors.yaml"), &output.stdout).expect("a file");
            let pulls = pulls(&folder.path().join("rules.yaml"), &["--openshift", &path("mirrors.yaml")]);
            assert!(assert_same(&pulls, &output.stderr) > 50, "{rules}");
            for pull in pulls.iter().filter(|pull| pull.sources.len() > 1 && pull.sources[0] != "error:") {
                let cached = pull.sources.iter().filter(|source| source.contains("cache.example.com")).count();
                let is_kept = pull.sources[0] == pull.normalized;
                assert!(!(is_kept && cached > 0 && !pull.image.starts_with("cache.")), "{:?}", pull.sources);
                assert!(is_kept || source_policy == "AllowContactingSource", "{:?}", pull.sources);
            }
        }
    }
}

/// A host with a port has no other name, so a part of it can't be excluded from a mirror.
#[test]
fn omissions_are_reported() {
    let folder = folder(
        "- {name: own, from: ['localhost:5000', quay.io], to: cache.example.com, except: ['localhost:5000/a', quay.io/a]}",
    );
    let rules = folder.path().join("rules.yaml").display().to_string();
    let output = pullthrough(&["export", "openshift", "--strict", "--rules", &rules]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        lines_with(&output.stderr, "omitted"),
        ["`localhost:5000`: not mirrored, since `localhost:5000/a` below it can't be excluded: its host has a port"]
    );
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(printed.contains("quay.io") && !printed.contains("localhost"), "{printed}");
}
