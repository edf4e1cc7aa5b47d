//! The decision on an image, for each reason.

use pullthrough_engine::{Context, Decision, ImageRef, Percent, Previous, Question, Reason};

use crate::policy;

const RULES: &str = r"
  - name: kubernetes
    from: [registry.k8s.io, k8s.gcr.io, gcr.io/google_containers]
    to: cache.example.com/k8s
  - name: docker-hub
    from: [docker.io]
    to: Harbor.example.com:443/docker-hub
    except: [docker.io/library/busybox, docker.io/mycorp]
    namespaces: {exclude: [kube-system, 'ci-*']}
  - name: ci
    from: [docker.io/library]
    to: ci.example.com/hub
    namespaces: {include: ['ci-*']}
  - name: gitlab
    pattern: 'registry\.gitlab\.com/([^/]+)/(?<rest>.+)'
    to: harbor.example.com/gitlab-$1/${rest}
    except: [registry.gitlab.com/secret]
  - name: quay
    from: [quay.io]
    to: cache.example.com:5000/quay
    mode: observe
  - name: local
    from: ['localhost:5000', '[::1]:5000/a', 'upper.example.com']
    to: localhost/x
  - name: ecr
    from: [public.ecr.aws]
    to: cache.example.com/ecr
  - name: one
    from: [one.example.com/only/this]
    to: cache.example.com
";

/// Returns the result or the reason, with the name of the rule.
pub fn outcome(context: Context, question: Question) -> String {
    match context.decide(question) {
        Decision::Rewrite { rule, result, failover: _ } => format!("{}: {result}", rule.name),
        Decision::Restore { result } => format!("as stored: {result}"),
        Decision::NotRewritten { reason, rule: Some(rule), would_be: Some(name) } => {
            format!("{}: {}, would be {name}", rule.name, reason.as_str())
        }
        Decision::NotRewritten { reason, rule: Some(rule), would_be: None } => {
            format!("{}: {}", rule.name, reason.as_str())
        }
        Decision::NotRewritten { reason, rule: None, .. } => reason.as_str().to_owned(),
    }
}

pub fn question<'q>(image: &'q str, namespace: &'q str) -> Question<'q> {
    Question { image, namespace, pull_never: false, previous: None, included_from: None }
}

