//! Metrics of workload templates, whose images are not rewritten.

use std::collections::HashMap;

use prometheus::{IntCounterVec, Opts, Registry};

use super::{ByDryRun, add};
use crate::engine::Rule;

/// The counters of one policy's rules, by name.
#[derive(Debug, Default)]
pub struct TemplateCounters(HashMap<String, ByDryRun>);

#[derive(Debug)]
pub struct TemplateMetrics {
    warned: IntCounterVec,
}

impl TemplateMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let opts = Opts::new(
            "pullthrough_template_images_warned_total",
            "Images of workload templates in warnings to users, by rule; they are not rewritten.",
        );
        Ok(Self { warned: add(registry, IntCounterVec::new(opts, &["rule", "dry_run"]))? })
    }

    /// Creates the counters of loaded rules, and removes the series of rules that no longer exist.
    pub(super) fn rules_loaded(&self, rules: &[Rule], before: Option<&TemplateCounters>) -> TemplateCounters {
        let counters = |rule: &Rule| (rule.name.clone(), ByDryRun::new(&self.warned, &[&rule.name]));
        let counters: HashMap<_, _> = rules.iter().map(counters).collect();
        let removed =
            before.into_iter().flat_map(|before| before.0.keys()).filter(|name| !counters.contains_key(*name));
        for name in removed {
            for dry_run in ["false", "true"] {
                // The only error is that there is no such series.
                let _ = self.warned.remove_label_values(&[name.as_str(), dry_run]);
            }
        }
        TemplateCounters(counters)
    }
}

impl TemplateCounters {
    /// Counts the images that a user was warned about.
    pub(super) fn warned(&self, rules: &[(&Rule, usize)], dry_run: bool) {
        for (rule, images) in rules {
            if let Some(counter) = self.0.get(&rule.name) {
                counter.add(dry_run, *images as u64);
            }
        }
    }
}
