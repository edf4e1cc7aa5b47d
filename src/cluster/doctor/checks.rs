//! The checks. Each one reads the objects and the answers, and sends no requests to the cluster.

mod caches;
mod certificates;
mod coverage;
mod dry_run;
mod operations;
mod operators;
mod other_webhooks;
mod permissions;
mod replicas;
mod rules;
mod selectors;
mod service;
mod template_warnings;
mod version;
mod webhook_configuration;

use super::answers::Answers;
use super::objects::Objects;
use super::report::Check;

/// Returns all checks, in the order in which a reader needs them.
pub fn all(objects: &Objects, answers: &Answers) -> Vec<Check> {
    let checks = [
        version::check(objects),
        webhook_configuration::check(objects),
        service::check(objects),
        replicas::check(objects, answers),
        certificates::check(objects, answers),
        rules::check(objects, answers),
    ];
    let others = [
        dry_run::check(objects, answers),
        coverage::check(objects, answers),
        operators::check(objects, answers),
        permissions::check(objects, answers),
    ];
    checks.into_iter().chain(caches::check(answers)).chain(others).collect()
}

#[cfg(test)]
mod tests;
