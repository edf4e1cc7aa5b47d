//! What templates have that no value changes.

use std::sync::LazyLock;

use regex::Regex;

use crate::engine::{Decision, Policy, Question};
use crate::export::Inexpressible;

/// A registry that a template has: in front of a value, or alone in quotes as a default, which names of other templates are not.
pub fn registry_in_template(text: &str) -> Option<&str> {
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

/// An image that a template has, whatever the values.
pub fn of_template(policy: &Policy, namespace: &str, file: &str, text: &str) -> Vec<Inexpressible> {
    let mut inexpressible = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start().trim_start_matches("- ").trim_start();
        let Some(value) = line.strip_prefix("image:").or_else(|| line.strip_prefix("reference:")) else { continue };
        let value = value.trim_start().trim_start_matches(['"', '\'']);
        let literal = value.split(['"', '\'', ' ', '#']).next().unwrap_or_default();
        let question = Question { image: &known(literal), namespace, pull_never: false, previous: None };
        if let Decision::Rewrite { rule, .. } = policy.decide(question) {
            inexpressible.push(Inexpressible {
                what: format!("{file}:{}", index + 1),
                why: format!("`{literal}` is in the template, and no value changes it (rule `{}`)", rule.name),
            });
        }
    }
    inexpressible
}

/// What is known of an image without what a template puts behind it: a tag, or behind a slash the rest of its name.
pub(super) fn known(literal: &str) -> String {
    match literal.split_once("{{").map_or(literal, |(before, _)| before) {
        registry if registry.ends_with('/') => [registry, "x"].concat(),
        name => name.trim_end_matches([':', '@']).to_owned(),
    }
}
