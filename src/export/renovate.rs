//! Export to Renovate: `registryAliases`, by which it finds new versions of rewritten images.
//!
//! An alias is a prefix of images in files, and the prefix that Renovate looks up in its place. It applies up to a `/`, and the
//! first one that fits wins: <https://docs.renovatebot.com/configuration-options/#registryaliases>.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::regions::PatternTargets;
use super::{Export, Omission};
use crate::engine::{Matcher, Policy, Prefix, Rule, Settings};
use crate::registries::{are_aliases, preference};

const SCHEMA: &str = "https://docs.renovatebot.com/renovate-schema.json";

/// A configuration of Renovate, to be merged with another one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    #[serde(rename = "$schema")]
    schema: &'static str,
    registry_aliases: Aliases,
}

/// The prefix at the cache and the prefix at the upstream. A longer prefix comes before those above it.
#[derive(Debug, Default)]
struct Aliases(Vec<(String, String)>);

impl Serialize for Aliases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (cache, upstream) in &self.0 {
            map.serialize_entry(cache, upstream)?;
        }
        map.end()
    }
}

/// Returns an alias from each `to` and each failover to its upstream.
pub fn configuration(policy: &Policy) -> Export<Configuration> {
    // Renovate reads manifests, which have the names in the cache or not, whatever these settings do to Pods. It sends no
    // request to a cache.
    let &Settings { allow_opt_out: _, record_originals: _, when_not_understood: _, caches: _, operators: _ } =
        policy.settings();
    let mut omissions = BTreeSet::new();
    let mut targets: Vec<Target> = Vec::new();
    for rule in policy.rules() {
        // An image under `to` is from the upstream, wherever and whenever it was rewritten. Renovate asks the upstream, with
        // credentials of its own.
        let Rule {
            name,
            matcher,
            except: _,
            namespaces: _,
            image_pull_secrets: _,
            mode: _,
            when_cache_down: _,
            check_exists: _,
            rollout: _,
        } = rule;
        match matcher {
            Matcher::Pattern { .. } => {
                omissions.insert(Omission::rule(name, "it has a `pattern`, and aliases are prefixes"));
            }
            Matcher::From { from, to, failover } => {
                for to in [to].into_iter().chain(failover) {
                    let known = targets.iter_mut().find(|target| target.to == to.canonical());
                    match known {
                        Some(target) => target.add(to, from.iter()),
                        None => {
                            let mut target =
                                Target { to: to.canonical(), written: BTreeSet::new(), upstreams: Vec::new() };
                            target.add(to, from.iter());
                            targets.push(target);
                        }
                    }
                }
            }
        }
    }
    let patterns = PatternTargets::new(policy.rules());
    let mut aliases = Vec::new();
    for target in targets {
        let upstream = target.upstream().and_then(|upstream| match patterns.giving(target.to) {
            Some(rule) => Err(format!("the pattern of rule `{}` may give the same names", rule.name)),
            None => Ok(upstream),
        });
        match upstream {
            Ok(upstream) => {
                aliases.extend(target.written.iter().map(|to| ((*to).to_owned(), upstream.to_owned())));
            }
            Err(why) => drop(omissions.insert(Omission { what: format!("`{}`", target.to), why })),
        }
    }
    aliases.sort_by_key(|(cache, _)| Reverse(cache.split('/').count()));
    Export {
        what: Configuration { schema: SCHEMA, registry_aliases: Aliases(aliases) },
        notes: Vec::new(),
        omissions: omissions.into_iter().collect(),
    }
}

/// A place in the cache.
struct Target<'p> {
    /// Canonical.
    to: &'p str,
    /// Its spellings. Renovate compares text.
    written: BTreeSet<&'p str>,
    /// The canonical prefixes whose images it has.
    upstreams: Vec<&'p str>,
}

impl<'p> Target<'p> {
    fn add(&mut self, to: &'p Prefix, from: impl Iterator<Item = &'p Prefix>) {
        self.written.insert(to.written());
        self.upstreams.extend(from.map(Prefix::canonical));
    }

    /// Returns the upstream of its images.
    ///
    /// # Errors
    ///
    /// Returns why there is no single one.
    fn upstream(&self) -> Result<&'p str, String> {
        let upstreams = self.upstreams.iter().copied();
        let Some(upstream) = upstreams.clone().min_by_key(|upstream| preference(upstream)) else {
            return Err("no rule gives it images".to_owned());
        };
        match upstreams.clone().find(|other| !are_aliases(upstream, other)) {
            None => Ok(upstream),
            Some(other) => Err(format!(
                "it has images of `{upstream}` and `{other}`, and an alias has one upstream: give each a path of its own"
            )),
        }
    }
}
