//! The mirrors as Docker reads them.

use super::crio::{folder, pulls};
use crate::program::{lines_with, pullthrough};

/// The registry, which follows its mirrors.
const DOCKER_HUB: &str = "https://registry-1.docker.io/";

#[test]
fn the_first_source_is_what_the_rules_say() {
    for (arguments, scheme) in [(&[][..], "https"), (&["--plain-http"], "http")] {
        let folder = folder("- {name: hub, from: [docker.io], to: 'cache.example.com:5000'}");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let rules = path("rules.yaml");
        let output = pullthrough(&[&["export", "docker", "--strict", "--rules", &rules], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(path("daemon.json"), output.stdout).expect("a file");
        let pulls = pulls(&folder.path().join("rules.yaml"), &["--docker", &path("daemon.json")]);
        let noted = ["registry-1.docker.io/", "registry.hub.docker.com/", "docker.io:443/"];
        let is_noted = |image: &str| noted.iter().any(|noted| image.starts_with(noted));
        let mut mirrored = 0;
        for pull in pulls {
            match pull.rewritten.filter(|_| !is_noted(&pull.image)) {
                Some(result) => {
                    let tail = pull.normalized.strip_prefix("docker.io/").expect("of Docker Hub");
                    assert_eq!(pull.sources, [format!("{scheme}://{result}"), format!("{DOCKER_HUB}{tail}")]);
                    mirrored += 1;
                }
                None => assert!(
                    !pull.sources.concat().contains("cache.example.com") || pull.image.starts_with("cache."),
                    "{}",
                    pull.image
                ),
            }
        }
        assert!(mirrored > 100, "{mirrored}");
    }
}

#[test]
fn omissions_are_reported() {
    for (rules, left_out) in [
        (
            "from: [docker.io], to: cache.example.com/hub",
            "host `docker.io`: Docker's mirrors have no path: give hub a host of its own at cache.example.com",
        ),
        ("from: [quay.io], to: cache.example.com", "host `quay.io`: Docker supports mirrors of Docker Hub only"),
        (
            "from: [docker.io], to: cache.example.com, except: [docker.io/a]",
            "host `docker.io`: only whole hosts can be mirrored, and the rules treat `docker.io/a` differently from the rest of the host",
        ),
    ] {
        let folder = folder(&format!("- {{name: a, {rules}}}"));
        let path = folder.path().join("rules.yaml").display().to_string();
        let output = pullthrough(&["export", "docker", "--strict", "--rules", &path]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(lines_with(&output.stderr, "omitted"), [left_out]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "{\n  \"registry-mirrors\": []\n}\n");
    }
}
