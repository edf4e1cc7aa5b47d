//! The checks. Each one reads the objects and the answers, and sends no requests to the cluster.

mod certificates;
mod coverage;
mod dry_run;
mod operations;
mod other_webhooks;
mod permissions;
mod replicas;
mod rules;
mod selectors;
mod service;
mod version;
mod webhook_configuration;

use super::answers::Answers;
use super::objects::Objects;
use super::report::Check;

/// Returns all checks, in the order in which a reader needs them.
pub fn all(objects: &Objects, answers: &Answers) -> Vec<Check> {
    vec![
        version::check(objects),
        webhook_configuration::check(objects),
        service::check(objects),
        replicas::check(objects, answers),
        certificates::check(objects, answers),
        rules::check(objects, answers),
        dry_run::check(objects, answers),
        coverage::check(objects, answers),
        permissions::check(objects, answers),
    ]
}

#[cfg(test)]
mod tests;
