//! Export of the MutatingWebhookConfiguration, with every field set explicitly.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};

use super::{Export, conditions};
use crate::ADMISSION_PATH;
use crate::engine::{PodKind, Policy, REWRITE_DISABLED, REWRITE_LABEL, Settings};
use crate::words::few;

/// The API server calls webhooks in the order of their configurations' names, and policies likewise. This name sorts behind those
/// that add containers.
pub const CONFIGURATION_NAME: &str = "zz-pullthrough";
/// The name of the webhook, and the prefix of its audit annotations.
pub const WEBHOOK_NAME: &str = "rewrite.pullthrough.dev";
/// The name of the webhook that warns about templates, in the same configuration: it has the same CA, and is removed together.
pub const TEMPLATES_WEBHOOK_NAME: &str = "warn.pullthrough.dev";
/// While pullthrough is unavailable, each `kubectl apply` of a workload may take so much longer.
const TEMPLATES_TIMEOUT_SECS: i32 = 1;
const DEFAULT_NAMESPACE: &str = "pullthrough";

/// The address at which the API server calls the webhook.
#[derive(Debug, Clone)]
pub enum Endpoint {
    Url(String),
    Service(Service),
}

#[derive(Debug, Clone)]
pub struct Service {
    pub namespace: String,
    pub name: String,
    pub port: u16,
}

/// Options beside the rules.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    pub endpoint: Endpoint,
    /// The CA, in PEM.
    pub ca_bundle: Option<Vec<u8>>,
    pub failure_policy: &'static str,
    pub timeout_seconds: i32,
    /// The namespace of pullthrough; by default the Service's.
    pub own_namespace: Option<String>,
    pub skip_unaffected_pods: bool,
    /// Whether users get warnings about images of workload templates.
    pub warn_templates: bool,
}

/// Returns the configuration. It omits nothing, since the webhook reads the rules from its rules file.
pub fn configuration(policy: &Policy, options: WebhookOptions) -> Export<MutatingWebhookConfiguration> {
    let WebhookOptions {
        endpoint,
        ca_bundle,
        failure_policy,
        timeout_seconds,
        own_namespace,
        skip_unaffected_pods,
        warn_templates,
    } = options;
    let own_namespace = own_namespace.unwrap_or_else(|| match &endpoint {
        Endpoint::Service(service) => service.namespace.clone(),
        Endpoint::Url(_) => DEFAULT_NAMESPACE.to_owned(),
    });
    let (url, service) = match endpoint {
        Endpoint::Url(url) => (Some(url), None),
        Endpoint::Service(Service { namespace, name, port }) => {
            let port = Some(i32::from(port));
            (None, Some(ServiceReference { namespace, name, path: Some(ADMISSION_PATH.to_owned()), port }))
        }
    };
    let mut match_conditions = conditions::always();
    let mut notes = Vec::new();
    if skip_unaffected_pods {
        match conditions::on_images(policy) {
            Ok(condition) => match_conditions.push(condition),
            Err(inexact) => notes.push(format!(
                "no condition on images is printed, so the API server calls the webhook for every Pod: {inexact}"
            )),
        }
    }
    let opt_out = opt_out(policy);
    let own = not_in("kubernetes.io/metadata.name", &own_namespace);
    let client_config = WebhookClientConfig { ca_bundle: ca_bundle.map(ByteString), url, service };
    let namespace_selector = selector([Some(own), opt_out.clone()]);
    let templates = warn_templates.then(|| {
        notes.extend(without_warnings(policy));
        on_templates(client_config.clone(), namespace_selector.clone())
    });
    let webhook = MutatingWebhook {
        name: WEBHOOK_NAME.to_owned(),
        client_config,
        rules: Some(pod_rules().into()),
        match_policy: Some("Equivalent".to_owned()),
        namespace_selector: Some(namespace_selector),
        object_selector: Some(selector([opt_out, None])),
        match_conditions: Some(match_conditions),
        side_effects: side_effects(policy).to_owned(),
        admission_review_versions: vec!["v1".to_owned()],
        timeout_seconds: Some(timeout_seconds),
        failure_policy: Some(failure_policy.to_owned()),
        reinvocation_policy: Some("IfNeeded".to_owned()),
    };
    let configuration = MutatingWebhookConfiguration {
        metadata: ObjectMeta { name: Some(CONFIGURATION_NAME.to_owned()), ..ObjectMeta::default() },
        webhooks: Some([webhook].into_iter().chain(templates).collect()),
    };
    Export { what: configuration, notes, omissions: Vec::new() }
}

