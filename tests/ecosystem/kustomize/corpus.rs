//! Every kustomization of whole trees: the manifests of the tests, and a folder in `KUSTOMIZE_FOLDER`.
//!
//! ```sh
//! KUSTOMIZE_FOLDER=~/repositories cargo test --test ecosystem -- --nocapture kustomize::corpus::of_a_folder
//! ```

use std::path::Path;
use std::{env, fs};

use rayon::prelude::*;

use super::{Site, differences};

const RULES: &str = "
- {name: k8s, from: [registry.k8s.io, k8s.gcr.io], to: cache.example.com/k8s}
- {name: hub, from: [docker.io], to: cache.example.com:5000/hub}
- {name: quay, from: [quay.io], to: cache.example.com/quay}
- {name: others, from: [ghcr.io, gcr.io], to: cache.example.com/others}
";

/// The results of the kustomizations in a tree.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    equal: usize,
    /// Those that differ, where `rewrite` reports it.
    reported: Vec<String>,
    /// Those that differ, where `rewrite` reports nothing.
    silent: Vec<String>,
    not_built: usize,
}

fn compare(folder: &Path) -> Outcome {
    let before = Site::new(RULES).with_copy_of(folder);
    let after = Site::new(RULES).with_copy_of(folder);
    // The folder counts as a repository, so the whole tree is read.
    fs::create_dir_all(after.path(".git")).expect("a folder");
    let run = after.rewrite_paths(&["-w"], &[""]);
    let again = after.rewrite_paths(&["-w"], &[""]);
    assert!(again.stderr.contains(": 0 images rewritten in 0"), "{}", again.stderr);
    let check = after.rewrite_paths(&["--check"], &[""]);
    assert_eq!(check.stdout, "", "a second run must not rewrite images");
    let stderr = &run.stderr;
    let results: Vec<_> = before
        .kustomizations()
        .into_par_iter()
        .map(|name| {
            let Some(built) = before.build(&name) else { return (name, None) };
            let expected = before.rewritten(&built);
            let got = after.build(&name).unwrap_or_default();
            let differences = differences(&expected, &got);
            (name, Some(differences))
        })
        .collect();
    let mut outcome = Outcome::default();
    for (name, result) in results {
        let Some(differences) = result else {
            outcome.not_built += 1;
            continue;
        };
        let Some((expected, got)) = differences.first() else {
            outcome.equal += 1;
            continue;
        };
        let line = format!("{name}: {} differ: {expected} / {got}", differences.len());
        let got_image = |got: &String| got.rsplit(": ").next().unwrap_or_default().to_owned();
        let is_told = differences
            .iter()
            .all(|(_, got)| stderr.contains(&format!("{}: {got}", "image")) || stderr.contains(&got_image(got)))
            || stderr.lines().filter(|line| line.starts_with("note: ")).any(|line| {
                // A kustomization that includes it differs too.
                line.contains(&format!("{name}/")) || line.ends_with("compare the build output before and after")
            });
        if is_told { outcome.reported.push(line) } else { outcome.silent.push(line) }
    }
    outcome
}

#[test]
fn of_the_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/manifests");
    let outcome = compare(&root);
    assert!(outcome.silent.is_empty(), "{outcome:#?}");
}

/// Prints the results of each folder in `KUSTOMIZE_FOLDER`.
#[test]
fn of_a_folder() {
    let Some(root) = env::var_os("KUSTOMIZE_FOLDER") else { return };
    let mut total = Outcome::default();
    for entry in fs::read_dir(root).expect("a folder").flatten().filter(|entry| entry.path().is_dir()) {
        let Outcome { equal, reported, silent, not_built } = compare(&entry.path());
        println!(
            "{}: {equal} equal, {} reported, {} silent, {not_built} not built",
            entry.file_name().display(),
            reported.len(),
            silent.len()
        );
        for (kind, lines) in [("reported", &reported), ("SILENT", &silent)] {
            lines.iter().for_each(|line| println!("  {kind}: {line}"));
        }
        total.equal += equal;
        total.not_built += not_built;
        total.reported.extend(reported);
        total.silent.extend(silent);
    }
    println!(
        "total: {} equal, {} reported, {} silent, {} not built",
        total.equal,
        total.reported.len(),
        total.silent.len(),
        total.not_built
    );
    assert!(total.silent.is_empty());
}
