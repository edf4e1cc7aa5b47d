//! From the schema's types to checked rules.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde_saphyr::Spanned;

use super::bounded::DEADLINE;
use super::places::Places;
use super::problem::{Problem, bytes};
use super::schema::{
    CacheEntry, CheckExistsEntry, ModeEntry, NamespacesEntry, RuleEntry, RulesFile, WhenCacheDownEntry,
    WhenNotUnderstoodEntry,
};
use super::{API_VERSION, Config, KIND, MAX_CACHES, MAX_RULES};
use crate::{
    Cache, CheckExists, Glob, InvalidPrefix, Mode, Namespaces, Percent, Prefix, Rule, Settings, WhenCacheDown,
    WhenNotUnderstood,
};

/// From the schema's types to checked rules, past every problem.
#[derive(Default)]
pub(super) struct Checker {
    pub problems: Vec<Problem>,
    pub(super) places: Vec<Places>,
    names: HashSet<String>,
}

impl Checker {
    pub(super) fn problem<T>(&mut self, at: &Spanned<T>, message: impl Into<String>, fix: impl Into<String>) {
        let (message, fix) = (message.into(), Some(fix.into()));
        self.problems.push(Problem { message, fix, span: bytes(at.defined) });
    }

    /// Returns the value, or `None` and adds a problem. The error's text is the fix.
    pub(super) fn valid<T, E: fmt::Display>(
        &mut self,
        at: &Spanned<String>,
        what: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.problem(at, format!("invalid {what} `{}`", at.value), error.to_string())).ok()
    }

    pub fn file(&mut self, file: RulesFile) -> Config {
        let RulesFile {
            api_version,
            kind,
            allow_opt_out,
            record_originals,
            when_not_understood,
            caches,
            operators,
            rules,
            manifests,
        } = file;
        let when_not_understood = match when_not_understood {
            WhenNotUnderstoodEntry::Allow => WhenNotUnderstood::Allow,
            WhenNotUnderstoodEntry::Deny => WhenNotUnderstood::Deny,
        };
        if api_version.value != API_VERSION {
            self.problem(
                &api_version,
                format!("unknown apiVersion `{}`", api_version.value),
                format!("write `{API_VERSION}`"),
            );
        }
        if kind.value != KIND {
            self.problem(&kind, format!("unknown kind `{}`", kind.value), format!("write `{KIND}`"));
        }
        let mut cache_places = Vec::new();
        let caches = caches.map_or_else(Vec::new, |caches| self.caches(caches, &mut cache_places));
        let operators = self.operators(operators);
        let rules_place = bytes(rules.defined);
        let count = rules.value.len();
        if count > MAX_RULES {
            self.problem(
                &rules,
                format!("the file has {count} rules, and the limit is {MAX_RULES}"),
                "write rules for whole registries, or one rule with a `pattern` for many registries",
            );
        }
        let rules: Vec<Rule> = rules.value.into_iter().take(MAX_RULES).filter_map(|entry| self.rule(entry)).collect();
        // Places belong to rules only if each rule is valid.
        if self.problems.is_empty() {
            self.failovers(&rules, &caches);
        }
        let manifests = manifests.iter().filter_map(|entry| self.declaration(entry)).collect();
        Config {
            settings: Settings { allow_opt_out, record_originals, when_not_understood, caches, operators },
            cache_places,
            rules,
            rules_place,
            manifests,
            places: std::mem::take(&mut self.places),
        }
    }

    fn caches(&mut self, entries: Spanned<Vec<CacheEntry>>, places: &mut Vec<Range<usize>>) -> Vec<Cache> {
        let count = entries.value.len();
        if count > MAX_CACHES {
            self.problem(
                &entries,
                format!("the file has {count} caches, and the limit is {MAX_CACHES}"),
                "write one entry for each host, without the paths of rules",
            );
        }
        let mut prefixes = HashSet::new();
        let mut caches = Vec::new();
        for CacheEntry { prefix, product, ca_file, health } in entries.value.into_iter().take(MAX_CACHES) {
            if let Some(path) = &ca_file {
                self.valid(path, "`caFile`", check_path(&path.value));
            }
            let parsed = Prefix::parse(&prefix.value).map_err(InvalidPrefix::of_target);
            let Some(parsed) = self.valid(&prefix, "`prefix`", parsed) else { continue };
            if !prefixes.insert(parsed.canonical().to_owned()) {
                self.problem(
                    &prefix,
                    format!("duplicate cache `{}`", parsed.canonical()),
                    "join the entries, or write a longer prefix",
                );
            }
            places.push(bytes(prefix.defined));
            let health = health.map(|health| self.health(health, &parsed));
            caches.push(Cache { prefix: parsed, product, ca_file: ca_file.map(|path| path.value), health });
        }
        caches
    }

    fn rule(&mut self, entry: RuleEntry) -> Option<Rule> {
        let RuleEntry {
            name,
            from,
            pattern,
            to,
            failover,
            when_cache_down,
            check_exists,
            except,
            namespaces,
            image_pull_secrets,
            mode,
            rollout,
        } = entry;
        self.valid(&name, "rule name", check_name(&name.value));
        if !self.names.insert(name.value.clone()) {
            self.problem(
                &name,
                format!("duplicate rule name `{}`", name.value),
                "give each rule a unique name: metrics are labelled with it",
            );
        }
        let place = bytes;
        self.places.push(Places {
            name: place(name.defined),
            sources: match (&from, &pattern) {
                (Some(from), _) => from.value.iter().map(|source| place(source.defined)).collect(),
                (None, pattern) => pattern.iter().map(|pattern| place(pattern.defined)).collect(),
            },
            to: place(to.defined),
            failover: failover.iter().flat_map(|list| &list.value).map(|entry| place(entry.defined)).collect(),
            when_cache_down: when_cache_down.as_ref().map(|value| place(value.defined)),
            check_exists: check_exists.as_ref().map(|value| place(value.defined)),
            except: except.iter().map(|entry| place(entry.defined)).collect(),
        });
        if let Some(list) = failover.as_ref().filter(|list| list.value.is_empty()) {
            self.problem(list, "`failover` is empty", "list at least one cache, or remove it");
        }
        let failover = failover.map(|list| list.value).unwrap_or_default();
        let matcher = match (from, pattern) {
            (Some(from), None) => self.from(&from, &to, &failover),
            (None, Some(pattern)) => self.pattern(&pattern, &to, &failover),
            (Some(_), Some(pattern)) => {
                self.problem(
                    &pattern,
                    "the rule has both `from` and `pattern`",
                    "remove one, and write a second rule for it",
                );
                None
            }
            (None, None) => {
                self.problem(&name, "the rule has neither `from` nor `pattern`", "add `from: [registry.example.com]`");
                None
            }
        };
        let except = self.except(&except, matcher.as_ref());
        let namespaces = namespaces.map_or(Namespaces::All, |namespaces| self.namespaces(&namespaces));
        let image_pull_secrets = self.secrets(&image_pull_secrets);
        let mode = match mode {
            ModeEntry::Enforce => Mode::Enforce,
            ModeEntry::Observe => Mode::Observe,
        };
        let when_cache_down = match when_cache_down.map(|value| value.value) {
            None | Some(WhenCacheDownEntry::Keep) => WhenCacheDown::Keep,
            Some(WhenCacheDownEntry::Upstream) => WhenCacheDown::Upstream,
        };
        let check_exists = check_exists.map(|Spanned { value: CheckExistsEntry { deadline }, .. }| CheckExists {
            deadline: self.duration(deadline, "`deadline`", DEADLINE),
        });
        let rollout =
            rollout.map_or(Some(Percent::ALL), |value| self.valid(&value, "`rollout`", Percent::parse(&value.value)));
        Some(Rule {
            name: name.value,
            matcher: matcher?,
            except,
            namespaces,
            image_pull_secrets,
            mode,
            when_cache_down,
            check_exists,
            rollout: rollout?,
        })
    }

    fn secrets(&mut self, names: &[Spanned<String>]) -> Vec<String> {
        for name in names.iter().filter(|name| !is_object_name(&name.value)) {
            let fix = "write the name of a Secret: lower-case letters, digits, `-` and `.`, with a letter or digit at both ends";
            self.problem(
                name,
                format!("invalid Secret name `{}`: the API server would reject every Pod with it", name.value),
                fix,
            );
        }
        names.iter().map(|name| name.value.clone()).collect()
    }

    pub(super) fn namespaces(&mut self, entry: &Spanned<NamespacesEntry>) -> Namespaces {
        let globs = |checker: &mut Self, globs: &[Spanned<String>]| {
            if globs.is_empty() {
                checker.problem(entry, "the list of namespaces is empty", "name a namespace, or remove `namespaces`");
            }
            globs.iter().filter_map(|glob| checker.valid(glob, "namespace", Glob::parse(&glob.value))).collect()
        };
        match (&entry.value.include, &entry.value.exclude) {
            (Some(include), None) => Namespaces::Include(globs(self, include)),
            (None, Some(exclude)) => Namespaces::Exclude(globs(self, exclude)),
            (Some(_), Some(_)) | (None, None) => {
                self.problem(entry, "`namespaces` takes either `include` or `exclude`", "write one of them");
                Namespaces::All
            }
        }
    }
}

