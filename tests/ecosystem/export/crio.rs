//! The drop-in as containers/image reads it, for some thousand images and several rules files.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness;
use crate::program::{lines_with, pullthrough, pullthrough_with, run};

/// Rules that overlap, each set with something that nodes do not support.
pub const RULES: [&str; 6] = [
    "
- {name: k8s, from: [registry.k8s.io, k8s.gcr.io, gcr.io/google-containers], to: cache.example.com/k8s}
- {name: hub, from: [docker.io], to: cache.example.com/hub, except: [docker.io/library/busybox, docker.io/mycorp]}
",
    "
- {name: nested, from: [quay.io/a/b], to: cache.example.com:5000/ab}
- {name: quay, from: [quay.io], to: cache.example.com:5000/quay, except: [quay.io/a]}
- {name: hosts, from: [ghcr.io, gcr.io/a], to: cache.example.com}
",
    "
- {name: library, from: [docker.io/library], to: CACHE.example.com:443/official}
- {name: own, from: [docker.io/mycorp, 'localhost:5000/mycorp'], to: localhost:5000/own}
- {name: local, from: [localhost], to: cache.example.com/local, except: ['localhost/a']}
",
    "
- {name: teams, from: [quay.io/a], to: cache.example.com/teams, namespaces: {include: [team-*]}}
- {name: quay, from: [quay.io, 'quay.io:5000'], to: cache.example.com/quay}
- {name: look, from: [ghcr.io], to: cache.example.com/ghcr, mode: observe}
",
    "
- {name: pattern, pattern: 'ghcr\\.io/a/(.+)', to: cache.example.com/$1}
- {name: ghcr, from: [ghcr.io, quay.io], to: cache.example.com/rest, imagePullSecrets: [pull]}
- {name: ipv6, from: [gcr.io], to: '[::1]:5000/gcr'}
",
    "
- {name: one, from: [quay.io/a], to: docker.io/own}
- {name: alias, from: [ghcr.io], to: index.docker.io/own}
- {name: rest, from: [gcr.io, localhost, public.ecr.aws], to: cache.example.com/rest}
",
];

const HOSTS: [&str; 26] = [
    "",
    "docker.io/",
    "index.docker.io/",
    "registry-1.docker.io/",
    "registry.hub.docker.com/",
    "docker.io:443/",
    "public.ecr.aws/",
    "ecr-public.aws.com/",
    "ecr-public.aws.com:443/",
    "quay.io:0443/",
    "localhost:05000/",
    "quay.io/",
    "quay.io:443/",
    "quay.io:5000/",
    "QUAY.io/",
    "ghcr.io/",
    "ghcr.io:443/",
    "gcr.io/",
    "gcr.io:443/",
    "registry.k8s.io/",
    "k8s.gcr.io:443/",
    "localhost/",
    "localhost:5000/",
    "cache.example.com/",
    "cache.example.com:5000/",
    "quay.io.evil.com/",
];
const PATHS: [&str; 17] = [
    "a",
    "a/b",
    "a/b/c",
    "ab",
    "a/bc",
    "nginx",
    "library/nginx",
    "busybox",
    "library/busybox",
    "mycorp",
    "mycorp/app",
    "mycorp-more/app",
    "google-containers/pause",
    "google-containers-more/pause",
    "k8s/pause",
    "quay/a__b/c--d",
    "own/x.y",
];
const DIGEST: &str = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub fn images() -> Vec<String> {
    let suffixes = ["", ":v1.2", DIGEST, &format!(":v1{DIGEST}")];
    let names = HOSTS.iter().flat_map(|host| PATHS.map(|path| [*host, path].concat()));
    names.flat_map(|name| suffixes.map(|suffix| [name.as_str(), suffix].concat())).collect()
}

/// Creates a folder with the rules in `rules.yaml`.
pub fn folder(rules: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("rules.yaml"), file_of(rules)).expect("a file");
    folder
}

fn file_of(rules: &str) -> String {
    format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n{rules}")
}

/// An image, the decision of `explain`, and the normalised name and sources of containers/image.
pub struct Pull {
    pub image: String,
    pub canonical: String,
    pub rewritten: Option<String>,
    pub normalized: String,
    pub sources: Vec<String>,
}

