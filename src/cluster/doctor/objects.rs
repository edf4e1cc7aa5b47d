//! What was seen of the cluster: everything that is read from the API server before anything is asked of what runs there.

use std::time::SystemTime;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::arguments::Arguments;
use super::endpoint::Endpoint;
use super::rules::{NoRules, Rules};
use crate::cluster::api::{Failure, Seen};
use crate::cluster::our_webhook;
use crate::cluster::selector::{self, Labels, Requirement};
use crate::engine::Policy;

/// What the cluster was found to be.
#[derive(Debug)]
pub struct Objects {
    pub now: SystemTime,
    /// Of the webhook configuration.
    pub configuration_name: String,
    pub version: Result<Version, Failure>,
    pub registered: Seen<MutatingWebhookConfiguration>,
    /// All of them, ours included.
    pub configurations: Result<Vec<MutatingWebhookConfiguration>, Failure>,
    pub policies: Result<Vec<MutatingPolicy>, Failure>,
    pub namespaces: Result<Vec<Namespace>, Failure>,
    /// Whether the API server's warnings for us would include the webhook's.
    pub is_told_warnings: bool,
    pub endpoint: Endpoint,
    /// Where Service, Deployment and Pods are looked for.
    pub namespace: String,
    pub service: Seen<Service>,
    pub slices: Result<Vec<EndpointSlice>, Failure>,
    pub deployment: Seen<Deployment>,
    pub arguments: Option<Arguments>,
    /// Those that the Service selects, and those of the Deployment.
    pub pods: Result<Vec<Pod>, Failure>,
    pub rules: Result<Rules, NoRules>,
}

#[derive(Debug, Clone)]
pub struct Version {
    pub git: String,
    /// Of Kubernetes 1.
    pub minor: Option<u32>,
}

#[derive(Debug, Clone)]
pub struct Namespace {
    pub name: String,
    pub labels: Labels,
    pub terminating: bool,
}

/// A MutatingAdmissionPolicy.
#[derive(Debug, Clone)]
pub struct MutatingPolicy {
    pub name: String,
    pub reinvoked: bool,
    /// Whether it is called for the creation of Pods.
    pub on_pods: bool,
}

impl Objects {
    /// Our webhook of the configuration.
    pub fn webhook(&self) -> Option<&MutatingWebhook> {
        our_webhook(self.registered.as_ref().ok()?.as_ref()?)
    }

    pub fn policy(&self) -> Option<&Policy> {
        self.rules.as_ref().ok()?.policy()
    }

    /// The object that is registered, as findings name it.
    pub fn configuration_place(&self) -> String {
        format!("MutatingWebhookConfiguration {}", self.configuration_name)
    }

    /// A namespace's labels; of one that is not known, those that every namespace has.
    pub fn labels_of(&self, namespace: &str) -> Labels {
        let known = self.namespaces.iter().flatten().find(|known| known.name == namespace);
        known.map(|known| known.labels.clone()).unwrap_or_else(|| selector::labels_of_name(namespace))
    }

    /// The conditions of the namespaceSelector that a namespace fails; none: it is in reach.
    pub fn obstacles(&self, namespace: &str) -> Vec<Requirement> {
        let Some(webhook) = self.webhook() else { return Vec::new() };
        let requirements = selector::requirements(webhook.namespace_selector.as_ref());
        selector::failed(&requirements, &self.labels_of(namespace)).into_iter().cloned().collect()
    }

    pub fn is_in_reach(&self, namespace: &str) -> bool {
        self.obstacles(namespace).is_empty()
    }
}
