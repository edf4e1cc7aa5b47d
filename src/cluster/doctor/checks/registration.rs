//! Is the webhook registered as it should be?

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};

use super::coverage;
use super::rivals;
use super::selectors;
use crate::ADMISSION_PATH;
use crate::cluster::doctor::endpoint::Endpoint;
use crate::cluster::doctor::fault::{Fault, Severity};
use crate::cluster::doctor::objects::Objects;
use crate::cluster::doctor::report::Check;
use crate::cluster::our_webhook;
use crate::cluster::words::few;
use crate::engine::{Policy, Settings};
use crate::export::conditions::ON_IMAGES;
use crate::export::webhook::{self, Options, WEBHOOK_NAME};

/// Beyond this people wait for Pods when the webhook does not answer.
const LONG_TIMEOUT_SECS: i32 = 10;

pub fn check(objects: &Objects) -> Check {
    let mut check = Check::new("registration", "Is the webhook registered as it should be?");
    let place = objects.configuration_place();
    let registered = match &objects.registered {
        Err(failure) => {
            check.could_not_look(failure, &place);
            return check;
        }
        Ok(None) => {
            let what = match elsewhere(objects).as_slice() {
                [] => "it does not exist, so the API server asks about no Pod".to_owned(),
                names => {
                    format!("it does not exist; the webhook {WEBHOOK_NAME} is in {}: see --configuration", few(names))
                }
            };
            check.find(Fault::NotRegistered, place, what);
            return check;
        }
        Ok(Some(registered)) => registered,
    };
    let Some(webhook) = our_webhook(registered) else {
        let names: Vec<&str> = registered.webhooks.iter().flatten().map(|webhook| webhook.name.as_str()).collect();
        let has =
            if names.is_empty() { "it has no webhook at all".to_owned() } else { format!("it has {}", few(&names)) };
        check.find(Fault::WebhookMissing, place, format!("there is no webhook {WEBHOOK_NAME} in it: {has}"));
        return check;
    };
    let expected = expected(objects, webhook);
    fields(&mut check, &place, webhook);
    endpoint(&mut check, &place, webhook);
    coverage::look(&mut check, &place, webhook, &expected);
    conditions(&mut check, &place, webhook, &expected);
    selectors::look(&mut check, objects, webhook);
    fail_closed(&mut check, &place, objects, webhook);
    order(&mut check, &place, objects, webhook);
    let others: Vec<String> = elsewhere(objects);
    if !others.is_empty() {
        let what = format!("the webhook {WEBHOOK_NAME} is in {} too, so it is asked more than once", few(&others));
        check.find(Fault::RegisteredTwice, place, what);
    }
    if let Err(failure) = &objects.configurations {
        check.could_not_look(failure, "which other webhooks there are");
    }
    if let Err(failure) = &objects.policies {
        check.could_not_look(failure, "which MutatingAdmissionPolicies there are");
    }
    let failure_policy = webhook.failure_policy.as_deref().unwrap_or("Fail");
    check.fact(format!("failurePolicy {failure_policy}, timeoutSeconds {}", webhook.timeout_seconds.unwrap_or(10)));
    check
}

/// Other configurations with our webhook.
fn elsewhere(objects: &Objects) -> Vec<String> {
    let configurations = objects.configurations.iter().flatten();
    let names = configurations.filter(|one| our_webhook(one).is_some()).filter_map(|one| one.metadata.name.clone());
    names.filter(|name| *name != objects.configuration_name).collect()
}

/// What `export webhook` would print for these rules and this endpoint.
fn expected(objects: &Objects, webhook: &MutatingWebhook) -> MutatingWebhook {
    let endpoint = match &objects.endpoint {
        Endpoint::Url(url) => webhook::Endpoint::Url(url.clone()),
        Endpoint::Service { namespace, name, port } => webhook::Endpoint::Service(webhook::Service {
            namespace: namespace.clone(),
            name: name.clone(),
            port: u16::try_from(*port).unwrap_or_default(),
        }),
    };
    let options = Options {
        endpoint,
        ca_bundle: None,
        failure_policy: "Ignore",
        timeout_seconds: 3,
        own_namespace: None,
        skip_unaffected_pods: webhook.match_conditions.iter().flatten().any(|one| one.name == ON_IMAGES),
    };
    let unknown = Policy::new(Vec::new(), Settings::default());
    let policy = objects.policy().unwrap_or(&unknown);
    let MutatingWebhookConfiguration { webhooks, .. } = webhook::configuration(policy, options).what;
    webhooks.into_iter().flatten().next().unwrap_or_default()
}