pub fn pulls(rules: &Path, arguments: &[&str]) -> Vec<Pull> {
    let images = images();
    let input: String = images.iter().map(|image| format!("{image}\n")).collect();
    let explained =
        pullthrough_with(&["explain", "-o", "json", "--rules", rules.to_str().expect("UTF-8"), "-"], &input).stdout;
    let program = harness::assets(Some("registries"), &[]).expect("the tool is compiled").join("registries");
    let read = run(Command::new(program).args(arguments), &input);
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let (explained, read) =
        (String::from_utf8(explained).expect("UTF-8"), String::from_utf8(read.stdout).expect("UTF-8"));
    assert_eq!((explained.lines().count(), read.lines().count()), (images.len(), images.len()));
    let pull = |((image, explained), read): ((String, &str), &str)| {
        let explained: Value = serde_json::from_str(explained).expect("JSON");
        let (normalized, sources) = read.split_once('\t').unwrap_or_else(|| panic!("{image}: {read}"));
        let text = |key: &str| explained[key].as_str().expect("a string").to_owned();
        Pull {
            canonical: format!("{}/{}", text("registry"), text("repository")),
            rewritten: (explained["decision"] == "rewritten").then(|| text("result")),
            normalized: normalized.to_owned(),
            sources: sources.split(' ').map(str::to_owned).collect(),
            image,
        }
    };
    images.into_iter().zip(explained.lines()).zip(read.lines()).map(pull).collect()
}

/// Returns whether a note covers the host. Not mirrored: upper case, zeros before a port, other names of Docker Hub. Failing: other
/// ports of a host, and zeros before them.
fn is_noted(pull: &Pull) -> bool {
    let host = pull.image.split('/').next().unwrap_or_default();
    matches!(host, "registry-1.docker.io" | "registry.hub.docker.com" | "docker.io:443" | "QUAY.io")
        || host.contains(":0")
}

fn is_of_another_port(pull: &Pull) -> bool {
    pull.sources[0].starts_with("error:") && [":5000/", ":0"].iter().any(|port| pull.image.contains(port))
}

/// Returns the prefixes that were reported as omitted.
fn left_alone(stderr: &[u8]) -> BTreeSet<String> {
    let left_out = lines_with(stderr, "omitted");
    let prefixes =
        left_out.iter().filter_map(|line| line.strip_prefix('`')?.split_once("`: ").map(|(prefix, _)| prefix));
    prefixes.map(str::to_owned).collect()
}

