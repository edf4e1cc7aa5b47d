//! A release of the chart, in a cluster of its own.

use pullthrough::engine::{Policy, Question, Reason};

use super::{CACHE, helm};
use crate::harness::installation::{CHART, NAMESPACE, WEBHOOK_CONFIGURATION, publish};
use crate::harness::{ControlPlane, Options};

const OBSERVED: Option<Reason> = Some(Reason::Observed);

#[test]
fn helm_installs_upgrades_and_removes() {
    let cluster = ControlPlane::start(&Options::default()).unwrap_or_else(|error| panic!("{error:#}"));
    cluster.create_namespace(NAMESPACE);
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let helm = |arguments: &[&str]| {
        let where_to = ["--kubeconfig", &kubeconfig, "--namespace", NAMESPACE];
        helm(&[arguments, &where_to].concat(), "").unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    };
    let names = || {
        let kinds = "all,secrets,serviceaccounts,configmaps,roles,rolebindings,networkpolicies,resourcequotas,\
            poddisruptionbudgets,clusterroles/pullthrough,clusterrolebindings/pullthrough,\
            mutatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings";
        let get =
            |kind: &str| cluster.kubectl(&["get", kind, "-n", NAMESPACE, "-o", "name", "--ignore-not-found"]).ok();
        kinds.split(',').map(str::trim).map(get).collect::<String>()
    };
    let before = names();
    let values = format!("cache.prefix={CACHE},webhook.excludedNamespaces={{calico-system}}");
    let mut notes = helm(&["install", "pullthrough", CHART, "--set", &values]);
    publish(&cluster, "cHVibGlzaGVk");
    // Each step is the command that the notes of the step before print.
    for (step, said, tried_in, reasons) in [
        ("observe", "No image is rewritten: all rules observe (kubernetes).", "default", [OBSERVED, OBSERVED]),
        ("one namespace", "\n  kubernetes: only in the namespaces team-a\n", "team-a", [None, OBSERVED]),
        ("all namespaces", "\n  kubernetes: in all namespaces\n", "default", [None, None]),
        ("fail closed", "While pullthrough is unavailable, the API server denies Pods", "default", [None, None]),
    ] {
        let try_it = format!("kubectl run p --image registry.k8s.io/pause:3.10 --namespace {tried_in} ");
        assert!(notes.contains(said) && notes.contains(&try_it), "{step}: {notes}");
        let data = "jsonpath={.data.rules\\.yaml}";
        let rules = cluster.kubectl(&["get", "configmap/pullthrough-rules", "-n", NAMESPACE, "-o", data]).ok();
        let rules = pullthrough::config::parse("rules.yaml", &rules).unwrap_or_else(|error| panic!("{error}"));
        let policy = Policy::from(rules);
        let reason = |namespace| {
            let question = Question {
                image: "registry.k8s.io/pause",
                namespace,
                pull_never: false,
                previous: None,
                included_from: None,
            };
            policy.decide(question).reason()
        };
        assert_eq!(["team-a", "team-b"].map(reason), reasons, "{step}");
        for command in next_commands(&notes) {
            let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
            notes = helm(&arguments);
        }
    }
    let policy = "jsonpath={.webhooks[0].failurePolicy} {.webhooks[0].namespaceSelector.matchExpressions[0].values}";
    let registered = cluster.kubectl(&["get", WEBHOOK_CONFIGURATION, "-o", policy]).ok();
    assert_eq!(registered, r#"Fail ["pullthrough","kube-system","calico-system"]"#);
    helm(&["upgrade", "pullthrough", CHART, "--reuse-values", "--set", "replicas=3,webhook.timeoutSeconds=5"]);
    let get = |what: &str, path: &str| cluster.kubectl(&["get", what, "-n", NAMESPACE, "-o", path]).ok();
    assert_eq!(get("deployment/pullthrough", "jsonpath={.spec.replicas}"), "3");
    let webhook = "jsonpath={.webhooks[0].timeoutSeconds} {.webhooks[0].clientConfig.caBundle}";
    assert_eq!(get(WEBHOOK_CONFIGURATION, webhook), "5 cHVibGlzaGVk", "the upgrade changed the published caBundle");
    helm(&["uninstall", "pullthrough"]);
    assert_eq!(names(), before);
}

/// Returns the arguments of each `helm upgrade` in the notes, for this chart.
fn next_commands(notes: &str) -> Vec<Vec<String>> {
    let notes = notes.replace("\\\n", " ");
    let commands = notes.lines().filter_map(|line| line.trim().strip_prefix("helm "));
    let word = |word: &str| word.trim_matches('\'').replace("CHART", CHART);
    commands.map(|command| command.split_whitespace().map(word).collect()).collect()
}
