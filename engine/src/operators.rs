//! Operators that compare images of Pods with strings of their own, and recreate or update a rewritten Pod for ever.

mod table;

use std::borrow::Cow;
use std::fmt;

use super::rule::Namespaces;

/// A known operator that compares the images of Pods.
#[derive(Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its name in the rules file, in metrics and in reports.
    pub name: &'static str,
    /// The name of the project.
    pub title: &'static str,
    /// The versions that compare, if not all of them.
    pub versions: Option<&'static str>,
    /// The API group of the controller owner of its Pods.
    pub owner_group: &'static str,
    /// The kinds of the controller owner of its Pods.
    pub owner_kinds: &'static [&'static str],
    /// The key of a label of its Pods.
    pub label: &'static str,
    /// The value of the label; `None` for any value.
    pub label_value: Option<&'static str>,
    pub creator: Creator,
    /// Group and kind of the resources that have the images of its Pods.
    pub resources: &'static [(&'static str, &'static str)],
    /// What happens to a Pod whose image was rewritten.
    pub effect: &'static str,
    /// Where to write the rewritten image names instead, by container. The last one is for all other containers.
    pub settings: &'static [Setting],
    /// The files in which the comparison was read.
    pub sources: &'static [SourceFile],
}

/// Who creates the Pods of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creator {
    /// The operator itself. Its service account is in one of these namespaces, as the manifests of the project have it. If there
    /// are none, the manifests leave the namespace to the user.
    Operator { namespaces: &'static [&'static str] },
    /// The StatefulSet controller of Kubernetes. Any user who may create a StatefulSet can have it create such Pods.
    StatefulSetController,
}

/// Where an image of an operator's Pods is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The container; `None` for any other.
    pub container: Option<&'static str>,
    /// A field of a custom resource, or a variable or an argument of the operator, in words.
    pub place: &'static str,
}

/// A file of a public repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceFile {
    pub repository: &'static str,
    /// A tag, or a commit.
    pub version: &'static str,
    pub path: &'static str,
}

/// The user that the StatefulSet controller has, with and without `--use-service-account-credentials`.
const STATEFUL_SET_CONTROLLER: [&str; 2] =
    ["system:serviceaccount:kube-system:statefulset-controller", "system:kube-controller-manager"];

impl Operator {
    /// All known operators, sorted by name.
    pub const ALL: &'static [Self] = table::OPERATORS;

    /// Returns the operator of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|operator| operator.name == name)
    }

    /// Returns the operator whose Pods have a controller owner of this group and kind, and such labels. It says nothing about
    /// who created the Pod.
    pub fn of<'l>(group: &str, kind: &str, label: impl Fn(&str) -> Option<Cow<'l, str>>) -> Option<&'static Self> {
        Self::ALL.iter().find(|operator| {
            operator.owner_group == group
                && operator.owner_kinds.contains(&kind)
                && label(operator.label)
                    .is_some_and(|value| operator.label_value.is_none_or(|expected| expected == value))
        })
    }

    /// Returns the operator whose Pods get their images from such a resource.
    pub fn of_resource(group: &str, kind: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|operator| operator.resources.contains(&(group, kind)))
    }

    /// Returns where the image of a container is set.
    pub fn place(&self, container: &str) -> Option<&'static str> {
        let is_it = |setting: &&Setting| setting.container.is_none_or(|name| name == container);
        self.settings.iter().find(is_it).map(|setting| setting.place)
    }

    /// Returns every place at once, for messages about all containers.
    pub fn places(&self) -> String {
        let places: Vec<&str> = self.settings.iter().map(|setting| setting.place).collect();
        places.join(", ")
    }

    /// Returns the label as a selector: `KEY`, or `KEY=VALUE`.
    pub fn selector(&self) -> String {
        match self.label_value {
            Some(value) => format!("{}={value}", self.label),
            None => self.label.to_owned(),
        }
    }
}

impl fmt::Display for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, version, path } = self;
        write!(f, "{repository} {version}: {path}")
    }
}

/// What the rules say about operators that compare images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operators {
    /// Operators whose new Pods are not rewritten.
    pub skip: Vec<SkippedOperator>,
    pub on_recreate_loop: OnRecreateLoop,
}

/// An operator whose new Pods are not rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedOperator {
    pub operator: &'static Operator,
    /// The namespaces of the operator's service account. Empty if the StatefulSet controller creates its Pods.
    pub service_accounts_in: Vec<String>,
    /// The namespaces of the Pods.
    pub namespaces: Namespaces,
}

/// The answer to a workload whose Pods are rewritten and recreated again and again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnRecreateLoop {
    /// It is reported.
    #[default]
    Report,
    /// Its new Pods are no longer rewritten, until the rules change or the replica restarts.
    StandDown,
}

/// The user of a request that creates a Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User<'u> {
    Named(&'u str),
    /// It is not known, as for a Pod that exists. It counts as the one that the rules name.
    Unknown,
}

impl Operators {
    /// Returns whether a new Pod of an operator is not rewritten.
    pub fn skips(&self, operator: &Operator, namespace: &str, user: User) -> bool {
        self.skip.iter().any(|skipped| {
            skipped.operator.name == operator.name
                && skipped.namespaces.contain(namespace)
                && match user {
                    User::Named(user) => skipped.is_created_by(user),
                    User::Unknown => true,
                }
        })
    }
}

impl SkippedOperator {
    fn is_created_by(&self, user: &str) -> bool {
        match self.operator.creator {
            Creator::Operator { .. } => {
                let account = user.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':'));
                account.is_some_and(|(namespace, _)| self.service_accounts_in.iter().any(|own| own == namespace))
            }
            Creator::StatefulSetController => STATEFUL_SET_CONTROLLER.contains(&user),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_table_is_sorted_and_whole() {
        assert!(Operator::ALL.is_sorted_by_key(|operator| operator.name));
        let names: HashSet<&str> = Operator::ALL.iter().map(|operator| operator.name).collect();
        assert_eq!(names.len(), Operator::ALL.len());
        for operator in Operator::ALL {
            let name = operator.name;
            assert_eq!(Operator::named(name), Some(operator));
            assert!(!operator.owner_kinds.is_empty() && !operator.sources.is_empty(), "{name}");
            assert!(operator.place("no-such-container").is_some(), "{name}: the last setting is for any container");
            let is_any = |setting: &&Setting| setting.container.is_none();
            assert_eq!(operator.settings.iter().filter(is_any).count(), 1, "{name}");
            let is_of_set = operator.creator == Creator::StatefulSetController;
            assert_eq!(is_of_set, operator.owner_group == "apps", "{name}");
        }
    }

    #[test]
    fn an_operator_is_found_by_owner_and_label() {
        let found = |group: &str, kind: &str, label: (&str, &'static str)| {
            Operator::of(group, kind, |key| (key == label.0).then(|| label.1.into())).map(|operator| operator.name)
        };
        let cnpg = ("cnpg.io/cluster", "db");
        assert_eq!(found("postgresql.cnpg.io", "Cluster", cnpg), Some("cloudnative-pg"));
        assert_eq!(found("postgresql.cnpg.io", "Pooler", cnpg), None);
        assert_eq!(found("other.io", "Cluster", cnpg), None);
        assert_eq!(found("postgresql.cnpg.io", "Cluster", ("cnpg.io/x", "db")), None);
        assert_eq!(found("apps", "StatefulSet", ("application", "spilo")), Some("zalando-postgres-operator"));
        assert_eq!(found("apps", "StatefulSet", ("application", "other")), None);
    }
}
