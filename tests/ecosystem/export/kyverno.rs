//! The policies in Kyverno's CLI, compared with `pullthrough rewrite` image by image.
//!
//! The CLI evaluates a CREATE, or an UPDATE without changes. With a ClusterPolicy it can use another old object. It does not
//! support the subresource `pods/ephemeralcontainers`, which `admission` covers.

mod admission;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::assets;
use crate::program::pullthrough;

static KYVERNO: LazyLock<PathBuf> =
    LazyLock::new(|| assets(Some("kyverno"), &[]).unwrap_or_else(|error| panic!("{error:#}")).join("kyverno"));

const KINDS: [&str; 2] = ["MutatingPolicy", "ClusterPolicy"];

/// Rules, and the rules with omissions for each kind.
struct Case {
    name: &'static str,
    rules: &'static str,
    left_out: [&'static [&'static str]; 2],
}

const CASES: [Case; 6] = [
    Case {
        name: "prefixes",
        rules: "
  - name: kubernetes
    from: [registry.k8s.io, k8s.gcr.io, gcr.io/google_containers, gcr.io/google-containers]
    to: Harbor.example.com:443/k8s
  - name: docker-hub
    from: [docker.io]
    to: harbor.example.com/hub
    except: [docker.io/library/busybox, docker.io/mycorp]
  - name: secrets
    from: [quay.io/team/secret]
    to: harbor.example.com/secret
    except: [quay.io/team/secret/app]
  - name: quay
    from: [quay.io]
    to: cache.example.com
  - name: local
    from: ['[::1]:5000', localhost]
    to: cache.example.com:5000/local",
        left_out: [&[], &[]],
    },
    Case {
        name: "namespaces",
        rules: "
  - name: ci
    from: [docker.io]
    to: cache.example.com/ci
    except: [docker.io/mycorp]
    namespaces: {include: [ci-*, '*-test']}
  - name: mycorp
    from: [docker.io/mycorp, quay.io/team]
    to: harbor.example.com/mycorp
    namespaces: {exclude: [kube-system, 'c*-b']}
  - name: docker-hub
    from: [docker.io]
    to: harbor.example.com/hub
    namespaces: {exclude: [prod]}",
        left_out: [&[], &[]],
    },
    Case {
        name: "observe",
        rules: "
  - name: watched
    from: [quay.io, docker.io/mycorp]
    to: harbor.example.com/watched
    mode: observe
  - name: team
    from: [quay.io/team]
    to: harbor.example.com/team
  - name: docker-hub
    from: [docker.io]
    to: harbor.example.com/hub",
        left_out: [&["watched"], &["watched"]],
    },
    Case {
        name: "within-itself",
        rules: "
  - name: quay
    from: [quay.io]
    to: quay.io/team
  - name: docker-hub
    from: [docker.io/mycorp, docker.io/library]
    to: index.docker.io
  - name: kubernetes
    from: [k8s.gcr.io, registry.k8s.io]
    to: docker.io/cache
  - name: official
    from: [gcr.io/team, gcr.io/mycorp]
    to: Docker.io:443/mycorp",
        left_out: [&["official"], &["official"]],
    },
    Case {
        name: "pull-secrets",
        rules: "
  - name: docker-hub
    from: [docker.io]
    to: harbor.example.com/hub
    imagePullSecrets: [harbor-pull]
  - name: quay
    from: [quay.io]
    to: harbor.example.com/quay",
        left_out: [&[], &["docker-hub"]],
    },
    Case {
        name: "patterns",
        rules: r"
  - name: gitlab
    pattern: 'registry\.gitlab\.com/([^/]+)/(.+)'
    to: Harbor.example.com:443/gitlab-$1/$2
    except: [registry.gitlab.com/mycorp/a]
  - name: named
    pattern: '(?i)(?P<host>k8s\.gcr|GCR|registry\.k8s)\.io/(?:[[:alpha:]_-]+/)??(?P<rest>\w[\w/.-]{2,}?)'
    to: harbor.example.com/${host}/${rest}
  - name: optional
    pattern: 'quay\.io/(team/)?(s.*)'
    to: harbor.example.com/quay/$1x$2
  - name: host
    pattern: '([a-z]+):5000/(.+)'
    to: $1.example.com/$2
  - name: docker-hub
    from: [docker.io]
    to: harbor.example.com/hub",
        left_out: [&["gitlab", "named", "optional", "host"], &["optional", "host"]],
    },
];

