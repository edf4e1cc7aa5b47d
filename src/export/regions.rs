//! The rules sorted by prefix instead of by order.
//!
//! In a rules file the first rule that matches decides. In most other formats the longest prefix does. A [`Region`] is one such
//! prefix: the same rules apply, in the same order, to all names at or below it that have no longer prefix.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use regex_automata::Anchored;
use regex_automata::hybrid::dfa::DFA;
use regex_automata::util::start::Config;

use crate::engine::{Matcher, Mode, Namespaces, Policy, Prefix, Rule, boundaries};

/// The names at or below a canonical prefix that have no longer prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region<'p> {
    pub prefix: String,
    /// The first one that applies in the Pod's namespace decides. If none applies, images are unchanged.
    pub choices: Vec<Choice<'p>>,
}

/// The effect of a rule on the images of a region.
#[derive(Debug, Clone)]
pub struct Choice<'p> {
    /// The namespaces in which the rule applies.
    pub namespaces: &'p Namespaces,
    pub rule: &'p Rule,
    pub gives: Gives,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gives {
    /// `to` replaces the region's prefix, or one of `failover` if it is down. Both are as written.
    Rewrite { to: String, failover: Vec<String> },
    /// An `except` matches.
    Excepted,
    /// The rule's mode is `observe`.
    Observed,
    /// The rule's `rollout` does not include every workload. It gives the same names as [`Gives::Rewrite`].
    NotRolledOut { to: String, failover: Vec<String> },
    /// The rule's pattern, or its `to` or a failover with groups, may match some names of the region.
    Unknown,
}

impl PartialEq for Choice<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.namespaces == other.namespaces && self.rule.name == other.rule.name && self.gives == other.gives
    }
}

impl Eq for Choice<'_> {}

/// Returns every region of the rules, sorted by prefix. Names outside of all regions are unchanged, unless a pattern matches them.
pub fn regions(policy: &Policy) -> Vec<Region<'_>> {
    let rules = policy.rules();
    let index = Index::new(rules);
    let mut prefixes: BTreeMap<&str, &Prefix> = BTreeMap::new();
    for rule in rules {
        if let Some((from, targets)) = rule.matcher.prefixes() {
            prefixes.extend(from.iter().chain(targets).map(|prefix| (prefix.canonical(), prefix)));
        }
        prefixes.extend(rule.except.iter().map(|prefix| (prefix.canonical(), prefix)));
    }
    let mut regions: BTreeMap<&str, Region> = BTreeMap::new();
    // Sorted: each prefix comes before those below it.
    for (canonical, prefix) in prefixes {
        let choices = index.choices(prefix);
        let parent = boundaries(canonical).rev().find_map(|above| regions.get(above));
        let is_the_same = match parent {
            Some(parent) => parent.narrowed(canonical) == choices,
            None => choices.is_empty(),
        };
        if !is_the_same {
            regions.insert(canonical, Region { prefix: canonical.to_owned(), choices });
        }
    }
    regions.into_values().collect()
}

impl<'p> Region<'p> {
    /// Returns these choices for a longer prefix below this one.
    fn narrowed(&self, prefix: &str) -> Vec<Choice<'p>> {
        let rest = prefix.strip_prefix(&self.prefix).unwrap_or_default();
        let below = |failover: Vec<String>| failover.into_iter().map(|to| to + rest).collect();
        let narrowed = self.choices.iter().cloned().map(|choice| {
            let gives = match choice.gives {
                Gives::Rewrite { to, failover } => Gives::Rewrite { to: to + rest, failover: below(failover) },
                Gives::NotRolledOut { to, failover } => {
                    Gives::NotRolledOut { to: to + rest, failover: below(failover) }
                }
                gives @ (Gives::Excepted | Gives::Observed | Gives::Unknown) => gives,
            };
            Choice { gives, ..choice }
        });
        narrowed.collect()
    }
}

/// The rules, indexed by their prefixes.
struct Index<'p> {
    rules: &'p [Rule],
    targets: HashSet<&'p str>,
    sources: HashMap<&'p str, Vec<usize>>,
    patterns: Vec<PatternRule>,
}

struct PatternRule {
    number: usize,
    matches: Language,
    /// The names under its `to`, and under each failover.
    under: Vec<Language>,
}

