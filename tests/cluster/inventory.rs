//! Every object of a cluster, to see what was left behind.

use std::collections::BTreeSet;

use crate::DEADLINE;
use crate::cluster::Cluster;
use crate::harness::wait_for;

/// What comes and goes by itself.
const TRANSIENT: [&str; 3] = ["events", "events.events.k8s.io", "leases.coordination.k8s.io"];
/// Not stored anywhere, and deprecated with a warning.
const NOT_OBJECTS: &str = "componentstatuses";
const PRINTED: &str = "--output=jsonpath={range .items[*]}{.apiVersion} {.kind} {.metadata.namespace}/{.metadata.name} \
                       {.metadata.labels}{\"\\n\"}{end}";

/// A line for each, with its labels.
#[derive(Debug, PartialEq, Eq)]
pub struct Inventory(BTreeSet<String>);

impl Inventory {
    pub fn take(cluster: &Cluster) -> Self {
        let resources = cluster.kubectl(&["api-resources", "--verbs=list", "--output=name"]).ok();
        let is_counted = |name: &&str| !TRANSIENT.contains(name) && *name != NOT_OBJECTS;
        let resources: Vec<_> = resources.lines().filter(is_counted).collect();
        let objects = cluster.kubectl(&["get", &resources.join(","), "--all-namespaces", PRINTED]).ok();
        let inventory: BTreeSet<_> = objects.lines().map(str::to_owned).collect();
        assert!(inventory.iter().any(|line| line.starts_with("v1 Node ")), "{inventory:#?}");
        Self(inventory)
    }

    /// Waits until the cluster has again what it had then, and nothing else.
    #[track_caller]
    pub fn wait_until_again(&self, cluster: &Cluster) {
        let mut now = Self(BTreeSet::new());
        let again = wait_for(DEADLINE, || {
            now = Self::take(cluster);
            (now == *self).then_some(())
        });
        if let Err(error) = again {
            let new: Vec<_> = now.0.difference(&self.0).collect();
            let gone: Vec<_> = self.0.difference(&now.0).collect();
            panic!("left behind: {new:#?}\ngone: {gone:#?}\n{error:#}");
        }
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }
}
