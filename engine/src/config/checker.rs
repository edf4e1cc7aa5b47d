//! From the schema's types to checked rules.

use std::collections::HashSet;
use std::fmt;

use serde_saphyr::Spanned;

use super::places::Places;
use super::problem::{Problem, bytes};
use super::schema::{ModeEntry, NamespacesEntry, RuleEntry, RulesFile, WhenNotUnderstoodEntry};
use super::{API_VERSION, Config, KIND};
use crate::{
    Glob, InvalidPrefix, Matcher, Mode, Namespaces, Pattern, Prefix, Prefixes, Rule, Settings, Template,
    WhenNotUnderstood,
};

/// From the schema's types to checked rules, past every problem.
#[derive(Default)]
pub(super) struct Checker {
    pub problems: Vec<Problem>,
    places: Vec<Places>,
    names: HashSet<String>,
}

impl Checker {
    pub(super) fn problem<T>(&mut self, at: &Spanned<T>, message: impl Into<String>, cure: impl Into<String>) {
        let (message, cure) = (message.into(), Some(cure.into()));
        self.problems.push(Problem { message, cure, span: bytes(at.defined) });
    }

    /// The value, or nothing and a problem. The error's text is the cure.
    pub(super) fn valid<T, E: fmt::Display>(
        &mut self,
        at: &Spanned<String>,
        what: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.problem(at, format!("invalid {what} `{}`", at.value), error.to_string())).ok()
    }

    pub fn file(&mut self, file: RulesFile) -> Config {
        let RulesFile { api_version, kind, allow_opt_out, record_originals, when_not_understood, rules, manifests } =
            file;
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
        let rules = rules.into_iter().filter_map(|entry| self.rule(entry)).collect();
        let manifests = manifests.iter().filter_map(|entry| self.declaration(entry)).collect();
        Config {
            settings: Settings { allow_opt_out, record_originals, when_not_understood },
            rules,
            manifests,
            places: std::mem::take(&mut self.places),
        }
    }

    fn rule(&mut self, entry: RuleEntry) -> Option<Rule> {
        let RuleEntry { name, from, pattern, to, except, namespaces, image_pull_secrets, mode } = entry;
        self.valid(&name, "rule name", check_name(&name.value));
        if !self.names.insert(name.value.clone()) {
            self.problem(
                &name,
                format!("a second rule is named `{}`", name.value),
                "give each rule a name of its own: metrics go by it",
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
            except: except.iter().map(|entry| place(entry.defined)).collect(),
        });
        let matcher = match (from, pattern) {
            (Some(from), None) => self.from(&from, &to),
            (None, Some(pattern)) => self.pattern(&pattern, &to),
            (Some(_), Some(pattern)) => {
                self.problem(
                    &pattern,
                    "the rule has both `from` and `pattern`",
                    "keep one, and write a second rule for the other",
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
        Some(Rule { name: name.value, matcher: matcher?, except, namespaces, image_pull_secrets, mode })
    }

    fn from(&mut self, from: &Spanned<Vec<Spanned<String>>>, to: &Spanned<String>) -> Option<Matcher> {
        if from.value.is_empty() {
            self.problem(from, "`from` is empty", "list at least one registry host, or remove the rule");
        }
        if to.value.contains('$') {
            self.problem(
                to,
                "`to` has a group, but the rule no pattern",
                "use `pattern` instead of `from`, or remove the `$`",
            );
            return None;
        }
        let sources: Vec<Option<Prefix>> = from.value.iter().map(|source| self.source(source, "`from`")).collect();
        let to = self.valid(to, "`to`", Prefix::parse(&to.value).map_err(InvalidPrefix::of_target))?;
        Some(Matcher::From { from: sources.into_iter().collect::<Option<_>>()?, to })
    }

    /// An entry of `from` or `except`.
    fn source(&mut self, at: &Spanned<String>, what: &str) -> Option<Prefix> {
        self.valid(at, what, Prefix::parse(&at.value))
    }

    fn pattern(&mut self, pattern: &Spanned<String>, to: &Spanned<String>) -> Option<Matcher> {
        let pattern = self.valid(pattern, "`pattern`", Pattern::parse(&pattern.value))?;
        let to = self.valid(to, "`to`", Template::parse(&to.value, &pattern))?;
        Some(Matcher::Pattern { pattern, to })
    }

    fn except(&mut self, except: &[Spanned<String>], matcher: Option<&Matcher>) -> Prefixes {
        let mut prefixes = Vec::new();
        for entry in except {
            let Some(prefix) = self.source(entry, "`except`") else { continue };
            if let Some(Matcher::From { from, .. }) = matcher
                && from.first_above(prefix.canonical()).is_none()
            {
                let sources: Vec<String> =
                    from.iter().take(SHOWN_SOURCES).map(|source| format!("`{}/…`", source.written())).collect();
                let cure = format!(
                    "write a path below one of {}, literally: `docker.io/nginx` is not `docker.io/library/nginx`",
                    sources.join(", ")
                );
                self.problem(
                    entry,
                    format!("`{}` is outside this rule's `from`, so it would except nothing", entry.value),
                    cure,
                );
            }
            prefixes.push(prefix);
        }
        prefixes.into_iter().collect()
    }

    fn secrets(&mut self, names: &[Spanned<String>]) -> Vec<String> {
        for name in names.iter().filter(|name| !is_object_name(&name.value)) {
            let cure =
                "write the name of a Secret: lower-case letters, digits, `-` and `.`, a letter or digit at both ends";
            self.problem(
                name,
                format!("invalid Secret name `{}`, for which the API server would refuse every Pod", name.value),
                cure,
            );
        }
        names.iter().map(|name| name.value.clone()).collect()
    }

    fn namespaces(&mut self, entry: &Spanned<NamespacesEntry>) -> Namespaces {
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
                self.problem(entry, "`namespaces` takes either `include` or `exclude`", "write one of the two");
                Namespaces::All
            }
        }
    }
}

/// Entries of `from` that a problem lists.
const SHOWN_SOURCES: usize = 3;

/// Rules' names are printed and are labels of metrics, so they have no character that either would have to escape.
fn check_name(name: &str) -> Result<(), &'static str> {
    match name.as_bytes() {
        [] => Err("name the rule for what it sends through the cache"),
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

/// A DNS subdomain (RFC 1123), as Kubernetes names most objects.
pub fn is_object_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_label)
}

/// A DNS label (RFC 1123), as Kubernetes names namespaces and Services.
pub fn is_dns_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
