//! The objects that are read from the API server before the first request to a replica.

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

/// The objects of a cluster.
#[derive(Debug)]
pub struct Objects {
    pub now: SystemTime,
    /// The name of the webhook configuration.
    pub configuration_name: String,
    pub version: Result<Version, Failure>,
    pub configuration: Seen<MutatingWebhookConfiguration>,
    /// All webhook configurations, ours included.
    pub configurations: Result<Vec<MutatingWebhookConfiguration>, Failure>,
    pub policies: Result<Vec<MutatingPolicy>, Failure>,
    pub namespaces: Result<Vec<Namespace>, Failure>,
    /// Whether the webhook sends warnings to this user.
    pub gets_warnings: bool,
    pub endpoint: Endpoint,
    /// The namespace of Service, Deployment and Pods.
    pub namespace: String,
    pub service: Seen<Service>,
    pub slices: Result<Vec<EndpointSlice>, Failure>,
    pub deployment: Seen<Deployment>,
    pub arguments: Option<Arguments>,
    /// The Pods that the Service selects, and those of the Deployment.
    pub pods: Result<Vec<Pod>, Failure>,
    pub rules: Result<Rules, NoRules>,
}

#[derive(Debug, Clone)]
pub struct Version {
    pub git: String,
    /// The minor version of Kubernetes 1.
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
    /// Whether it applies to the creation of Pods.
    pub on_pods: bool,
}

impl Objects {
    /// Returns our webhook of the configuration.
    pub fn webhook(&self) -> Option<&MutatingWebhook> {
        our_webhook(self.configuration.as_ref().ok()?.as_ref()?)
    }

    pub fn policy(&self) -> Option<&Policy> {
        self.rules.as_ref().ok()?.policy()
    }

    /// Returns the webhook configuration as findings name it.
    pub fn configuration_place(&self) -> String {
        format!("MutatingWebhookConfiguration {}", self.configuration_name)
    }

    /// Returns a namespace's labels; for an unknown one, the label that every namespace has.
    pub fn labels_of(&self, namespace: &str) -> Labels {
        let known = self.namespaces.iter().flatten().find(|known| known.name == namespace);
        known.map(|known| known.labels.clone()).unwrap_or_else(|| selector::labels_of_name(namespace))
    }

    /// Returns the requirements of the namespaceSelector that a namespace does not meet. If there are none, it is covered.
    pub fn failed_requirements(&self, namespace: &str) -> Vec<Requirement> {
        let Some(webhook) = self.webhook() else { return Vec::new() };
        let requirements = selector::requirements(webhook.namespace_selector.as_ref());
        selector::failed(&requirements, &self.labels_of(namespace)).into_iter().cloned().collect()
    }

    /// Returns whether the webhook covers a namespace.
    pub fn covers(&self, namespace: &str) -> bool {
        self.failed_requirements(namespace).is_empty()
    }
}
