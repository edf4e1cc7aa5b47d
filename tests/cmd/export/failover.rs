//! Rules that depend on the state of caches or on workloads: the mirrors of nodes in order, and the omissions of each format.

use crate::program::{file, lines_with, pullthrough};

const HEAD: &str = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\ncaches: [{prefix: a.io, health: {}}, {prefix: b.io, health: {}}, {prefix: c.io, health: {}}]\n";

fn path(file: &tempfile::NamedTempFile) -> String {
    file.path().display().to_string()
}

/// Returns the standard output of an export with rules, given in flow style.
fn exported(arguments: &str, rules: &str) -> String {
    let rules = file("rules.yaml", &format!("{HEAD}rules: [{rules}]\n"));
    let arguments: Vec<&str> = ["export"].into_iter().chain(arguments.split(' ')).collect();
    let output = pullthrough(&[&arguments[..], &["--rules", &path(&rules)]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Parts of a text, each behind the one before.
fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("no `{part}` behind the parts before in:\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn nodes_get_each_failover_as_a_mirror_in_order() {
    let hub = "{name: hub, from: [docker.io], to: a.io/hub, failover: [b.io, c.io/mirror]}";
    let folder = tempfile::tempdir().unwrap();
    let hosts = |options: &str| {
        exported(&format!("containerd --directory {}{options}", folder.path().display()), hub);
        std::fs::read_to_string(folder.path().join("certs.d/docker.io/hosts.toml")).unwrap()
    };
    let pull = "capabilities = [\"pull\", \"resolve\"]\n";
    let path = "override_path = true\n";
    let marker = "# Made by `pullthrough export containerd`, which writes and removes it as the rules change.\n";
    assert_eq!(
        hosts(" --no-fallback"),
        format!(
            "{marker}server = \"https://c.io/v2/mirror\"\n{pull}{path}\n[host.\"https://a.io/v2/hub\"]\n{pull}{path}\n[host.\"https://b.io\"]\n{pull}"
        )
    );
    assert_eq!(
        hosts(""),
        format!(
            "{marker}server = \"https://registry-1.docker.io\"\n\n[host.\"https://a.io/v2/hub\"]\n{pull}{path}\n[host.\"https://b.io\"]\n{pull}\n\
             [host.\"https://c.io/v2/mirror\"]\n{pull}{path}"
        )
    );
    let mirror = |to: &str| format!("\n[[registry.mirror]]\nlocation = \"{to}\"\n");
    let quay = "{name: quay, from: [quay.io], to: a.io/quay, failover: [b.io/quay, c.io]}";
    let registry = |location: &str| format!("[[registry]]\nprefix = \"quay.io\"\nlocation = \"{location}\"\n");
    let text = exported("crio --part registries", quay);
    assert!(
        text.contains(&[registry("quay.io"), mirror("a.io/quay"), mirror("b.io/quay"), mirror("c.io")].concat()),
        "{text}"
    );
    let text = exported("crio --part registries --no-fallback", quay);
    assert!(text.contains(&[registry("c.io"), mirror("a.io/quay"), mirror("b.io/quay")].concat()), "{text}");
    assert!(!text.contains(&mirror("c.io")), "{text}");
    let insecure = exported("crio --part registries --no-fallback --insecure", quay);
    assert_eq!(insecure.matches("insecure = true\n").count(), 2 * 3, "quay.io and quay.io:443:\n{insecure}");
    let text = exported("openshift", quay);
    assert_in_order(
        &text,
        &["mirrors:", "a.io/quay", "b.io/quay", "c.io", "ImageTagMirrorSet", "a.io/quay", "b.io/quay", "c.io"],
    );
    let text = exported("docker", "{name: hub, from: [docker.io], to: a.io, failover: [b.io, c.io/mirror, d.io]}");
    assert_in_order(&text, &["https://a.io", "https://b.io", "https://d.io"]);
    assert!(!text.contains("c.io"), "{text}");
    let text = exported("renovate", quay);
    assert_in_order(&text, &["\"a.io/quay\": \"quay.io\"", "\"b.io/quay\": \"quay.io\"", "\"c.io\": \"quay.io\""]);
}

#[test]
fn what_a_format_can_not_choose_is_an_omission() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: docker.io/a/b}]}\n";
    let (pod, values) = (file("pod.yaml", pod), file("values.yaml", "image: docker.io/a/b:1\n"));
    let folder = tempfile::tempdir().unwrap();
    let never = "rule `r`: its `failover` is never chosen, since only the webhook knows the state of caches: images get the name under `to`";
    let unchosen = "rule `r`: `whenCacheDown` is not supported, since only the webhook knows the state of caches";
    let of_nodes = "rule `r`: `whenCacheDown` is not supported: nodes use the upstream if this export allows them to fall back to it";
    let unasked = "rule `r`: `checkExists` is not supported, since only the webhook asks the cache first";
    let unrestored = "rule `r`: its images are not rewritten, since it has `failover`: a ClusterPolicy can't restore the image of a container on an \
                      update, and would move it to another cache";
    let partly = "rule `r`: its images are not rewritten while its `rollout` is 25%: only the webhook rewrites a share of the workloads";
    let of_policies = [Some(never), Some(unchosen), Some(unasked), Some(partly)];
    for (arguments, expected) in [
        ("admission-policy".to_owned(), of_policies),
        ("kyverno".to_owned(), of_policies),
        ("kyverno --kind ClusterPolicy".to_owned(), [Some(unrestored), Some(unchosen), Some(unasked), Some(partly)]),
        (format!("kustomize {}", path(&pod)), of_policies),
        (format!("helm-values {}", path(&values)), of_policies),
        ("crio".to_owned(), [None, Some(of_nodes), Some(unasked), Some(partly)]),
        ("docker".to_owned(), [None, Some(of_nodes), Some(unasked), Some(partly)]),
        ("openshift".to_owned(), [None, Some(of_nodes), Some(unasked), Some(partly)]),
        (
            format!("containerd --directory {}", folder.path().display()),
            [None, Some(of_nodes), Some(unasked), Some(partly)],
        ),
        ("renovate".to_owned(), [None; 4]),
    ] {
        for (field, omitted) in
            ["failover: [b.io]", "whenCacheDown: upstream", "checkExists: {}", "rollout: 25%"].into_iter().zip(expected)
        {
            let rules =
                file("rules.yaml", &format!("{HEAD}rules: [{{name: r, from: [docker.io], to: a.io, {field}}}]\n"));
            let arguments: Vec<&str> = ["export"].into_iter().chain(arguments.split(' ')).collect();
            let output = pullthrough(&[&arguments[..], &["--strict", "--rules", &path(&rules)]].concat());
            let found = lines_with(&output.stderr, "omitted");
            let omitted: Vec<&str> = omitted.into_iter().collect();
            assert_eq!(found, omitted, "{arguments:?} {field}");
            assert_eq!(output.status.code(), Some(i32::from(!omitted.is_empty())), "{arguments:?} {field}");
        }
    }
}

