//! Laws that hold whatever facts do between two calls, and between two replicas.

use proptest::prelude::*;
use pullthrough_engine::{CacheState, Context, Decision, Facts, Percent, Policy, Prefix, Previous, Question, Reason};

use crate::file;
use crate::laws::{image, prefix};

/// Caches, which no rule has in `from`. Each is probed.
const CACHES: [&str; 6] = ["e.io", "F.io:443/hub", "g.io:5000/a/b", "h.io/hub", "localhost:5000/x", "e.io/nested"];

/// Registries whose state may be known: caches, prefixes within them, and upstreams.
const STATES: [&str; 9] =
    ["e.io", "f.io", "g.io:5000", "h.io/hub", "localhost:5000", "e.io/nested", "f.io/hub/library", "a.io", "docker.io"];

/// Returns the `to` and the failovers of a rule, all different.
fn names() -> impl Strategy<Value = Vec<&'static str>> {
    (Just(CACHES.to_vec()).prop_shuffle(), 1..4_usize).prop_map(|(caches, count)| caches[..count].to_vec())
}

fn rule() -> impl Strategy<Value = String> {
    let options = prop_oneof![
        3 => Just(""),
        2 => Just("\n    whenCacheDown: upstream"),
        1 => Just("\n    checkExists: {}"),
        1 => Just("\n    whenCacheDown: upstream\n    checkExists: {}"),
        1 => Just("\n    namespaces: {exclude: [ci-*]}"),
        1 => Just("\n    mode: observe"),
        2 => Just("\n    rollout: 40%"),
    ];
    // Templates of one rule may have their groups in different orders and forms.
    let template = |at: usize| ["$1/$2", "p-$2/$1", "$1-x/$2", "$2/$1"][at % 4];
    let matcher = prop_oneof![
        3 => (proptest::collection::vec(prefix(), 1..3), names()).prop_map(|(from, names)| {
            let failover = if names.len() > 1 { format!("\n    failover: {:?}", &names[1..]) } else { String::new() };
            format!("from: {from:?}\n    to: '{}'{failover}", names[0])
        }),
        1 => names().prop_map(move |names| {
            let names: Vec<String> =
                names.iter().enumerate().map(|(at, name)| format!("{name}/{}", template(at))).collect();
            let failover = if names.len() > 1 { format!("\n    failover: {:?}", &names[1..]) } else { String::new() };
            format!("pattern: '[a-c]\\.io/([^/]+)/([^/]+)'\n    to: '{}'{failover}", names[0])
        }),
    ];
    (matcher, options).prop_map(|(matcher, options)| matcher + options)
}

fn rules() -> impl Strategy<Value = Policy> {
    proptest::collection::vec(rule(), 1..4).prop_map(|rules| {
        let health = STATES.iter().map(|prefix| format!("  - {{prefix: '{prefix}', health: {{}}}}\n"));
        let rules = rules.iter().enumerate().map(|(at, rule)| format!("  - name: r{at}\n    {rule}\n"));
        file(&format!("caches:\n{}rules:\n{}", health.collect::<String>(), rules.collect::<String>()))
    })
}

/// The facts of one replica at one time: a state for some registries, and which of a rule's results are missing, as bits.
type Seen = (Vec<Option<CacheState>>, u8);

fn seen() -> impl Strategy<Value = Seen> {
    let state = proptest::option::of(prop_oneof![
        1 => Just(CacheState::Up),
        1 => Just(CacheState::Degraded),
        3 => Just(CacheState::Down),
    ]);
    (proptest::collection::vec(state, STATES.len()), prop_oneof![Just(0), any::<u8>()])
}

fn facts((states, missing): &Seen, results: &[String]) -> Facts {
    let states = STATES
        .iter()
        .zip(states)
        .filter_map(|(prefix, state)| Some((Prefix::parse(prefix).expect("a prefix"), (*state)?)));
    let missing = results.iter().enumerate().filter(|(at, _)| missing & (1 << (at % 8)) != 0);
    Facts::of_states(states).with_missing(missing.map(|(_, result)| result.clone()))
}

/// One rule's names for an image; empty if no rule matches.
fn results(policy: &Policy, image: &str, namespace: &str) -> Vec<String> {
    policy.results(image, namespace).unwrap_or_default()
}

/// Returns the percentage from which roll-outs include the workload, of which there is one in each namespace.
fn included_from(namespace: &str) -> Option<Percent> {
    Percent::parse(if namespace == "default" { "30%" } else { "60%" }).ok()
}

