//! One rule: the names that it matches, its namespaces, and the names that it gives.

use std::time::Duration;

use regex::Captures;
use thiserror::Error;

use super::image::ImageRef;
use super::pattern::Pattern;
use super::percent::Percent;
use super::prefix::Prefix;
use super::prefixes::Prefixes;
use super::template::Template;

/// A rule of the rules file, checked.
#[derive(Debug, Clone)]
pub struct Rule {
    pub name: String,
    pub matcher: Matcher,
    pub except: Prefixes,
    pub namespaces: Namespaces,
    /// Names of Secrets that a Pod needs to pull from `to`.
    pub image_pull_secrets: Vec<String>,
    pub mode: Mode,
    pub when_cache_down: WhenCacheDown,
    pub check_exists: Option<CheckExists>,
    /// The share of workloads whose images it rewrites.
    pub rollout: Percent,
}

/// The names that a rule matches, and their replacement: `to`, or the first of `failover` that is not down if `to` is.
#[derive(Debug, Clone)]
pub enum Matcher {
    /// The part of the name that one of `from` matches is replaced by a prefix.
    From { from: Prefixes, to: Prefix, failover: Vec<Prefix> },
    /// The whole name is replaced by a template.
    Pattern { pattern: Pattern, to: Template, failover: Vec<Template> },
}

/// The name of an image while every cache of its rule is down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenCacheDown {
    /// The name under `to`.
    #[default]
    Keep,
    /// The name as written, unless its registry is known to be down too.
    Upstream,
}

/// Whether a cache is asked for an image before a rule names the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckExists {
    /// The time for all checks of a request together. Without an answer in time, the cache counts as having the image.
    pub deadline: Duration,
}

/// Whether a rule changes images, or only reports what it would change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Enforce,
    Observe,
}

/// The namespaces in which a rule applies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Namespaces {
    #[default]
    All,
    Include(Vec<Glob>),
    Exclude(Vec<Glob>),
}

impl Namespaces {
    pub fn contain(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Include(globs) => globs.iter().any(|glob| glob.matches(namespace)),
            Self::Exclude(globs) => !globs.iter().any(|glob| glob.matches(namespace)),
        }
    }
}

/// A namespace's name in which `*` stands for any number of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidGlob {
    #[error("it is empty; write a namespace, or `*` for all of them")]
    Empty,
    #[error(
        "`{0}` can't be part of a namespace's name; write lower-case letters, digits, `-`, and `*` for any characters"
    )]
    Character(char),
}

impl Glob {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn parse(text: &str) -> Result<Self, InvalidGlob> {
        match text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '*')) {
            Some(character) => Err(InvalidGlob::Character(character)),
            None if text.is_empty() => Err(InvalidGlob::Empty),
            None => Ok(Self(text.to_owned())),
        }
    }

    fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = pieces.next_back() else { return rest.is_empty() };
        for piece in pieces {
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        rest.ends_with(last)
    }
}

/// How far a rule matches an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit<'p, R> {
    NoMatch,
    /// It matches, but not in this namespace.
    NotInNamespace,
    /// It matches, but this `except` does too.
    Excepted {
        by: &'p Prefix,
    },
    Match(R),
}

impl<'p, R> Fit<'p, R> {
    /// Returns the same fit without the result of a match.
    pub(super) fn without_result(&self) -> Fit<'p, ()> {
        match self {
            Self::NoMatch => Fit::NoMatch,
            Self::NotInNamespace => Fit::NotInNamespace,
            Self::Excepted { by } => Fit::Excepted { by },
            Self::Match(_) => Fit::Match(()),
        }
    }
}

impl Rule {
    /// Returns whether its decisions depend on facts about caches.
    pub fn depends_on_facts(&self) -> bool {
        self.matcher.has_failover() || self.when_cache_down == WhenCacheDown::Upstream || self.check_exists.is_some()
    }

    /// Returns whether it rewrites an image at one time or for one workload, and not at or for another. Then an update
    /// restores a name that the rule gave before.
    pub fn varies(&self) -> bool {
        self.depends_on_facts() || !self.is_rolled_out()
    }

    /// Returns whether it rewrites the images of every workload.
    pub fn is_rolled_out(&self) -> bool {
        self.rollout == Percent::ALL
    }

    /// Returns whether its roll-out includes a workload. An unknown one is included only if all are.
    pub(super) fn includes(&self, included_from: Option<Percent>) -> bool {
        self.is_rolled_out() || included_from.is_some_and(|from| from <= self.rollout)
    }

    /// Returns whether it would rewrite an image in some namespace.
    pub fn takes(&self, image: &ImageRef) -> bool {
        self.matcher.find(image).is_some() && self.except.first_above(image.canonical()).is_none()
    }

    pub(super) fn fit<'n>(&self, image: &'n ImageRef, namespace: &str) -> Fit<'_, Found<'_, 'n>> {
        // The other fields do not change whether it matches.
        let Self {
            name: _,
            matcher,
            except,
            namespaces,
            image_pull_secrets: _,
            mode: _,
            when_cache_down: _,
            check_exists: _,
            rollout: _,
        } = self;
        let Some(found) = matcher.find(image) else { return Fit::NoMatch };
        if !namespaces.contain(namespace) {
            return Fit::NotInNamespace;
        }
        match except.first_above(image.canonical()) {
            Some(by) => Fit::Excepted { by },
            None => Fit::Match(found),
        }
    }
}

