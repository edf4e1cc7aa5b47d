//! The template that a pattern's groups are inserted into.

use regex::{Captures, Regex};
use thiserror::Error;

use super::pattern::{Pattern, for_names};
use super::prefix::{InvalidPrefix, Prefix};

/// A `to` in which `$1`…`$9` and `${name}` stand for the groups of a pattern.
#[derive(Debug, Clone)]
pub struct Template {
    written: String,
    parts: Vec<Part>,
    /// The literal start, which rejects most names without the expression.
    literal_start: String,
    /// The template with each group as `.+`, and names below it.
    under: String,
    is_under: Regex,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Group(usize),
}

/// A template read backwards: from a name to the texts of its groups.
#[derive(Debug, Clone)]
pub(super) struct Reverse {
    /// Has a group for each group of the template, in order, with its expression in the pattern.
    expression: Regex,
    /// The number of each group in the pattern.
    numbers: Vec<usize>,
}

impl Reverse {
    /// Returns the groups with which the template gives a canonical name, each with its number. If the pattern's groups
    /// match the name in several ways, these are the first ones.
    pub fn groups<'n>(&self, name: &'n str) -> Option<Vec<(usize, &'n str)>> {
        let captures = self.expression.captures(name)?;
        let texts = captures.iter().skip(1).map(|group| group.map_or("", |group| group.as_str()));
        let groups: Vec<(usize, &str)> = self.numbers.iter().copied().zip(texts).collect();
        let is_one_text =
            |(number, text): &(usize, &str)| groups.iter().all(|(other, of_other)| other != number || of_other == text);
        groups.iter().all(is_one_text).then_some(groups)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidTemplate {
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
    #[error("`{0}` is not a group; write `$1` to `$9`, or `${{name}}`")]
    Syntax(String),
    #[error("the pattern has no group `{group}`; it has {known}")]
    UnknownGroup { group: String, known: String },
}

impl Template {
    pub fn parse(written: &str, pattern: &Pattern) -> Result<Self, InvalidTemplate> {
        let parts = parse_parts(written, pattern)?;
        // With a letter for each group it must be a prefix, so that the canonical form of the literals is known.
        let is_prefix = |written: &str| {
            parse_parts(written, pattern).is_ok_and(|parts| Prefix::parse(&with_letters(&parts)).is_ok())
        };
        Prefix::check(&with_letters(&parts)).map_err(|error| {
            let error = match error.of_target() {
                InvalidPrefix::NotACache { .. } => InvalidPrefix::NotACache { written: written.to_owned() },
                InvalidPrefix::Host { .. } => {
                    InvalidPrefix::Host { host: written.split('/').next().unwrap_or_default().to_owned() }
                }
                InvalidPrefix::Path { .. } => {
                    InvalidPrefix::Path { path: written.split_once('/').map_or(written, |(_, path)| path).to_owned() }
                }
                other => other,
            };
            error.with_suggestion(written, is_prefix)
        })?;
        let (literal_start, expression) = expression(&parts, |_| ".+".to_owned());
        let under = expression + r"(?:/.*)?\z";
        #[expect(clippy::expect_used, reason = "escaped literals between `.+` always compile")]
        let is_under = for_names(&under).expect("a template's expression");
        Ok(Self { written: written.to_owned(), parts, literal_start, under, is_under })
    }

    pub fn written(&self) -> &str {
        &self.written
    }

    /// Returns the start of every canonical name under it.
    pub fn literal_start(&self) -> &str {
        &self.literal_start
    }

    /// Returns an anchored expression that matches the canonical names under it.
    pub fn under(&self) -> &str {
        &self.under
    }

    /// Returns the template with a letter for each group.
    pub fn sample(&self) -> String {
        self.with_groups(|_| "x".to_owned())
    }

    /// Returns the template with a text for each group, by its number from 1 on.
    pub fn with_groups(&self, group: impl FnMut(usize) -> String) -> String {
        with_groups(&self.parts, group)
    }

    /// Returns it read backwards; `None` if the expressions of the pattern's groups are too large together.
    pub(super) fn reverse(&self, pattern: &Pattern) -> Option<Reverse> {
        let groups = pattern.group_expressions();
        let group = |number| format!("({})", groups.get(&number).map_or(".+", String::as_str));
        let (_, expression) = expression(&self.parts, group);
        let numbers = self.parts.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Group(number) => Some(*number),
        });
        let expression = for_names(&(expression + r"\z")).ok()?;
        Some(Reverse { expression, numbers: numbers.collect() })
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

    /// Returns whether this template can give a canonical name or one above it.
    pub(super) fn is_above(&self, name: &str) -> bool {
        name.starts_with(&self.literal_start) && self.is_under.is_match(name)
    }
}

fn with_letters(parts: &[Part]) -> String {
    with_groups(parts, |_| "x".to_owned())
}

fn with_groups(parts: &[Part], mut group: impl FnMut(usize) -> String) -> String {
    let texts = parts.iter().map(|part| match part {
        Part::Literal(text) => text.clone(),
        Part::Group(index) => group(*index),
    });
    texts.collect()
}

fn parse_parts(written: &str, pattern: &Pattern) -> Result<Vec<Part>, InvalidTemplate> {
    let names: Vec<Option<&str>> = pattern.groups().collect();
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

/// Returns the literal start, and an expression of the whole without an end, with the host's literals folded. `group`
/// returns the expression of a group by its number.
fn expression(parts: &[Part], group: impl Fn(usize) -> String) -> (String, String) {
    let mut in_host = true;
    let mut literal_start = String::new();
    let mut expression = String::from(r"\A");
    for (index, part) in parts.iter().enumerate() {
        let text = match part {
            Part::Literal(text) => text,
            Part::Group(number) => {
                expression.push_str(&group(*number));
                continue;
            }
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
    (literal_start, expression)
}
