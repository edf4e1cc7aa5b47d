//! The rules file, and loading of its changes.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::reload::{Load, Rejected, Watch};
use crate::config::{self, Config};
use crate::engine::{Cache, Mode, Policy};
use crate::files::rules;
use crate::lint::is_placeholder_host;
use crate::server::admission::{Admission, NamedPolicy};
use crate::server::metrics::Reloaded;
use crate::words::ONE_NAMESPACE;

/// A rules file with its content at start.
#[derive(Debug)]
pub struct RulesFile {
    pub path: PathBuf,
    pub content: Vec<u8>,
}

impl RulesFile {
    /// Returns a watch that loads changed rules. `caches` gets those of the rules.
    pub(super) fn watch(self, admission: Arc<Admission>, caches: watch::Sender<Arc<[Cache]>>) -> Watch {
        let RulesFile { path, content } = self;
        let of = path.clone();
        let load: Load = Box::new(move |contents| {
            let config = rules::parse(&of, &contents[0]).map_err(|error| Rejected::Invalid(rules::line(&error)))?;
            let rules = named(config, &contents[0]);
            log_effect(&rules.policy);
            let of_rules = rules.policy.settings().caches.as_slice().into();
            admission.set_rules(rules);
            caches.send_replace(of_rules);
            Ok(())
        });
        Watch::new(Reloaded::Rules, vec![path], Some(&[content]), load)
    }
}

/// Logs whether the rules rewrite images, what to do next if none does, and caches that are placeholders.
pub(super) fn log_effect(policy: &Policy) {
    let rules = policy.rules();
    let observing = rules.iter().filter(|rule| rule.mode == Mode::Observe).count();
    let enforcing = rules.len() - observing;
    match (enforcing, observing) {
        (0, 0) => tracing::warn!("the rules file has no rules: no image is rewritten; add a rule"),
        (0, _) => tracing::info!(
            enforcing,
            observing,
            "rules loaded; all observe, no image is rewritten; next: {ONE_NAMESPACE}"
        ),
        _ => tracing::info!(enforcing, observing, "rules loaded"),
    }
    for rule in rules {
        let targets = std::iter::once(rule.matcher.target()).chain(rule.matcher.failover());
        for (to, _) in
            targets.zip(rule.matcher.target_hosts()).filter(|(_, host)| host.is_some_and(is_placeholder_host))
        {
            let name = rule.name.as_str();
            tracing::warn!(
                rule = name,
                to,
                "the cache is a placeholder; no image can be pulled from it; set `to` to your cache"
            );
        }
    }
}

/// Returns the policy of `config`, named by the hash of its `content`.
pub fn named(config: Config, content: &[u8]) -> NamedPolicy {
    NamedPolicy { policy: Policy::from(config), hash: config::fingerprint(content) }
}
