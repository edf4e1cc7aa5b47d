//! For any image and any facts of two replicas: nothing that is cached moves, and an update restores what was stored.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pullthrough_engine::config;
use pullthrough_engine::{CacheState, Context, Decision, Facts, Policy, Prefix, Previous, Question, Reason};

const RULES: &str = "
apiVersion: pullthrough.dev/v1alpha1
kind: Rules
caches:
  - {prefix: e.io, health: {}}
  - {prefix: f.io, health: {}}
  - {prefix: 'g.io:5000', health: {}}
  - {prefix: e.io/nested, health: {}}
  - {prefix: docker.io, health: {}}
rules:
  - {name: hub, from: [docker.io], to: 'E.io:443/hub', failover: [f.io/hub, 'g.io:5000'], whenCacheDown: upstream}
  - {name: exact, from: [quay.io/one, quay.io], to: e.io/nested, failover: [f.io/quay, e.io/quay]}
  - {name: check, from: [ghcr.io], to: f.io/ghcr, checkExists: {}}
  - {name: pattern, pattern: '([a-z.]+)\\.io/([^/]+)/(.+)', to: 'e.io/p/$1/$2/$3', failover: ['f.io/$2-$1/$3', 'g.io:5000/$3/$2']}
";
const STATES: [&str; 6] = ["e.io", "f.io", "g.io:5000", "e.io/nested", "docker.io", "f.io/quay"];
static POLICY: LazyLock<Policy> =
    LazyLock::new(|| Policy::from(config::parse("rules.yaml", RULES).expect("valid rules")));

/// Two bits for the state of each registry, and one for each result that is missing.
fn facts(bits: u16, results: &[String]) -> Facts {
    let states = STATES.iter().enumerate().filter_map(|(at, prefix)| {
        let state = match bits >> (2 * at) & 3 {
            0 => return None,
            1 => CacheState::Up,
            2 => CacheState::Degraded,
            _ => CacheState::Down,
        };
        Some((Prefix::parse(prefix).expect("a prefix"), state))
    });
    let missing = results.iter().enumerate().filter(|(at, _)| bits >> (12 + at % 4) & 1 == 1);
    Facts::of_states(states).with_missing(missing.map(|(_, result)| result.clone()))
}

fn store(facts: &Facts, image: &str, previous: Option<Previous>) -> (Option<Reason>, String) {
    let question = Question { image, namespace: "default", pull_never: false, previous, included_from: None };
    let decision = Context { facts, ..Context::of(&POLICY) }.decide(question);
    let reason = decision.reason();
    match decision {
        Decision::Rewrite { result, .. } | Decision::Restore { result } => (reason, result),
        Decision::NotRewritten { .. } => (reason, image.to_owned()),
    }
}

fuzz_target!(|input: (u16, u16, bool, &str)| {
    let (one, other, immutable, image) = input;
    let results = POLICY.results(image, "default").unwrap_or_default();
    let (one, other) = (facts(one, &results), facts(other, &results));
    let (reason, old) = store(&one, image, None);
    let is_rewritten = reason.is_none();
    if is_rewritten {
        assert!(results.contains(&old), "{old} is not one of {results:?}");
        for name in &results {
            assert_eq!(&store(&other, name, None).1, name);
        }
    }
    let previous = Some(Previous { image: &old, immutable });
    assert_eq!(store(&other, image, previous).1, old, "{image}");
    // A pattern that gives one name for several images may read it as another one, so only prefixes are certain.
    if is_rewritten && !image.contains(".io/") {
        for name in &results {
            assert_eq!(store(&other, name, previous), (Some(Reason::Unchanged), old.clone()), "{name}");
        }
    }
});