/// A generator of numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn one_of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }
}

const NAMESPACES: [&str; 6] = ["default", "kube-system", "ci-a", "ci-b", "e2e-test", "prod"];

fn image(random: &mut Random) -> String {
    const SHA256: &str = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const BOTH: &str = ":1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const HOSTS: &[&str] = &[
        "",
        "",
        "docker.io/",
        "index.docker.io/",
        "Registry-1.Docker.IO/",
        "docker.io:443/",
        "docker.io:5000/",
        "quay.io/",
        "quay.io/",
        "QUAY.io:443/",
        "quay.io:5000/",
        "quay.io:0443/",
        "quay.io:05000/",
        "registry.hub.docker.com/",
        "Registry.Hub.Docker.com:00443/",
        "public.ecr.aws/",
        "ecr-public.aws.com/",
        "quay.io:80:443/",
        "quay.io.evil.com/",
        "quay$x.io/",
        "gcr.io/",
        "GCR.io/",
        "k8s.gcr.io/",
        "registry.k8s.io/",
        "registry.gitlab.com/",
        "localhost/",
        "localhost:5000/",
        "[::1]:5000/",
        "[::1]:443/",
        "foo_bar.com/",
        "Upper/",
        "-bad.io/",
        "cache.example.com/",
        "harbor.example.com/hub/",
        "Harbor.example.com:443/k8s/",
        "harbor.example.com/hubs/",
        "harbor.example.com/gitlab-x/",
    ];
    const PATHS: &[&str] = &[
        "nginx",
        "library/nginx",
        "busybox",
        "library/busybox",
        "library/busybox/x",
        "mycorp",
        "mycorp/a",
        "mycorp/a/b/c",
        "mycorporation/a",
        "team",
        "team/app",
        "team/secret",
        "team/secret/app",
        "team/secret/deep/er",
        "team/secrets",
        "team/a__b/c--d.e",
        "google_containers/pause",
        "google_containers-x/pause",
        "google-containers",
        "cache/x",
        "UPPER/x",
        "a//b",
        "a/",
        "x..y",
        "x_-y",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ];
    const SUFFIXES: &[&str] = &["", "", ":1.29", ":v1_2.3-X", SHA256, BOTH];
    const WRONG_SUFFIXES: &[&str] =
        &["@sha256:e3b0", "@md5:d41d8cd98f00b204e9800998ecf8427e", ":", ":.x", ":a/b", "@", " "];
    const OTHERS: &[&str] = &[
        "auto",
        "{{ request.object }}",
        "{{ x }}/y",
        "a'b",
        "a`b",
        "a\"b\\c",
        "$(x)",
        "quay.io/$(request.name)",
        "*",
        "é/x",
    ];
    match random.below(20) {
        0 => random.one_of(OTHERS).to_owned(),
        // Near the longest path, the longest name and the longest tag.
        1 => {
            let host = random.one_of(&["quay.io/team/", "docker.io/", "k8s.gcr.io/", "registry.gitlab.com/a/"]);
            let (path, tag) = ([120, 225, 237, 247, 255, 256][random.below(6)], [1, 128, 129][random.below(3)]);
            format!("{host}{}:{}", "p".repeat(path), "t".repeat(tag))
        }
        2 => [random.one_of(HOSTS), random.one_of(PATHS), random.one_of(WRONG_SUFFIXES)].concat(),
        _ => [random.one_of(HOSTS), random.one_of(PATHS), random.one_of(SUFFIXES)].concat(),
    }
}