#[test]
fn images_are_routed_by_the_first_rule_that_matches() {
    let policy = policy(RULES);
    let digest = format!("sha256:{}", "a1".repeat(32));
    let long = "a/".repeat(110);
    for (namespace, image, expected) in [
        // Path, tag and digest stay as written.
        ("default", "registry.k8s.io/pause:3.10", "kubernetes: cache.example.com/k8s/pause:3.10"),
        ("default", "registry.k8s.io/a/b/c", "kubernetes: cache.example.com/k8s/a/b/c"),
        ("default", &format!("k8s.gcr.io/x:1@{digest}"), &format!("kubernetes: cache.example.com/k8s/x:1@{digest}")),
        ("default", &format!("k8s.gcr.io/x@{digest}"), &format!("kubernetes: cache.example.com/k8s/x@{digest}")),
        ("default", "gcr.io/google_containers/pause:2.0", "kubernetes: cache.example.com/k8s/pause:2.0"),
        // A rule matches whole path components, not prefixes of strings.
        ("default", "gcr.io/google_containers2/pause", "no_rule"),
        ("default", "registry.k8s.io.evil.com/pause", "no_rule"),
        ("default", "xregistry.k8s.io/pause", "no_rule"),
        ("default", "evil.com/registry.k8s.io/pause", "no_rule"),
        // Other spellings of the same host.
        ("default", "Registry.K8s.IO:443/pause", "kubernetes: cache.example.com/k8s/pause"),
        ("default", "registry.k8s.io:0443/pause:1", "kubernetes: cache.example.com/k8s/pause:1"),
        ("default", "registry.k8s.io:0000000000443/pause", "kubernetes: cache.example.com/k8s/pause"),
        ("default", "registry.k8s.io:8443/pause", "no_rule"),
        ("default", "registry.k8s.io:4430/pause", "no_rule"),
        ("default", "registry.k8s.io:/pause", "invalid"),
        ("default", "localhost:05000/x", "local: localhost/x/x"),
        ("default", "[::1]:005000/a/b", "local: localhost/x/b"),
        ("default", "registry.hub.docker.com/nginx", "docker-hub: Harbor.example.com:443/docker-hub/library/nginx"),
        ("default", "Registry.Hub.Docker.com:0443/a/b", "docker-hub: Harbor.example.com:443/docker-hub/a/b"),
        ("default", "hub.docker.com/nginx", "no_rule"),
        ("default", "cache.example.com:00443/k8s/x", "already_cached"),
        ("default", "ecr-public.aws.com/docker/library/nginx:1", "ecr: cache.example.com/ecr/docker/library/nginx:1"),
        ("default", "public.ecr.aws:0443/x", "ecr: cache.example.com/ecr/x"),
        ("default", "UPPER.example.com/x", "local: localhost/x/x"),
        // Docker Hub, its implied host and the implied `library/`.
        ("default", "nginx", "docker-hub: Harbor.example.com:443/docker-hub/library/nginx"),
        ("default", "index.docker.io/nginx:1", "docker-hub: Harbor.example.com:443/docker-hub/library/nginx:1"),
        ("default", "REGISTRY-1.docker.io:443/nginx", "docker-hub: Harbor.example.com:443/docker-hub/library/nginx"),
        ("default", "bitnami/redis:7", "docker-hub: Harbor.example.com:443/docker-hub/bitnami/redis:7"),
        ("default", "registry.k8s.io", "docker-hub: Harbor.example.com:443/docker-hub/library/registry.k8s.io"),
        ("default", "registry.k8s.io:3.9", "docker-hub: Harbor.example.com:443/docker-hub/library/registry.k8s.io:3.9"),
        ("default", "foo_bar.com/baz", "no_rule"),
        ("default", "Foo/bar", "no_rule"),
        // Ports, IP addresses, localhost.
        ("default", "localhost:5000/x", "local: localhost/x/x"),
        ("default", "[::1]:5000/a/b:1", "local: localhost/x/b:1"),
        ("default", "[::1]:5000/b", "no_rule"),
        // An exception ends the search. A rule of another namespace is skipped, and so are its exceptions.
        ("default", "busybox:1", "docker-hub: excepted"),
        ("default", "mycorp/app", "docker-hub: excepted"),
        ("default", "mycorp2/app", "docker-hub: Harbor.example.com:443/docker-hub/mycorp2/app"),
        ("ci-1", "busybox:1", "ci: ci.example.com/hub/busybox:1"),
        ("ci-1", "mycorp/app", "docker-hub: namespace_excluded"),
        ("kube-system", "nginx", "docker-hub: namespace_excluded"),
        ("kube-system-2", "nginx", "docker-hub: Harbor.example.com:443/docker-hub/library/nginx"),
        // Patterns.
        ("default", "registry.gitlab.com/group/a/b:1", "gitlab: harbor.example.com/gitlab-group/a/b:1"),
        ("default", "registry.gitlab.com/group", "no_rule"),
        ("default", "registryXgitlab.com/group/a", "no_rule"),
        ("default", "evil.com/registry.gitlab.com/group/a", "no_rule"),
        ("default", "registry.gitlab.com/secret/a", "gitlab: excepted"),
        // Images under a `to`, whichever rule wrote them.
        ("default", "cache.example.com/k8s/pause", "already_cached"),
        ("default", "CACHE.example.com:443/k8s/pause", "already_cached"),
        ("default", "harbor.example.com/docker-hub/library/nginx", "already_cached"),
        ("default", "harbor.example.com/docker-hub2/library/nginx", "no_rule"),
        ("default", "harbor.example.com/gitlab-x/y", "already_cached"),
        ("default", "harbor.example.com/gitlab-x", "no_rule"),
        (
            "default",
            "quay.io/prometheus/node-exporter:v1",
            "quay: observed, would be cache.example.com:5000/quay/prometheus/node-exporter:v1",
        ),
        // The limits of clients count host, slash and path together.
        (
            "default",
            &format!("registry.k8s.io/{long}{}", "b".repeat(13)),
            &format!("kubernetes: cache.example.com/k8s/{long}{}", "b".repeat(13)),
        ),
        ("default", &format!("registry.k8s.io/{long}{}", "b".repeat(14)), "kubernetes: result_invalid"),
        // `cache.example.com` alone would be an image of Docker Hub.
        ("default", "one.example.com/only/this:1", "one: result_invalid"),
        ("default", "one.example.com/only/this/x:1", "one: cache.example.com/x:1"),
        // Invalid references, and placeholders.
        ("default", "", "placeholder"),
        ("default", "auto", "placeholder"),
        ("default", "nginx:", "invalid"),
        ("default", "https://registry.k8s.io/pause", "invalid"),
        ("default", "registry.k8s.io/Pause", "invalid"),
        ("default", " nginx", "invalid"),
    ] {
        assert_eq!(outcome(Context::of(&policy), question(image, namespace)), expected, "{image} in {namespace}");
    }
}

