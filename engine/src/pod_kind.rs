//! The built-in Kubernetes kinds that are a Pod or have a template of Pods.

/// A kind that is a Pod or has a template of Pods.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct PodKind {
    /// Its API groups, first the one of current clusters. Older manifests have the others.
    pub groups: &'static [&'static str],
    pub kind: &'static str,
    /// Its plural name in the API.
    pub resource: &'static str,
    /// The keys from an object to the PodSpec.
    pub pod_spec: &'static [&'static str],
}

const POD: &[&str] = &["spec"];
const TEMPLATE: &[&str] = &["spec", "template", "spec"];
const APPS: &[&str] = &["apps", "extensions"];

impl PodKind {
    pub const ALL: &'static [Self] = &[
        Self::new(&[""], "Pod", "pods", POD),
        Self::new(APPS, "Deployment", "deployments", TEMPLATE),
        Self::new(APPS, "StatefulSet", "statefulsets", TEMPLATE),
        Self::new(APPS, "DaemonSet", "daemonsets", TEMPLATE),
        Self::new(APPS, "ReplicaSet", "replicasets", TEMPLATE),
        Self::new(&["batch"], "Job", "jobs", TEMPLATE),
        Self::new(&["batch"], "CronJob", "cronjobs", &["spec", "jobTemplate", "spec", "template", "spec"]),
        Self::new(&[""], "ReplicationController", "replicationcontrollers", TEMPLATE),
        Self::new(&[""], "PodTemplate", "podtemplates", &["template", "spec"]),
    ];

    const fn new(
        groups: &'static [&'static str],
        kind: &'static str,
        resource: &'static str,
        pod_spec: &'static [&'static str],
    ) -> Self {
        Self { groups, kind, resource, pod_spec }
    }

    /// Returns the kind of this name in any version of an API group.
    pub fn of(group: &str, kind: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|known| known.kind == kind && known.groups.contains(&group))
    }

    /// Returns the kind of a resource in any version of an API group.
    pub fn of_resource(group: &str, resource: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|known| known.resource == resource && known.groups.contains(&group))
    }

    /// Returns the kinds that have a template of Pods.
    pub fn with_template() -> impl Iterator<Item = &'static Self> {
        Self::ALL.iter().filter(|kind| !kind.pod().is_empty())
    }

    /// Returns whether it is the controller of the Pods that it creates. A CronJob creates Jobs, and a PodTemplate nothing.
    pub fn controls_pods(&self) -> bool {
        !matches!(self.kind, "Pod" | "CronJob" | "PodTemplate")
    }

    /// Returns the keys from an object to the Pod or template with the PodSpec; none if the object is a Pod.
    pub fn pod(&self) -> &'static [&'static str] {
        self.pod_spec.split_last().map_or(&[], |(_, pod)| pod)
    }
}
