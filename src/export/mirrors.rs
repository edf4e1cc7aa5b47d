//! What nodes can be told: of which names the images come from where. A node knows no namespaces, Pods or patterns.

use std::collections::BTreeSet;

use super::regions::{Gives, Region, regions};
use super::{Export, Omission};
use crate::engine::{
    Decision, Fit, ImageRef, Mode, Namespaces, Policy, Question, Reason, Rule, Settings, WhenNotUnderstood,
};

/// The names at or below a canonical prefix, but for those of a longer one, and where their images are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    pub prefix: String,
    /// What the prefix is replaced by, a host and perhaps a path; nothing where the images come from where they are named.
    pub to: Option<String>,
}

impl Mirror {
    /// The canonical host.
    pub fn host(&self) -> &str {
        self.prefix.split('/').next().unwrap_or_default()
    }
}

/// By prefix, a shorter one before those below it.
pub fn mirrors(policy: &Policy) -> Export<Vec<Mirror>> {
    let mut omissions = of_nodes(policy);
    let mut mirrors = Vec::new();
    for region in regions(policy) {
        let to = match unconditional(&region) {
            Ok(to) => to,
            Err(why) => {
                omissions.insert(why);
                None
            }
        };
        mirrors.push(Mirror { prefix: region.prefix, to });
    }
    Export { what: mirrors, notes: Vec::new(), omissions: omissions.into_iter().collect() }
}

/// Those of whole hosts, for what knows no paths: a host all of whose images go to one place.
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
                        "only whole hosts can be mirrored, and the rules do otherwise with {} than with the rest of it",
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

/// What the rules make of the image of Pods' sandboxes, which a node has one of, in no namespace; nothing where it is not
/// rewritten. `option` is what it was given by.
pub fn sandbox_image(policy: &Policy, option: &str, image: &str) -> Export<Option<String>> {
    let mut export = Export { what: None, notes: Vec::new(), omissions: Vec::new() };
    match rewritten_sandbox_image(policy, option, image) {
        Ok(Some(image)) => export.what = Some(image),
        Ok(None) => export.notes.push(format!("the rules leave the sandbox image {image} alone")),
        Err(omission) => export.omissions.push(omission),
    }
    export
}

/// # Errors
///
/// Where a rule goes by namespaces.
fn rewritten_sandbox_image(policy: &Policy, option: &str, image: &str) -> Result<Option<String>, Omission> {
    let kept = |why: String| Omission::field(&format!("{option} {image}"), why);
    let reference = ImageRef::parse(image).map_err(|error| kept(error.to_string()))?;
    let tried = policy.tried(&reference, "");
    let of_namespaces =
        tried.iter().find(|tried| tried.fit != Fit::NoMatch && tried.rule.namespaces != Namespaces::All);
    if let Some(tried) = of_namespaces {
        return Err(kept(format!("rule `{}` goes by namespaces, and a node has one sandbox image", tried.rule.name)));
    }
    match policy.decide(Question { image, namespace: "", pull_never: false, previous: None }) {
        Decision::Rewrite { result, .. } => Ok(Some(result)),
        Decision::Keep { reason: Reason::AlreadyCached, .. } => Ok(Some(image.to_owned())),
        Decision::Keep { .. } | Decision::Restore { .. } => Ok(None),
    }
}

/// What of the rules no node can do, whatever the names.
fn of_nodes(policy: &Policy) -> BTreeSet<Omission> {
    let mut omissions = BTreeSet::new();
    let Settings { allow_opt_out, record_originals, when_not_understood } = policy.settings();
    if allow_opt_out {
        omissions.insert(Omission::field("allowOptOut", "a node pulls for all Pods in the same way"));
    }
    if record_originals {
        omissions.insert(Omission::field("recordOriginals", "a node writes no annotation"));
    }
    if when_not_understood == WhenNotUnderstood::Deny {
        omissions.insert(Omission::field("whenNotUnderstood", "a node denies no Pods"));
    }
    // Each `except` has a region of its own.
    for Rule { name, matcher, except: _, namespaces, image_pull_secrets, mode } in policy.rules() {
        let mut add = |why: &str| {
            omissions.insert(Omission::rule(name, why));
        };
        if matcher.pattern().is_some() {
            add("it has a pattern, and a node's mirrors know prefixes only");
        }
        if *namespaces != Namespaces::All {
            add("it has `namespaces`, and a node pulls for all of them in the same way");
        }
        if *mode == Mode::Observe {
            add("it only observes: its images are not mirrored, and a node reports nothing");
        }
        if !image_pull_secrets.is_empty() {
            add("a mirror is not sent a Pod's `imagePullSecrets`: give the node credentials for the cache");
        }
    }
    omissions
}

/// What the prefix is replaced by in every namespace.
fn unconditional(region: &Region) -> Result<Option<String>, Omission> {
    let Some(first) = region.choices.first() else { return Ok(None) };
    let name = &first.rule.name;
    match &first.gives {
        Gives::Unknown => Err(Omission {
            what: format!("`{}`", region.prefix),
            why: format!("not mirrored, since the pattern of rule `{name}` may match images there"),
        }),
        _ if *first.namespaces != Namespaces::All => Err(Omission {
            what: format!("`{}`", region.prefix),
            why: format!("not mirrored, since rule `{name}` goes by namespaces"),
        }),
        Gives::Rewrite(to) => Ok(Some(to.clone())),
        Gives::Excepted | Gives::Observed => Ok(None),
    }
}