/// The ClusterPolicy moves no container: images under any name of such a rule are cached, and others are not rewritten.
#[test]
fn a_cluster_policy_counts_each_failover_as_cached() {
    let rules =
        "{name: r, from: [docker.io], to: a.io/hub, failover: [b.io/hub]}, {name: q, from: [quay.io], to: a.io/quay}";
    let text = exported("kyverno --kind ClusterPolicy", rules);
    assert_in_order(&text, &["^a\\.io/hub", "^b\\.io/hub", "^a\\.io/quay"]);
    assert!(!text.contains("'a.io/hub$"), "{text}");
    assert!(text.contains("'a.io/quay$"), "{text}");
}

/// The rule ends the search for its images, and no format rewrites them. Names that the webhook gave are restored.
#[test]
fn a_rule_that_is_not_rolled_out_is_omitted_and_its_names_are_cached() {
    let rules = "{name: r, from: [docker.io], to: a.io/hub, rollout: 99%}, {name: later, from: [docker.io, quay.io], to: a.io/later}";
    let text = exported("kyverno --kind ClusterPolicy", rules);
    assert!(text.contains("^a\\.io/hub") && !text.contains("'a.io/hub$") && text.contains("'a.io/later$"), "{text}");
    let text = exported("admission-policy", rules);
    assert_in_order(&text, &["'docker.io': '?'", "'quay.io': 'a.io/later'", "'docker.io': ['a.io/hub']"]);
    let text = exported("crio --part registries", rules);
    assert!(text.contains("a.io/later") && !text.contains("a.io/hub") && !text.contains("docker.io"), "{text}");
    let all = rules.replace("99%", "100%");
    assert_eq!(exported("admission-policy", &all), exported("admission-policy", &rules.replace(", rollout: 99%", "")));
}
