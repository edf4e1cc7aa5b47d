//! `export renovate`. `tests/ecosystem/export/renovate.rs` compares it with Renovate's schema.

use serde::Deserialize;
use serde_json::Value;

use crate::program::{file, lines_with, pullthrough, pullthrough_with};

/// The aliases in the order of the text, in which Renovate tries them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    #[serde(deserialize_with = "in_order")]
    registry_aliases: Vec<(String, String)>,
}

fn in_order<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a mapping of texts")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_map(Visitor)
}

/// Returns the aliases of rules, and the omissions.
fn export(rules: &str) -> (Vec<(String, String)>, Vec<String>, Option<i32>) {
    let rules = file("rules.yaml", &format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n{rules}"));
    let path = rules.path().display().to_string();
    let output = pullthrough(&["export", "renovate", "--strict", "--rules", &path]);
    let configuration: Configuration = serde_json::from_slice(&output.stdout).expect("JSON");
    (configuration.registry_aliases, lines_with(&output.stderr, "omitted"), output.status.code())
}

#[test]
fn each_to_has_an_alias_or_an_omission() {
    for (rules, aliases, omissions) in [
        ("- {name: a, from: [docker.io], to: c.io/hub}", &[("c.io/hub", "docker.io")][..], &[][..]),
        // The spelling in manifests is that of the rules.
        ("- {name: a, from: [index.docker.io], to: 'C.io:443/hub'}", &[("C.io:443/hub", "docker.io")], &[]),
        // The name that is current, in any order.
        (
            "- {name: a, from: [k8s.gcr.io, gcr.io/google_containers, registry.k8s.io], to: c.io}",
            &[("c.io", "registry.k8s.io")],
            &[],
        ),
        ("- {name: a, from: [mirror.gcr.io, docker.io], to: c.io}", &[("c.io", "docker.io")], &[]),
        // A longer prefix comes first.
        (
            "- {name: a, from: [docker.io], to: c.io}\n- {name: b, from: [quay.io], to: c.io/quay}",
            &[("c.io/quay", "quay.io"), ("c.io", "docker.io")],
            &[],
        ),
        // Namespaces, exceptions and the mode do not matter: a name in the cache has one upstream.
        (
            "- {name: a, from: [quay.io], to: c.io, mode: observe, except: [quay.io/a], namespaces: {include: [b]}, imagePullSecrets: [s]}",
            &[("c.io", "quay.io")],
            &[],
        ),
        (
            "- {name: a, from: [docker.io], to: c.io}\n- {name: b, from: [quay.io], to: c.io}",
            &[],
            &[
                "`c.io`: it has images of `docker.io` and `quay.io`, and an alias has one upstream: give each a path of its own",
            ],
        ),
        (
            "- {name: a, from: [docker.io], to: c.io/hub}\n- {name: b, pattern: 'quay\\.io/(.+)', to: c.io/quay/$1}",
            &[("c.io/hub", "docker.io")],
            &["rule `b`: it has a `pattern`, and aliases are prefixes"],
        ),
        (
            "- {name: a, from: [docker.io], to: c.io/hub}\n- {name: b, pattern: 'quay\\.io/(.+)', to: c.io/$1}",
            &[],
            &[
                "`c.io/hub`: the pattern of rule `b` may give the same names",
                "rule `b`: it has a `pattern`, and aliases are prefixes",
            ],
        ),
    ] {
        let (found, omitted, code) = export(&format!("{}\n", rules.replace("- {", "  - {")));
        let found: Vec<(&str, &str)> = found.iter().map(|(cache, upstream)| (&**cache, &**upstream)).collect();
        assert_eq!(found, aliases, "{rules}");
        assert_eq!(omitted, omissions, "{rules}");
        assert_eq!(code, Some(i32::from(!omissions.is_empty())), "{rules}");
    }
}

/// What Renovate looks up is the image before it was rewritten.
#[test]
fn a_rewritten_image_is_looked_up_at_its_upstream() {
    let rules = "  - {name: k, from: [registry.k8s.io, k8s.gcr.io], to: c.io/k8s}\n  \
                 - {name: l, from: [docker.io/library], to: c.io/official}\n  \
                 - {name: d, from: [docker.io], to: c.io}\n  - {name: q, from: [quay.io], to: d.io:5000/quay}\n";
    let (aliases, omitted, _) = export(rules);
    assert!(omitted.is_empty(), "{omitted:?}");
    let file = file("rules.yaml", &format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n{rules}"));
    let path = file.path().display().to_string();
    let images = [
        ("nginx:1.29", "docker.io/library/nginx:1.29"),
        ("grafana/grafana", "docker.io/grafana/grafana"),
        ("k8s.gcr.io/pause:3.9", "registry.k8s.io/pause:3.9"),
        ("registry.k8s.io/ingress-nginx/controller:v1", "registry.k8s.io/ingress-nginx/controller:v1"),
        ("quay.io/a/b:1", "quay.io/a/b:1"),
    ];
    let lines: String = images.iter().flat_map(|(image, _)| [image, "\n"]).collect();
    let output = pullthrough_with(&["explain", "-o", "json", "--rules", &path, "-"], &lines);
    let answers = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(answers.lines().count(), images.len());
    for (line, (image, upstream)) in answers.lines().zip(images) {
        let answer: Value = serde_json::from_str(line).expect("JSON");
        let result = answer["result"].as_str().expect("a name");
        assert_ne!(result, image);
        let looked_up = aliases.iter().find_map(|(cache, value)| {
            result.strip_prefix(cache)?.strip_prefix('/').map(|rest| format!("{value}/{rest}"))
        });
        assert_eq!(looked_up.as_deref(), Some(upstream), "{result}");
    }
}
