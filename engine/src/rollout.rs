//! The workload of a Pod, and the percentage from which roll-outs include it.

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::percent::Percent;
use super::pod::Metadata;
use super::pod_kind::PodKind;

/// What a roll-out includes as a whole: the controller of a Pod, or a Pod without one. Displays as `Deployment/web`.
///
/// A Pod of a ReplicaSet belongs to the Deployment behind it, whose name is the same for all revisions. A run of a CronJob
/// belongs to its Job: nothing in the Pod distinguishes it from other Jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload<'a> {
    kind: Cow<'a, str>,
    name: Cow<'a, str>,
}

/// The labels of Pods with the end of their ReplicaSet's name, and the kind that creates the ReplicaSets: of Kubernetes
/// (`DefaultDeploymentUniqueLabelKey`, `pkg/apis/apps/types.go`), and of Argo Rollouts (`DefaultRolloutUniqueLabelKey`,
/// `pkg/apis/rollouts/v1alpha1/types.go`).
const TEMPLATE_HASHES: [(&str, &str); 2] =
    [("pod-template-hash", "Deployment"), ("rollouts-pod-template-hash", "Rollout")];

/// Why a text does not name a workload. The message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidWorkload {
    #[error("write the kind and the name of what creates the Pods, as in `Deployment/web`")]
    Form,
    #[error("write the kind as manifests have it, as in `Deployment/{name}`")]
    Kind { name: String },
    #[error("each run of a CronJob is a workload of its own; write the Job of a run, as in `Job/{name}-29384920`")]
    CronJob { name: String },
    #[error("a PodTemplate creates no Pods; write the controller of the Pods, as in `Deployment/{name}`")]
    PodTemplate { name: String },
}

impl Workload<'static> {
    /// Parses `KIND/NAME`. Built-in kinds may be written in lower case or as a resource, as `kubectl` accepts them.
    ///
    /// # Errors
    ///
    /// Returns an error if the text has another form, or if the kind is not the controller of Pods.
    pub fn parse(text: &str) -> Result<Self, InvalidWorkload> {
        let Some((kind, name)) = text.split_once('/').filter(|(kind, name)| !kind.is_empty() && !name.is_empty())
        else {
            return Err(InvalidWorkload::Form);
        };
        let is_name =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte));
        if !is_name {
            return Err(InvalidWorkload::Form);
        }
        let name = name.to_owned();
        let known = PodKind::ALL.iter().find(|known| known.kind.eq_ignore_ascii_case(kind) || known.resource == kind);
        match known.map_or(kind, |known| known.kind) {
            "CronJob" => Err(InvalidWorkload::CronJob { name }),
            "PodTemplate" => Err(InvalidWorkload::PodTemplate { name }),
            kind if kind.starts_with(|first: char| first.is_ascii_uppercase())
                && kind.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                Ok(Self::new(kind.to_owned(), name))
            }
            _ => Err(InvalidWorkload::Kind { name }),
        }
    }
}

impl<'a> Workload<'a> {
    /// Returns a workload by the kind and the name of the object that users know.
    pub fn new(kind: impl Into<Cow<'a, str>>, name: impl Into<Cow<'a, str>>) -> Self {
        Self { kind: kind.into(), name: name.into() }
    }

    /// Returns the workload of a Pod. A Pod without a controller has its `generateName` if it has one, since its name is not
    /// known when it is created.
    pub fn of_pod(metadata: &Metadata<'a>) -> Self {
        if let Some(owner) = metadata.controller() {
            return Self::of_controller(owner.kind, owner.name, |key| metadata.label(key));
        }
        let (name, generate_name) = metadata.names();
        Self::new("Pod", if generate_name.is_empty() { name } else { generate_name })
    }

    /// Returns the workload of the Pods of a controller. `label` returns a label of those Pods by its key.
    pub fn of_controller(kind: Cow<'a, str>, name: Cow<'a, str>, label: impl Fn(&str) -> Option<Cow<'a, str>>) -> Self {
        if kind == "ReplicaSet" {
            for (key, creator) in TEMPLATE_HASHES {
                let Some(hash) = label(key).filter(|hash| !hash.is_empty()) else { continue };
                let without = name.strip_suffix(&*hash).and_then(|name| name.strip_suffix('-'));
                if let Some(length) = without.map(str::len).filter(|length| *length > 0) {
                    let mut name = name.into_owned();
                    name.truncate(length);
                    return Self::new(creator, name);
                }
            }
        }
        Self { kind, name }
    }

