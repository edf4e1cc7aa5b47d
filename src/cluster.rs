//! Clients of the Kubernetes API: managed certificates, doctor and scan.

pub mod api;
pub mod certificates;
pub mod client;
pub mod doctor;
mod failure;
pub mod pages;
pub mod pull_secrets;
pub mod scan;
pub mod selector;

use k8s_openapi::Resource as _;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};

use self::api::Target;
use crate::export::webhook::WEBHOOK_NAME;

/// All MutatingWebhookConfigurations.
const WEBHOOKS: Target<'static> = Target {
    api: "apis/admissionregistration.k8s.io/v1",
    resource: MutatingWebhookConfiguration::URL_PATH_SEGMENT,
    namespace: None,
    name: None,
};

/// Returns pullthrough's webhook of a configuration.
fn our_webhook(configuration: &MutatingWebhookConfiguration) -> Option<&MutatingWebhook> {
    configuration.webhooks.iter().flatten().find(|webhook| webhook.name == WEBHOOK_NAME)
}
