//! The meaning of the product, through the public interface of the engine.

mod answers;
mod decisions;
mod evasion;
mod facts;
mod facts_laws;
mod laws;
mod linear;
#[path = "../../../tests/harness/linear_time.rs"]
mod linear_time;
#[path = "../../../tests/harness/long_rules.rs"]
mod long_rules;
mod operators;
mod rollout;
mod rules_file;
mod understanding;

use pullthrough_engine::Policy;
use pullthrough_engine::config;

/// Returns the policy of rules, given as the entries of `rules`.
fn policy(rules: &str) -> Policy {
    file(&format!("rules:\n{rules}"))
}

/// Returns the policy of a rules file, given without its first two lines.
fn file(text: &str) -> Policy {
    let text = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\n{text}");
    Policy::from(config::parse("rules.yaml", &text).unwrap_or_else(|error| panic!("{error}")))
}
