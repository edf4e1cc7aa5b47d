//! What the library of CRI-O, Podman and OpenShift (`containers/image`, `registries.conf` version 2) can be told: mirrors of
//! prefixes, of which the longest counts.

use std::collections::{BTreeMap, BTreeSet};

use super::mirrors::{self, Mirror};
use super::{Export, Omission};
use crate::engine::{DOCKER_HUB, Policy, Prefix, aliases_of};

/// What it reads otherwise than the rules do, of the images that these mirrors are for.
fn spellings(mirrors: &[Mirror]) -> Vec<String> {
    let mirrored: Vec<&Mirror> = mirrors.iter().filter(|mirror| mirror.to.is_some()).collect();
    let hosts: BTreeSet<&str> = mirrored.iter().map(|mirror| mirror.host()).collect();
    let whole: Vec<&str> =
        mirrored.iter().map(|mirror| mirror.prefix.as_str()).filter(|host| !host.contains(['/', ':'])).collect();
    let mut notes = Vec::new();
    if !hosts.is_empty() {
        notes.push(
            "hosts are taken as they are written: images whose host has upper case, or zeros before its port, are not mirrored"
                .to_owned(),
        );
    }
    if hosts.contains(DOCKER_HUB) {
        notes.push(
            "images of registry-1.docker.io, registry.hub.docker.com and docker.io:443 are not mirrored, and those without a host are looked up where the \
             node's short-name aliases and unqualified-search-registries say"
                .to_owned(),
        );
    }
    if !whole.is_empty() {
        notes.push(format!(
            "images of {} on another port, or with zeros before the port, can't be pulled, since the port counts as part of \
             their path: name HOST:PORT in an `except` or a rule, if there are any",
            whole.join(", ")
        ));
    }
    notes
}

const IPV6: &str = "it has an IPv6 address";

/// By prefix. Each that has no `to` is below another, or on another port of it.
pub fn mirrors(policy: &Policy) -> Export<Vec<Mirror>> {
    let Export { what: mirrors, mut notes, omissions } = mirrors::mirrors(policy);
    let mut omissions: BTreeSet<Omission> = omissions.into_iter().collect();
    let mut entries: BTreeMap<String, Option<String>> = BTreeMap::new();
    for Mirror { prefix, to } in mirrors {
        if prefix.starts_with('[') {
            omissions.insert(left_alone(&prefix, &prefix, IPV6));
            continue;
        }
        let to = to.filter(|to| match unreadable(&prefix, to) {
            Some(why) => {
                omissions.insert(left_alone(&prefix, to, why));
                false
            }
            None => true,
        });
        entries.extend(other_names(&prefix).into_iter().map(|twin| (twin, to.clone())));
        entries.insert(prefix, to);
    }
    // A host is taken for a prefix of its ports, too.
    let is_whole = |host: &str| entries.get(host).is_some_and(Option::is_some);
    let others: Vec<String> =
        hosts(policy).filter(|host| host.rsplit_once(':').is_some_and(|(name, _)| is_whole(name))).collect();
    for host in others.into_iter().chain(is_whole(DOCKER_HUB).then(|| format!("{DOCKER_HUB}:443"))) {
        entries.entry(host).or_insert(None);
    }
    // What is kept needs an entry below a mirror alone: others may have mirrors of their own.
    let is_mirrored_above = |prefix: &str| {
        let above = entries.iter().filter(|(above, _)| *above != prefix && holds(above, prefix));
        above.max_by_key(|(above, _)| above.len()).is_some_and(|(_, to)| to.is_some())
    };
    let mirrors: Vec<Mirror> = entries
        .iter()
        .filter(|(prefix, to)| to.is_some() || is_mirrored_above(prefix))
        .map(|(prefix, to)| Mirror { prefix: prefix.clone(), to: to.clone() })
        .collect();
    notes.extend(spellings(&mirrors));
    Export { what: mirrors, notes, omissions: omissions.into_iter().collect() }
}

/// Whether a prefix is at or above a name, a host being above its ports.
pub fn holds(prefix: &str, name: &str) -> bool {
    let rest = name.strip_prefix(prefix);
    rest.is_some_and(|rest| {
        rest.is_empty() || rest.starts_with('/') || (rest.starts_with(':') && !prefix.contains('/'))
    })
}

/// The other names that such images have. On Docker Hub they would lack the implied `library/`.
fn other_names(prefix: &str) -> Vec<String> {
    let (host, rest) = prefix.split_at(prefix.find('/').unwrap_or(prefix.len()));
    if host == DOCKER_HUB || host.contains(':') {
        return Vec::new();
    }
    let aliases = aliases_of(host).flat_map(|alias| [format!("{alias}{rest}"), format!("{alias}:443{rest}")]);
    std::iter::once(format!("{host}:443{rest}")).chain(aliases).collect()
}

/// Why the library would not take an image at a location.
fn unreadable(prefix: &str, to: &str) -> Option<&'static str> {
    let (host, path) = to.split_once('/').unwrap_or((to, ""));
    let is_repository = prefix.contains('/');
    match host {
        _ if is_repository && path.is_empty() => Some("the image of just that name would have none"),
        _ if host.starts_with('[') => Some(IPV6),
        "index.docker.io" => Some("write `docker.io`"),
        DOCKER_HUB if path.is_empty() || (is_repository && !path.contains('/')) => {
            Some("images on Docker Hub need two components")
        }
        _ => None,
    }
}

fn left_alone(prefix: &str, unreadable: &str, why: &str) -> Omission {
    let why = format!("not mirrored, since containers/image can't read `{unreadable}`: {why}");
    Omission { what: format!("`{prefix}`"), why }
}

/// Every canonical host that the rules name.
fn hosts(policy: &Policy) -> impl Iterator<Item = String> {
    let prefixes = policy.rules().iter().flat_map(|rule| {
        let of_matcher = rule.matcher.prefixes().into_iter().flat_map(|(from, to)| from.iter().chain([to]));
        of_matcher.chain(rule.except.iter()).map(Prefix::host)
    });
    prefixes.map(str::to_owned)
}
