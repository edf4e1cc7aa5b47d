//! The parts of the CEL for rules that vary: by facts about caches, or by their roll-out. The names of a rule count as one image,
//! since the state of its caches, or its `rollout`, may have changed since the Pod was created.

use std::collections::{BTreeMap, BTreeSet};

use super::{by_namespace, is_immutable, list};
use crate::engine::{Mode, Policy, Prefix};
use crate::export::regions::{Choice, Gives, Region};

/// Returns the replacements of each region, in canonical form, that rules give at one time and not at another: lists in CEL, by
/// the request's namespace. A container may have one of them.
pub(super) fn names<'r>(regions: &'r [Region]) -> BTreeMap<&'r str, String> {
    let names = |choice: &Choice| match &choice.gives {
        Gives::Rewrite { to, failover } | Gives::NotRolledOut { to, failover } if choice.rule.varies() => {
            let canonical = |to: &String| Prefix::parse(to).map_or_else(|_| to.clone(), |to| to.canonical().to_owned());
            let names: Vec<String> = [to].into_iter().chain(failover).map(canonical).collect();
            list(names.iter().map(String::as_str))
        }
        _ => "[]".to_owned(),
    };
    let of_regions = regions.iter().map(|region| (region.prefix.as_str(), by_namespace(&region.choices, "[]", names)));
    of_regions.filter(|(_, names)| names != "[]").collect()
}

/// Returns each `to` and failover of a rule that enforces, with the others of the rule. All are canonical.
pub(super) fn siblings(policy: &Policy) -> BTreeMap<&str, BTreeSet<String>> {
    let mut siblings: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let enforced = policy.rules().iter().filter(|rule| rule.mode == Mode::Enforce && rule.matcher.has_failover());
    for (_, targets) in enforced.filter_map(|rule| rule.matcher.prefixes()) {
        for one in &targets {
            let others = targets.iter().filter(|other| other.canonical() != one.canonical());
            siblings.entry(one.canonical()).or_default().extend(others.map(|other| other.canonical().to_owned()));
        }
    }
    siblings
}

/// Returns the condition that a rule gives both the image of `p` and the old image `o`, which ends in ` || `. `prefixes` is the list
/// of the prefixes of the image's canonical name.
pub(super) fn gives_both(prefixes: &str) -> String {
    format!(
        "p[3] != 'Never' && variables.names[?p[7]].orValue([]).exists(t, o[6] == t + p[6].substring(size(p[7])))\n    \
         || (p[3] != 'Never' || {}) && {prefixes}.exists(q, variables.siblings[?q].orValue([])\
         .exists(t, o[6] == t + p[6].substring(size(q))))\n    || ",
        is_immutable(),
    )
}
