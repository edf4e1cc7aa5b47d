//! Decisions with facts: the state of caches, and answers to existence checks.

use pullthrough_engine::{CacheState, Context, Facts, Policy, Prefix, Previous, Question};

use crate::decisions::{outcome, question};
use crate::file;

const RULES: &str = r"
caches:
  - {prefix: eu.example.com, health: {}}
  - {prefix: us.example.com, health: {}}
  - {prefix: us.example.com/slow, health: {}}
  - {prefix: quay.io, health: {}}
rules:
  - name: hub
    from: [docker.io]
    to: eu.example.com/hub
    failover: [US.example.com:443/hub, ap.example.com/mirror/hub]
  - name: quay
    from: [quay.io]
    to: eu.example.com/quay
    failover: [us.example.com/slow/quay]
    whenCacheDown: upstream
  - name: gitlab
    pattern: 'registry\.gitlab\.com/([^/]+)/(.+)'
    to: eu.example.com/gitlab-$1/$2
    failover: [us.example.com/$1/gitlab/$2]
    namespaces: {exclude: [kube-system]}
  - name: ghcr
    from: [ghcr.io]
    to: eu.example.com/ghcr
    whenCacheDown: upstream
    mode: observe
  - name: k8s
    from: [registry.k8s.io]
    to: eu.example.com/k8s
    checkExists: {}
  - name: plain
    from: [public.ecr.aws]
    to: eu.example.com/ecr
";

/// States as `PREFIX=STATE`, separated by spaces. `!IMAGE` is an image that its cache does not have.
fn facts(text: &str) -> Facts {
    let (missing, states): (Vec<&str>, Vec<&str>) = text.split_whitespace().partition(|word| word.starts_with('!'));
    let states = states.into_iter().map(|word| {
        let (prefix, state) = word.split_once('=').unwrap_or((word, "down"));
        let state = CacheState::ALL.into_iter().find(|known| known.as_str() == state).expect("a state");
        (Prefix::parse(prefix).expect("a prefix"), state)
    });
    Facts::of_states(states).with_missing(missing.into_iter().map(|image| image[1..].to_owned()))
}

fn decide(policy: &Policy, facts_text: &str, question: Question) -> String {
    let facts = facts(facts_text);
    outcome(Context { facts: &facts, ..Context::of(policy) }, question)
}

#[test]
fn the_first_name_that_is_not_down_is_given() {
    let policy = file(RULES);
    for (facts, image, expected) in [
        ("", "nginx:1", "hub: eu.example.com/hub/library/nginx:1"),
        ("us.example.com", "nginx:1", "hub: eu.example.com/hub/library/nginx:1"),
        ("eu.example.com=degraded", "nginx:1", "hub: eu.example.com/hub/library/nginx:1"),
        ("eu.example.com", "nginx:1", "hub: US.example.com:443/hub/library/nginx:1"),
        ("eu.example.com us.example.com=degraded", "nginx:1", "hub: US.example.com:443/hub/library/nginx:1"),
        ("eu.example.com us.example.com", "nginx:1", "hub: ap.example.com/mirror/hub/library/nginx:1"),
        // The longest prefix applies.
        (
            "eu.example.com us.example.com us.example.com/hub=up",
            "nginx:1",
            "hub: US.example.com:443/hub/library/nginx:1",
        ),
        ("eu.example.com/hub/library", "nginx:1", "hub: US.example.com:443/hub/library/nginx:1"),
        ("eu.example.com/hub/library", "bitnami/redis", "hub: eu.example.com/hub/bitnami/redis"),
        ("eu.example.com/hu", "nginx", "hub: eu.example.com/hub/library/nginx"),
        // All down.
        ("eu.example.com us.example.com ap.example.com", "nginx", "hub: eu.example.com/hub/library/nginx"),
        ("eu.example.com us.example.com", "quay.io/a", "quay: cache_down, would be eu.example.com/quay/a"),
        ("eu.example.com us.example.com us.example.com/slow=up", "quay.io/a", "quay: us.example.com/slow/quay/a"),
        ("eu.example.com us.example.com quay.io", "quay.io/a", "quay: eu.example.com/quay/a"),
        (
            "eu.example.com us.example.com quay.io=degraded",
            "quay.io/a",
            "quay: cache_down, would be eu.example.com/quay/a",
        ),
        // Templates.
        ("", "registry.gitlab.com/g/a/b", "gitlab: eu.example.com/gitlab-g/a/b"),
        ("eu.example.com/gitlab-g", "registry.gitlab.com/g/a/b", "gitlab: us.example.com/g/gitlab/a/b"),
        ("eu.example.com/gitlab-g", "registry.gitlab.com/h/a/b", "gitlab: eu.example.com/gitlab-h/a/b"),
        // Earlier reasons are given first.
        ("eu.example.com", "ghcr.io/a", "ghcr: observed, would be eu.example.com/ghcr/a"),
        ("eu.example.com !eu.example.com/ghcr/a", "ghcr.io/a", "ghcr: observed, would be eu.example.com/ghcr/a"),
        // Every name counts as cached.
        ("eu.example.com", "eu.example.com/hub/library/nginx", "already_cached"),
        ("eu.example.com", "us.example.com/hub/library/nginx", "already_cached"),
        ("", "ap.example.com:0443/mirror/hub/library/nginx", "already_cached"),
        ("", "us.example.com/g/gitlab/a", "already_cached"),
        ("", "ap.example.com/mirror/hubs/library/nginx", "no_rule"),
        // Existence checks.
        (
            "!eu.example.com/k8s/pause:3.9",
            "registry.k8s.io/pause:3.9",
            "k8s: not_in_cache, would be eu.example.com/k8s/pause:3.9",
        ),
        ("!eu.example.com/k8s/pause:3.9", "registry.k8s.io/pause:3.10", "k8s: eu.example.com/k8s/pause:3.10"),
        ("!eu.example.com/ecr/a", "public.ecr.aws/a", "plain: eu.example.com/ecr/a"),
    ] {
        assert_eq!(decide(&policy, facts, question(image, "default")), expected, "{image} with {facts:?}");
    }
}