/// Returns the webhook that warns about templates. It never fails a request, and is not called for controllers.
fn on_templates(client_config: WebhookClientConfig, namespace_selector: LabelSelector) -> MutatingWebhook {
    MutatingWebhook {
        name: TEMPLATES_WEBHOOK_NAME.to_owned(),
        client_config,
        rules: Some(template_rules()),
        match_policy: Some("Equivalent".to_owned()),
        namespace_selector: Some(namespace_selector),
        // The label that switches rewriting off is one of Pods, so the server reads it in the template.
        object_selector: Some(LabelSelector::default()),
        match_conditions: Some(conditions::on_templates()),
        side_effects: "None".to_owned(),
        admission_review_versions: vec!["v1".to_owned()],
        timeout_seconds: Some(TEMPLATES_TIMEOUT_SECS),
        failure_policy: Some("Ignore".to_owned()),
        reinvocation_policy: Some("Never".to_owned()),
    }
}

/// Returns the note on rules whose images get no warning.
fn without_warnings(policy: &Policy) -> Option<String> {
    let names: Vec<&str> = policy.rules().iter().filter(|rule| rule.varies()).map(|rule| rule.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "templates with images of the rules {} get no warning: failover, whenCacheDown, checkExists and rollout have no \
             effect on an image that names the cache",
            few(&names)
        )
    })
}

/// Returns the side effects of a request. A look-up in a cache is one, since some caches import what they are asked for.
fn side_effects(policy: &Policy) -> &'static str {
    if policy.rules().iter().any(|rule| rule.check_exists.is_some()) { "NoneOnDryRun" } else { "None" }
}

/// Returns the requests that can set an image of a Pod.
pub(super) fn pod_rules() -> [RuleWithOperations; 2] {
    [pods(&["CREATE", "UPDATE"], "pods"), pods(&["UPDATE"], "pods/ephemeralcontainers")]
}

/// Returns the requirement that excludes opted-out Pods and namespaces, if the rules allow opting out.
pub(super) fn opt_out(policy: &Policy) -> Option<LabelSelectorRequirement> {
    let &Settings { allow_opt_out, record_originals: _, when_not_understood: _, caches: _, operators: _ } =
        policy.settings();
    allow_opt_out.then(|| not_in(REWRITE_LABEL, REWRITE_DISABLED))
}

fn pods(operations: &[&str], resource: &str) -> RuleWithOperations {
    rule(operations, "", &[resource])
}

/// Returns the requests that can set an image of a template, by API group.
fn template_rules() -> Vec<RuleWithOperations> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for PodKind { groups: of_kind, resource, .. } in PodKind::with_template() {
        let Some(&group) = of_kind.first() else { continue };
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, resources)) => resources.push(resource),
            None => groups.push((group, vec![resource])),
        }
    }
    groups.iter().map(|(group, resources)| rule(&["CREATE", "UPDATE"], group, resources)).collect()
}

/// Returns a rule on resources of version v1 of a group.
fn rule(operations: &[&str], group: &str, resources: &[&str]) -> RuleWithOperations {
    let strings = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect());
    RuleWithOperations {
        operations: strings(operations),
        api_groups: strings(&[group]),
        api_versions: strings(&["v1"]),
        resources: strings(resources),
        scope: Some("Namespaced".to_owned()),
    }
}

fn not_in(key: &str, value: &str) -> LabelSelectorRequirement {
    let values = Some(vec![value.to_owned()]);
    LabelSelectorRequirement { key: key.to_owned(), operator: "NotIn".to_owned(), values }
}

fn selector(requirements: [Option<LabelSelectorRequirement>; 2]) -> LabelSelector {
    let requirements: Vec<_> = requirements.into_iter().flatten().collect();
    LabelSelector { match_expressions: (!requirements.is_empty()).then_some(requirements), match_labels: None }
}
