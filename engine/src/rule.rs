//! One rule: which names it matches, in which namespaces, and what it makes of them.

use regex::{Captures, Regex};
use thiserror::Error;

use super::image::ImageRef;
use super::prefix::{InvalidPrefix, Prefix};
use super::prefixes::Prefixes;

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

/// What a rule matches, and what replaces it.
#[derive(Debug, Clone)]
pub enum Matcher {
    /// What one of `from` matched is replaced by `to`.
    From { from: Prefixes, to: Prefix },
    /// The whole name is replaced by the template.
    Pattern { pattern: Pattern, to: Template },
}

/// Whether a rule changes images, or only says what it would change.
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

/// A namespace's name in which `*` stands for any characters, also none.
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

/// A regular expression over the canonical host and path, anchored at both ends.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidPattern {
    #[error("it does not compile: {0}")]
    Syntax(String),
    #[error("it has a control character, which no name has; remove it")]
    Control,
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        // Patterns are printed where a control character could forge lines.
        if text.contains(char::is_control) {
            return Err(InvalidPattern::Control);
        }
        // On its own first, so that `a)|(b` can't climb out of the anchors.
        Regex::new(text)
            .and_then(|_| Regex::new(&format!(r"\A(?:{text})\z")))
            .map(Self)
            .map_err(|error| InvalidPattern::Syntax(last_line(&error.to_string())))
    }

    /// The expression with its anchors.
    pub fn anchored(&self) -> &str {
        self.0.as_str()
    }

    /// The expression without the anchors.
    pub fn written(&self) -> &str {
        let anchored = self.anchored();
        anchored.strip_prefix(r"\A(?:").and_then(|text| text.strip_suffix(r")\z")).unwrap_or(anchored)
    }

    pub(super) fn captures<'n>(&self, name: &'n str) -> Option<Captures<'n>> {
        self.0.captures(name)
    }
}

/// The regex crate draws the expression over several lines and says what is wrong in the last.
fn last_line(message: &str) -> String {
    message.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// A `to` in which `$1`…`$9` and `${name}` stand for the groups of a pattern.
#[derive(Debug, Clone)]
pub struct Template {
    written: String,
    parts: Vec<Part>,
    /// The literal start, to tell most names apart without the expression.
    literal_start: String,
    /// The template with each group as `.+`, and what lies below it.
    under: Regex,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Group(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidTemplate {
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
    #[error("`{0}` is no group; write `$1` to `$9`, or `${{name}}`")]
    Syntax(String),
    #[error("the pattern has no group `{group}`; it has {known}")]
    UnknownGroup { group: String, known: String },
}

impl Template {
    pub fn parse(written: &str, pattern: &Pattern) -> Result<Self, InvalidTemplate> {
        let parts = parse_parts(written, pattern)?;
        // With a letter for each group it must be a prefix like any other; so the canonical form of the literals is known.
        Prefix::parse(&with_groups(&parts, |_| "x".to_owned())).map_err(|error| match error.of_target() {
            InvalidPrefix::NotACache { .. } => InvalidPrefix::NotACache { written: written.to_owned() },
            InvalidPrefix::Host { .. } => {
                InvalidPrefix::Host { host: written.split('/').next().unwrap_or_default().to_owned() }
            }
            InvalidPrefix::Path { .. } => {
                InvalidPrefix::Path { path: written.split_once('/').map_or(written, |(_, path)| path).to_owned() }
            }
            other => other,
        })?;
        let (literal_start, expression) = under_expression(&parts);
        #[expect(clippy::expect_used, reason = "escaped literals between `.+` always compile")]
        let under = Regex::new(&expression).expect("a template's expression");
        Ok(Self { written: written.to_owned(), parts, literal_start, under })
    }

    pub fn written(&self) -> &str {
        &self.written
    }

    /// What every canonical name under it begins with.
    pub fn literal_start(&self) -> &str {
        &self.literal_start
    }

    /// An anchored expression that matches the canonical names under it.
    pub fn under(&self) -> &str {
        self.under.as_str()
    }

    /// With a letter for each group.
    pub fn sample(&self) -> String {
        self.with_groups(|_| "x".to_owned())
    }

    /// With something else for each group, by its number from 1 on.
    pub fn with_groups(&self, group: impl FnMut(usize) -> String) -> String {
        with_groups(&self.parts, group)
    }

    pub(super) fn expand(&self, groups: &Captures) -> String {
        let mut result = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => result.push_str(text),
                Part::Group(index) => result.push_str(groups.get(*index).map_or("", |group| group.as_str())),
            }
        }
        result
    }

    /// Whether a canonical name is what this template can give, or lies below that.
    pub(super) fn is_above(&self, name: &str) -> bool {
        name.starts_with(&self.literal_start) && self.under.is_match(name)
    }
}

fn with_groups(parts: &[Part], mut group: impl FnMut(usize) -> String) -> String {
    let texts = parts.iter().map(|part| match part {
        Part::Literal(text) => text.clone(),
        Part::Group(index) => group(*index),
    });
    texts.collect()
}

fn parse_parts(written: &str, pattern: &Pattern) -> Result<Vec<Part>, InvalidTemplate> {
    let names: Vec<Option<&str>> = pattern.0.capture_names().collect();
    let mut parts = Vec::new();
    let mut rest = written;
    while let Some((literal, after)) = rest.split_once('$') {
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.to_owned()));
        }
        let (group, after) = if let Some((name, after)) = after.strip_prefix('{').and_then(|name| name.split_once('}'))
        {
            (name, after)
        } else if after.starts_with(|c: char| matches!(c, '1'..='9')) {
            after.split_at(1)
        } else {
            let shown: String = after.chars().take(1).collect();
            return Err(InvalidTemplate::Syntax(format!("${shown}")));
        };
        let index = match group.parse() {
            Ok(index) => Some(index).filter(|index| (1..names.len()).contains(index)),
            Err(_) => names.iter().position(|name| *name == Some(group)),
        };
        let Some(index) = index else {
            return Err(InvalidTemplate::UnknownGroup { group: group.to_owned(), known: known_groups(&names) });
        };
        parts.push(Part::Group(index));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest.to_owned()));
    }
    Ok(parts)
}