impl<'p> Index<'p> {
    fn new(rules: &'p [Rule]) -> Self {
        let mut index = Self { rules, targets: HashSet::new(), sources: HashMap::new(), patterns: Vec::new() };
        for (number, rule) in rules.iter().enumerate() {
            match &rule.matcher {
                Matcher::From { from, to, failover } => {
                    index.targets.extend([to].into_iter().chain(failover).map(Prefix::canonical));
                    for prefix in from.iter() {
                        index.sources.entry(prefix.canonical()).or_default().push(number);
                    }
                }
                Matcher::Pattern { pattern, to, failover } => index.patterns.push(PatternRule {
                    number,
                    matches: Language::new(pattern.anchored()),
                    under: [to].into_iter().chain(failover).map(|to| Language::new(to.under())).collect(),
                }),
            }
        }
        index
    }

    /// Returns the choices in the order of the rules, up to the first that applies in every namespace.
    fn choices(&self, region: &Prefix) -> Vec<Choice<'p>> {
        let name = region.canonical();
        let mut choices = Vec::new();
        if boundaries(name).any(|above| self.targets.contains(above)) {
            return choices;
        }
        let meets = |pattern: &&PatternRule| pattern.under.iter().any(|under| under.may_meet(name));
        if let Some(pattern) = self.patterns.iter().find(meets) {
            let rule = &self.rules[pattern.number];
            return vec![Choice { namespaces: &Namespaces::All, rule, gives: Gives::Unknown }];
        }
        let sources = boundaries(name).filter_map(|above| self.sources.get(above)).flatten().copied();
        let patterns = self.patterns.iter().filter(|pattern| pattern.matches.may_meet(name));
        let numbers: BTreeSet<usize> = sources.chain(patterns.map(|pattern| pattern.number)).collect();
        for rule in numbers.into_iter().map(|number| &self.rules[number]) {
            // The others do not depend on the region.
            let Rule {
                name: _,
                matcher,
                except,
                namespaces,
                image_pull_secrets: _,
                mode,
                when_cache_down: _,
                check_exists: _,
                rollout: _,
            } = rule;
            let gives = match matcher {
                Matcher::Pattern { .. } => Gives::Unknown,
                _ if except.first_above(name).is_some() => Gives::Excepted,
                _ if *mode == Mode::Observe => Gives::Observed,
                Matcher::From { from, to, failover } => {
                    let rest = from.first_above(name).and_then(|from| from.strip(name)).unwrap_or_default();
                    let replaced = |to: &Prefix| [to.written(), rest].concat();
                    let (to, failover) = (replaced(to), failover.iter().map(replaced).collect());
                    if rule.is_rolled_out() {
                        Gives::Rewrite { to, failover }
                    } else {
                        Gives::NotRolledOut { to, failover }
                    }
                }
            };
            choices.push(Choice { namespaces, rule, gives });
            if *namespaces == Namespaces::All {
                break;
            }
        }
        choices
    }
}

/// The `to` and the failovers of the rules with a pattern.
pub struct PatternTargets<'p>(Vec<(&'p Rule, Language)>);

impl<'p> PatternTargets<'p> {
    pub fn new(rules: &'p [Rule]) -> Self {
        let targets = |rule: &'p Rule| match &rule.matcher {
            Matcher::From { .. } => Vec::new(),
            Matcher::Pattern { pattern: _, to, failover } => {
                [to].into_iter().chain(failover).map(|to| (rule, Language::new(to.under()))).collect()
            }
        };
        Self(rules.iter().flat_map(targets).collect())
    }

    /// Returns the first rule that may give a name at or below a prefix.
    pub fn giving(&self, prefix: &str) -> Option<&'p Rule> {
        self.0.iter().find(|(_, under)| under.may_meet(prefix)).map(|(rule, _)| *rule)
    }
}

/// The names that an anchored expression matches; `None` if the automaton is too large.
struct Language(Option<DFA>);

impl Language {
    fn new(expression: &str) -> Self {
        Self(DFA::new(expression).ok())
    }

    /// Returns whether one of them may be at or below a prefix.
    fn may_meet(&self, prefix: &str) -> bool {
        self.meets(prefix).unwrap_or(true)
    }

    /// As [`may_meet`](Self::may_meet); `None` if unknown.
    fn meets(&self, prefix: &str) -> Option<bool> {
        let dfa = self.0.as_ref()?;
        let mut cache = dfa.create_cache();
        let mut state = dfa.start_state(&mut cache, &Config::new().anchored(Anchored::Yes)).ok()?;
        for &byte in prefix.as_bytes() {
            state = dfa.next_state(&mut cache, state, byte).ok()?;
        }
        let at = dfa.next_eoi_state(&mut cache, state).ok()?;
        let below = dfa.next_state(&mut cache, state, b'/').ok()?;
        let is_known = ![state, at, below].iter().any(|state| state.is_quit());
        is_known.then(|| at.is_match() || !below.is_dead())
    }
}
