//! The list of images of a cluster. `tests/cmd/scan.trycmd` has those of files.

use pullthrough::scan::report::names::{Names, Naming};

use super::sample;

/// Returns the names that only one of the lists has.
fn difference() -> [Vec<String>; 2] {
    let report = sample::cluster();
    let lists = [Naming::AsWritten, Naming::Rewritten].map(|naming| Names::of(&report, naming));
    let [written, rewritten] = &lists;
    let only = |a: &Names, b: &Names| a.images.difference(&b.images).map(|name| (*name).to_owned()).collect();
    [only(written, rewritten), only(rewritten, written)]
}

#[test]
fn only_names_that_the_webhook_rewrites_differ() {
    let [written, rewritten] = difference();
    assert_eq!(written.len(), rewritten.len());
    for name in written {
        // These are of a static Pod, of an excluded namespace, and of the runtime; a rule observes the last one.
        for unchanged in ["kube-apiserver", "coredns", "pause", "node-exporter"] {
            assert!(!name.contains(unchanged), "{name}");
        }
    }
    for name in rewritten {
        let is_cached = ["123456789012.dkr.ecr.", "harbor.example.com/"].iter().any(|cache| name.starts_with(cache));
        assert!(is_cached, "{name}");
    }
}

#[test]
fn images_that_only_nodes_hold_are_omitted_except_the_sandbox_image() {
    let report = sample::cluster();
    let names = Names::of(&report, Naming::AsWritten);
    assert!(names.images.contains("registry.k8s.io/pause:3.10"));
    assert!(!names.images.contains("docker.io/library/httpd:2.4.58"));
    insta::assert_snapshot!(names.omissions().collect::<Vec<_>>().join("\n"), @r"
    ghcr.io/Example/Checkout:latest: not an image reference; fix it where it is written
    docker.io/library/httpd:2.4.58: only on nodes, and in no Pod or template; add it by hand if a node needs it
    ");
}

#[test]
fn each_name_is_one_line_of_a_valid_reference() {
    let report = sample::hostile();
    let names = Names::of(&report, Naming::AsWritten);
    for name in &names.images {
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
    }
    for omission in names.omissions() {
        assert!(!omission.contains(char::is_control), "{omission:?}");
    }
    assert!(names.omissions().count() > 0);
}
