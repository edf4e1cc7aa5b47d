//! Is the webhook configured as `pullthrough export webhook` prints it?

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};

use super::operations;
use super::other_webhooks;
use super::selectors;
use super::template_warnings;
use crate::ADMISSION_PATH;
use crate::cluster::doctor::endpoint::Endpoint;
use crate::cluster::doctor::fault::{Fault, Severity};
use crate::cluster::doctor::objects::Objects;
use crate::cluster::doctor::report::Check;
use crate::cluster::our_webhook;
use crate::engine::{Policy, Settings};
use crate::export::conditions::ON_IMAGES;
use crate::export::webhook::{self, WEBHOOK_NAME, WebhookOptions};
use crate::words::few;

/// With a longer timeout, the creation of a Pod blocks for too long while the webhook is unavailable.
const LONG_TIMEOUT_SECS: i32 = 10;

pub fn check(objects: &Objects) -> Check {
    let mut check =
        Check::new("webhook-configuration", "Is the webhook configured as `pullthrough export webhook` prints it?");
    let place = objects.configuration_place();
    let configuration = match &objects.configuration {
        Err(failure) => {
            check.skip_for(failure, &place);
            return check;
        }
        Ok(None) => {
            let what = match elsewhere(objects).as_slice() {
                [] => "it does not exist, so the API server never calls the webhook".to_owned(),
                names => {
                    format!("it does not exist; {} has the webhook {WEBHOOK_NAME}: set --configuration", few(names))
                }
            };
            check.find(Fault::WebhookConfigurationMissing, place, what);
            return check;
        }
        Ok(Some(configuration)) => configuration,
    };
    let Some(webhook) = our_webhook(configuration) else {
        let names: Vec<&str> = configuration.webhooks.iter().flatten().map(|webhook| webhook.name.as_str()).collect();
        let has = if names.is_empty() { "it has no webhooks".to_owned() } else { format!("it has {}", few(&names)) };
        check.find(Fault::WebhookMissing, place, format!("it has no webhook {WEBHOOK_NAME}; {has}"));
        return check;
    };
    let expected = expected(objects, webhook);
    fields(&mut check, &place, webhook, &expected);
    endpoint(&mut check, &place, webhook);
    operations::look(&mut check, &place, webhook, &expected);
    conditions(&mut check, &place, webhook, &expected);
    selectors::look(&mut check, objects, webhook);
    fail_closed(&mut check, &place, objects, webhook);
    order(&mut check, &place, objects, webhook);
    let templates = template_warnings::of(configuration);
    if let Some(templates) = templates {
        template_warnings::look(&mut check, &place, objects, templates, webhook);
    }
    let others: Vec<String> = elsewhere(objects);
    if !others.is_empty() {
        let what = format!("{} has the webhook {WEBHOOK_NAME} too, so each Pod is sent more than once", few(&others));
        check.find(Fault::DuplicateWebhookConfiguration, place, what);
    }
    if let Err(failure) = &objects.configurations {
        check.skip_for(failure, "other webhooks");
    }
    if let Err(failure) = &objects.policies {
        check.skip_for(failure, "MutatingAdmissionPolicies");
    }
    let failure_policy = webhook.failure_policy.as_deref().unwrap_or("Fail");
    check.fact(format!("failurePolicy {failure_policy}, timeoutSeconds {}", webhook.timeout_seconds.unwrap_or(10)));
    if templates.is_some() {
        check.fact("users get warnings about workload templates");
    }
    check
}

/// Returns the names of other configurations with our webhook.
fn elsewhere(objects: &Objects) -> Vec<String> {
    let configurations = objects.configurations.iter().flatten();
    let names = configurations.filter(|one| our_webhook(one).is_some()).filter_map(|one| one.metadata.name.clone());
    names.filter(|name| *name != objects.configuration_name).collect()
}

/// Returns the webhook that `export webhook` prints for these rules and this endpoint.
fn expected(objects: &Objects, webhook: &MutatingWebhook) -> MutatingWebhook {
    let endpoint = match &objects.endpoint {
        Endpoint::Url(url) => webhook::Endpoint::Url(url.clone()),
        Endpoint::Service { namespace, name, port } => webhook::Endpoint::Service(webhook::Service {
            namespace: namespace.clone(),
            name: name.clone(),
            port: u16::try_from(*port).unwrap_or_default(),
        }),
    };
    let options = WebhookOptions {
        endpoint,
        ca_bundle: None,
        failure_policy: "Ignore",
        timeout_seconds: 3,
        own_namespace: None,
        skip_unaffected_pods: webhook.match_conditions.iter().flatten().any(|one| one.name == ON_IMAGES),
        warn_templates: false,
    };
    let unknown = Policy::new(Vec::new(), Settings::default());
    let policy = objects.policy().unwrap_or(&unknown);
    let MutatingWebhookConfiguration { webhooks, .. } = webhook::configuration(policy, options).what;
    webhooks.into_iter().flatten().next().unwrap_or_default()
}

