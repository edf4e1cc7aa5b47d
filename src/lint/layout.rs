//! Limits of cache products: `cache-layout` and `unsupported-upstream`.

use std::collections::HashSet;

use super::index::Index;
use super::{Findings, Lint, PlacedRule, Target};
use crate::engine::Prefix;
use crate::registries::{ACR_UPSTREAMS, ECR_PREFIX_CHARS, ECR_UPSTREAMS, EcrHost, Upstream, are_aliases, is_ecr_path};

pub fn check(index: &Index, findings: &mut Findings) {
    for (&place, targets) in index.rules.iter().zip(&index.targets) {
        // The text of a group is unknown.
        let has_groups = place.pattern().is_some();
        let mut hosts = HashSet::new();
        for Target { prefix, written, span } in targets {
            if let Some((message, fix)) = misplaced(place, prefix, written, has_groups) {
                findings.add(Lint::CacheLayout, place, span, message, fix);
            }
            // Each cache of a product has the same upstreams.
            if let Some((product, known)) = upstreams(prefix.host()).filter(|(product, _)| hosts.insert(*product)) {
                unsupported(place, product, known, findings);
            }
        }
    }
}

/// Returns why no cache has images under this `to` or failover, and what to write instead.
fn misplaced(place: PlacedRule, target: &Prefix, written: &str, has_groups: bool) -> Option<(String, String)> {
    let host = target.host();
    let path = target.canonical().strip_prefix(host).unwrap_or_default().trim_start_matches('/');
    if let Some(upstream) = Upstream::of_host(host) {
        return public(place, upstream, path, target).then(|| {
            (
                format!("`{written}` is {}, and not a cache of your own", upstream.title()),
                "write the host of your cache, and its path for these images".to_owned(),
            )
        });
    }
    if EcrHost::is_meant(host) {
        return ecr(place, host, path, has_groups).map(|(what, fix)| (format!("`{written}` {what}"), fix.to_owned()));
    }
    if host == "docker.pkg.dev" || (host.ends_with("-docker.pkg.dev") && path.split('/').count() < 2) {
        return Some((
            format!("`{written}` is not a repository of Artifact Registry"),
            "write `LOCATION-docker.pkg.dev/PROJECT/REPOSITORY`, with the remote repository for this registry"
                .to_owned(),
        ));
    }
    if host == "azurecr.io" || host.strip_suffix(".azurecr.io").is_some_and(|name| name.is_empty() || name.len() < 5) {
        return Some((
            format!("`{host}` is not a registry of Azure: a registry's name has 5 to 50 letters and digits"),
            "write `NAME.azurecr.io`, and the path that the cache rule targets".to_owned(),
        ));
    }
    if path.is_empty() && host.split('.').next() == Some("harbor") && !has_groups {
        return Some((
            format!("`{written}` is not a project of Harbor"),
            format!("write `{host}/PROJECT`, with the proxy cache project for this registry"),
        ));
    }
    // `NAME-REPOSITORY.jfrog.io` has a repository in its host.
    if path.is_empty() && host.strip_suffix(".jfrog.io").is_some_and(|name| !name.contains(['-', '.'])) {
        return Some((
            format!("`{written}` is not a repository of Artifactory"),
            format!("write `{host}/REPOSITORY`, with the remote repository for this registry"),
        ));
    }
    None
}

/// Returns whether only the operator of the registry has images there. A rule from old names of a registry to its new name is
/// intended, although that is not a cache.
fn public(place: PlacedRule, upstream: Upstream, path: &str, target: &Prefix) -> bool {
    let all_are_aliases = place.from().next().is_some()
        && place.from().all(|(source, _)| are_aliases(source.canonical(), target.canonical()));
    let is_operators_only = path.is_empty()
        || matches!(upstream, Upstream::Kubernetes | Upstream::Mcr)
        || (upstream == Upstream::DockerHub && path.split('/').next() == Some("library"));
    is_operators_only && !all_are_aliases
}

fn ecr(place: PlacedRule, host: &str, path: &str, has_groups: bool) -> Option<(&'static str, &'static str)> {
    if EcrHost::parse(host).is_none() {
        return (!has_groups).then_some((
            "is not a registry of Amazon ECR",
            "write `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, with the 12 digits of the account and a region such as `eu-west-1`",
        ));
    }
    if !is_ecr_path(path) && !path.is_empty() {
        return Some((
            "has a path that Amazon ECR rejects",
            "separate letters and digits by a single `/`, `-`, `_` or `.`",
        ));
    }
    // An ECR rule with the prefix ROOT has no prefix in paths, so the path may be the upstream's.
    let is_upstreams = place.from().any(|(source, _)| source.canonical().ends_with(&format!("/{path}")));
    let first = path.split('/').next().unwrap_or_default();
    let has_prefix = ECR_PREFIX_CHARS.contains(&path.len())
        || (path.contains('/') && first.len() <= *ECR_PREFIX_CHARS.end())
        || path.is_empty();
    (!has_prefix && !is_upstreams && !has_groups).then_some((
        "has a path that can't be the prefix of a pull-through cache rule of Amazon ECR",
        "use a prefix of 2 to 30 characters",
    ))
}

/// Returns a product, by its host, that does not support every registry as an upstream, and those that it supports.
fn upstreams(host: &str) -> Option<(&'static str, &'static [Upstream])> {
    if EcrHost::parse(host).is_some() {
        Some(("a pull-through cache of Amazon ECR", &ECR_UPSTREAMS))
    } else if host.ends_with(".azurecr.io") {
        Some(("an artifact cache of Azure Container Registry", &ACR_UPSTREAMS))
    } else {
        None
    }
}

/// Adds the registries that a cache of a cloud does not support as upstreams.
fn unsupported(place: PlacedRule, product: &str, known: &[Upstream], findings: &mut Findings) {
    let is_unknown = |host: &str| Upstream::of_host(host).is_some_and(|upstream| !known.contains(&upstream));
    let mut add = |name: &str, span| {
        findings.add(
            Lint::UnsupportedUpstream,
            place,
            span,
            format!("{product} does not support the upstream `{name}`"),
            "remove it, use another cache for it, or allow `unsupported-upstream` if the images are copied there otherwise".to_owned(),
        );
    };
    for (source, span) in place.from() {
        // Old names of the Kubernetes project's registry have the images of the new one.
        if is_unknown(source.host())
            && !Upstream::Kubernetes.names().iter().any(|name| are_aliases(name, source.canonical()))
        {
            add(source.host(), span);
        }
    }
    if let Some((pattern, span)) = place.pattern()
        && let Some(host) = pattern.starts().iter().filter_map(|start| start.host()).find(|host| is_unknown(host))
    {
        add(host, span);
    }
}
