//! Metrics of the loaded rules, and of the images that they decide about.

use std::collections::{HashMap, HashSet};

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::by_dry_run::ByDryRun;
use super::{add, names};
use crate::engine::{Decision, Reason, Rule};

#[derive(Debug)]
pub(super) struct RuleMetrics {
    rewrites: IntCounterVec,
    not_rolled_out: IntCounterVec,
    rollout: GaugeVec,
    warned: IntCounterVec,
    info: IntGaugeVec,
    cache_info: IntGaugeVec,
}

/// The counters of one policy's rules. They are looked up once, not for each image.
#[derive(Debug)]
pub struct RuleCounters {
    hash: String,
    /// By rule: for `to`, and for each failover.
    rewrites: HashMap<String, Vec<(String, ByDryRun)>>,
    /// By rule, for rules whose roll-out does not include every workload.
    not_rolled_out: HashMap<String, ByDryRun>,
    /// By rule, for images of workload templates.
    warned: HashMap<String, ByDryRun>,
    caches: HashSet<String>,
}

impl RuleMetrics {
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters =
            |name: &str, help: &str, labels: &[&str]| add(registry, IntCounterVec::new(Opts::new(name, help), labels));
        let gauges =
            |name: &str, help: &str, labels: &[&str]| add(registry, IntGaugeVec::new(Opts::new(name, help), labels));
        let rollout = Opts::new(
            "pullthrough_rollout_ratio",
            "Share of workloads that the `rollout` of a rule includes, from 0 to 1, for rules below 1.",
        );
        Ok(Self {
            rewrites: counters(
                "pullthrough_image_rewrites_total",
                "Images that were rewritten, by rule and by the cache that was named: its `to`, or a failover.",
                &["rule", names::CACHE, "dry_run"],
            )?,
            not_rolled_out: counters(
                "pullthrough_images_not_rolled_out_total",
                "Images that were not rewritten since the `rollout` of the rule does not include the workload, by rule.",
                &["rule", "dry_run"],
            )?,
            rollout: add(registry, GaugeVec::new(rollout, &["rule"]))?,
            warned: counters(
                "pullthrough_template_images_warned_total",
                "Images of workload templates in warnings to users, by rule; they are not rewritten.",
                &["rule", "dry_run"],
            )?,
            info: gauges(names::RULES_INFO, "Start of the SHA-256 of the loaded rules, always 1.", &[names::HASH])?,
            cache_info: gauges(
                "pullthrough_cache_info",
                "Registry host of a cache, as `to` of the rules names it (always 1).",
                &["registry"],
            )?,
        })
    }

    /// Creates the series of loaded rules, and removes those of rules that no longer exist.
    pub fn loaded(&self, rules: &[Rule], hash: String, before: Option<&RuleCounters>) -> RuleCounters {
        let rewrites = |rule: &Rule| {
            let caches = [rule.matcher.target()].into_iter().chain(rule.matcher.failover());
            let of_cache = |cache: &str| (cache.to_owned(), ByDryRun::new(&self.rewrites, &[&rule.name, cache]));
            (rule.name.clone(), caches.map(of_cache).collect::<Vec<_>>())
        };
        let of_rule = |family: &IntCounterVec, rule: &Rule| (rule.name.clone(), ByDryRun::new(family, &[&rule.name]));
        let partial = rules.iter().filter(|rule| !rule.is_rolled_out());
        let counters = RuleCounters {
            hash,
            rewrites: rules.iter().map(rewrites).collect(),
            not_rolled_out: partial.clone().map(|rule| of_rule(&self.not_rolled_out, rule)).collect(),
            warned: rules.iter().map(|rule| of_rule(&self.warned, rule)).collect(),
            caches: rules.iter().flat_map(cache_hosts).map(str::to_owned).collect(),
        };
        for rule in partial {
            self.rollout.with_label_values(&[rule.name.as_str()]).set(f64::from(rule.rollout.get()) / 100.0);
        }
        if let Some(before) = before {
            self.remove(before, &counters);
        }
        self.info.with_label_values(&[counters.hash.as_str()]).set(1);
        for registry in &counters.caches {
            self.cache_info.with_label_values(&[registry.as_str()]).set(1);
        }
        counters
    }

    /// Removes the series that rules have no longer. The only error would be that there is no such series.
    fn remove(&self, before: &RuleCounters, now: &RuleCounters) {
        for (name, caches) in &before.rewrites {
            let stays = |cache: &String| {
                now.rewrites.get(name).is_some_and(|caches| caches.iter().any(|(named, _)| named == cache))
            };
            for (cache, _) in caches.iter().filter(|(cache, _)| !stays(cache)) {
                ByDryRun::remove(&self.rewrites, &[name, cache]);
            }
        }
        for name in before.warned.keys().filter(|name| !now.warned.contains_key(*name)) {
            ByDryRun::remove(&self.warned, &[name]);
        }
        for name in before.not_rolled_out.keys().filter(|name| !now.not_rolled_out.contains_key(*name)) {
            let _ = self.rollout.remove_label_values(&[name.as_str()]);
            ByDryRun::remove(&self.not_rolled_out, &[name]);
        }
        for registry in before.caches.difference(&now.caches) {
            let _ = self.cache_info.remove_label_values(&[registry.as_str()]);
        }
        if before.hash != now.hash {
            let _ = self.info.remove_label_values(&[before.hash.as_str()]);
        }
    }
}

impl RuleCounters {
    /// Counts an image of a Pod.
    pub(super) fn decided(&self, decision: &Decision, dry_run: bool) {
        let counter = match decision {
            Decision::Rewrite { rule, failover, .. } => {
                let position = failover.map_or(0, |failover| failover + 1);
                let counters = self.rewrites.get(&rule.name);
                counters.and_then(|counters| counters.get(position)).map(|(_, counter)| counter)
            }
            Decision::NotRewritten { reason: Reason::NotRolledOut, rule: Some(rule), .. } => {
                self.not_rolled_out.get(&rule.name)
            }
            Decision::NotRewritten { .. } | Decision::Restore { .. } => None,
        };
        if let Some(counter) = counter {
            counter.add(dry_run, 1);
        }
    }

    /// Counts the images of a template that a user was warned about.
    pub(super) fn warned(&self, rules: &[(&Rule, usize)], dry_run: bool) {
        for (rule, images) in rules {
            if let Some(counter) = self.warned.get(&rule.name) {
                counter.add(dry_run, *images as u64);
            }
        }
    }
}

/// Returns the hosts of `to` and of each failover as rewritten images have them, except those that depend on the image.
fn cache_hosts(rule: &Rule) -> impl Iterator<Item = &str> {
    let written = std::iter::once(rule.matcher.target()).chain(rule.matcher.failover());
    let known = written.zip(rule.matcher.target_hosts()).filter(|(_, host)| host.is_some());
    known.filter_map(|(written, _)| written.split('/').next())
}
