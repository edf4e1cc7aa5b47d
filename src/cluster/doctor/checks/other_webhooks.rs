//! Other webhooks and policies that change Pods, and may revert a rewrite.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;

use super::operations::covers;
use crate::cluster::doctor::objects::Objects;
use crate::cluster::selector;
use crate::export::webhook::WEBHOOK_NAME;

/// Another webhook that is called for new Pods.
pub struct OtherWebhook {
    /// The name of the webhook, with that of its configuration.
    pub name: String,
    /// Whether it is called after ours.
    pub is_later: bool,
    /// Whether it is called again if another webhook changed the object.
    pub is_reinvoked: bool,
}

/// Returns the other webhooks on Pods, only those that cover `namespace` if it is given.
pub fn webhooks(objects: &Objects, namespace: Option<&str>) -> Vec<OtherWebhook> {
    let mut others = Vec::new();
    for configuration in objects.configurations.iter().flatten() {
        let name = configuration.metadata.name.clone().unwrap_or_default();
        let is_own = name == objects.configuration_name;
        let mut is_after_ours = false;
        for webhook in configuration.webhooks.iter().flatten() {
            if webhook.name == WEBHOOK_NAME {
                is_after_ours |= is_own;
                continue;
            }
            if !is_called(objects, webhook, namespace) {
                continue;
            }
            others.push(OtherWebhook {
                name: format!("{} (MutatingWebhookConfiguration {name})", webhook.name),
                is_later: is_after_ours || (!is_own && name > objects.configuration_name),
                is_reinvoked: webhook.reinvocation_policy.as_deref() == Some("IfNeeded"),
            });
        }
    }
    others
}

fn is_called(objects: &Objects, webhook: &MutatingWebhook, namespace: Option<&str>) -> bool {
    let on_pods = webhook.rules.iter().flatten().any(|rule| covers(rule, "CREATE", "pods"));
    let requirements = selector::requirements(webhook.namespace_selector.as_ref());
    let selects = |namespace| selector::failed(&requirements, &objects.labels_of(namespace)).is_empty();
    on_pods && namespace.is_none_or(selects)
}

/// Describes the webhooks and policies that may change a Pod of a namespace after ours.
pub fn suspects(objects: &Objects, namespace: &str) -> Vec<String> {
    let webhooks = webhooks(objects, Some(namespace)).into_iter();
    let webhooks = webhooks.filter(|other| other.is_later || other.is_reinvoked).map(|other| {
        if other.is_later {
            format!("the webhook {}, called later", other.name)
        } else {
            format!("the webhook {}, called again", other.name)
        }
    });
    let policies = objects.policies.iter().flatten().filter(|policy| policy.on_pods && policy.reinvoked);
    webhooks
        .chain(policies.map(|policy| format!("the MutatingAdmissionPolicy {}, called again", policy.name)))
        .collect()
}
