//! Export to OpenShift: an ImageDigestMirrorSet and an ImageTagMirrorSet (`config.openshift.io/v1`), from which the Machine Config
//! Operator makes a `registries.conf`.

use std::collections::BTreeSet;

use serde::Serialize;

use super::mirrors::Mirror;
use super::{Export, Omission, containers_image};
use crate::engine::{DOCKER_HUB, Policy};
use crate::registries::Upstream;

const API_VERSION: &str = "config.openshift.io/v1";
const NAME: &str = "pullthrough";

/// An object with mirrors. There is one for images with a digest and one for those without, with the same mirrors.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MirrorSet {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Serialize)]
struct Metadata {
    name: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Spec {
    ImageDigestMirrors(Vec<Source>),
    ImageTagMirrors(Vec<Source>),
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    source: String,
    mirrors: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror_source_policy: Option<&'static str>,
}

/// Returns both objects. `policy_of_sources` is `AllowContactingSource` or `NeverContactSource`.
pub fn mirror_sets(policy: &Policy, policy_of_sources: &'static str) -> Export<[MirrorSet; 2]> {
    let Export { what: mirrors, notes, omissions } = containers_image::mirrors(policy);
    let mut omissions: BTreeSet<Omission> = omissions.into_iter().collect();
    let unsaid: Vec<&str> = mirrors
        .iter()
        .filter(|mirror| mirror.to.is_none() && other_name(&mirror.prefix).is_none())
        .map(prefix)
        .collect();
    let mut sources = Vec::new();
    for mirror in &mirrors {
        let Mirror { prefix, to, failover } = mirror;
        if let Some(kept) = unsaid.iter().find(|kept| containers_image::holds(prefix, kept)) {
            if to.is_some() {
                let why = format!("not mirrored, since `{kept}` below it can't be excluded: its host has a port");
                omissions.insert(Omission { what: format!("`{prefix}`"), why });
            }
            continue;
        }
        sources.extend(match (to, other_name(prefix)) {
            (Some(to), _) => Some(Source {
                source: prefix.clone(),
                mirrors: [to].into_iter().chain(failover).cloned().collect(),
                mirror_source_policy: Some(policy_of_sources),
            }),
            // OpenShift drops a source without another mirror than itself (`openshift/runtime-utils`, `addMirrorSet`).
            (None, Some(other)) => Some(Source {
                source: prefix.clone(),
                mirrors: vec![prefix.clone(), other],
                mirror_source_policy: None,
            }),
            (None, None) => None,
        });
    }
    let set = |kind, spec| MirrorSet { api_version: API_VERSION, kind, metadata: Metadata { name: NAME }, spec };
    let sets = [
        set("ImageDigestMirrorSet", Spec::ImageDigestMirrors(sources.clone())),
        set("ImageTagMirrorSet", Spec::ImageTagMirrors(sources)),
    ];
    Export { what: sets, notes, omissions: omissions.into_iter().collect() }
}

fn prefix(mirror: &Mirror) -> &str {
    &mirror.prefix
}

/// Returns another name of the same part of the same registry.
fn other_name(prefix: &str) -> Option<String> {
    let (host, rest) = prefix.split_at(prefix.find('/').unwrap_or(prefix.len()));
    match host.split_once(':') {
        _ if host.strip_suffix(":443").unwrap_or(host) == DOCKER_HUB => {
            Some(format!("{}{rest}", Upstream::DockerHub.endpoint()))
        }
        None => Some(format!("{host}:443{rest}")),
        Some((name, "443")) => Some(format!("{name}{rest}")),
        Some(_) => None,
    }
}
