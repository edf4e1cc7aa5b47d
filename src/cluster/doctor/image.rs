//! `pullthrough doctor --image`: the chain of one image, from the rule to the node that pulls it.
//!
//! [`Facts`] are what was read and asked. [`report`] reads them and nothing else.

mod checks;
pub mod hosts;
pub mod nodes;
pub mod pods;
pub mod pull_secrets;

use std::path::PathBuf;

use kube::Config;
use serde::Serialize;

use self::hosts::Mirrors;
use self::nodes::Nodes;
use self::pods::Use;
use self::pull_secrets::PullSecret;
use super::DoctorOptions;
use super::collect;
use super::objects::Objects;
use super::report::Report;
use super::rules::NoRules;
use crate::cluster::api::{Api, Failure};
use crate::diagnosis::{Advice, Cause, Status, causes_of_message};
use crate::engine::{Decision, Policy, Reason};
use crate::products::Model;
use crate::registry::Answer;
use crate::verify::Verified;

/// A cluster whose webhook was looked at.
pub struct Cluster {
    pub server: String,
    api: Api,
    objects: Objects,
}

/// What a cluster has of an image.
#[derive(Debug)]
pub struct Workloads {
    pub nodes: Result<Nodes, Failure>,
    pub uses: Result<Vec<Use>, Failure>,
    /// Why events are incomplete.
    pub events: Option<Failure>,
}

impl Cluster {
    /// Reads the webhook and the rules.
    ///
    /// # Errors
    ///
    /// Returns an error if the API server is unavailable, or if it rejects the credentials.
    pub async fn connect(config: Config, options: &DoctorOptions) -> Result<Self, Failure> {
        let server = config.cluster_url.to_string();
        let api = Api::new(config, options.timeout).await?;
        let objects = collect::objects(&api, options).await?;
        Ok(Self { server, api, objects })
    }

    /// Returns the rules with their place.
    ///
    /// # Errors
    ///
    /// Returns why they are unavailable or invalid.
    pub fn rules(&self) -> Result<(&str, &Policy), String> {
        match &self.objects.rules {
            Ok(rules) => match &rules.parsed {
                Ok((policy, _)) => Ok((&rules.place, policy)),
                Err(error) => Err(error.clone()),
            },
            Err(NoRules::Missing { place, what }) => Err(format!("{place}: {what}")),
            Err(NoRules::Unknown(why)) => Err(why.clone()),
            Err(NoRules::Skipped(failure)) => Err(format!("{failure}; set --rules")),
        }
    }

    /// Reads nodes, and the Pods of the namespace that have one of the names.
    pub async fn workloads(&self, namespace: &str, names: &[&str]) -> Workloads {
        let (nodes, pods) = tokio::join!(Nodes::read(&self.api), pods::read(&self.api, namespace, names));
        let (uses, events) = match pods {
            Ok((uses, events)) => (Ok(uses), events),
            Err(failure) => (Err(failure), None),
        };
        Workloads { nodes, uses, events }
    }

    /// Reads the pull Secrets for Pods with the image.
    pub async fn pull_secrets(
        &self,
        namespace: &str,
        workloads: &Workloads,
        rule: Option<(&str, &[String])>,
    ) -> Result<Vec<PullSecret>, Failure> {
        let uses = workloads.uses.as_deref().unwrap_or_default();
        pull_secrets::read(&self.api, namespace, uses, rule).await
    }
}

/// Where the credentials for the requests were looked for.
#[derive(Debug, Default)]
pub struct CredentialFacts {
    /// The files and plugins, as options name them.
    pub sources: Vec<String>,
    /// Whether nodes look there too.
    pub are_of_node: bool,
    /// The entries for the image, by the file or the Secret that has them.
    pub matches: Vec<(String, Vec<String>)>,
    /// `None` if Secrets of the cluster are not read.
    pub secrets: Option<Result<Vec<PullSecret>, Failure>>,
}

/// What was read and asked.
pub struct Facts<'f> {
    /// As the Pod's template has it.
    pub image: &'f str,
    pub namespace: &'f str,
    /// The place of the rules.
    pub rules: &'f str,
    pub decision: Decision<'f>,
    /// The cache's answer; `None` if no rule sends the image to a cache.
    pub verified: Option<&'f Verified>,
    /// The upstream's answer; `None` if it was not asked.
    pub upstream: Option<&'f Answer<()>>,
    pub credentials: CredentialFacts,
    /// Notes on the rules' caches, such as a CA that this machine does not have.
    pub cache_notes: Vec<String>,
    /// The `config_path` that was read, and what it says of the host; `None` if none was read.
    pub mirrors: Option<(PathBuf, Mirrors)>,
    pub cluster: Option<(&'f Cluster, Workloads)>,
}

/// Why the image is not pulled, as far as it can be said.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// `None` if no cache was asked.
    pub status: Option<Status>,
    /// Those that look alike from outside. The most likely one is first.
    pub causes: Vec<Cause>,
    /// Whether only nodes have the fault: the cache serves the image to this machine.
    pub is_of_node: bool,
}

