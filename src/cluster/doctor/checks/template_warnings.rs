//! The webhook that warns about templates, if the configuration has it.

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};

use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::objects::Objects;
use crate::cluster::doctor::report::Check;
use crate::export::conditions::BY_A_USER;
use crate::export::webhook::TEMPLATES_WEBHOOK_NAME;

/// Returns the webhook for templates of a configuration.
pub fn of(configuration: &MutatingWebhookConfiguration) -> Option<&MutatingWebhook> {
    configuration.webhooks.iter().flatten().find(|webhook| webhook.name == TEMPLATES_WEBHOOK_NAME)
}

/// Looks for faults of the webhook for templates. `ours` is the one for Pods.
pub fn look(check: &mut Check, place: &str, objects: &Objects, templates: &MutatingWebhook, ours: &MutatingWebhook) {
    let name = TEMPLATES_WEBHOOK_NAME;
    if templates.failure_policy.as_deref() != Some("Ignore") {
        let what =
            format!("failurePolicy of {name} is Fail: while the webhook is unavailable, users can't change workloads");
        check.find(Fault::TemplatesFailClosed, place, what);
    }
    if templates.client_config != ours.client_config {
        let what = format!("clientConfig of {name} differs from that of {}, so its calls may fail", ours.name);
        check.find(Fault::TemplatesClientDiffers, place, what);
    }
    if !templates.match_conditions.iter().flatten().any(|one| one.name == BY_A_USER) {
        let what = format!(
            "{name} has no match condition `{BY_A_USER}`: the API server calls it for each write of a controller, which gets \
             no warnings"
        );
        check.find(Fault::TemplatesOfControllers, place, what);
    }
    if let Some(arguments) = &objects.arguments
        && matches!(arguments.sends_warnings, Ok(false))
    {
        let what = format!("the configuration has {name}, but the replicas run with --no-warnings");
        check.find(Fault::TemplateWarningsOff, place, what);
    }
}
