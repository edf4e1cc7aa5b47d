//! Who else changes Pods, and could undo what was done.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;

use super::coverage::covers;
use crate::cluster::doctor::objects::Objects;
use crate::cluster::selector;
use crate::export::webhook::WEBHOOK_NAME;

/// A webhook that is asked about new Pods too.
pub struct Rival {
    /// Of the webhook and of its configuration.
    pub name: String,
    /// Called after ours.
    pub is_later: bool,
    /// Called again when another has changed something.
    pub is_reinvoked: bool,
}

/// The other webhooks on Pods; those alone that are asked in a namespace, if one is given.
pub fn webhooks(objects: &Objects, namespace: Option<&str>) -> Vec<Rival> {
    let mut rivals = Vec::new();
    for configuration in objects.configurations.iter().flatten() {
        let name = configuration.metadata.name.clone().unwrap_or_default();
        let is_own = name == objects.configuration_name;
        let mut is_behind_ours = false;
        for webhook in configuration.webhooks.iter().flatten() {
            if webhook.name == WEBHOOK_NAME {
                is_behind_ours |= is_own;
                continue;
            }
            if !is_asked(objects, webhook, namespace) {
                continue;
            }
            rivals.push(Rival {
                name: format!("{} (MutatingWebhookConfiguration {name})", webhook.name),
                is_later: is_behind_ours || (!is_own && name > objects.configuration_name),
                is_reinvoked: webhook.reinvocation_policy.as_deref() == Some("IfNeeded"),
            });
        }
    }
    rivals
}

fn is_asked(objects: &Objects, webhook: &MutatingWebhook, namespace: Option<&str>) -> bool {
    let on_pods = webhook.rules.iter().flatten().any(|rule| covers(rule, "CREATE", "pods"));
    let requirements = selector::requirements(webhook.namespace_selector.as_ref());
    let selects = |namespace| selector::failed(&requirements, &objects.labels_of(namespace)).is_empty();
    on_pods && namespace.is_none_or(selects)
}

/// Those that may have had the last word on a Pod in a namespace, as sentences have them.
pub fn suspects(objects: &Objects, namespace: &str) -> Vec<String> {
    let webhooks = webhooks(objects, Some(namespace)).into_iter();
    let webhooks = webhooks.filter(|rival| rival.is_later || rival.is_reinvoked).map(|rival| match rival.is_later {
        true => format!("the webhook {}, called later", rival.name),
        false => format!("the webhook {}, called again", rival.name),
    });
    let policies = objects.policies.iter().flatten().filter(|policy| policy.on_pods && policy.reinvoked);
    webhooks
        .chain(policies.map(|policy| format!("the MutatingAdmissionPolicy {}, called again", policy.name)))
        .collect()
}