impl Facts<'_> {
    /// Returns the name that nodes ask for, or would ask for if the rule enforced.
    pub fn name(&self) -> &str {
        self.verified.map_or(self.image, |verified| &verified.target.image)
    }

    pub fn model(&self) -> &'static Model {
        Model::of(self.verified.map_or(crate::engine::Product::Generic, |verified| verified.product))
    }

    fn uses(&self) -> &[Use] {
        self.cluster.as_ref().and_then(|(_, workloads)| workloads.uses.as_deref().ok()).unwrap_or_default()
    }

    /// Returns whether a Pod has the name that the rule gives.
    fn is_rewritten(&self, one: &Use) -> bool {
        pods::is_same(&one.image, self.name())
    }

    /// Returns the causes in the messages about a container; none if they name none.
    pub fn causes_of(&self, one: &Use) -> Vec<Cause> {
        let model = if self.is_rewritten(one) { self.model() } else { Model::of(crate::engine::Product::Generic) };
        let messages = one.failing.iter().flat_map(|failing| &failing.messages);
        messages.map(|message| causes_of_message(model, message)).find(|causes| !causes.is_empty()).unwrap_or_default()
    }

    pub fn conclusion(&self) -> Conclusion {
        let diagnosis = self.verified.map(|verified| &verified.diagnosis);
        let status = diagnosis.map(|diagnosis| diagnosis.status);
        if let Some(diagnosis) = diagnosis.filter(|diagnosis| diagnosis.status != Status::Served) {
            return Conclusion { status, causes: diagnosis.causes.clone(), is_of_node: false };
        }
        let of_nodes = self.uses().iter().filter(|one| one.failing.is_some() && self.is_rewritten(one));
        let causes = of_nodes.map(|one| self.causes_of(one)).find(|causes| !causes.is_empty()).unwrap_or_default();
        Conclusion { status, is_of_node: !causes.is_empty(), causes }
    }
}

/// Returns the checks, in the order of the chain.
pub fn report(facts: &Facts) -> Report {
    let server = facts.cluster.as_ref().map(|(cluster, _)| cluster.server.clone());
    Report { server, checks: checks::all(facts) }
}

/// Returns the result in one line.
pub fn summary(facts: &Facts) -> String {
    let Conclusion { status, causes, is_of_node } = facts.conclusion();
    let Some(status) = status else { return "no rule sends the image to a cache".to_owned() };
    let what: Vec<&str> = causes.iter().map(|cause| cause.what()).collect();
    let place = if is_of_node { ", but nodes report" } else { "" };
    let what = if what.is_empty() { String::new() } else { format!(": {}", what.join("; or ")) };
    format!("{}{place}{what}", status.title())
}

/// The key `image` of `-o json`. The keys are stable, and all are present.
#[derive(Serialize)]
pub struct Document<'f> {
    image: &'f str,
    namespace: &'f str,
    /// The rewritten image; `null` if no rule sends it to a cache.
    name: Option<&'f str>,
    rule: Option<&'f str>,
    reason: Option<&'static str>,
    product: Option<&'static str>,
    status: Option<Status>,
    causes: Vec<Advice>,
    of_node: bool,
    answer: Option<String>,
    http_status: Option<u16>,
    credential: Option<&'f str>,
    upstream_answer: Option<String>,
    upstream_http_status: Option<u16>,
    digest: Option<&'f str>,
    /// The comparison with the upstream's digest: a result of `verify --digest-proof`.
    digest_proof: Option<crate::verify::Match>,
    pods: Vec<OnePod<'f>>,
}

#[derive(Serialize)]
struct OnePod<'f> {
    pod: &'f str,
    container: &'f str,
    image: &'f str,
    node: Option<&'f str>,
    reason: &'f str,
    messages: &'f [String],
    causes: Vec<&'static str>,
}

impl<'f> Document<'f> {
    pub fn new(facts: &'f Facts) -> Self {
        let Conclusion { status, causes, is_of_node } = facts.conclusion();
        let seen = facts.verified.map(|verified| &verified.seen);
        let pod = |one: &'f Use| {
            let failing = one.failing.as_ref()?;
            Some(OnePod {
                pod: &one.pod,
                container: &one.container,
                image: &one.image,
                node: one.node.as_deref(),
                reason: &failing.reason,
                messages: &failing.messages,
                causes: facts.causes_of(one).into_iter().map(Cause::as_str).collect(),
            })
        };
        Self {
            image: facts.image,
            namespace: facts.namespace,
            name: facts.verified.map(|verified| verified.target.image.as_str()),
            rule: facts.decision.rule().map(|rule| rule.name.as_str()),
            reason: facts.decision.reason().map(Reason::as_str),
            product: facts.verified.map(|verified| verified.product.as_str()),
            status,
            causes: causes.into_iter().map(|cause| cause.advice(facts.model())).collect(),
            of_node: is_of_node,
            answer: seen.map(|seen| seen.cache.in_words()),
            http_status: seen.and_then(|seen| seen.cache.trace.status),
            credential: seen.and_then(|seen| seen.cache.trace.credential.as_deref()),
            upstream_answer: facts.upstream.map(crate::registry::Answer::in_words),
            upstream_http_status: facts.upstream.and_then(|answer| answer.trace.status),
            digest: seen.and_then(|seen| seen.digest.as_ref()).map(|digest| digest.as_str()),
            digest_proof: seen.and_then(|seen| seen.proof.as_ref()).map(|proof| proof.result),
            pods: facts.uses().iter().filter_map(pod).collect(),
        }
    }
}
