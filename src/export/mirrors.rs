//! Mirrors for nodes: which prefix is served from where. Nodes know no namespaces, Pods or patterns.

use std::collections::BTreeSet;

use super::regions::{Gives, Region, regions};
use super::{Export, Omission};
use crate::engine::{
    Cache, Decision, Fit, ImageRef, Mode, Namespaces, Policy, Question, Reason, Rule, Settings, WhenNotUnderstood,
};

/// A canonical prefix and the place that serves its images. A longer prefix takes precedence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    pub prefix: String,
    /// The host, perhaps with a path, that replaces the prefix; `None` if the images are pulled as named.
    pub to: Option<String>,
    /// The places to try after it, in order.
    pub failover: Vec<String>,
}

impl Mirror {
    /// Returns the canonical host.
    pub fn host(&self) -> &str {
        self.prefix.split('/').next().unwrap_or_default()
    }
}

/// Returns the mirrors sorted by prefix, each before those below it.
pub fn mirrors(policy: &Policy) -> Export<Vec<Mirror>> {
    let mut omissions = of_nodes(policy);
    let mut mirrors = Vec::new();
    for region in regions(policy) {
        let (to, failover) = match unconditional(&region) {
            Ok(Some((to, failover))) => (Some(to), failover),
            Ok(None) => (None, Vec::new()),
            Err(why) => {
                omissions.insert(why);
                (None, Vec::new())
            }
        };
        mirrors.push(Mirror { prefix: region.prefix, to, failover });
    }
    Export { what: mirrors, notes: Vec::new(), omissions: omissions.into_iter().collect() }
}

/// Returns the mirrors of whole hosts, for formats without paths. A host qualifies if one mirror serves all of its images.
pub fn of_hosts(policy: &Policy) -> Export<Vec<Mirror>> {
    let Export { what: mirrors, notes, omissions } = mirrors(policy);
    let mut omissions: BTreeSet<Omission> = omissions.into_iter().collect();
    let mut hosts = Vec::new();
    for group in mirrors.chunk_by(|a, b| a.host() == b.host()) {
        match group {
            [mirror @ Mirror { to: Some(_), .. }] if mirror.prefix == mirror.host() => hosts.push(mirror.clone()),
            group if group.iter().all(|mirror| mirror.to.is_none()) => {}
            [first, ..] => {
                let paths: Vec<String> = group.iter().map(|mirror| format!("`{}`", mirror.prefix)).collect();
                omissions.insert(Omission {
                    what: format!("host `{}`", first.host()),
                    why: format!(
                        "only whole hosts can be mirrored, and the rules treat {} differently from the rest of the host",
                        paths
                            .into_iter()
                            .filter(|path| *path != format!("`{}`", first.host()))
                            .collect::<Vec<_>>()
                            .join(", ")
                    ),
                });
            }
            [] => {}
        }
    }
    Export { what: hosts, notes, omissions: omissions.into_iter().collect() }
}

/// Returns a note on each cache with a CA of its own. Its `caFile` is not a path on nodes.
pub fn ca_notes(policy: &Policy) -> Vec<String> {
    // Nodes do not probe caches.
    let note = |Cache { prefix, product: _, ca_file, health: _ }: &Cache| {
        let note = format!("the cache `{}` has a `caFile`: nodes need its CA too", prefix.written());
        ca_file.as_ref().map(|_| note)
    };
    policy.settings().caches.iter().filter_map(note).collect()
}

/// Returns the rewritten sandbox image; `None` if the rules do not rewrite it. A node has one sandbox image, for all namespaces.
/// `option` is the flag that named the image.
pub fn sandbox_image(policy: &Policy, option: &str, image: &str) -> Export<Option<String>> {
    let mut export = Export { what: None, notes: Vec::new(), omissions: Vec::new() };
    match rewritten_sandbox_image(policy, option, image) {
        Ok(Some(image)) => export.what = Some(image),
        Ok(None) => export.notes.push(format!("the rules do not rewrite the sandbox image {image}")),
        Err(omission) => export.omissions.push(omission),
    }
    export
}

