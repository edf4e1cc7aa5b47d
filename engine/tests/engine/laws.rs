//! Laws that hold for every image and all rules.

use oci_spec::distribution::Reference;
use proptest::prelude::*;
use pullthrough_engine::{DOCKER_HUB, Decision, Fit, ImageRef, Policy, Question, Reason, fold_host};

use crate::policy;

fn decide<'p>(policy: &'p Policy, image: &str, namespace: &str) -> Decision<'p> {
    policy.decide(Question { image, namespace, pull_never: false, previous: None, included_from: None })
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("docker.io".to_owned()),
        Just("index.docker.io".to_owned()),
        Just("registry.hub.docker.com:0443".to_owned()),
        Just("ecr-public.aws.com".to_owned()),
        Just("localhost".to_owned()),
        Just("[::1]:5000".to_owned()),
        "[a-c]\\.io(:0{0,3}(443|5000))?",
        "[A-C]\\.IO(:0?443)?",
    ]
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-c]{1,2}|a[._-]b|a__b|library", 1..4).prop_map(|components| components.join("/"))
}

pub fn image() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        3 => (host(), path()).prop_map(|(host, path)| format!("{host}/{path}")),
        1 => path(),
    ];
    let tag = prop_oneof![Just(String::new()), ":[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}"];
    let digest = prop_oneof![Just(String::new()), "@sha256:[0-9a-f]{64}", "@sha512:[0-9a-f]{128}"];
    (name, tag, digest).prop_map(|(name, tag, digest)| name + &tag + &digest)
}

pub fn prefix() -> impl Strategy<Value = String> {
    let host = prop_oneof!["[a-d]\\.io(:0?443)?", Just("docker.io".to_owned()), Just("localhost".to_owned())];
    (host, proptest::option::of(path())).prop_map(|(host, path)| match path {
        Some(path) => format!("{host}/{path}"),
        None => host,
    })
}

fn rule() -> impl Strategy<Value = String> {
    let namespaces = prop_oneof![
        2 => Just(""),
        1 => Just("\n    namespaces: {include: [ci-*]}"),
        1 => Just("\n    namespaces: {exclude: [ci-*]}"),
    ];
    let matcher = prop_oneof![
        3 => (proptest::collection::vec(prefix(), 1..3), prefix())
            .prop_map(|(from, to)| format!("from: {from:?}\n    to: '{to}'")),
        1 => (prop_oneof![Just("a"), Just("b"), Just("docker")], prefix())
            .prop_map(|(host, to)| format!("pattern: '{host}\\.io/([^/]+)/(x?)(.*)'\n    to: '{to}/$1-$2$3'")),
        1 => prefix().prop_map(|to| format!("pattern: '([a-c])\\.io/(.+)'\n    to: '{to}/$1/$2'")),
        1 => Just("pattern: '([a-c])\\.io/(.+)'\n    to: '$1.d.io/$2'".to_owned()),
        1 => (any_start(), prefix()).prop_map(|(start, to)| format!("pattern: '{start}'\n    to: '{to}/a'")),
    ];
    (matcher, namespaces).prop_map(|(matcher, namespaces)| format!("{matcher}{namespaces}"))
}

/// Expressions whose matches start with a host, a part of it, a whole name or any text.
fn any_start() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        r"(a|b)\.io/a(.*)",
        "[^/]+/a.*",
        r"a\.io/(a|b/c)",
        r"(?i)A\.IO/(.+)",
        "a.*",
        r"(localhost|docker\.io/library)/.+",
        r"b\.io/.*|c\.io/a",
    ])
}

fn rules() -> impl Strategy<Value = Policy> {
    rules_and_observing().prop_map(|(rules, _)| rules)
}

