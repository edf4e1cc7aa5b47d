//! The questions. Each looks at the snapshot, and asks nothing of the cluster.

mod certificates;
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

use super::report::Check;
use super::snapshot::Snapshot;

/// All of them, in the order in which they are read best.
pub fn all(snapshot: &Snapshot) -> Vec<Check> {
    vec![
        version::check(snapshot),
        registration::check(snapshot),
        service::check(snapshot),
        replicas::check(snapshot),
        certificates::check(snapshot),
        rules::check(snapshot),
        dry_run::check(snapshot),
        reach::check(snapshot),
        permissions::check(snapshot),
    ]
}

#[cfg(test)]
mod tests;