/// Returns the decision, and the image that is stored after it.
fn store<'p>(
    policy: &'p Policy,
    facts: &'p Facts,
    image: &str,
    namespace: &str,
    previous: Option<Previous>,
) -> (Decision<'p>, String) {
    let included_from = included_from(namespace);
    let question = Question { image, namespace, pull_never: false, previous, included_from };
    let decision = Context { facts, ..Context::of(policy) }.decide(question);
    let stored = match &decision {
        Decision::Rewrite { result, .. } | Decision::Restore { result } => result.clone(),
        Decision::NotRewritten { .. } => image.to_owned(),
    };
    (decision, stored)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Reinvocation by any replica changes nothing, and nothing moves when a cache comes up or goes down.
    #[test]
    fn nothing_that_is_cached_moves(policy in rules(), image in image(), namespace in "ci-1|default", [one, other] in [seen(), seen()]) {
        let results = results(&policy, &image, &namespace);
        let (one, other) = (facts(&one, &results), facts(&other, &results));
        let (decision, stored) = store(&policy, &one, &image, &namespace, None);
        if let Decision::Rewrite { .. } = decision {
            prop_assert!(results.contains(&stored), "{stored} is not one of {results:?}");
            let (again, after) = store(&policy, &other, &stored, &namespace, None);
            prop_assert_eq!(&after, &stored, "{:?}", again);
            for cached in &results {
                let (again, after) = store(&policy, &other, cached, &namespace, None);
                prop_assert_eq!(&after, cached, "{:?}", again);
            }
        }
        let (_, after) = store(&policy, &one, &stored, &namespace, None);
        prop_assert_eq!(after, stored);
    }

    /// An image at a mutable place stays what it was, so that no container restarts. At an immutable place, the API server would
    /// reject another one.
    #[test]
    fn an_update_changes_nothing_because_of_facts(
        policy in rules(), image in image(), namespace in "ci-1|default", [one, other] in [seen(), seen()], immutable in any::<bool>()
    ) {
        let results = results(&policy, &image, &namespace);
        let (one, other) = (facts(&one, &results), facts(&other, &results));
        let (created, old) = store(&policy, &one, &image, &namespace, None);
        let previous = Some(Previous { image: &old, immutable });
        // An old manifest is applied again. A second round changes nothing either.
        let (updated, after) = store(&policy, &other, &image, &namespace, previous);
        prop_assert_eq!(&after, &old, "{:?} after {:?}", updated, created);
        let (again, after) = store(&policy, &one, &after, &namespace, previous);
        prop_assert_eq!((&after, again.reason()), (&old, Some(Reason::Unchanged)));
        // Somebody sets the image to another name of the same rule.
        if let Decision::Rewrite { rule, .. } = created && rule.mode == pullthrough_engine::Mode::Enforce {
            for name in &results {
                let (updated, after) = store(&policy, &other, name, &namespace, previous);
                prop_assert_eq!(&after, &old, "{:?} for {}", updated, name);
                prop_assert_eq!(updated.reason(), Some(Reason::Unchanged));
            }
        }
    }

    /// Only facts that a rule asks for change its decision.
    #[test]
    fn facts_change_only_the_choice(policy in rules(), image in image(), namespace in "ci-1|default", seen in seen()) {
        let results = results(&policy, &image, &namespace);
        let facts = facts(&seen, &results);
        let included_from = included_from(&namespace);
        let without = policy.decide(Question { image: &image, namespace: &namespace, pull_never: false, previous: None, included_from });
        let (with, _) = store(&policy, &facts, &image, &namespace, None);
        prop_assert_eq!(with.rule().map(|rule| &rule.name), without.rule().map(|rule| &rule.name));
        match (&without, &with) {
            (Decision::Rewrite { rule, result, .. }, _) if !rule.depends_on_facts() => {
                prop_assert_eq!((with.reason(), with.would_be().is_none()), (None, true));
                let is_the_same = matches!(&with, Decision::Rewrite { result: same, .. } if same == result);
                prop_assert!(is_the_same, "{:?}", with);
            }
            (Decision::Rewrite { .. }, Decision::Rewrite { result, .. }) => prop_assert!(results.contains(result)),
            (Decision::Rewrite { .. }, Decision::NotRewritten { reason, .. }) => {
                let is_of_facts = matches!(reason, Reason::CacheDown | Reason::NotInCache | Reason::ResultInvalid);
                prop_assert!(is_of_facts, "{:?}", reason);
            }
            (Decision::NotRewritten { reason: Reason::ResultInvalid | Reason::Observed, .. }, _) => {}
            _ => prop_assert_eq!(with.reason(), without.reason()),
        }
    }
}