/// Returns Pods with images in all four places. Some must not change.
fn generated_pods(count: usize, random: &mut Random) -> Vec<Value> {
    let pods = (0..count).map(|index| {
        let containers = |count: usize, random: &mut Random| -> Vec<Value> {
            let containers = (0..count).map(|index| {
                let mut container =
                    json!({"name": format!("c{index}"), "image": image(random), "unknown": {"field": [1]}});
                match random.below(12) {
                    0 => container["imagePullPolicy"] = json!("Never"),
                    1 => container["imagePullPolicy"] = json!("Always"),
                    2 => drop(container.as_object_mut().unwrap().remove("image")),
                    _ => {}
                }
                container
            });
            containers.collect()
        };
        let volumes: Vec<Value> = (0..14)
            .map(|index| {
                let name = format!("v{index}");
                match random.below(8) {
                    0 => json!({"name": name, "emptyDir": {}}),
                    1 => json!({"name": name, "image": {}}),
                    2 => json!({"name": name, "image": {"reference": image(random), "pullPolicy": "Never"}}),
                    _ => json!({"name": name, "image": {"reference": image(random)}}),
                }
            })
            .collect();
        let mut pod = pod(&format!("generated-{index}"), random.one_of(&NAMESPACES), containers(16, random));
        pod["spec"]["volumes"] = volumes.into();
        match random.below(4) {
            0 => {}
            1 => pod["spec"]["initContainers"] = Value::Array(containers(12, random)),
            2 => pod["spec"]["ephemeralContainers"] = Value::Array(containers(12, random)),
            _ => {
                pod["spec"]["initContainers"] = Value::Array(containers(6, random));
                pod["spec"]["ephemeralContainers"] = Value::Array(containers(6, random));
            }
        }
        match random.below(12) {
            0 => pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": ""}),
            1 => pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
            2 => pod["metadata"]["annotations"] = json!({"a/b": "c"}),
            3 => pod["metadata"]["labels"] = json!({"pullthrough.dev/rewrite": "disabled"}),
            4 => pod["spec"]["imagePullSecrets"] = json!([{"name": "other"}]),
            5 => pod["spec"]["imagePullSecrets"] = json!([{"name": "harbor-pull"}]),
            _ => {}
        }
        pod
    });
    pods.collect()
}

fn pod(name: &str, namespace: &str, containers: Vec<Value>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": containers},
    })
}

/// Returns Pods with the references of the reference implementation's tests, and Pods of public repositories.
fn real_pods() -> Vec<Value> {
    let references = fs::read_to_string("tests/data/references.tsv").unwrap();
    let images: Vec<&str> = references.lines().skip(1).map(|line| line.split('\t').next().unwrap()).collect();
    let chunks = images.chunks(50).enumerate().map(|(index, images)| {
        let containers =
            images.iter().enumerate().map(|(index, image)| json!({"name": format!("c{index}"), "image": image}));
        pod(&format!("references-{index}"), "default", containers.collect())
    });
    let files = walkdir::WalkDir::new("tests/data/manifests").sort_by_file_name().into_iter().map(Result::unwrap);
    let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    let objects = texts.filter_map(|text| serde_saphyr::from_multiple::<Value>(&text).ok()).flatten();
    let pods = objects.filter(|object| object["kind"] == "Pod" && object["spec"]["containers"].is_array());
    let pods = pods.enumerate().map(|(index, mut pod)| {
        pod["metadata"]["name"] = json!(format!("real-{index}"));
        pod["metadata"]["namespace"] = json!("default");
        pod
    });
    let pods: Vec<Value> = chunks.chain(pods).collect();
    assert!(pods.len() > 50, "{}", pods.len());
    pods
}

/// Rules, Pods, and the Pods after policies.
struct Workshop {
    folder: TempDir,
}