/// Checks the name of a rule. Names are printed and are labels of metrics, so no character may need an escape.
fn check_name(name: &str) -> Result<(), &'static str> {
    match name.as_bytes() {
        [] => Err("write a name for the images that it sends through the cache"),
        [_, ..] if name.len() > 63 => Err("use at most 63 characters"),
        [first, rest @ ..]
            if first.is_ascii_alphanumeric()
                && rest.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) =>
        {
            Ok(())
        }
        _ => Err("use letters, digits, `.`, `_` and `-`, and begin with a letter or a digit"),
    }
}

/// Checks the path of a file. The file is not opened.
fn check_path(path: &str) -> Result<(), &'static str> {
    match path {
        "" => Err("write the absolute path of a file in PEM, or remove the field"),
        _ if path.chars().any(char::is_control) => Err("remove the control characters"),
        _ if path.contains("-----BEGIN") => Err("write the absolute path of the file, and not its text"),
        _ if !path.starts_with('/') => Err("write an absolute path, such as `/etc/pullthrough/ca/cache.crt`"),
        _ => Ok(()),
    }
}

/// Returns whether a text is a DNS subdomain (RFC 1123), the form of most object names in Kubernetes.
pub fn is_object_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_label)
}

/// Returns whether a text is a DNS label (RFC 1123), the form of names of namespaces and Services.
pub fn is_dns_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
