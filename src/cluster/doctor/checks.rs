//! The questions. Each looks at what was seen and answered, and asks nothing of the cluster.

mod certificates;
mod coverage;
mod dry_run;
mod permissions;
mod reach;
mod registration;
mod replicas;
mod rivals;
mod rules;
mod selectors;
mod service;
mod version;

use super::answers::Answers;
use super::objects::Objects;
use super::report::Check;

/// All of them, in the order in which they are read best.
pub fn all(objects: &Objects, answers: &Answers) -> Vec<Check> {
    vec![
        version::check(objects),
        registration::check(objects),
        service::check(objects),
        replicas::check(objects, answers),
        certificates::check(objects, answers),
        rules::check(objects, answers),
        dry_run::check(objects, answers),
        reach::check(objects, answers),
        permissions::check(objects, answers),
    ]
}

#[cfg(test)]
mod tests;