fn fields(check: &mut Check, place: &str, webhook: &MutatingWebhook) {
    if webhook.match_policy.as_deref() == Some("Exact") {
        check.find(
            Fault::MatchPolicyExact,
            place,
            "matchPolicy is Exact: requests through another version of the API are missed",
        );
    }
    if webhook.reinvocation_policy.as_deref() != Some("IfNeeded") {
        let what = "reinvocationPolicy is Never: images of containers that a later webhook adds are not rewritten";
        check.find(Fault::ReinvocationNever, place, what);
    }
    if webhook.side_effects != "None" {
        let what = format!("sideEffects is {}, although there are none", webhook.side_effects);
        check.find(Fault::SideEffectsDeclared, place, what);
    }
    if !webhook.admission_review_versions.iter().any(|version| version == "v1") {
        let versions = webhook.admission_review_versions.join(", ");
        let what =
            format!("admissionReviewVersions is [{versions}]; pullthrough answers v1 alone, so every call fails");
        check.find(Fault::ReviewVersionUnsupported, place, what);
    }
    let timeout_secs = webhook.timeout_seconds.unwrap_or(LONG_TIMEOUT_SECS);
    if timeout_secs > LONG_TIMEOUT_SECS {
        let what =
            format!("timeoutSeconds is {timeout_secs}: so long everybody waits for a Pod while no replica answers");
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
        let what = format!("the API server asks at the path `{path}`, where pullthrough answers 404");
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
                let what = "no match condition leaves out mirror Pods: while the webhook is down, failurePolicy Fail \
                            would keep the kubelet from showing its static Pods";
                check.find(Fault::MirrorPodsNotExcluded, place, what);
            }
            "not-deleting" => {
                let what = "no match condition leaves out Pods that are being deleted: while the webhook is down, \
                            failurePolicy Fail would keep their finalizers, and so their namespaces";
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
            let what = "the match condition on images is not that of the rules: Pods may pass unasked that a rule \
                        would rewrite";
            check.find(Fault::StaleImageCondition, place, what);
        } else if !replaces {
            let what = format!("the match condition `{}` leaves Pods out: {}", one.name, one.expression);
            check.find(Fault::ForeignMatchCondition, place, what);
        }
    }
}

fn fail_closed(check: &mut Check, place: &str, objects: &Objects, webhook: &MutatingWebhook) {
    let is_fail = webhook.failure_policy.as_deref() != Some("Ignore");
    if let Endpoint::Service { namespace, .. } = &objects.endpoint
        && objects.is_in_reach(namespace)
    {
        let what = match is_fail {
            true => {
                format!("its own namespace {namespace} is in reach: under Fail its Pods can't start while it is down")
            }
            false => format!("its own namespace {namespace} is in reach: it would send its own image to the cache"),
        };
        let finding = check.find(Fault::OwnNamespaceInReach, place, what);
        if is_fail {
            finding.severity = Severity::Error;
        }
    }
    if is_fail && objects.is_in_reach("kube-system") {
        let what = "failurePolicy is Fail and kube-system is in reach: if all replicas are down, the Pods that the \
                    cluster needs to bring them back are refused too";
        check.find(Fault::KubeSystemFailClosed, place, what);
    }
}

fn order(check: &mut Check, place: &str, objects: &Objects, webhook: &MutatingWebhook) {
    let later: Vec<String> =
        rivals::webhooks(objects, None).into_iter().filter(|one| one.is_later).map(|one| one.name).collect();
    if later.is_empty() {
        return;
    }
    let reinvoked = webhook.reinvocation_policy.as_deref() == Some("IfNeeded");
    let effect = match reinvoked {
        true => "it is called again after them, as far as they add containers",
        false => "and it is not called again after them",
    };
    let what = format!("called before {}: {effect}", few(&later));
    let finding = check.find(Fault::CalledBeforeOthers, place, what);
    if !reinvoked {
        finding.severity = Severity::Warning;
    }
}
