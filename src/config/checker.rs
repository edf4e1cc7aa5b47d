//! From the schema's types to checked rules.

use std::fmt;

use serde_saphyr::Spanned;

use super::places::Places;
use super::problem::{Problem, bytes};
use super::schema::{ModeEntry, NamespacesEntry, RuleEntry, RulesFile};
use super::{API_VERSION, Config, KIND};
use crate::engine::{Glob, InvalidPrefix, Matcher, Mode, Namespaces, Pattern, Prefix, Rule, Settings, Template};

/// From the schema's types to checked rules, past every problem.
pub(super) struct Checker<'t> {
    text: &'t str,
    pub problems: Vec<Problem>,
    places: Vec<Places>,
    names: Vec<String>,
}

impl<'t> Checker<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, problems: Vec::new(), places: Vec::new(), names: Vec::new() }
    }

    pub(super) fn problem<T>(&mut self, at: &Spanned<T>, message: impl Into<String>, cure: impl Into<String>) {
        let (message, cure) = (message.into(), Some(cure.into()));
        self.problems.push(Problem { message, cure, span: bytes(self.text, at.defined) });
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
        let RulesFile { api_version, kind, allow_opt_out, record_originals, rules, manifests } = file;
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
            settings: Settings { allow_opt_out, record_originals },
            rules,
            manifests,
            places: std::mem::take(&mut self.places),
        }
    }

    fn rule(&mut self, entry: RuleEntry) -> Option<Rule> {
        let RuleEntry { name, from, pattern, to, except, namespaces, image_pull_secrets, mode } = entry;
        if name.value.is_empty() {
            self.problem(&name, "the rule's name is empty", "name it for what it sends through the cache");
        }
        if self.names.contains(&name.value) {
            self.problem(
                &name,
                format!("a second rule is named `{}`", name.value),
                "give each rule a name of its own: metrics go by it",
            );
        }
        self.names.push(name.value.clone());
        let place = |at: serde_saphyr::Location| bytes(self.text, at);
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
        let sources: Vec<_> = from.value.iter().map(|source| self.source(source, "`from`")).collect();
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

    fn except(&mut self, except: &[Spanned<String>], matcher: Option<&Matcher>) -> Vec<Prefix> {
        let mut prefixes = Vec::new();
        for entry in except {
            let Some(prefix) = self.source(entry, "`except`") else { continue };
            if let Some(Matcher::From { from, .. }) = matcher
                && !from.iter().any(|source| source.covers(&prefix))
            {
                let sources: Vec<String> = from.iter().map(|source| format!("`{}/…`", source.written())).collect();
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
        prefixes
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

/// A DNS subdomain (RFC 1123), as Kubernetes names most objects.
pub(super) fn is_object_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_label)
}

/// A DNS label (RFC 1123), as Kubernetes names namespaces and Services.
pub fn is_dns_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
