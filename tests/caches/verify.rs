//! `pullthrough verify` says of each image what a pull by containerd shows.

use serde_json::Value;

use crate::access::{Access, PASSWORD};
use crate::cache::Release;
use crate::node::NODES;
use crate::site::Site;

const SITES: [(Release, Access); 4] = [
    (Release::Second, Access::Basic),
    (Release::Second, Access::Bearer),
    (Release::Third, Access::Basic),
    (Release::Third, Access::Bearer),
];

fn causes(line: &Value) -> Vec<&str> {
    line["causes"].as_array().unwrap().iter().map(|cause| cause["cause"].as_str().unwrap()).collect()
}

#[test]
fn verify_agrees_with_containerd() {
    for (release, access) in SITES {
        let mut site = Site::start(release, access);
        let image = site.upstream().add("team/app", "1", "app");
        let (tag, digest) = (image.by_tag(), image.by_digest());
        // Only a token server is known not to be the upstream.
        let other = if access == Access::Basic { "upstream_login" } else { "rights" };
        let of = format!("{release:?}, {access:?}");
        let assert = |line: &Value, status: &str, causes_of: &[&str]| {
            assert_eq!((line["status"].as_str(), causes(line)), (Some(status), causes_of.to_vec()), "{of}: {line}");
        };

        let platforms = ["verify", "--platform", "linux/amd64,linux/arm64"];
        let lines = site.ask(&platforms, &[&tag, &digest, "team/absent:1"]);
        let line = |image: &str| lines.iter().find(|line| line["image"].as_str().unwrap().ends_with(image)).unwrap();
        for image in [&tag, &digest] {
            assert(line(image), "served", &[]);
        }
        assert_eq!(line(&tag)["digest"], image.digest.as_str());
        assert(line("team/absent:1"), "missing", &["absent"]);
        for node in &*NODES {
            for image in [&tag, &digest] {
                site.pull(node, image).unwrap_or_else(|error| panic!("{of}, {}: {error}", node.version));
            }
            assert_contains(&site.pull(node, "team/absent:1"), "not found");
        }

        let lines = site.ask_with(&["verify"], &[&tag], "rules.yaml", "wrong-secret.json");
        assert(&lines[0], "denied", &["login", other]);
        let lines = site.ask_with(&["verify"], &[&tag], "rules-without-ca.yaml", "secret.json");
        assert(&lines[0], "unreachable", &["unknown_ca"]);
        for node in &*NODES {
            assert_contains(&site.pull_with(node, &tag, "hosts", "wrong"), "401 Unauthorized");
            assert_contains(
                &site.pull_with(node, &tag, "hosts-without-ca", PASSWORD),
                "certificate signed by unknown authority",
            );
        }
        let tokens = site.cache.tokens.as_ref().map_or(0, |tokens| tokens.requests());
        assert_eq!(tokens > 0, access == Access::Bearer, "{of}");

        site.cache.stop();
        assert(&site.ask(&["verify"], &[&tag])[0], "unreachable", &["connection_refused"]);
        for node in &*NODES {
            assert_contains(&site.pull(node, &tag), "connection refused");
        }
    }
}

#[track_caller]
fn assert_contains(pull: &Result<(), String>, text: &str) {
    let error = pull.as_ref().expect_err("the pull fails");
    assert!(error.contains(text), "{error}");
}
