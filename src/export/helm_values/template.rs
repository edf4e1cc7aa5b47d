//! Reads templates: which values are images, and which images no value changes.

use std::sync::LazyLock;

use regex::Regex;

use crate::engine::{Decision, Policy, Question};
use crate::export::Omission;

/// The information on a chart's values from its templates.
#[derive(Debug, Default)]
pub struct Templates {
    /// Whether the chart has templates.
    is_seen: bool,
    registry: Option<String>,
    /// Whether a template joins a registry and a repository by a slash.
    join: bool,
    fields: Vec<Field>,
}

/// The owner of templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Chart,
    Subchart,
}

/// A value in a field `image` of a template.
#[derive(Debug)]
struct Field {
    whose: Whose,
    /// The keys, separated by dots; in a subchart without the names of subcharts.
    path: String,
    is_first: bool,
    /// Whether the rest of a name follows it.
    is_folder: bool,
    place: String,
}

impl Templates {
    /// Adds a file of templates.
    pub fn add(&mut self, whose: Whose, file: &str, text: &str) {
        static JOIN: LazyLock<Option<Regex>> = LazyLock::new(|| {
            let repository = r"(?:repo\w*|image\w*|\w*name)";
            let actions =
                format!(r"registry[^}}]*\}}\}}/(?:\{{\{{-?\s*end\s*-?\}}\}})?\{{\{{[^}}]*[.$]{repository}\s*[-|}}]");
            let printf = format!(r#"printf\s+["`]%s/%s[^"`]*["`]\s+\S*registry\S*\s+\S*{repository}[\s)}}]"#);
            Regex::new(&format!(r"(?i){actions}|{printf}|common\.images\.image")).ok()
        });
        self.is_seen = true;
        if self.registry.is_none() {
            self.registry = registry_in_template(text).map(str::to_owned);
        }
        self.join |= JOIN.as_ref().is_some_and(|join| join.is_match(text));
        for (index, value) in images_of(text) {
            let mut is_first = true;
            for action in actions(value) {
                is_first &= action.before.is_empty();
                if action.is_control() {
                    continue;
                }
                for path in action.content.split(VALUES).skip(1).map(path_at) {
                    self.fields.push(Field {
                        whose,
                        path: path.to_owned(),
                        is_first,
                        is_folder: action.after.starts_with('/'),
                        place: format!("{file}:{}", index + 1),
                    });
                    is_first = false;
                }
            }
        }
    }

    pub fn registry(&self) -> Option<&str> {
        self.registry.as_deref()
    }

    /// Returns whether templates may render a value and the registry beside it as another text than both joined.
    pub(super) fn may_not_join(&self, path: &[&str]) -> bool {
        self.is_seen && (!self.join || self.fields_of(path).any(|field| field.is_first))
    }

    /// Returns the place of a template that puts text in front of a value.
    pub(super) fn with_something_before(&self, path: &[&str]) -> Option<&str> {
        self.fields_of(path).find(|field| !field.is_first).map(|field| field.place.as_str())
    }

    /// Returns the place of a template in which an image begins with a value.
    pub(super) fn with_image(&self, path: &[&str]) -> Option<&str> {
        self.fields_of(path).find(|field| field.is_first && !field.is_folder).map(|field| field.place.as_str())
    }

    fn fields_of(&self, path: &[&str]) -> impl Iterator<Item = &Field> {
        let path = path.join(".");
        self.fields.iter().filter(move |field| {
            path.strip_suffix(&field.path).is_some_and(|before| match field.whose {
                Whose::Chart => before.is_empty(),
                Whose::Subchart => before.ends_with('.'),
            })
        })
    }
}

const VALUES: &str = ".Values.";

/// The text between double braces, and the text around it up to the next ones.
struct Action<'t> {
    before: &'t str,
    content: &'t str,
    after: &'t str,
}

impl Action<'_> {
    /// Returns whether it only controls what is rendered.
    fn is_control(&self) -> bool {
        let word = self.content.trim_start_matches('-').split_whitespace().next();
        word.is_some_and(|word| ["if", "else", "end", "with", "range"].contains(&word))
    }
}

fn actions(text: &str) -> impl Iterator<Item = Action<'_>> {
    let (first, rest) = text.split_once("{{").unwrap_or((text, ""));
    rest.split("{{").scan(first, |before, part| {
        let (content, after) = part.split_once("}}").unwrap_or((part, ""));
        Some(Action { before: std::mem::replace(before, after), content, after })
    })
}

fn path_at(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c)).unwrap_or(text.len());
    text[..end].trim_end_matches('.')
}

/// Returns the fields with images: the number of the line, from 0, and the value.
fn images_of(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let line = line.trim_start().trim_start_matches("- ").trim_start();
        let value = line.strip_prefix("image:").or_else(|| line.strip_prefix("reference:"))?;
        Some((index, value.trim_start().trim_start_matches(['"', '\''])))
    })
}

/// Returns a registry in a template: in front of a value, or alone in quotes as a default. Names of other templates do not count.
fn registry_in_template(text: &str) -> Option<&str> {
    static REGISTRY: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let host = r"((?:[a-z0-9-]+\.)+[a-z][a-z0-9-]*(?::[0-9]+)?|localhost(?::[0-9]+)?)";
        let quoted = format!(r#"(include|template|define|block)?[ (]*["`]{host}/?["`]"#);
        Regex::new(&format!(r"{host}/[a-z0-9./_-]*\{{\{{|{quoted}")).ok()
    });
    REGISTRY.as_ref()?.captures_iter(text).filter(|found| found.get(2).is_none()).find_map(|found| {
        let is_in_action = |at: usize| text[..at].rfind("{{") > text[..at].rfind("}}");
        let quoted = found.get(3).filter(|host| is_in_action(host.start()));
        found.get(1).or(quoted).map(|host| host.as_str())
    })
}

/// Returns the images in a template that no value changes.
pub fn of_template(policy: &Policy, namespace: &str, file: &str, text: &str) -> Vec<Omission> {
    let mut omissions = Vec::new();
    for (index, value) in images_of(text) {
        let literal = value.split(['"', '\'', ' ', '#']).next().unwrap_or_default();
        let question =
            Question { image: &known(literal), namespace, pull_never: false, previous: None, included_from: None };
        if let Decision::Rewrite { rule, .. } = policy.decide(question) {
            omissions.push(Omission {
                what: format!("{file}:{}", index + 1),
                why: format!("`{literal}` is in the template, and no value changes it (rule `{}`)", rule.name),
            });
        }
    }
    omissions
}

/// Returns the known part of an image, without what a template appends: a tag, or the rest of its name behind a slash.
pub(super) fn known(literal: &str) -> String {
    match literal.split_once("{{").map_or(literal, |(before, _)| before) {
        registry if registry.ends_with('/') => [registry, "x"].concat(),
        name => name.trim_end_matches([':', '@']).to_owned(),
    }
}