/// # Errors
///
/// If a rule with `namespaces` may match the image.
fn rewritten_sandbox_image(policy: &Policy, option: &str, image: &str) -> Result<Option<String>, Omission> {
    let kept = |why: String| Omission::field(&format!("{option} {image}"), why);
    let reference = ImageRef::parse(image).map_err(|error| kept(error.to_string()))?;
    let tried = policy.tried(&reference, "");
    let of_namespaces =
        tried.iter().find(|tried| tried.fit != Fit::NoMatch && tried.rule.namespaces != Namespaces::All);
    if let Some(tried) = of_namespaces {
        return Err(kept(format!("rule `{}` has `namespaces`, and a node has one sandbox image", tried.rule.name)));
    }
    match policy.decide(Question { image, namespace: "", pull_never: false, previous: None, included_from: None }) {
        Decision::Rewrite { result, .. } => Ok(Some(result)),
        Decision::NotRewritten { reason: Reason::AlreadyCached, .. } => Ok(Some(image.to_owned())),
        Decision::NotRewritten { .. } | Decision::Restore { .. } => Ok(None),
    }
}

/// Returns the omissions that do not depend on prefixes.
fn of_nodes(policy: &Policy) -> BTreeSet<Omission> {
    let mut omissions = BTreeSet::new();
    // `ca_notes` has the notes on caches.
    let &Settings { allow_opt_out, record_originals, when_not_understood, caches: _, ref operators } =
        policy.settings();
    if allow_opt_out {
        omissions.insert(Omission::field("allowOptOut", "nodes pull in the same way for all Pods"));
    }
    if record_originals {
        omissions.insert(Omission::field("recordOriginals", "nodes write no annotations"));
    }
    if when_not_understood == WhenNotUnderstood::Deny {
        omissions.insert(Omission::field("whenNotUnderstood", "nodes deny no Pods"));
    }
    if !operators.skip.is_empty() {
        omissions.insert(Omission::field(
            "operators",
            "nodes pull in the same way for all Pods; a mirror changes no name that an operator compares",
        ));
    }
    // Each `except` is a region of its own.
    for rule in policy.rules() {
        omissions.extend(Omission::of_facts(rule, true));
        omissions.extend(Omission::of_rollout(rule));
        let Rule {
            name,
            matcher,
            except: _,
            namespaces,
            image_pull_secrets,
            mode,
            when_cache_down: _,
            check_exists: _,
            rollout: _,
        } = rule;
        let mut add = |why: &str| {
            omissions.insert(Omission::rule(name, why));
        };
        if matcher.pattern().is_some() {
            add("it has a `pattern`, and mirrors support prefixes only");
        }
        if *namespaces != Namespaces::All {
            add("it has `namespaces`, and nodes pull in the same way for all namespaces");
        }
        if *mode == Mode::Observe {
            add("its images are not mirrored and not reported, since its mode is `observe`");
        }
        if !image_pull_secrets.is_empty() {
            add("mirrors do not receive `imagePullSecrets`: configure credentials for the cache on the nodes");
        }
    }
    omissions
}

/// Returns the replacement of the prefix, and those to try after it, if they are the same in every namespace.
fn unconditional(region: &Region) -> Result<Option<(String, Vec<String>)>, Omission> {
    let Some(first) = region.choices.first() else { return Ok(None) };
    let name = &first.rule.name;
    match &first.gives {
        Gives::Unknown => Err(Omission {
            what: format!("`{}`", region.prefix),
            why: format!("not mirrored, since the pattern of rule `{name}` may match its images"),
        }),
        _ if *first.namespaces != Namespaces::All => Err(Omission {
            what: format!("`{}`", region.prefix),
            why: format!("not mirrored, since rule `{name}` has `namespaces`"),
        }),
        Gives::Rewrite { to, failover } => Ok(Some((to.clone(), failover.clone()))),
        Gives::Excepted | Gives::Observed | Gives::NotRolledOut { .. } => Ok(None),
    }
}