fn fields(check: &mut Check, place: &str, webhook: &MutatingWebhook, expected: &MutatingWebhook) {
    if webhook.match_policy.as_deref() == Some("Exact") {
        check.find(
            Fault::MatchPolicyExact,
            place,
            "matchPolicy is Exact: requests in another version of the API are not covered",
        );
    }
    if webhook.reinvocation_policy.as_deref() != Some("IfNeeded") {
        let what = "reinvocationPolicy is Never: images of containers that a later webhook adds are not rewritten";
        check.find(Fault::ReinvocationNever, place, what);
    }
    match (&*webhook.side_effects, &*expected.side_effects) {
        (declared, expected) if declared == expected => {}
        (declared, "None") => {
            check.find(
                Fault::SideEffectsDeclared,
                place,
                format!("sideEffects is {declared}, but the webhook has none"),
            );
        }
        (declared, _) => {
            let what = format!("sideEffects is {declared}, but a rule has checkExists, which sends requests to caches");
            check.find(Fault::SideEffectsNotDeclared, place, what);
        }
    }
    if !webhook.admission_review_versions.iter().any(|version| version == "v1") {
        let versions = webhook.admission_review_versions.join(", ");
        let what =
            format!("admissionReviewVersions is [{versions}]; pullthrough supports only v1, so every call fails");
        check.find(Fault::ReviewVersionNotSupported, place, what);
    }
    let timeout_secs = webhook.timeout_seconds.unwrap_or(LONG_TIMEOUT_SECS);
    if timeout_secs > LONG_TIMEOUT_SECS {
        let what =
            format!("timeoutSeconds is {timeout_secs}: while no replica answers, each Pod is created so much later");
        check.find(Fault::TimeoutTooLong, place, what);
    }
}

fn endpoint(check: &mut Check, place: &str, webhook: &MutatingWebhook) {
    let client = &webhook.client_config;
    let path = match (&client.url, &client.service) {
        (Some(url), _) => url.parse::<http::Uri>().map(|uri| uri.path().to_owned()).unwrap_or_default(),
        (None, Some(service)) => service.path.clone().unwrap_or_default(),
        (None, None) => return,
    };
    if path != ADMISSION_PATH {
        let what = format!("the API server calls the path `{path}`; pullthrough answers 404 there");
        check.find(Fault::WrongPath, place, what);
    }
}

fn conditions(check: &mut Check, place: &str, webhook: &MutatingWebhook, expected: &MutatingWebhook) {
    let compact = |expression: &str| expression.split_whitespace().collect::<String>();
    let actual: Vec<_> = webhook.match_conditions.iter().flatten().collect();
    let wanted: Vec<_> = expected.match_conditions.iter().flatten().collect();
    for one in &wanted {
        if actual.iter().any(|other| compact(&other.expression) == compact(&one.expression)) {
            continue;
        }
        let name = &one.name;
        match name.as_str() {
            "not-mirror-pod" => {
                let what = "no match condition excludes mirror Pods: with failurePolicy Fail, the kubelet can't create \
                            them while the webhook is unavailable";
                check.find(Fault::MirrorPodsNotExcluded, place, what);
            }
            "not-deleting" => {
                let what = "no match condition excludes Pods that are being deleted: with failurePolicy Fail, their \
                            finalizers can't be removed while the webhook is unavailable";
                check.find(Fault::DeletingPodsNotExcluded, place, what);
            }
            _ => {}
        }
    }
    for one in actual {
        let is_wanted = wanted.iter().any(|other| compact(&other.expression) == compact(&one.expression));
        let replaces = wanted.iter().any(|other| other.name == one.name);
        if is_wanted {
            continue;
        }
        if one.name == ON_IMAGES {
            let what = "the match condition on images differs from the rules: the API server may skip the webhook for \
                        Pods that a rule would rewrite";
            check.find(Fault::StaleImageCondition, place, what);
        } else if !replaces {
            let what = format!("the match condition `{}` excludes Pods: {}", one.name, one.expression);
            check.find(Fault::UnexpectedMatchCondition, place, what);
        }
    }
}

fn fail_closed(check: &mut Check, place: &str, objects: &Objects, webhook: &MutatingWebhook) {
    let is_fail = webhook.failure_policy.as_deref() != Some("Ignore");
    if let Endpoint::Service { namespace, .. } = &objects.endpoint
        && objects.covers(namespace)
    {
        let what = if is_fail {
            format!(
                "it covers pullthrough's own namespace {namespace}: with failurePolicy Fail, its Pods can't start \
                 while it is unavailable"
            )
        } else {
            format!("it covers pullthrough's own namespace {namespace}: its own image is rewritten to the cache")
        };
        let finding = check.find(Fault::OwnNamespaceCovered, place, what);
        if is_fail {
            finding.severity = Severity::Error;
        }
    }
    if is_fail && objects.covers("kube-system") {
        let what = "failurePolicy is Fail and it covers kube-system: if all replicas are down, Pods that the cluster \
                    needs to start them are denied too";
        check.find(Fault::KubeSystemFailClosed, place, what);
    }
}

fn order(check: &mut Check, place: &str, objects: &Objects, webhook: &MutatingWebhook) {
    let later: Vec<String> =
        other_webhooks::webhooks(objects, None).into_iter().filter(|one| one.is_later).map(|one| one.name).collect();
    if later.is_empty() {
        return;
    }
    let reinvoked = webhook.reinvocation_policy.as_deref() == Some("IfNeeded");
    let effect =
        if reinvoked { "it is called again if they change a Pod" } else { "it is not called again after them" };
    let what = format!("called before {}: {effect}", few(&later));
    let finding = check.find(Fault::CalledBeforeOthers, place, what);
    if !reinvoked {
        finding.severity = Severity::Warning;
    }
}