impl Workshop {
    fn new(rules: &str, pods: &[Value]) -> Self {
        let folder = TempDir::new().unwrap();
        let header = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\n";
        let rules = if rules.contains("\nrules:") { rules.to_owned() } else { format!("rules:{rules}") };
        fs::write(folder.path().join("rules.yaml"), format!("{header}{rules}\n")).unwrap();
        let pods: Vec<String> = pods.iter().map(Value::to_string).collect();
        fs::write(folder.path().join("pods.yaml"), pods.join("\n---\n")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn policy(&self, kind: &str) -> String {
        self.path(&format!("{kind}.yaml"))
    }

    /// Writes the policy. Returns standard error.
    fn export(&self, kind: &str) -> String {
        let output = pullthrough(&["export", "kyverno", "--kind", kind, "--rules", &self.path("rules.yaml")]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{told}");
        fs::write(self.policy(kind), output.stdout).unwrap();
        told
    }

    /// Returns the Pods as the engine rewrites them.
    fn rewritten(&self) -> BTreeMap<String, Value> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.args(["rewrite", "--rewrite-short-names", "--rules", &self.path("rules.yaml")]);
        let output = command.stdin(fs::File::open(self.path("pods.yaml")).unwrap()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        by_name(&String::from_utf8(output.stdout).unwrap())
    }

    /// Returns the Pods as Kyverno changes them.
    fn applied(&self, kind: &str, values: Option<&str>) -> BTreeMap<String, Value> {
        let result = self.path(&format!("{kind}-result.yaml"));
        let mut command = Command::new(&*KYVERNO);
        command.args(["apply", &self.policy(kind), "--resource", &self.path("pods.yaml"), "--output", &result]);
        if let Some(values) = values {
            fs::write(self.path("values.yaml"), values).unwrap();
            command.args(["--values-file", &self.path("values.yaml")]);
        }
        let output = command.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && printed.contains("Applying 1 policy"), "{printed}");
        assert!(printed.contains("error: 0, "), "{printed}");
        by_name(&fs::read_to_string(result).unwrap())
    }

    /// Returns the canonical names of images, and the rules that decide, as `explain` prints them.
    fn explained(&self, namespace: &str, images: &[String]) -> Vec<(String, String)> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.args(["explain", "-o", "json", "-n", namespace, "--rules", &self.path("rules.yaml"), "-"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(images.iter().map(|image| format!("{image}\n")).collect::<String>().as_bytes())
            .unwrap();
        let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let lines = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        lines.map(|line| (text(&line["registry"]) + "/" + &text(&line["repository"]), text(&line["rule"]))).collect()
    }
}

fn by_name(documents: &str) -> BTreeMap<String, Value> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(documents).unwrap();
    let named = objects.into_iter().filter(|object| object.is_object());
    named.map(|object| (object["metadata"]["name"].as_str().unwrap().to_owned(), object)).collect()
}

/// Returns the JSON pointers of the images of a Pod.
fn pointers(pod: &Value) -> Vec<String> {
    let places = ["initContainers", "containers", "ephemeralContainers", "volumes"].into_iter().flat_map(|list| {
        let image = if list == "volumes" { "image/reference" } else { "image" };
        let count = pod["spec"][list].as_array().map_or(0, Vec::len);
        (0..count).map(move |index| format!("/spec/{list}/{index}/{image}"))
    });
    places.filter(|pointer| pod.pointer(pointer).is_some()).collect()
}

/// Compares the Pods, and returns the number of rewritten images. Each difference must be reported.
fn compare(workshop: &Workshop, kind: &str, pods: &[Value], told: &str) -> usize {
    let (engine, mut kyverno) = (workshop.rewritten(), workshop.applied(kind, None));
    let mut rewritten = 0;
    for pod in pods {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let (mut expected, got) = (engine[name].clone(), kyverno.remove(name).unwrap());
        let mut missed = Vec::new();
        for pointer in pointers(pod) {
            let (before, wanted) = (&pod.pointer(&pointer).unwrap(), expected.pointer_mut(&pointer).unwrap());
            rewritten += usize::from(*before != wanted);
            if got.pointer(&pointer) == Some(before) && *before != wanted {
                missed.push(before.as_str().unwrap().to_owned());
                *wanted = (*before).clone();
            }
        }
        // `rewrite` does not add it, because a manifest's namespace may not have the Secret.
        let uses_secret = pointers(&expected).iter().any(|pointer| {
            let image = |pod: &Value| pod.pointer(pointer).cloned();
            image(&expected) != image(pod)
                && image(&expected).unwrap().as_str().unwrap().starts_with("harbor.example.com/hub/")
        });
        let secrets = &mut expected["spec"]["imagePullSecrets"];
        if uses_secret && fs::read_to_string(workshop.policy(kind)).unwrap().contains("harbor-pull") {
            let wanted = json!({"name": "harbor-pull"});
            match secrets.as_array_mut() {
                None => *secrets = json!([wanted]),
                Some(secrets) if secrets.contains(&wanted) => {}
                Some(secrets) => secrets.push(wanted),
            }
        } else if secrets.is_null() {
            expected["spec"].as_object_mut().unwrap().remove("imagePullSecrets");
        }
        assert_eq!(got, expected, "{kind} of {name}");
        let namespace = pod["metadata"]["namespace"].as_str().unwrap();
        for (image, rule) in workshop.explained(namespace, &missed) {
            let mut names = told.lines().filter_map(|line| line.strip_prefix("omitted: ")?.split(": ").next());
            let is_told = |what: &str| {
                what == format!("rule `{rule}`") || what.split('`').nth(1).is_some_and(|name| is_below(&image, name))
            };
            assert!(names.any(is_told), "{kind} of {name}: {image} of {rule} is not among {told}");
        }
    }
    assert!(kyverno.is_empty());
    rewritten
}

fn is_below(image: &str, prefix: &str) -> bool {
    image.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns the rules that standard error names.
fn told_rules(told: &str) -> BTreeSet<&str> {
    told.split("rule `").skip(1).filter_map(|rest| rest.split('`').next()).collect()
}

fn differential(index: usize) {
    let kind = KINDS[index];
    let mut rewritten = 0;
    for Case { name, rules, left_out } in CASES {
        let pods = generated_pods(24, &mut Random(1));
        let workshop = Workshop::new(rules, &pods);
        let told = workshop.export(kind);
        assert_eq!(told_rules(&told), left_out[index].iter().copied().collect(), "{kind} of {name}: {told}");
        let count = compare(&workshop, kind, &pods, &told);
        assert!(count > 30, "{name}: {count}");
        rewritten += count;
    }
    let pods = real_pods();
    let workshop = Workshop::new(CASES[0].rules, &pods);
    let told = workshop.export(kind);
    rewritten += compare(&workshop, kind, &pods, &told);
    assert!(rewritten > 800, "{rewritten}");
}

#[test]
fn a_mutating_policy_makes_of_images_what_the_engine_does() {
    differential(0);
}

#[test]
fn a_cluster_policy_makes_of_images_what_the_engine_does() {
    differential(1);
}

#[test]
fn a_cluster_policy_leaves_alone_what_a_pattern_of_go_can_not_say() {
    let later = |missing: &str| {
        format!("this rule and those below it are omitted: Kyverno does not support {missing} in a pattern")
    };
    const ALONE: &str = "images that it matches are not rewritten, since ";
    const MAY_BE_EMPTY: &str =
        "a group in its `to` may match nothing (write `.+` instead of `.*`, and no `?` behind a group)";
    for (pattern, to, why) in [
        (r"quay\.io/\b{start}(.+)", "$1", later("one-sided word boundaries")),
        (r"quay\.io/(?:a{50}){50}(.+)", "$1", later("more than 1000 repetitions")),
        (r"quay\.io/(?:a*)+(.+)", "$1", later("repetitions of a part that can be empty")),
        (r"quay\.io/é?(.+)", "$1", later("characters outside of image names")),
        (r"quay\.io/[^\x00-\x7f]?(.+)", "$1", later("characters outside of image names")),
        (r"quay\.io/(x){0}(.+)", "$2", later("groups that never match")),
        (r"quay\.io/(a)?(.+)", "$1x", [ALONE, MAY_BE_EMPTY].concat()),
        (r"quay\.io/(a*).+", "$1x", [ALONE, MAY_BE_EMPTY].concat()),
    ] {
        let rules = format!(
            "\n  - {{name: r, pattern: '{pattern}', to: 'cache.example.com/{to}'}}\n  - {{name: s, from: [gcr.io], to: c.io}}"
        );
        let told = Workshop::new(&rules, &[]).export("ClusterPolicy");
        let omitted = told.lines().find(|line| line.starts_with("omitted: "));
        assert_eq!(omitted, Some(format!("omitted: rule `r`: {why}").as_str()));
    }
}

#[test]
fn omissions_are_reported() {
    let rules = "recordOriginals: true
rules:
  - {name: watched, from: [quay.io], to: cache.example.com/quay, mode: observe}
  - {name: secret, from: [docker.io], to: cache.example.com/hub, imagePullSecrets: [pull]}
  - {name: official, from: [gcr.io/team], to: docker.io/team}
  - {name: pattern, pattern: 'ghcr\\.io/(.*)', to: cache.example.com/$1}";
    let workshop = Workshop::new(rules, &[]);
    let told = KINDS.map(|kind| format!("{kind}\n{}", workshop.export(kind)));
    insta::assert_snapshot!(told.join("\n"));
    for kind in KINDS {
        let strict = ["export", "kyverno", "--strict", "--kind", kind, "--rules", &workshop.path("rules.yaml")];
        assert_eq!(pullthrough(&strict).status.code(), Some(1), "{kind}");
    }
    assert_eq!(Workshop::new(CASES[0].rules, &[]).export("MutatingPolicy"), "");
}

fn values(content: Value) -> String {
    let mut values = json!({"apiVersion": "cli.kyverno.io/v1alpha1", "kind": "Values", "metadata": {"name": "values"}});
    values.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
    values.to_string()
}

#[test]
fn an_update_that_changes_nothing_changes_nothing() {
    let pods = generated_pods(5, &mut Random(2));
    let workshop = Workshop::new(CASES[0].rules, &pods);
    assert_ne!(workshop.rewritten(), by_name(&fs::read_to_string(workshop.path("pods.yaml")).unwrap()));
    for kind in KINDS {
        workshop.export(kind);
        let applied = workshop.applied(kind, Some(&values(json!({"globalValues": {"request.operation": "UPDATE"}}))));
        assert_eq!(applied.into_values().collect::<Vec<_>>(), pods, "{kind}");
    }
}

#[test]
fn a_cluster_policy_looks_at_what_an_update_changes() {
    let container = |name: &str, image: &str| json!({"name": name, "image": image});
    let old = json!({
        "initContainers": [container("init", "k8s.gcr.io/pause")],
        "containers": [container("same", "nginx"), container("changed", "nginx:1"), container("moved", "nginx")],
        "ephemeralContainers": [container("debug", "busybox:1")],
        "volumes": [{"name": "same", "image": {"reference": "quay.io/data"}}],
    });
    let mut pod = pod("pod", "default", Vec::new());
    pod["spec"] = json!({
        "initContainers": [container("init", "k8s.gcr.io/pause"), container("moved", "nginx")],
        "containers": [container("new", "nginx"), container("changed", "nginx:2"), container("same", "nginx")],
        "ephemeralContainers": [container("debug", "busybox:1"), container("new", "k8s.gcr.io/debug")],
        "volumes": [{"name": "same", "image": {"reference": "quay.io/data"}}, {"name": "new", "image": {"reference": "quay.io/data"}}],
    });
    let workshop = Workshop::new(CASES[0].rules, &[pod.clone()]);
    workshop.export("ClusterPolicy");
    let values = values(json!({"globalValues": {"request.operation": "UPDATE", "request.oldObject": {"spec": old}}}));
    for (pointer, image) in [
        ("/spec/initContainers/1/image", "harbor.example.com/hub/library/nginx"),
        ("/spec/containers/0/image", "harbor.example.com/hub/library/nginx"),
        ("/spec/containers/1/image", "harbor.example.com/hub/library/nginx:2"),
        ("/spec/ephemeralContainers/1/image", "Harbor.example.com:443/k8s/debug"),
        ("/spec/volumes/1/image/reference", "cache.example.com/data"),
    ] {
        *pod.pointer_mut(pointer).unwrap() = json!(image);
    }
    assert_eq!(workshop.applied("ClusterPolicy", Some(&values))["pod"], pod);
}

#[test]
fn namespaces_and_pods_opt_out_where_the_rules_allow_it() {
    let labelled = |name: &str, namespace: &str, label: &str| {
        let mut pod = pod(name, namespace, vec![json!({"name": "app", "image": "nginx"})]);
        pod["metadata"]["labels"] = json!({"pullthrough.dev/rewrite": label});
        pod
    };
    let pods =
        [labelled("in", "on", "enabled"), labelled("out", "on", "disabled"), labelled("within", "off", "enabled")];
    let label = json!([{"name": "off", "labels": {"pullthrough.dev/rewrite": "disabled"}}]);
    let values = values(json!({"namespaceSelector": label}));
    for (allow, rewritten) in [("true", vec!["in"]), ("false", vec!["in", "out", "within"])] {
        let workshop = Workshop::new(&format!("allowOptOut: {allow}\nrules:{}", CASES[0].rules), &pods);
        for kind in KINDS {
            workshop.export(kind);
            let applied = workshop.applied(kind, Some(&values));
            let image = |pod: &Value| pod["spec"]["containers"][0]["image"].clone();
            let changed: Vec<&str> =
                applied.iter().filter(|(_, pod)| image(pod) != "nginx").map(|(name, _)| name.as_str()).collect();
            assert_eq!(changed, rewritten, "{kind}, allowOptOut: {allow}");
        }
    }
}
