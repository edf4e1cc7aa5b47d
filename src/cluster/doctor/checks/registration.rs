//! Is the webhook registered as it should be?

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations};

use super::rivals;
use super::selectors;
use crate::ADMISSION_PATH;
use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::report::Check;
use crate::cluster::doctor::report::Severity;
use crate::cluster::doctor::snapshot::{Endpoint, Snapshot};
use crate::cluster::our_webhook;
use crate::cluster::words::few;
use crate::engine::{Policy, Settings};
use crate::export::conditions::ON_IMAGES;
use crate::export::webhook::{self, Options, WEBHOOK_NAME};

/// Beyond this people wait for Pods when the webhook does not answer.
const LONG_TIMEOUT_SECS: i32 = 10;

pub fn check(snapshot: &Snapshot) -> Check {
    let mut check = Check::new("registration", "Is the webhook registered as it should be?");
    let place = snapshot.configuration_place();
    let registered = match &snapshot.registered {
        Err(failure) => {
            check.could_not_look(failure, &place);
            return check;
        }
        Ok(None) => {
            let what = match elsewhere(snapshot).as_slice() {
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
    let expected = expected(snapshot, webhook);
    fields(&mut check, &place, webhook);
    endpoint(&mut check, &place, webhook);
    coverage(&mut check, &place, webhook, &expected);
    conditions(&mut check, &place, webhook, &expected);
    selectors::look(&mut check, snapshot, webhook);
    fail_closed(&mut check, &place, snapshot, webhook);
    order(&mut check, &place, snapshot, webhook);
    let others: Vec<String> = elsewhere(snapshot);
    if !others.is_empty() {
        let what = format!("the webhook {WEBHOOK_NAME} is in {} too, so it is asked more than once", few(&others));
        check.find(Fault::RegisteredTwice, place, what);
    }
    if let Err(failure) = &snapshot.configurations {
        check.could_not_look(failure, "which other webhooks there are");
    }
    if let Err(failure) = &snapshot.policies {
        check.could_not_look(failure, "which MutatingAdmissionPolicies there are");
    }
    let failure_policy = webhook.failure_policy.as_deref().unwrap_or("Fail");
    check.fact(format!("failurePolicy {failure_policy}, timeoutSeconds {}", webhook.timeout_seconds.unwrap_or(10)));
    check
}

/// Other configurations with our webhook.
fn elsewhere(snapshot: &Snapshot) -> Vec<String> {
    let configurations = snapshot.configurations.iter().flatten();
    let names = configurations.filter(|one| our_webhook(one).is_some()).filter_map(|one| one.metadata.name.clone());
    names.filter(|name| *name != snapshot.configuration_name).collect()
}

/// What `export webhook` would print for these rules and this endpoint.
fn expected(snapshot: &Snapshot, webhook: &MutatingWebhook) -> MutatingWebhook {
    let endpoint = match &snapshot.endpoint {
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
    let policy = snapshot.policy().unwrap_or(&unknown);
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
        (Some(url), _) => url.parse::<hyper::Uri>().map(|uri| uri.path().to_owned()).unwrap_or_default(),
        (None, Some(service)) => service.path.clone().unwrap_or_default(),
        (None, None) => return,
    };
    if path != ADMISSION_PATH {
        let what = format!("the API server asks at the path `{path}`, where pullthrough answers 404");
        check.find(Fault::WrongPath, place, what);
    }
}

/// Each operation and resource that should be covered, and the resources that are covered beside.
fn coverage(check: &mut Check, place: &str, webhook: &MutatingWebhook, expected: &MutatingWebhook) {
    let rules: Vec<_> = webhook.rules.iter().flatten().collect();
    let mut wanted = BTreeSet::new();
    for rule in expected.rules.iter().flatten() {
        for operation in rule.operations.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                wanted.insert((operation.as_str(), resource.as_str()));
            }
        }
    }
    for (operation, resource) in &wanted {
        if rules.iter().any(|rule| covers(rule, operation, resource)) {
            continue;
        }
        let (fault, effect) = match (*operation, *resource) {
            ("CREATE", _) => (Fault::PodCreationNotCovered, "new Pods are not rewritten"),
            ("UPDATE", "pods") => (Fault::PodUpdatesNotCovered, "what `kubectl set image` writes is not rewritten"),
            _ => (Fault::EphemeralContainersNotCovered, "images of `kubectl debug` are not rewritten"),
        };
        check.find(fault, place, format!("no rule covers {operation} of {resource}: {effect}"));
    }
    let is_beside = |rule: &&&RuleWithOperations| {
        let resources: Vec<&str> = rule.resources.iter().flatten().map(String::as_str).collect();
        let operations: Vec<&str> = rule.operations.iter().flatten().map(String::as_str).collect();
        operations.iter().any(|operation| resources.iter().any(|resource| !wanted.contains(&(*operation, *resource))))
    };
    let beside: Vec<String> = rules
        .iter()
        .filter(is_beside)
        .map(|rule| {
            let list = |of: &Option<Vec<String>>| of.iter().flatten().cloned().collect::<Vec<_>>().join("/");
            format!("{} of {}", list(&rule.operations), list(&rule.resources))
        })
        .collect();
    if !beside.is_empty() {
        let what = format!("{} is asked about too, for nothing", few(&beside));
        check.find(Fault::MoreThanPodsCovered, place, what);
    }
}

/// As the API server matches (`plugin/webhook/predicates/rules`). Pods are in the core group, version v1.
pub fn covers(rule: &RuleWithOperations, operation: &str, resource: &str) -> bool {
    let has =
        |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|entry| entry == "*" || entry == wanted);
    let split = |text: &str| match text.split_once('/') {
        Some((resource, sub)) => (resource.to_owned(), sub.to_owned()),
        None => (text.to_owned(), String::new()),
    };
    let (wanted, wanted_sub) = split(resource);
    let matches = |entry: &String| {
        let (resource, sub) = split(entry);
        (resource == "*" || resource == wanted) && (sub == "*" || sub == wanted_sub)
    };
    has(&rule.operations, operation)
        && has(&rule.api_groups, "")
        && has(&rule.api_versions, "v1")
        && rule.resources.iter().flatten().any(matches)
        && rule.scope.as_deref() != Some("Cluster")
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

fn fail_closed(check: &mut Check, place: &str, snapshot: &Snapshot, webhook: &MutatingWebhook) {
    let is_fail = webhook.failure_policy.as_deref() != Some("Ignore");
    if let Endpoint::Service { namespace, .. } = &snapshot.endpoint
        && snapshot.is_in_reach(namespace)
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
    if is_fail && snapshot.is_in_reach("kube-system") {
        let what = "failurePolicy is Fail and kube-system is in reach: if all replicas are down, the Pods that the \
                    cluster needs to bring them back are refused too";
        check.find(Fault::KubeSystemFailClosed, place, what);
    }
}

fn order(check: &mut Check, place: &str, snapshot: &Snapshot, webhook: &MutatingWebhook) {
    let later: Vec<String> =
        rivals::webhooks(snapshot, None).into_iter().filter(|one| one.is_later).map(|one| one.name).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(resources: &[&str], operations: &[&str]) -> RuleWithOperations {
        let rule = json!({"apiGroups": [""], "apiVersions": ["*"], "resources": resources, "operations": operations});
        serde_json::from_value(rule).unwrap()
    }

    #[test]
    fn rules_cover_as_in_the_api_server() {
        for (resources, operations, operation, resource, expected) in [
            (&["pods"][..], &["CREATE"][..], "CREATE", "pods", true),
            (&["pods"], &["CREATE"], "UPDATE", "pods", false),
            (&["pods"], &["*"], "UPDATE", "pods", true),
            (&["pods"], &["*"], "UPDATE", "pods/ephemeralcontainers", false),
            (&["*"], &["*"], "UPDATE", "pods/ephemeralcontainers", false),
            (&["pods/*"], &["*"], "UPDATE", "pods/ephemeralcontainers", true),
            (&["pods/*"], &["*"], "CREATE", "pods", true),
            (&["*/*"], &["UPDATE"], "UPDATE", "pods/ephemeralcontainers", true),
            (&["*/ephemeralcontainers"], &["UPDATE"], "UPDATE", "pods/ephemeralcontainers", true),
            (&["deployments"], &["*"], "CREATE", "pods", false),
        ] {
            assert_eq!(covers(&rule(resources, operations), operation, resource), expected, "{resources:?} {resource}");
        }
        let cluster = RuleWithOperations { scope: Some("Cluster".to_owned()), ..rule(&["pods"], &["*"]) };
        assert!(!covers(&cluster, "CREATE", "pods"));
        let apps = RuleWithOperations { api_groups: Some(vec!["apps".to_owned()]), ..rule(&["*"], &["*"]) };
        assert!(!covers(&apps, "CREATE", "pods"));
    }
}
