//! A list of every object in a cluster, to find remaining objects.

use std::collections::BTreeSet;

use crate::DEADLINE;
use crate::cluster::Cluster;
use crate::harness::wait_for;

/// Kinds that the cluster creates and deletes by itself.
const TRANSIENT: [&str; 3] = ["events", "events.events.k8s.io", "leases.coordination.k8s.io"];
/// A kind that is not stored, and whose use gives a warning.
const NOT_OBJECTS: &str = "componentstatuses";
const PRINTED: &str = "--output=jsonpath={range .items[*]}{.apiVersion} {.kind} {.metadata.namespace}/{.metadata.name} \
                       {.metadata.labels}{\"\\n\"}{end}";

/// A line for each object, with its labels.
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

    /// Waits until the cluster has the same objects again, and no others.
    #[track_caller]
    pub fn wait_until_again(&self, cluster: &Cluster) {
        self.wait_until_also(cluster, &[]);
    }

    /// Waits until the cluster has the same objects, one object for each of `starts`, and no others.
    #[track_caller]
    pub fn wait_until_also(&self, cluster: &Cluster, starts: &[&str]) -> Self {
        let mut now = Self(BTreeSet::new());
        let as_expected = wait_for(DEADLINE, || {
            now = Self::take(cluster);
            let new: Vec<_> = now.0.difference(&self.0).collect();
            let each_once = starts.iter().all(|start| new.iter().filter(|line| line.starts_with(start)).count() == 1);
            (self.0.is_subset(&now.0) && new.len() == starts.len() && each_once).then_some(())
        });
        if let Err(error) = as_expected {
            let new: Vec<_> = now.0.difference(&self.0).collect();
            let gone: Vec<_> = self.0.difference(&now.0).collect();
            panic!("new: {new:#?}, of which {starts:?} are expected\ngone: {gone:#?}\n{error:#}");
        }
        now
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }
}
