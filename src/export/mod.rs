//! Exports of the rules to other formats, one file each.
//!
//! Every export destructures [`Rule`] and [`Settings`](crate::engine::Settings) without `..`, so that a new
//! field does not compile until each export handles it.
//!
//! Exports never approximate: an [`Export`] lists each part of the rules that its format does not support as an [`Omission`].

pub mod admission_policy;
pub mod cel;
pub mod conditions;
pub mod containerd;
pub mod containers_image;
pub mod crio;
pub mod docker;
pub mod helm_values;
pub mod kustomize;
pub mod kyverno;
pub mod mirrors;
pub mod openshift;
pub mod regions;
pub mod renovate;
pub mod webhook;

use std::fmt;

use crate::engine::{OnRecreateLoop, Operators, Rule, WhenCacheDown};

/// The result of an export.
#[derive(Debug, Clone)]
pub struct Export<T> {
    /// The text, objects or files.
    pub what: T,
    /// Facts that users need although nothing is omitted.
    pub notes: Vec<String>,
    /// Parts of the rules that the format does not support.
    pub omissions: Vec<Omission>,
}

impl<T> Export<T> {
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Export<U> {
        let Self { what, notes, omissions } = self;
        Export { what: f(what), notes, omissions }
    }
}

/// A part of the rules that an export omits, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Omission {
    /// The part: ``rule `gitlab` ``, a field of the rules file, or a place in a file.
    pub what: String,
    pub why: String,
}

impl Omission {
    pub fn rule(name: &str, why: impl Into<String>) -> Self {
        Self { what: format!("rule `{name}`"), why: why.into() }
    }

    /// Returns the omissions of a rule that depends on facts about caches. Only the webhook has facts. `has_mirrors` says
    /// whether the format has the failovers, to try them in order.
    pub fn of_facts(rule: &Rule, has_mirrors: bool) -> Vec<Self> {
        let failover = (rule.matcher.has_failover() && !has_mirrors).then_some(
            "its `failover` is never chosen, since only the webhook knows the state of caches: images get the name under `to`",
        );
        let when_cache_down = (rule.when_cache_down == WhenCacheDown::Upstream).then_some(if has_mirrors {
            "`whenCacheDown` is not supported: nodes use the upstream if this export allows them to fall back to it"
        } else {
            "`whenCacheDown` is not supported, since only the webhook knows the state of caches"
        });
        let check_exists =
            rule.check_exists.map(|_| "`checkExists` is not supported, since only the webhook asks the cache first");
        let all = [failover, when_cache_down, check_exists];
        all.into_iter().flatten().map(|why| Self::rule(&rule.name, why)).collect()
    }

    /// Returns the omission of a rule whose `rollout` does not include every workload. Formats other than the webhook do not
    /// know the workload of an image.
    pub fn of_rollout(rule: &Rule) -> Option<Self> {
        let why = || {
            format!(
                "its images are not rewritten while its `rollout` is {}: only the webhook rewrites a share of the workloads",
                rule.rollout
            )
        };
        (!rule.is_rolled_out()).then(|| Self::rule(&rule.name, why()))
    }

    /// Returns the omission of `operators` in a policy. A policy has no table of operators, and it counts nothing.
    pub fn of_operators(operators: &Operators) -> Option<Self> {
        let Operators { skip, on_recreate_loop } = operators;
        let has_effect = !skip.is_empty() || *on_recreate_loop == OnRecreateLoop::StandDown;
        let why = "a policy also rewrites the Pods of operators that compare images, and they recreate these Pods: set the field \
                   of the custom resource, as `pullthrough scan` names it";
        has_effect.then(|| Self::field("operators", why))
    }

    pub fn field(name: &str, why: impl Into<String>) -> Self {
        Self { what: format!("`{name}`"), why: why.into() }
    }
}

impl fmt::Display for Omission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, why } = self;
        write!(f, "{what}: {why}")
    }
}
