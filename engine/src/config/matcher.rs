//! Checks what a rule matches, and the names that it gives: `from`, `pattern`, `to`, `failover` and `except`.

use serde_saphyr::Spanned;

use super::checker::Checker;
use crate::{InvalidPrefix, Matcher, Pattern, Prefix, Prefixes, Template};

/// Entries of `from` that a problem lists.
const SHOWN_SOURCES: usize = 3;

impl Checker {
    pub(super) fn from(
        &mut self,
        from: &Spanned<Vec<Spanned<String>>>,
        to: &Spanned<String>,
        failover: &[Spanned<String>],
    ) -> Option<Matcher> {
        if from.value.is_empty() {
            self.problem(from, "`from` is empty", "list at least one registry host, or remove the rule");
        }
        let sources: Vec<Option<Prefix>> = from.value.iter().map(|source| self.source(source, "`from`")).collect();
        let to = self.target(to, "`to`");
        let failover: Vec<Option<Prefix>> = failover.iter().map(|entry| self.target(entry, "`failover`")).collect();
        Some(Matcher::From {
            from: sources.into_iter().collect::<Option<_>>()?,
            to: to?,
            failover: failover.into_iter().collect::<Option<_>>()?,
        })
    }

    /// Parses the `to` or a failover of a rule with `from`.
    fn target(&mut self, at: &Spanned<String>, what: &str) -> Option<Prefix> {
        if at.value.contains('$') {
            self.problem(
                at,
                format!("{what} has a group, but the rule has no pattern"),
                "use `pattern` instead of `from`, or remove the `$`",
            );
            return None;
        }
        self.valid(at, what, Prefix::parse(&at.value).map_err(InvalidPrefix::of_target))
    }

    /// Parses an entry of `from` or `except`.
    fn source(&mut self, at: &Spanned<String>, what: &str) -> Option<Prefix> {
        self.valid(at, what, Prefix::parse(&at.value))
    }

    pub(super) fn pattern(
        &mut self,
        pattern: &Spanned<String>,
        to: &Spanned<String>,
        failover: &[Spanned<String>],
    ) -> Option<Matcher> {
        let pattern = self.valid(pattern, "`pattern`", Pattern::parse(&pattern.value))?;
        let to = self.valid(to, "`to`", Template::parse(&to.value, &pattern));
        let failover: Vec<Option<Template>> = failover
            .iter()
            .map(|entry| self.valid(entry, "`failover`", Template::parse(&entry.value, &pattern)))
            .collect();
        Some(Matcher::Pattern { pattern, to: to?, failover: failover.into_iter().collect::<Option<_>>()? })
    }

    pub(super) fn except(&mut self, except: &[Spanned<String>], matcher: Option<&Matcher>) -> Prefixes {
        let mut prefixes = Vec::new();
        for entry in except {
            let Some(prefix) = self.source(entry, "`except`") else { continue };
            if let Some(Matcher::From { from, .. }) = matcher
                && from.first_above(prefix.canonical()).is_none()
            {
                let sources: Vec<String> =
                    from.iter().take(SHOWN_SOURCES).map(|source| format!("`{}/…`", source.written())).collect();
                let fix = format!(
                    "write a path below one of {}; paths are literal, so `docker.io/nginx` is not `docker.io/library/nginx`",
                    sources.join(", ")
                );
                self.problem(
                    entry,
                    format!("`{}` is outside this rule's `from`, so it has no effect", entry.value),
                    fix,
                );
            }
            prefixes.push(prefix);
        }
        prefixes.into_iter().collect()
    }
}