#[test]
fn a_preloaded_image_is_not_rewritten() {
    let policy = policy(RULES);
    let question = Question { pull_never: true, ..question("nginx", "default") };
    assert_eq!(outcome(Context::of(&policy), question), "pull_never");
    assert_eq!(outcome(Context::of(&policy), Question { image: "auto", ..question }), "placeholder");
    assert_eq!(outcome(Context::of(&policy), Question { image: "nginx:", ..question }), "invalid");
}

#[test]
fn what_an_update_leaves_as_it_was_is_not_touched() {
    let policy = policy(RULES);
    let was = |image, immutable| Some(Previous { image, immutable });
    for (image, previous, expected) in [
        ("registry.k8s.io/pause:3.9", was("registry.k8s.io/pause:3.9", false), "unchanged"),
        (
            "registry.k8s.io/pause:3.10",
            was("registry.k8s.io/pause:3.9", false),
            "kubernetes: cache.example.com/k8s/pause:3.10",
        ),
        (
            "registry.k8s.io/pause:3.9",
            was("cache.example.com/k8s/pause:3.9", false),
            "kubernetes: cache.example.com/k8s/pause:3.9",
        ),
        // The object is immutable, and the old image is under a `to` that the rule no longer has.
        (
            "registry.k8s.io/pause:3.9",
            was("harbor.example.com/docker-hub/pause:3.9", true),
            "as stored: harbor.example.com/docker-hub/pause:3.9",
        ),
        (
            "gcr.io/google_containers/pause:2",
            was("harbor.example.com/docker-hub/pause:2", true),
            "as stored: harbor.example.com/docker-hub/pause:2",
        ),
        ("quay.io/a/b:1", was("cache.example.com/k8s/a/b:1", true), "as stored: cache.example.com/k8s/a/b:1"),
        ("nginx", was("cache.example.com/k8s/library/nginx", true), "as stored: cache.example.com/k8s/library/nginx"),
        // The cache has moved. No rule has the old `to` any more.
        (
            "registry.k8s.io/a/pause:3.9",
            was("old.example.com/k8s/a/pause:3.9", true),
            "as stored: old.example.com/k8s/a/pause:3.9",
        ),
        // The image differs from the stored one. The API server rejects the update with any response.
        (
            "registry.k8s.io/pause:3.10",
            was("cache.example.com/k8s/pause:3.9", true),
            "kubernetes: cache.example.com/k8s/pause:3.10",
        ),
        (
            "registry.k8s.io/pause:3.9",
            was("cache.example.com/k8s/xpause:3.9", true),
            "kubernetes: cache.example.com/k8s/pause:3.9",
        ),
        ("registry.k8s.io/pause:3.9", was("k8s.gcr.io/pause:3.9", true), "kubernetes: cache.example.com/k8s/pause:3.9"),
        (
            "registry.k8s.io/pause:3.9",
            was("registry.k8s.io/pause", true),
            "kubernetes: cache.example.com/k8s/pause:3.9",
        ),
        ("registry.k8s.io/pause:3.9", was("auto", true), "kubernetes: cache.example.com/k8s/pause:3.9"),
    ] {
        let question = Question { previous, ..question(image, "default") };
        assert_eq!(outcome(Context::of(&policy), question), expected, "{image} after {previous:?}");
    }
}

/// A rule that does not apply because of mode, namespace or exception still recognises what it wrote earlier.
#[test]
fn what_a_rule_wrote_is_restored_when_it_does_not_apply_any_more() {
    let policy = policy(
        r"
  - {name: hub, pattern: 'docker\.io/library/(.+)', to: 'c.io/hub/$1', mode: observe}
  - {name: gitlab, pattern: 'registry\.gitlab\.com/([^/]+)/(.+)', to: 'c.io/gitlab-$1/$2', except: [registry.gitlab.com/g]}
  - {name: k8s, from: [gcr.io/google_containers], to: c.io/k8s, namespaces: {exclude: [default]}}
  - {name: exact, from: [quay.io/exact/vol], to: c.io/exact}
",
    );
    for (image, previous, expected) in [
        ("vol:1", "c.io/hub/vol:1", "as stored: c.io/hub/vol:1"),
        ("registry.gitlab.com/g/vol:1", "c.io/gitlab-g/vol:1", "as stored: c.io/gitlab-g/vol:1"),
        ("gcr.io/google_containers/vol:1", "c.io/k8s/vol:1", "as stored: c.io/k8s/vol:1"),
        ("quay.io/exact/vol:1", "c.io/exact:1", "as stored: c.io/exact:1"),
        ("quay.io/exact/vol:1", "c.io/k8s/other/thing:1", "exact: c.io/exact:1"),
    ] {
        let previous = Some(Previous { image: previous, immutable: true });
        assert_eq!(
            outcome(Context::of(&policy), Question { previous, ..question(image, "default") }),
            expected,
            "{image}"
        );
    }
}

