//! `export admission-policy`: the API server itself decides like the engine.

mod cost;
mod creation;
mod manifests;
mod twins;
mod update;
mod validation;
mod views;

use serde_json::Value;

use crate::CLUSTER;

/// Rules with every feature, including those that the format does not support.
const RULES: [(&str, &str, &str); 6] = [
    (
        "plain",
        "",
        "  - {name: kubernetes, from: [registry.k8s.io, k8s.gcr.io, gcr.io/google_containers, gcr.io/google-containers], to: cache.example.com/k8s}
  - {name: hub, from: [docker.io], to: cache.example.com/hub, imagePullSecrets: [one, two]}
  - {name: quay, from: [quay.io], to: 'cache.example.com:5000', imagePullSecrets: [two, three]}\n",
    ),
    (
        "nested",
        "",
        "  - {name: library, from: [docker.io/library, 'localhost:5000/a'], to: cache.example.com/library, except: [docker.io/library/busybox]}
  - {name: own, from: [docker.io/a/b, docker.io/a], to: cache.example.com/own}
  - {name: hub, from: [docker.io, localhost, '[::1]:5000'], to: other.example.com/hub, except: [docker.io/b, docker.io/library/nginx]}
  - {name: shadowed, from: [docker.io/a/b/c, gcr.io/a], to: never.example.com}
  - {name: gcr, from: [gcr.io], to: cache.example.com/library/gcr}\n",
    ),
    (
        "namespaces",
        "",
        "  - {name: here, from: [docker.io, quay.io/a], to: here.example.com/x, namespaces: {include: [policies-*]}, except: [docker.io/a]}
  - {name: elsewhere, from: [quay.io, docker.io/b], to: elsewhere.example.com/x, namespaces: {exclude: ['*-namespaces', other]}, imagePullSecrets: [no]}
  - {name: nobody, from: [k8s.gcr.io], to: nobody.example.com, namespaces: {include: [other, another]}}
  - {name: all, from: [docker.io, quay.io, gcr.io, k8s.gcr.io], to: all.example.com/x, imagePullSecrets: [all]}\n",
    ),
    (
        "caches",
        "",
        "  - {name: whole, from: [docker.io/library/nginx, quay.io/a/b], to: gcr.io/whole}
  - {name: host, from: [registry.k8s.io/a, k8s.gcr.io], to: registry.k8s.io}
  - {name: below, from: [quay.io], to: quay.io/mirrored}
  - {name: official, from: [ghcr.io], to: docker.io/ghcr}
  - {name: named, from: [registry.gitlab.com/a], to: 'Docker.io/named'}
  - {name: dead, from: [gcr.io/whole/a], to: dead.example.com}
  - {name: upper, from: [docker.io], to: 'Cache.Example.COM:443/hub'}\n",
    ),
    (
        "opt-out",
        "allowOptOut: true\n",
        "  - {name: watched, from: [quay.io/a], to: watched.example.com, mode: observe}
  - {name: hub, from: [docker.io, quay.io, localhost], to: cache.example.com/hub}\n",
    ),
    (
        "patterns",
        "recordOriginals: false\n",
        "  - {name: gitlab, pattern: 'registry\\.gitlab\\.com/([^/]+)/(.+)', to: cache.example.com/gitlab-$1/$2}
  - {name: some, pattern: 'quay\\.io/(a|b)/(.+)', to: cache.example.com/quay/$2}
  - {name: hub, from: [docker.io, k8s.gcr.io], to: cache.example.com/hub}\n",
    ),
];

/// Returns whether the API server has MutatingAdmissionPolicy in `v1`, as since 1.36.
fn mutating_policies_are_served() -> bool {
    let served = CLUSTER.minor() >= 36;
    if !served {
        println!("skipped: MutatingAdmissionPolicy, which this API server does not serve");
    }
    served
}

/// Returns image names at the limits of the rules above, in every spelling. Adds those of the reference implementation's table
/// and of real manifests.
fn images() -> Vec<String> {
    const HOSTS: [&str; 29] = [
        "",
        "docker.io/",
        "index.docker.io/",
        "Registry-1.docker.io:443/",
        "registry.k8s.io/",
        "registry.k8s.io:443/",
        "registry.k8s.io:0443/",
        "localhost:05000/",
        "Registry.Hub.Docker.com:00443/",
        "public.ecr.aws/",
        "ecr-public.aws.com/",
        "K8S.gcr.IO/",
        "registry.k8s.io.evil.com/",
        "gcr.io/",
        "GCR.io:443/",
        "quay.io/",
        "quay.io:8443/",
        "ghcr.io/",
        "localhost/",
        "localhost:5000/",
        "[::1]:5000/",
        "registry.gitlab.com/",
        "Registry.gitlab.com/",
        "cache.example.com/",
        "cache.example.com:5000/",
        "CACHE.example.com:443/",
        "here.example.com/x/",
        "foo_bar.com/",
        "Foo/",
    ];
    const PATHS: [&str; 17] = [
        "nginx",
        "library/nginx",
        "library/busybox",
        "a",
        "a/b",
        "a/b/c",
        "a/bc",
        "ab",
        "b/c",
        "google_containers",
        "google-containers/pause",
        "google_containersx/pause",
        "hub/a",
        "whole/a/b",
        "library/gcr/x",
        "mirrored/a",
        "mycorp/team/app.name__x/y--z",
    ];
    const SUFFIXES: [&str; 6] = [
        "",
        ":1.29",
        ":A_b.c-D",
        "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ":v1@sha512:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ":-x",
    ];
    let names = HOSTS.iter().flat_map(|host| PATHS.iter().map(move |path| [*host, *path].concat()));
    let named = names.enumerate().flat_map(|(number, name)| {
        // Each name gets two suffixes, and over all names each suffix is used.
        [SUFFIXES[number % 6], SUFFIXES[(number / 6 + 1) % 6]].map(|suffix| [&name, suffix].concat())
    });
    let long = [230, 240, 245, 255, 256]
        .map(|length| format!("quay.io/{}", "a/".repeat(length / 2) + &"b".repeat(1 + length % 2)));
    let references = include_str!("../data/references.tsv").lines().skip(1).filter_map(|line| line.split('\t').next());
    let references = references.map(str::to_owned);
    let real = include_str!("../data/manifests-images.jsonl").lines().map(|line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line["before"].as_str().expect("an image").to_owned()
    });
    let odd = ["auto".to_owned(), "a".repeat(64)];
    // The API server rejects empty images, and those with spaces around them.
    let mut images: Vec<String> = named.chain(long).chain(odd).chain(references).chain(real).collect();
    images.retain(|image| !image.is_empty() && image.trim() == image);
    images.sort();
    images.dedup();
    images
}
