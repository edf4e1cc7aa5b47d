//! Entries of `caches` that never apply: `unused-cache`.

use std::collections::HashSet;

use super::{Findings, Lint, LintFinding};
use crate::config::{Config, Problem};
use crate::engine::{Matcher, Prefix, Template, WhenCacheDown, boundaries};

pub fn check(config: &Config, findings: &mut Findings) {
    let caches = &config.settings.caches;
    let prefixes: HashSet<&str> = caches.iter().map(|cache| cache.prefix.canonical()).collect();
    let (mut used, mut targets, mut starts) = (HashSet::new(), HashSet::new(), HashSet::new());
    for rule in &config.rules {
        match &rule.matcher {
            Matcher::From { from, to, failover } => {
                for to in [to].into_iter().chain(failover) {
                    targets.insert(to.canonical());
                    used.extend(boundaries(to.canonical()).rev().find(|above| prefixes.contains(above)));
                }
                // While all caches are down, the state of the upstream decides.
                if rule.when_cache_down == WhenCacheDown::Upstream {
                    used.extend(from.iter().map(Prefix::host).filter(|host| prefixes.contains(host)));
                }
            }
            Matcher::Pattern { pattern: _, to, failover } => {
                starts.extend([to].into_iter().chain(failover).map(Template::literal_start));
            }
        }
    }
    for (cache, span) in caches.iter().zip(&config.cache_places) {
        let name = cache.prefix.canonical();
        let is_below_target = || boundaries(name).any(|above| targets.contains(above));
        // The text of a group is unknown.
        let may_have = |start: &&str| name.starts_with(start) || cache.prefix.strip(start).is_some();
        if used.contains(name) || is_below_target() || starts.iter().any(may_have) {
            continue;
        }
        let message = format!("no `to` or `failover` belongs to the cache `{}`", cache.prefix.written());
        let fix =
            "write the `to` of a rule, or the start of one; if longer prefixes have all its images, remove the entry";
        let problem = Problem { message, fix: Some(fix.to_owned()), span: span.clone() };
        findings.0.push(LintFinding { lint: Lint::UnusedCache, rule: None, problem });
    }
}