/// Compares each first source with the rules. An image that differs must be reported, and unchanged.
#[track_caller]
pub fn assert_same(pulls: &[Pull], stderr: &[u8]) -> usize {
    let left_alone = left_alone(stderr);
    let mut mirrored = 0;
    for pull in pulls {
        let Pull { image, canonical, rewritten, normalized, sources } = pull;
        if is_of_another_port(pull) {
            assert!(rewritten.is_none() || image.contains(":0"), "{image}");
            continue;
        }
        let is_below = |prefix: &String| {
            canonical.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let is_announced = is_noted(pull) || left_alone.iter().any(is_below);
        let expected = rewritten.as_ref().filter(|_| !is_announced).unwrap_or(normalized);
        assert_eq!(sources[0], *expected, "{image}: {sources:?}\n{left_alone:?}");
        mirrored += usize::from(sources[0] != *normalized);
    }
    mirrored
}

fn export(folder: &TempDir, arguments: &[&str]) -> std::process::Output {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let common = ["export", "crio", "--rules", &path("rules.yaml"), "--directory", &path("etc")];
    let output = pullthrough(&[&common, arguments].concat());
    assert!(output.status.success() && output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

const REGISTRIES: &str = "etc/containers/registries.conf.d/50-pullthrough.conf";
const CRIO: &str = "etc/crio/crio.conf.d/50-pullthrough.conf";

#[test]
fn the_first_source_is_what_the_rules_say() {
    for rules in RULES {
        let folder = folder(rules);
        let conf = folder.path().join(REGISTRIES);
        for arguments in [&[][..], &["--no-fallback", "--insecure"]] {
            let output = export(&folder, arguments);
            let pulls = pulls(&folder.path().join("rules.yaml"), &[conf.to_str().expect("UTF-8")]);
            assert!(assert_same(&pulls, &output.stderr) > 50, "{rules}");
            let fallbacks = pulls.iter().filter(|pull| pull.sources.len() > 1 && !pull.sources[0].starts_with("error"));
            assert_eq!(fallbacks.clone().count() > 50, arguments.is_empty());
            for pull in fallbacks {
                assert_eq!(
                    pull.sources[1..],
                    [pull.normalized.as_str()],
                    "the fallback must be the registry in the name"
                );
            }
        }
    }
}

#[test]
fn the_sandbox_image_is_what_the_rules_say() {
    let folder = folder(RULES[0]);
    let rules_file = folder.path().join("rules.yaml");
    // All use the same folder. The files of each run replace those of the run before.
    for (rules, arguments, expected) in [
        (RULES[0], &[][..], Ok("cache.example.com/k8s/pause:3.10.1")),
        (RULES[1], &[], Err("note: the rules do not rewrite the sandbox image registry.k8s.io/pause:3.10.1")),
        (RULES[1], &["--pause-image", "quay.io/a/b/pause"], Ok("cache.example.com:5000/ab/pause")),
        (RULES[4], &["--pause-image", "ghcr.io/a/pause:3"], Ok("cache.example.com/pause:3")),
        (
            RULES[3],
            &["--pause-image", "quay.io/a/pause"],
            Err(
                "omitted: `--pause-image quay.io/a/pause`: rule `teams` has `namespaces`, and a node has one sandbox image",
            ),
        ),
    ] {
        std::fs::write(&rules_file, file_of(rules)).expect("the rules are written");
        let output = export(&folder, arguments);
        let crio = std::fs::read_to_string(folder.path().join(CRIO)).ok();
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        let told: Vec<&str> = told.lines().filter(|line| line.contains("sandbox")).collect();
        match expected {
            Ok(image) => {
                let crio = crio.expect("a file");
                let (_, rest) = crio.split_once('\n').expect("a first line");
                assert_eq!(rest, format!("[crio.image]\npause_image = \"{image}\"\n"));
                assert!(told.is_empty(), "{told:?}");
            }
            Err(why) => assert_eq!((crio, told), (None, vec![why])),
        }
    }
}

#[test]
fn files_of_others_stay() {
    let folder = folder(RULES[0]);
    let theirs = folder.path().join(CRIO);
    std::fs::create_dir_all(theirs.parent().expect("a folder")).expect("a folder");
    std::fs::write(&theirs, "[crio.image]\n").expect("a file");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let output = pullthrough(&["export", "crio", "--rules", &path("rules.yaml"), "--directory", &path("etc")]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(error.contains("nothing was written:\n") && error.contains(CRIO), "{error}");
    assert!(!folder.path().join(REGISTRIES).exists());
    assert_eq!(std::fs::read_to_string(&theirs).expect("the file remains"), "[crio.image]\n");
}

#[test]
fn omissions_are_reported() {
    let folder = folder(RULES[4]);
    let rules = folder.path().join("rules.yaml").display().to_string();
    let output = pullthrough(&["export", "crio", "--strict", "--rules", &rules]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        lines_with(&output.stderr, "omitted"),
        [
            "`gcr.io`: not mirrored, since containers/image rejects `[::1]:5000/gcr`: IPv6 addresses are not supported",
            "`ghcr.io`: not mirrored, since the pattern of rule `pattern` may match its images",
            "rule `ghcr`: mirrors do not receive `imagePullSecrets`: configure credentials for the cache on the nodes",
            "rule `pattern`: it has a `pattern`, and mirrors support prefixes only",
        ]
    );
    // An entry without a mirror would hide a mirror that someone else has configured.
    assert!(!String::from_utf8_lossy(&output.stdout).contains("ghcr.io"));
    let wrong = pullthrough(&["export", "crio", "--rules", &rules, "--pause-image", "Pause"]);
    assert_eq!(wrong.status.code(), Some(2));
    let error = "invalid value 'Pause' for '--pause-image <IMAGE>': the repository has upper-case letters";
    assert!(lines_with(&wrong.stderr, "error")[0].starts_with(error));
}
