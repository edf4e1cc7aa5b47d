//! The kinds of objects that have images.

use serde::Deserialize;

use super::skipped::fix;
use crate::cluster::api::{Api, Failure, Target};
use crate::engine::PodKind;
use crate::engine::declared::Subject;
use crate::manifest::Known;
use crate::scan::Skipped;

#[derive(Debug, PartialEq, Eq)]
pub struct ResourceKind {
    /// `api/v1`, or `apis/GROUP/VERSION`.
    pub api: String,
    pub kind: String,
    pub resource: String,
    pub namespaced: bool,
    /// Set if Kubernetes itself defines the kind: Pods, and kinds with a Pod template.
    pub built_in: Option<&'static PodKind>,
    /// Whether the rules file declares more images in it.
    pub declared: bool,
}

/// The result of discovery for a declared kind.
pub enum Discovery {
    Found(ResourceKind),
    /// The cluster does not have it, with a note about that.
    Absent(String),
    Skipped(Skipped),
}

impl ResourceKind {
    /// Returns the `apiVersion`.
    pub fn api_version(&self) -> &str {
        self.api.strip_prefix("apis/").or_else(|| self.api.strip_prefix("api/")).unwrap_or(&self.api)
    }

    fn group(&self) -> &str {
        self.api_version().rsplit_once('/').map_or("", |(group, _)| group)
    }

    pub fn plural(&self) -> String {
        format!("{}s", self.kind)
    }

    pub fn is_pod(&self) -> bool {
        self.built_in.is_some_and(|kind| kind.pod().is_empty())
    }

    pub fn is_job(&self) -> bool {
        self.built_in.is_some_and(|kind| kind.kind == "Job")
    }
}

/// Returns group and kind of each declaration that has them.
fn declared_kinds(known: &Known) -> impl Iterator<Item = (&str, &str)> {
    known.declared.iter().filter_map(|declaration| match &declaration.subject {
        Subject::Kind { group, kind } => Some((group.as_str(), kind.as_str())),
        Subject::AnyKind | Subject::Files(_) | Subject::Keys(_) => None,
    })
}

/// Returns the kinds that Kubernetes itself defines.
pub fn built_in(known: &Known) -> Vec<ResourceKind> {
    let is_any = known.declared.iter().any(|declaration| matches!(declaration.subject, Subject::AnyKind));
    let kind = |pod_kind: &'static PodKind| {
        let PodKind { groups, kind, resource, pod_spec: _ } = pod_kind;
        let group = groups.first().copied().unwrap_or_default();
        ResourceKind {
            api: format!("{}/v1", api_of(group)),
            kind: (*kind).to_owned(),
            resource: (*resource).to_owned(),
            namespaced: true,
            built_in: Some(pod_kind),
            declared: is_any || declared_kinds(known).any(|declared| declared == (group, *kind)),
        }
    };
    PodKind::ALL.iter().map(kind).collect()
}

/// Finds the other kinds that the rules file declares.
pub async fn declared(api: &Api, known: &Known) -> Vec<Discovery> {
    let built_in = built_in(known);
    let mut kinds: Vec<(&str, &str)> = declared_kinds(known).collect();
    kinds.retain(|&(group, kind)| !built_in.iter().any(|known| (known.group(), known.kind.as_str()) == (group, kind)));
    kinds.sort_unstable();
    kinds.dedup();
    let mut found = Vec::new();
    for (group, kind) in kinds {
        found.push(discover(api, group, kind).await.unwrap_or_else(|failure| {
            let target = Target { api: &api_of(group), resource: kind, namespace: None, name: None };
            let fix = match failure {
                Failure::Forbidden { .. } => "bind the ClusterRole system:discovery to your user".to_owned(),
                _ => fix(target, "list", &failure),
            };
            Discovery::Skipped(Skipped {
                what: format!("{kind}s of {group}"),
                why: failure.to_string(),
                fix,
                is_failure: true,
            })
        }));
    }
    found
}

fn api_of(group: &str) -> String {
    if group.is_empty() { "api".to_owned() } else { format!("apis/{group}") }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    #[serde(default)]
    preferred_version: Option<Version>,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    group_version: String,
}

#[derive(Deserialize)]
struct Resources {
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    kind: String,
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

/// Finds a kind in the version that the API server prefers, or else in any version.
async fn discover(api: &Api, group: &str, kind: &str) -> Result<Discovery, Failure> {
    const NEEDS: &str = "get /apis/* (system:discovery)";
    let versions = match group {
        "" => vec!["api/v1".to_owned()],
        group => match api.read::<Group>(&format!("/apis/{group}"), NEEDS).await {
            Ok(Group { preferred_version, versions }) => {
                let versions = preferred_version.into_iter().chain(versions);
                versions.map(|version| format!("apis/{}", version.group_version)).collect()
            }
            Err(Failure::NotFound(_)) => Vec::new(),
            Err(failure) => return Err(failure),
        },
    };
    for version in versions {
        let Resources { resources } = api.read(&format!("/{version}"), NEEDS).await?;
        let is_it = |resource: &Resource| {
            resource.kind == kind && !resource.name.contains('/') && resource.verbs.iter().any(|verb| verb == "list")
        };
        if let Some(Resource { name, namespaced, .. }) = resources.into_iter().find(is_it) {
            return Ok(Discovery::Found(ResourceKind {
                api: version,
                kind: kind.to_owned(),
                resource: name,
                namespaced,
                built_in: None,
                declared: true,
            }));
        }
    }
    let group = if group.is_empty() { "the core group" } else { group };
    Ok(Discovery::Absent(format!("the rules declare the kind {kind} of {group}, which the cluster does not have")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn built_in_kinds_that_are_declared_are_read_in_full() {
        for (entry, expected) in [
            ("{group: '*', kind: '*', env: [A]}", PodKind::ALL.len()),
            ("{group: apps, kind: Deployment, env: [A]}", 1),
            ("{group: a.io, kind: Deployment, images: [$.a]}", 0),
        ] {
            let text = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\nmanifests: [{entry}]\n");
            let declared = config::parse("rules.yaml", &text).expect(entry).manifests;
            let kinds = built_in(&Known { declared, ..Known::default() });
            assert_eq!(kinds.iter().filter(|kind| kind.declared).count(), expected, "{entry}");
        }
    }
}
