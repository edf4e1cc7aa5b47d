//! One rule: the names that it matches, its namespaces, and the names that it gives.

use regex::Captures;
use thiserror::Error;

use super::image::ImageRef;
use super::pattern::Pattern;
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
}

/// The names that a rule matches, and their replacement.
#[derive(Debug, Clone)]
pub enum Matcher {
    /// The part of the name that one of `from` matches is replaced by `to`.
    From { from: Prefixes, to: Prefix },
    /// The whole name is replaced by the template.
    Pattern { pattern: Pattern, to: Template },
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

/// The result of a match.
#[derive(Debug)]
pub(super) struct Rewritten<'n> {
    pub name: String,
    /// The canonical path behind the part that `from` matched, without its leading slash; the whole path for a pattern.
    pub tail: &'n str,
}

impl Rule {
    /// Returns whether it would rewrite an image in some namespace.
    pub fn takes(&self, image: &ImageRef) -> bool {
        self.matcher.find(image).is_some() && self.except.first_above(image.canonical()).is_none()
    }

    pub(super) fn fit<'n>(&self, image: &'n ImageRef, namespace: &str) -> Fit<'_, Rewritten<'n>> {
        // The other fields do not change whether it matches.
        let Self { name: _, matcher, except, namespaces, image_pull_secrets: _, mode: _ } = self;
        let Some(found) = matcher.find(image) else { return Fit::NoMatch };
        if !namespaces.contain(namespace) {
            return Fit::NotInNamespace;
        }
        match except.first_above(image.canonical()) {
            Some(by) => Fit::Excepted { by },
            None => Fit::Match(found.rewritten()),
        }
    }
}

/// A match.
pub(super) enum Found<'m, 'n> {
    From { to: &'m Prefix, rest: &'n str },
    Pattern { to: &'m Template, groups: Captures<'n>, path: &'n str },
}

impl<'n> Found<'_, 'n> {
    pub fn rewritten(self) -> Rewritten<'n> {
        match self {
            Self::From { to, rest } => {
                Rewritten { name: [to.written(), rest].concat(), tail: rest.trim_start_matches('/') }
            }
            Self::Pattern { to, groups, path } => Rewritten { name: to.expand(&groups), tail: path },
        }
    }
}

impl Matcher {
    pub(super) fn find<'n>(&self, image: &'n ImageRef) -> Option<Found<'_, 'n>> {
        let name = image.canonical();
        match self {
            Self::From { from, to } => Some(Found::From { to, rest: from.first_above(name)?.strip(name)? }),
            Self::Pattern { pattern, to } => {
                image.registry()?;
                Some(Found::Pattern { to, groups: pattern.captures(name)?, path: image.repository() })
            }
        }
    }

    /// Returns whether a canonical name is this matcher's `to`, or below it.
    pub fn is_above(&self, name: &str) -> bool {
        match self {
            Self::From { to, .. } => to.strip(name).is_some(),
            Self::Pattern { to, .. } => to.is_above(name),
        }
    }

    /// Returns `to` as written.
    pub fn target(&self) -> &str {
        match self {
            Self::From { to, .. } => to.written(),
            Self::Pattern { to, .. } => to.written(),
        }
    }

    /// Returns `from` and `to`; `None` if the rule has a pattern.
    pub fn prefixes(&self) -> Option<(&Prefixes, &Prefix)> {
        match self {
            Self::From { from, to } => Some((from, to)),
            Self::Pattern { .. } => None,
        }
    }

    /// Returns `from`; `None` if the rule has a pattern.
    pub fn sources(&self) -> Option<&Prefixes> {
        self.prefixes().map(|(from, _)| from)
    }

    pub fn pattern(&self) -> Option<&Pattern> {
        match self {
            Self::From { .. } => None,
            Self::Pattern { pattern, .. } => Some(pattern),
        }
    }

    /// Returns the canonical host of `to`; `None` if it has a group.
    pub fn target_host(&self) -> Option<&str> {
        match self {
            Self::From { to, .. } => Some(to.host()),
            Self::Pattern { to, .. } => to.literal_start().split_once('/').map(|(host, _)| host),
        }
    }

    /// Returns `to` as a prefix, with a letter for each group.
    pub fn sample_target(&self) -> Option<Prefix> {
        match self {
            Self::From { to, .. } => Some(to.clone()),
            Self::Pattern { to, .. } => Prefix::parse(&to.sample()).ok(),
        }
    }
}