/// A match, which gives a name for `to` and one for each failover.
#[derive(Debug)]
pub(super) enum Found<'m, 'n> {
    From { to: &'m Prefix, failover: &'m [Prefix], rest: &'n str },
    Pattern { to: &'m Template, failover: &'m [Template], groups: Captures<'n>, path: &'n str },
}

impl<'n> Found<'_, 'n> {
    /// Returns the canonical path behind the part that `from` matched, without its leading slash; the whole path for a
    /// pattern.
    pub fn tail(&self) -> &'n str {
        match self {
            Self::From { rest, .. } => rest.trim_start_matches('/'),
            Self::Pattern { path, .. } => path,
        }
    }

    /// Returns the names without tag and digest: first that of `to`, then those of the failovers, in order.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let count = match self {
            Self::From { failover, .. } => failover.len(),
            Self::Pattern { failover, .. } => failover.len(),
        };
        (0..=count).map(|at| self.name(at))
    }

    /// Returns the name at a position: 0 is `to`, and later ones are failovers.
    pub fn name(&self, at: usize) -> String {
        let failover = at.checked_sub(1);
        match self {
            Self::From { to, failover: others, rest } => {
                let prefix = failover.and_then(|at| others.get(at)).unwrap_or(to);
                [prefix.written(), rest].concat()
            }
            Self::Pattern { to, failover: others, groups, path: _ } => {
                failover.and_then(|at| others.get(at)).unwrap_or(to).expand(groups)
            }
        }
    }
}

impl Matcher {
    pub(super) fn find<'n>(&self, image: &'n ImageRef) -> Option<Found<'_, 'n>> {
        let name = image.canonical();
        match self {
            Self::From { from, to, failover } => {
                Some(Found::From { to, failover, rest: from.first_above(name)?.strip(name)? })
            }
            Self::Pattern { pattern, to, failover } => {
                image.registry()?;
                Some(Found::Pattern { to, failover, groups: pattern.captures(name)?, path: image.repository() })
            }
        }
    }

    /// Returns whether a canonical name is one of this matcher's `to` and `failover`, or below it.
    pub fn is_above(&self, name: &str) -> bool {
        match self {
            Self::From { from: _, to, failover } => [to].into_iter().chain(failover).any(|to| to.strip(name).is_some()),
            Self::Pattern { pattern: _, to, failover } => [to].into_iter().chain(failover).any(|to| to.is_above(name)),
        }
    }

    pub fn has_failover(&self) -> bool {
        match self {
            Self::From { failover, .. } => !failover.is_empty(),
            Self::Pattern { failover, .. } => !failover.is_empty(),
        }
    }

    /// Returns `to` as written.
    pub fn target(&self) -> &str {
        match self {
            Self::From { to, .. } => to.written(),
            Self::Pattern { to, .. } => to.written(),
        }
    }

    /// Returns each failover as written, in order.
    pub fn failover(&self) -> Vec<&str> {
        match self {
            Self::From { failover, .. } => failover.iter().map(Prefix::written).collect(),
            Self::Pattern { failover, .. } => failover.iter().map(Template::written).collect(),
        }
    }

    /// Returns `from`, and `to` and the failovers; `None` if the rule has a pattern.
    pub fn prefixes(&self) -> Option<(&Prefixes, Vec<&Prefix>)> {
        match self {
            Self::From { from, to, failover } => Some((from, [to].into_iter().chain(failover).collect())),
            Self::Pattern { .. } => None,
        }
    }

    /// Returns `from`; `None` if the rule has a pattern.
    pub fn sources(&self) -> Option<&Prefixes> {
        match self {
            Self::From { from, .. } => Some(from),
            Self::Pattern { .. } => None,
        }
    }

    pub fn pattern(&self) -> Option<&Pattern> {
        match self {
            Self::From { .. } => None,
            Self::Pattern { pattern, .. } => Some(pattern),
        }
    }

    /// Returns the canonical host of `to` and of each failover, in order; `None` in place of a host with a group.
    pub fn target_hosts(&self) -> Vec<Option<&str>> {
        match self {
            Self::From { from: _, to, failover } => {
                [to].into_iter().chain(failover).map(|to| Some(to.host())).collect()
            }
            Self::Pattern { pattern: _, to, failover } => {
                let starts = [to].into_iter().chain(failover).map(Template::literal_start);
                starts.map(|start| start.split_once('/').map(|(host, _)| host)).collect()
            }
        }
    }

    /// Returns `to` and each failover as prefixes, in order, with a letter for each group. `None` in place of one that is
    /// no prefix then.
    pub fn sample_targets(&self) -> Vec<Option<Prefix>> {
        match self {
            Self::From { from: _, to, failover } => [to].into_iter().chain(failover).cloned().map(Some).collect(),
            Self::Pattern { pattern: _, to, failover } => {
                [to].into_iter().chain(failover).map(|to| Prefix::parse(&to.sample()).ok()).collect()
            }
        }
    }
}