fn known_groups(names: &[Option<&str>]) -> String {
    let groups: Vec<String> = names
        .iter()
        .enumerate()
        .skip(1)
        .map(|(index, name)| name.map_or_else(|| format!("`${index}`"), |name| format!("`${{{name}}}`")))
        .collect();
    if groups.is_empty() { "none".to_owned() } else { groups.join(", ") }
}

/// The literal start and the whole as an expression, the host's literals folded.
fn under_expression(parts: &[Part]) -> (String, String) {
    let mut in_host = true;
    let mut literal_start = String::new();
    let mut expression = String::from(r"\A");
    for (index, part) in parts.iter().enumerate() {
        let Part::Literal(text) = part else {
            expression.push_str(".+");
            continue;
        };
        let folded = match (in_host, text.split_once('/')) {
            (false, _) => text.clone(),
            (true, None) => text.to_ascii_lowercase(),
            (true, Some((host, path))) if index == 0 => [&super::host::fold_host(host), "/", path].concat(),
            (true, Some((host, path))) => [&super::host::fold_port(&host.to_ascii_lowercase()), "/", path].concat(),
        };
        in_host = in_host && !text.contains('/');
        if index == 0 {
            literal_start.clone_from(&folded);
        }
        expression.push_str(&regex::escape(&folded));
    }
    expression.push_str(r"(?:/.*)?\z");
    (literal_start, expression)
}

/// How far a rule comes with an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit<'p, R> {
    NoMatch,
    /// It matches, but not in this namespace.
    NotInNamespace,
    /// It would match, but for this `except`.
    Excepted {
        by: &'p Prefix,
    },
    Match(R),
}

impl<'p, R> Fit<'p, R> {
    /// The same, but for what a match gives.
    pub(super) fn without_result(&self) -> Fit<'p, ()> {
        match self {
            Self::NoMatch => Fit::NoMatch,
            Self::NotInNamespace => Fit::NotInNamespace,
            Self::Excepted { by } => Fit::Excepted { by },
            Self::Match(_) => Fit::Match(()),
        }
    }
}

/// What a match gives.
#[derive(Debug)]
pub(super) struct Rewritten<'n> {
    pub name: String,
    /// The canonical path behind what `from` matched, without its leading slash; the whole path under a pattern.
    pub tail: &'n str,
}

impl Rule {
    /// Whether it would send an image elsewhere, in whatever namespace.
    pub fn takes(&self, image: &ImageRef) -> bool {
        self.matcher.find(image).is_some() && self.except.first_above(image.canonical()).is_none()
    }

    pub(super) fn fit<'n>(&self, image: &'n ImageRef, namespace: &str) -> Fit<'_, Rewritten<'n>> {
        // The others decide what becomes of a match.
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

/// A match, and what it gives.
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

    /// Whether a canonical name is this matcher's `to`, or lies below it.
    pub fn is_above(&self, name: &str) -> bool {
        match self {
            Self::From { to, .. } => to.strip(name).is_some(),
            Self::Pattern { to, .. } => to.is_above(name),
        }
    }

    /// `to` as it was written.
    pub fn target(&self) -> &str {
        match self {
            Self::From { to, .. } => to.written(),
            Self::Pattern { to, .. } => to.written(),
        }
    }

    /// `from` and `to`, where the rule has no pattern.
    pub fn prefixes(&self) -> Option<(&Prefixes, &Prefix)> {
        match self {
            Self::From { from, to } => Some((from, to)),
            Self::Pattern { .. } => None,
        }
    }

    /// `from`, where the rule has no pattern.
    pub fn sources(&self) -> Option<&Prefixes> {
        self.prefixes().map(|(from, _)| from)
    }

    pub fn pattern(&self) -> Option<&Pattern> {
        match self {
            Self::From { .. } => None,
            Self::Pattern { pattern, .. } => Some(pattern),
        }
    }

    /// The canonical host of `to`, where it has no group.
    pub fn target_host(&self) -> Option<&str> {
        match self {
            Self::From { to, .. } => Some(to.host()),
            Self::Pattern { to, .. } => to.literal_start().split_once('/').map(|(host, _)| host),
        }
    }

    /// `to` as a prefix, with a letter for each group.
    pub fn sample_target(&self) -> Option<Prefix> {
        match self {
            Self::From { to, .. } => Some(to.clone()),
            Self::Pattern { to, .. } => Prefix::parse(&to.sample()).ok(),
        }
    }
}