/// A container or an image volume keeps its image if only the facts have changed.
#[test]
fn an_update_restores_another_name_of_the_same_rule() {
    let policy = file(RULES);
    for (facts, image, old, expected) in [
        ("", "nginx:1", "us.example.com/hub/library/nginx:1", "as stored: us.example.com/hub/library/nginx:1"),
        (
            "eu.example.com",
            "nginx:1",
            "eu.example.com/hub/library/nginx:1",
            "as stored: eu.example.com/hub/library/nginx:1",
        ),
        (
            "",
            "docker.io/nginx",
            "AP.example.com/mirror/hub/library/nginx",
            "as stored: AP.example.com/mirror/hub/library/nginx",
        ),
        // The new value is a name of the rule, too.
        (
            "",
            "eu.example.com/hub/library/nginx",
            "ap.example.com/mirror/hub/library/nginx",
            "as stored: ap.example.com/mirror/hub/library/nginx",
        ),
        (
            "us.example.com",
            "us.example.com/hub/library/nginx",
            "eu.example.com/hub/library/nginx",
            "as stored: eu.example.com/hub/library/nginx",
        ),
        ("", "registry.gitlab.com/g/a", "us.example.com/g/gitlab/a", "as stored: us.example.com/g/gitlab/a"),
        ("", "eu.example.com/gitlab-g/a", "us.example.com/g/gitlab/a", "as stored: us.example.com/g/gitlab/a"),
        // The cache was up before, or had the image.
        ("eu.example.com us.example.com", "quay.io/a", "eu.example.com/quay/a", "as stored: eu.example.com/quay/a"),
        ("!eu.example.com/k8s/a", "registry.k8s.io/a", "eu.example.com/k8s/a", "as stored: eu.example.com/k8s/a"),
        // It was down before.
        ("", "quay.io/a", "quay.io/a", "unchanged"),
    ] {
        for immutable in [false, true] {
            let previous = Some(Previous { image: old, immutable });
            let asked = Question { previous, ..question(image, "default") };
            assert_eq!(
                decide(&policy, facts, asked),
                expected,
                "{image} after {old} with {facts:?}, immutable: {immutable}"
            );
        }
    }
}

/// Another image, a rule without facts, and a rule that does not apply are decided as without an old value.
#[test]
fn an_update_that_changes_more_than_facts_is_decided_anew() {
    let policy = file(RULES);
    for (facts, namespace, image, old, expected) in [
        ("", "default", "nginx:2", "us.example.com/hub/library/nginx:1", "hub: eu.example.com/hub/library/nginx:2"),
        ("", "default", "redis", "us.example.com/hub/library/nginx", "hub: eu.example.com/hub/library/redis"),
        ("", "default", "nginx", "us.example.com/slow/quay/library/nginx", "hub: eu.example.com/hub/library/nginx"),
        ("", "default", "us.example.com/hub/library/nginx", "eu.example.com/hub/library/redis", "already_cached"),
        ("", "default", "public.ecr.aws/a", "eu.example.com/ecr/a", "plain: eu.example.com/ecr/a"),
        ("", "default", "ghcr.io/a", "eu.example.com/ghcr/a", "ghcr: observed, would be eu.example.com/ghcr/a"),
        ("", "kube-system", "registry.gitlab.com/g/a", "us.example.com/g/gitlab/a", "gitlab: namespace_excluded"),
    ] {
        let previous = Some(Previous { image: old, immutable: false });
        let asked = Question { previous, ..question(image, namespace) };
        assert_eq!(decide(&policy, facts, asked), expected, "{image} after {old} with {facts:?}");
    }
}