/// Rules that enforce, and the same rules observing.
fn rules_and_observing() -> impl Strategy<Value = (Policy, Policy)> {
    proptest::collection::vec(rule(), 1..5).prop_map(|rules| {
        let in_mode = |mode: &str| {
            let entry = |(index, rule): (usize, &String)| format!("  - name: r{index}\n    mode: {mode}\n    {rule}\n");
            policy(&rules.iter().enumerate().map(entry).collect::<String>())
        };
        (in_mode("enforce"), in_mode("observe"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rewriting_twice_is_rewriting_once(policy in rules(), image in image(), namespace in "ci-1|default") {
        if let Decision::Rewrite { result, .. } = decide(&policy, &image, &namespace) {
            prop_assert!(decide(&policy, &result, &namespace).reason().is_some(), "{image} was rewritten to {result}");
            prop_assert_ne!(&result, &image);
        }
    }

    #[test]
    fn observing_says_what_enforcing_does((enforcing, observing) in rules_and_observing(), image in image(), namespace in "ci-1|default") {
        let enforced = decide(&enforcing, &image, &namespace);
        let observed = decide(&observing, &image, &namespace);
        let name = |decision: &Decision| decision.rule().map(|rule| rule.name.clone());
        prop_assert_eq!(name(&enforced), name(&observed));
        match enforced {
            Decision::Rewrite { result, .. } => {
                prop_assert_eq!(observed.reason(), Some(Reason::Observed));
                prop_assert_eq!(observed.would_be(), Some(&*result));
            }
            Decision::Restore { .. } => prop_assert!(false, "nothing was there before"),
            Decision::NotRewritten { reason, .. } => {
                prop_assert_eq!((observed.reason(), observed.would_be()), (Some(reason), None));
            }
        }
    }

    #[test]
    fn a_result_is_a_reference_with_the_same_tag_and_digest(policy in rules(), image in image()) {
        if let Decision::Rewrite { result, .. } = decide(&policy, &image, "default") {
            let before = ImageRef::parse(&image).expect("only references are rewritten");
            let after = ImageRef::parse(&result).expect("a result is a reference");
            prop_assert_eq!(before.suffix(), after.suffix());
            prop_assert_eq!((before.tag(), before.digest()), (after.tag(), after.digest()));
            prop_assert!(result.strip_suffix(after.suffix()).is_some_and(|name| name.len() <= 255));
        }
    }

    #[test]
    fn a_host_rule_keeps_the_whole_canonical_path(image in image()) {
        let policy = policy("  - {name: all, from: [docker.io, a.io, b.io, c.io, localhost], to: cache.example.com/x}\n");
        if let Decision::Rewrite { result, .. } = decide(&policy, &image, "default") {
            let image = ImageRef::parse(&image).expect("only references are rewritten");
            prop_assert_eq!(result, format!("cache.example.com/x/{}{}", image.repository(), image.suffix()));
        }
    }

    #[test]
    fn nothing_under_a_target_is_touched(policy in rules(), path in path(), which in any::<prop::sample::Index>()) {
        let target = policy.rules()[which.index(policy.rules().len())].matcher.target();
        let image = format!("{}/{path}", target.replace("$1", "g").replace("$2", "h").replace("$3", "i"));
        let decision = decide(&policy, &image, "default");
        prop_assert_eq!(decision.reason(), Some(Reason::AlreadyCached), "{}", image);
    }

    /// The rules that `explain` reports are in file order, and none that the index skips would match.
    #[test]
    fn what_was_tried_is_every_rule_up_to_the_one_that_decides(policy in rules(), image in image(), namespace in "ci-1|default") {
        let parsed = ImageRef::parse(&image).expect("an image");
        let tried = policy.tried(&parsed, &namespace);
        let decision = decide(&policy, &image, &namespace);
        if decision.reason() == Some(Reason::AlreadyCached) {
            prop_assert!(tried.is_empty());
            return Ok(());
        }
        for (rule, tried) in policy.rules().iter().zip(&tried) {
            prop_assert!(std::ptr::eq(rule, tried.rule));
            prop_assert_eq!(rule.takes(&parsed), tried.fit != Fit::NoMatch, "{}", &rule.name);
        }
        match tried.last().map(|tried| (&tried.fit, tried.rule)) {
            Some((Fit::Match(()), rule)) => prop_assert_eq!(&decision.rule().expect("a rule").name, &rule.name),
            _ => prop_assert_eq!(tried.len(), policy.rules().len()),
        }
    }

    #[test]
    fn no_string_makes_it_panic(policy in rules(), image in ".{0,80}|[a-cA-C.:/@_-]{0,40}") {
        if let Decision::Rewrite { result, .. } = decide(&policy, &image, "default") {
            prop_assert!(ImageRef::parse(&result).is_ok());
        }
    }

    /// `tests/data/references.tsv` has the references that the crate reads in another way than the reference implementation. They
    /// have no tag, upper case in the first component, underscores in the host, brackets, a bare ID, or a long host.
    #[test]
    fn the_oci_spec_crate_agrees_outside_its_known_differences(image in image()) {
        // Only the engine adds `library/` below an alias of Docker Hub.
        let is_alias = image.split('/').next().is_some_and(|host| host != DOCKER_HUB && fold_host(host) == DOCKER_HUB);
        let known = is_alias || image.contains('[') || image.split('/').next().is_some_and(|first| first.contains('_') || first != first.to_lowercase());
        if !known {
            let ours = ImageRef::parse(&image).expect("a valid generated value");
            let theirs: Reference = image.parse().expect("the crate parses it");
            let folded = fold_host(theirs.registry());
            prop_assert_eq!(ours.registry(), Some(&*folded));
            prop_assert_eq!(ours.repository(), theirs.repository());
            prop_assert_eq!(ours.digest(), theirs.digest());
        }
    }
}
