//! Reading and writing manifests, through the public interface.

mod cases;
mod catalogue;
mod corpus;
mod declarations;
mod laws;
mod linear;
mod texts;
mod unknown;

use pullthrough::config::{self, Config};
use pullthrough::engine::{Decision, Policy};
use pullthrough::manifest::{Field, Known, Manifest};

/// Returns the rules of a rules file, given without its first two lines.
fn rules(text: &str) -> Config {
    let text = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\n{text}");
    config::parse("rules.yaml", &text).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the image that a policy wants in a field.
fn result(policy: &Policy, field: &Field) -> Option<String> {
    match field.decide(policy, "default", None) {
        Decision::Rewrite { result, .. } => Some(result),
        _ => None,
    }
}

fn read<'t>(file: &str, text: &'t str, known: &Known) -> Manifest<'t> {
    Manifest::read(file, text, known).unwrap_or_else(|error| panic!("{error}\n{text}"))
}