    /// Returns the least percentage of a roll-out that includes the workload: 1 to 100.
    ///
    /// It is the SHA-256 of `NAMESPACE`, a zero byte, `KIND`, a zero byte and `NAME`: the first eight bytes, read as a
    /// big-endian number, times 100, divided by 2⁶⁴, plus 1. Rules are not part of it. So a workload comes in at the same
    /// percentage for every rule, and all images of a Pod together. No change of the rules file moves it.
    ///
    /// ```
    /// use pullthrough_engine::Workload;
    ///
    /// assert_eq!(Workload::new("Deployment", "web").included_from("shop").get(), 16);
    /// assert_eq!(Workload::new("DaemonSet", "kube-proxy").included_from("kube-system").get(), 54);
    /// assert_eq!(Workload::new("Pod", "debug-").included_from("default").get(), 79);
    /// ```
    pub fn included_from(&self, namespace: &str) -> Percent {
        let mut hash = Sha256::new();
        for (index, part) in [namespace, &self.kind, &self.name].into_iter().enumerate() {
            if index > 0 {
                hash.update([0]);
            }
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        let position = u128::from(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        let hundredth = u8::try_from((position * 100) >> 64).unwrap_or(u8::MAX);
        Percent::behind(hundredth)
    }
}

impl fmt::Display for Workload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_named_by_kind_and_name() {
        for (text, expected) in [
            ("Deployment/web", Ok("Deployment/web")),
            ("deployment/web", Ok("Deployment/web")),
            ("statefulsets/db.v1", Ok("StatefulSet/db.v1")),
            ("Rollout/web", Ok("Rollout/web")),
            ("Pod/debug-", Ok("Pod/debug-")),
            ("web", Err("as in `Deployment/web`")),
            ("/web", Err("as in `Deployment/web`")),
            ("Deployment/", Err("as in `Deployment/web`")),
            ("shop/Deployment/web", Err("as in `Deployment/web`")),
            ("Deployment/Web", Err("as in `Deployment/web`")),
            ("rollout/web", Err("as manifests have it")),
            ("Deployment.apps/web", Err("as manifests have it")),
            ("cronjob/backup", Err("as in `Job/backup-29384920`")),
            ("PodTemplate/web", Err("creates no Pods")),
        ] {
            match (Workload::parse(text), expected) {
                (Ok(workload), Ok(expected)) => assert_eq!(workload.to_string(), expected),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
                (parsed, _) => panic!("{text}: {parsed:?}"),
            }
        }
    }

    #[test]
    fn a_workload_is_the_controller_without_a_template_hash() {
        let workload = |kind: &'static str, name: &'static str, labels: &'static [(&str, &str)]| {
            let label = |key: &str| labels.iter().find(|(known, _)| *known == key).map(|(_, value)| (*value).into());
            Workload::of_controller(kind.into(), name.into(), label).to_string()
        };
        for (kind, name, labels, expected) in [
            ("ReplicaSet", "web-5d4f8c7b9", &[("pod-template-hash", "5d4f8c7b9")][..], "Deployment/web"),
            ("ReplicaSet", "a-b-5d4", &[("pod-template-hash", "5d4")], "Deployment/a-b"),
            ("ReplicaSet", "web-5d4", &[("rollouts-pod-template-hash", "5d4")], "Rollout/web"),
            // A ReplicaSet that no Deployment created.
            ("ReplicaSet", "web-5d4", &[], "ReplicaSet/web-5d4"),
            ("ReplicaSet", "web-5d4", &[("pod-template-hash", "6e5")], "ReplicaSet/web-5d4"),
            ("ReplicaSet", "web5d4", &[("pod-template-hash", "5d4")], "ReplicaSet/web5d4"),
            ("ReplicaSet", "-5d4", &[("pod-template-hash", "5d4")], "ReplicaSet/-5d4"),
            ("ReplicaSet", "web-", &[("pod-template-hash", "")], "ReplicaSet/web-"),
            ("StatefulSet", "db-5d4", &[("pod-template-hash", "5d4")], "StatefulSet/db-5d4"),
            ("Job", "backup-29384920", &[], "Job/backup-29384920"),
        ] {
            assert_eq!(workload(kind, name, labels), expected);
        }
    }
}