#[test]
fn a_rewrite_that_would_be_rewritten_again_is_invalid() {
    let policy = policy(
        r"
  - {name: hop, pattern: 'a\.io/(x)?(.+)', to: 'b.io/p$1$2'}
  - {name: loop, from: [b.io], to: c.io/b}
",
    );
    // `b.io/pfoo` is not under `b.io/p.+.+`, where each group has at least a letter. A second run would apply another rule.
    assert_eq!(outcome(Context::of(&policy), question("a.io/f", "default")), "hop: result_invalid");
    assert_eq!(outcome(Context::of(&policy), question("a.io/xf", "default")), "hop: b.io/pxf");
}

#[test]
fn explain_names_every_rule_that_was_tried() {
    let policy = policy(RULES);
    let tried = |image, namespace| {
        let image = ImageRef::parse(image).expect("an image");
        policy.tried(&image, namespace).iter().map(|tried| tried.rule.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(tried("registry.k8s.io/pause", "default"), ["kubernetes"]);
    assert_eq!(tried("busybox", "ci-1"), ["kubernetes", "docker-hub", "ci"]);
    assert_eq!(tried("example.com/x", "default").len(), policy.rules().len());
    assert!(tried("cache.example.com/k8s/x", "default").is_empty());
}

#[test]
fn the_reasons_are_a_closed_set_of_words() {
    let words: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let table = [
        "deleting",
        "mirror_pod",
        "opted_out",
        "operator_managed",
        "placeholder",
        "unchanged",
        "invalid",
        "pull_never",
        "already_cached",
        "excepted",
        "namespace_excluded",
        "no_rule",
        "not_rolled_out",
        "result_invalid",
        "observed",
        "not_in_cache",
        "cache_down",
    ];
    assert_eq!(words, table);
}

#[test]
fn a_rollout_comes_behind_the_match_and_before_the_result() {
    let policy = policy(
        r"
  - {name: hub, from: [docker.io], to: c.io/hub, except: [docker.io/own], namespaces: {exclude: [kube-system]}, rollout: 40%}
  - {name: later, from: [docker.io, quay.io], to: c.io/later}
  - {name: seen, from: [seen.io], to: c.io/seen, rollout: 40%, mode: observe}
  - {name: one, from: [one.io/only/this], to: c.io, rollout: 40%}
  - {name: none, from: [none.io], to: c.io/none, rollout: 0%}
  - {name: all, from: [all.io], to: c.io/all, rollout: 100%}
",
    );
    for (image, namespace, from, expected) in [
        ("nginx", "default", Some("40%"), "hub: c.io/hub/library/nginx"),
        // No later rule is tried.
        ("nginx", "default", Some("41%"), "hub: not_rolled_out, would be c.io/hub/library/nginx"),
        ("nginx", "default", None, "hub: not_rolled_out, would be c.io/hub/library/nginx"),
        ("own/a", "default", Some("41%"), "hub: excepted"),
        ("nginx", "kube-system", Some("41%"), "later: c.io/later/library/nginx"),
        ("c.io/hub/x", "default", Some("41%"), "already_cached"),
        ("quay.io/a", "default", None, "later: c.io/later/a"),
        ("seen.io/a", "default", Some("1%"), "seen: observed, would be c.io/seen/a"),
        ("seen.io/a", "default", Some("100%"), "seen: not_rolled_out, would be c.io/seen/a"),
        ("one.io/only/this:1", "default", Some("1%"), "one: result_invalid"),
        ("one.io/only/this:1", "default", Some("100%"), "one: not_rolled_out"),
        ("none.io/a", "default", Some("1%"), "none: not_rolled_out, would be c.io/none/a"),
        ("all.io/a", "default", Some("100%"), "all: c.io/all/a"),
        ("all.io/a", "default", None, "all: c.io/all/a"),
    ] {
        let included_from = from.map(|from| Percent::parse(from).expect("a percentage"));
        let asked = Question { included_from, ..question(image, namespace) };
        assert_eq!(outcome(Context::of(&policy), asked), expected, "{image} in {namespace} from {from:?}");
    }
}
