//! `pullthrough doctor` on a control plane without nodes. The webhook is registered by its URL. The cluster is sound, or has one
//! fault at a time.

use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::DEADLINE;
use crate::harness::{Webhook, wait_for};
use crate::injector::Injector;
use crate::scene::{CACHE, KUBERNETES, rules, simple_pod};
use crate::ward::Ward;

fn text<'v>(finding: &'v Value, key: &str) -> &'v str {
    finding[key].as_str().expect("a text")
}

#[test]
fn a_sound_cluster_is_healthy_as_far_as_can_be_seen() {
    let ward = Ward::sound();
    let said = ward.doctor(&[]);
    for (check, state) in [
        ("version", "ok"),
        ("webhook-configuration", "ok"),
        ("service", "not-applicable"),
        ("replicas", "not-applicable"),
        ("certificates", "ok"),
        ("rules", "ok"),
        ("dry-run", "ok"),
        ("coverage", "ok"),
        ("permissions", "not-applicable"),
    ] {
        assert_eq!(said.state(check), state, "{check} of {:#}", said.report);
    }
    assert_eq!((&said.report["verdict"], &said.report["errors"]), (&json!("healthy"), &json!(0)));
    let output = ward.command(&[]).output().expect("the binary runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("1 of 1 image rewritten in namespace default"), "{printed}");
    assert!(printed.contains("\nhealthy: 0 errors, 0 warnings, "), "{printed}");
}

#[test]
fn a_webhook_that_is_not_registered_is_missed() {
    let ward = Ward::sound();
    ward.cluster.kubectl(&["delete", "mutatingwebhookconfiguration", "zz-pullthrough"]).ok();
    ward.finds("webhook-configuration-missing");
    let mut elsewhere = ward.configuration();
    elsewhere["metadata"]["name"] = json!("zz-other");
    ward.register(&elsewhere);
    let said = ward.wait_until("told", |said| {
        said.find("webhook-configuration-missing").is_some_and(|found| text(found, "what").contains("zz-other"))
    });
    assert_eq!(said.code, 1);
    ward.register(&ward.configuration());
    ward.finds("duplicate-webhook-configuration");
    assert_eq!(ward.doctor(&["--configuration", "zz-other"]).state("certificates"), "ok");
}

#[test]
fn faults_of_the_webhook_for_templates_are_reported() {
    let ward = Ward::sound();
    let mut configuration = ward.webhook.configuration(&["--warn-templates"]).expect("a configuration");
    ward.register(&configuration);
    let said = ward.wait_until("warnings about templates", |said| {
        said.report.to_string().contains("users get warnings about workload templates")
    });
    assert_eq!(said.code, 0, "{:#}", said.report);
    configuration["webhooks"][1]["failurePolicy"] = json!("Fail");
    configuration["webhooks"][1]["clientConfig"]["url"] = json!("https://127.0.0.1:1/mutate");
    ward.register(&configuration);
    ward.finds("templates-fail-closed");
    ward.finds("templates-client-differs");
}

#[test]
fn a_webhook_of_another_name_is_none_of_ours() {
    let ward = Ward::sound();
    ward.finds_when("webhook-missing", |webhook| webhook["name"] = json!("rewrite.example.com"));
}

#[test]
fn a_ca_that_did_not_sign_is_reported() {
    let ward = Ward::sound();
    let other = Injector::start();
    ward.finds_when("wrong-ca", |webhook| {
        webhook["clientConfig"]["caBundle"] = json!(BASE64_STANDARD.encode(&other.ca_pem));
    });
    // The API server does not trust the certificate either.
    let found = ward.finds("not-rewritten");
    assert!(text(&found, "what").contains("the webhook was not called, or was unavailable"), "{found:#}");
    // If Pods are denied without the webhook, the finding says why.
    ward.finds_when("webhook-call-failing", |webhook| {
        webhook["clientConfig"]["caBundle"] = json!(BASE64_STANDARD.encode(&other.ca_pem));
        webhook["failurePolicy"] = json!("Fail");
    });
}

#[test]
fn an_expired_certificate_is_reported() {
    let mut ward = Ward::sound();
    ward.webhook.resume_expired().expect("a certificate");
    ward.register(&ward.configuration());
    let found = ward.finds("certificate-expired");
    assert!(text(&found, "what").contains("expired at 2001-12-31T00:00:00Z"), "{found:#}");
    ward.webhook = Webhook::start(&rules("", KUBERNETES)).expect("a webhook");
}

#[test]
fn an_unavailable_server_is_reported() {
    let mut ward = Ward::sound();
    ward.webhook.stop();
    let found = ward.finds("endpoint-unreachable");
    assert!(text(&found, "what").contains("onnection refused"), "{found:#}");
    ward.webhook.resume().expect("a webhook");
}

#[test]
fn a_selector_that_excludes_everything_is_reported() {
    let ward = Ward::sound();
    ward.finds_when("no-namespace-covered", |webhook| {
        webhook["namespaceSelector"] = json!({"matchLabels": {"pullthrough": "on"}});
    });
    ward.finds("namespaces-must-opt-in");
}

#[test]
fn requirements_that_others_add_are_reported() {
    let ward = Ward::sound();
    ward.cluster.kubectl(&["label", "namespace", "kube-public", "control-plane=true"]).ok();
    let found = ward.finds_when("unexpected-namespace-selector", |webhook| {
        let requirements = webhook["namespaceSelector"]["matchExpressions"].as_array_mut().expect("requirements");
        requirements.push(json!({"key": "control-plane", "operator": "DoesNotExist"}));
    });
    assert!(text(&found, "what").ends_with("`!control-plane`, which excludes kube-public"), "{found:#}");
    assert_eq!(ward.doctor(&[]).code, 0);
    ward.cluster.kubectl(&["label", "namespace", "kube-public", "control-plane-"]).ok();
}

#[test]
fn what_is_not_covered_is_reported() {
    let ward = Ward::sound();
    ward.finds_when("ephemeral-containers-not-covered", |webhook| {
        webhook["rules"].as_array_mut().expect("rules").remove(1);
    });
    ward.finds_when("pod-creation-not-covered", |webhook| webhook["rules"][0]["operations"] = json!(["UPDATE"]));
    ward.finds_when("pod-updates-not-covered", |webhook| webhook["rules"][0]["operations"] = json!(["CREATE"]));
    let found = ward.finds_when("more-than-pods-covered", |webhook| webhook["rules"][0]["resources"] = json!(["*"]));
    assert!(text(&found, "what").starts_with("it covers CREATE/UPDATE of *"), "{found:#}");
}

#[test]
fn fields_with_other_values_are_reported() {
    let ward = Ward::sound();
    for (id, key, value) in [
        ("match-policy-exact", "matchPolicy", json!("Exact")),
        ("reinvocation-never", "reinvocationPolicy", json!("Never")),
        ("side-effects-declared", "sideEffects", json!("NoneOnDryRun")),
        ("timeout-too-long", "timeoutSeconds", json!(30)),
        ("kube-system-fail-closed", "failurePolicy", json!("Fail")),
        ("mirror-pods-not-excluded", "matchConditions", json!([{"name": "x", "expression": "true"}])),
        ("unexpected-object-selector", "objectSelector", json!({"matchLabels": {"a": "b"}})),
        ("review-version-not-supported", "admissionReviewVersions", json!(["v1beta1"])),
    ] {
        ward.finds_when(id, |webhook| webhook[key] = value);
    }
    ward.finds_when("wrong-path", |webhook| {
        let url = webhook["clientConfig"]["url"].as_str().expect("a URL").replace("/mutate", "/");
        webhook["clientConfig"]["url"] = json!(url);
    });
}

#[test]
fn a_later_webhook_that_undoes_the_rewrite_is_named() {
    let ward = Ward::sound();
    let undoing = Injector::undoing(CACHE);
    let mut configuration = ward.configuration();
    configuration["metadata"]["name"] = json!("zzz-old");
    let webhook = &mut configuration["webhooks"][0];
    webhook["name"] = json!("undo.example.com");
    webhook["reinvocationPolicy"] = json!("Never");
    webhook["clientConfig"] = json!({"url": undoing.url, "caBundle": BASE64_STANDARD.encode(undoing.ca_pem)});
    ward.register(&configuration);
    // The other webhook changes the Pod later. The webhook is called again only if its configuration asks for it.
    configuration["webhooks"][0]["reinvocationPolicy"] = json!("IfNeeded");
    ward.register(&configuration);
    let found = ward.finds("rewrite-reverted");
    assert!(text(&found, "what").contains("undo.example.com (MutatingWebhookConfiguration zzz-old)"), "{found:#}");
}

#[test]
fn namespaces_that_opted_out_are_listed() {
    let ward = Ward::sound();
    ward.webhook.change_rules(&rules("allowOptOut: true\n", KUBERNETES)).expect("the rules are loaded");
    ward.finds("opt-out-not-excluded");
    ward.register(&ward.configuration());
    ward.cluster.kubectl(&["label", "namespace", "kube-node-lease", "pullthrough.dev/rewrite=disabled"]).ok();
    let found = ward.finds("namespaces-not-covered");
    let what =
        "the namespaceSelector excludes 1 namespace by `pullthrough.dev/rewrite notin (disabled)`: kube-node-lease";
    assert_eq!(text(&found, "what"), what);
    assert_eq!(ward.doctor(&[]).code, 0);

    ward.cluster.kubectl(&["label", "namespace", "kube-node-lease", "pullthrough.dev/rewrite-"]).ok();
    let exported = ward.configuration();
    ward.webhook.change_rules(&rules("", KUBERNETES)).expect("the rules are loaded");
    ward.register(&exported);
    ward.finds("opt-out-not-allowed");
}

#[test]
fn pods_from_before_are_counted() {
    let ward = Ward::sound();
    ward.cluster.kubectl(&["delete", "mutatingwebhookconfigurations", "--all"]).ok();
    ward.cluster.create_namespace("old");
    let create = |name: &str| {
        let pod = simple_pod(name, "registry.k8s.io/app:1").to_string();
        ward.cluster.kubectl_with(&["create", "-n", "old", "-f", "-"], &pod).ok();
        ward.cluster.kubectl(&["get", "pod", name, "-n", "old", "-o", "json"]).json()
    };
    // The API server may still call the webhook for a moment.
    wait_for(DEADLINE, || {
        let pod = create("p");
        if pod["spec"]["containers"][0]["image"] == "registry.k8s.io/app:1" {
            return Some(());
        }
        ward.cluster.kubectl(&["delete", "pod", "p", "-n", "old", "--force"]).ok();
        None
    })
    .expect("a Pod that was not rewritten");
    ward.register(&ward.configuration());
    let found = ward.finds("existing-pods-not-rewritten");
    let what = "1 Pod with images that the rules would rewrite now: p (registry.k8s.io/app:1)";
    assert_eq!((text(&found, "what"), text(&found, "where")), (what, "namespace old"));
    ward.cluster.kubectl(&["delete", "namespace", "old", "--wait=false"]).ok();
    ward.cluster.kubectl(&["delete", "pod", "p", "-n", "old", "--force"]).ok();
}

#[test]
fn a_denied_pod_is_reported_with_its_cause() {
    let ward = Ward::sound();
    ward.cluster.create_namespace("full");
    // A quota that requires resources, and a LimitRange, are no obstacle.
    let limits = json!({
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "large"},
        "spec": {"limits": [{"type": "Container", "min": {"memory": "1Gi"}}]},
    });
    ward.cluster.kubectl_with(&["create", "-n", "full", "-f", "-"], &limits.to_string()).ok();
    assert_eq!(ward.doctor(&["--probe-namespace", "full"]).state("dry-run"), "ok");

    let group = "admissionregistration.k8s.io/v1";
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
    let policy = json!({
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "closed"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "false", "message": "nobody comes in here"}],
        },
    });
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": "full"}});
    let binding = json!({
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "closed"},
        "spec": {
            "policyName": "closed",
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": selector},
        },
    });
    for object in [policy, binding] {
        ward.cluster.kubectl_with(&["create", "-f", "-"], &object.to_string()).ok();
    }
    let mut last = Value::Null;
    let said = wait_for(DEADLINE, || {
        let said = ward.doctor(&["--probe-namespace", "full"]);
        last = said.report.clone();
        said.find("pod-denied").is_some().then_some(said)
    });
    let said = said.unwrap_or_else(|error| panic!("no refusal: {error:#}: {last:#}"));
    let found = said.find("pod-denied").expect("a value that was just found");
    assert!(
        text(found, "what")
            .contains("ValidatingAdmissionPolicy 'closed' with binding 'closed' denied request: nobody comes in here"),
        "{found:#}"
    );
    ward.cluster.kubectl(&["delete", "namespace", "full", "--wait=false"]).ok();
}

#[test]
fn settings_that_the_deployment_takes_from_elsewhere_are_not_taken_for_absent() {
    let ward = Ward::sound();
    ward.cluster.kubectl(&["create", "namespace", "settings"]).ok();
    let from = |key: &str| json!({"configMapKeyRef": {"name": "settings", "key": key}});
    let container = json!({"name": "pullthrough", "image": "a.example.com/pullthrough", "args": ["serve"], "env": [
        {"name": "PULLTHROUGH_RULES", "valueFrom": from("rules")},
        {"name": "PULLTHROUGH_MANAGE_CERTIFICATES", "valueFrom": from("manage")},
    ]});
    let labels = json!({"app": "pullthrough"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "pullthrough", "namespace": "settings"},
        "spec": {"selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels}, "spec": {"containers": [container]},
        }},
    });
    ward.cluster.kubectl_with(&["apply", "-f", "-"], &deployment.to_string()).ok();
    let output = Command::new(env!("CARGO_BIN_EXE_pullthrough"))
        .args(["doctor", "--namespace", "settings", "-o", "json", "--kubeconfig"])
        .arg(ward.cluster.kubeconfig())
        .output()
        .expect("the binary runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let skipped = |check: &str| {
        let checks = report["checks"].as_array().expect("checks");
        let found = checks.iter().find(|one| one["check"] == check).expect("the check");
        found["skipped"].as_array().expect("a list").iter().map(|one| text(one, "why").to_owned()).collect::<Vec<_>>()
    };
    let why = |name: &str, key: &str| {
        format!("{name} comes from key {key} of ConfigMap settings, which doctor does not read")
    };
    assert_eq!(skipped("rules"), [why("PULLTHROUGH_RULES", "rules") + "; set --rules"]);
    assert_eq!(skipped("permissions"), [why("PULLTHROUGH_MANAGE_CERTIFICATES", "manage")]);
    ward.cluster.kubectl(&["delete", "namespace", "settings", "--wait=false"]).ok();
}

#[test]
fn what_may_not_be_seen_is_said() {
    let ward = Ward::sound();
    ward.cluster.kubectl(&["create", "serviceaccount", "blind"]).ok();
    let blind = ward.cluster.service_account("default", "blind");
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = std::fs::read_to_string(ward.cluster.kubeconfig()).expect("a kubeconfig");
    let kubeconfig = kubeconfig
        .replace(ward.cluster.admin().token(), blind.token())
        .replace("apiserver.crt", &ward.cluster.certificate_authority().display().to_string());
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig).expect("a file");
    let file = file.display().to_string();
    let run = |file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.args(["doctor", "--kubeconfig", file]).output().expect("the binary runs")
    };
    let output = run(&file);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{printed}");
    let needs = "permission to get mutatingwebhookconfigurations.admissionregistration.k8s.io in the whole cluster";
    assert!(printed.contains(needs), "{printed}");
    assert!(printed.contains("\nincomplete: "), "{printed}");

    // The token is not valid.
    std::fs::write(&file, std::fs::read_to_string(&file).expect("a file").replace(blind.token(), "nonsense"))
        .expect("a file");
    let output = run(&file);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert!(told.contains("\nerror: request to the API server at https://127.0.0.1:"), "{told}");
    assert!(told.contains("Unauthorized"), "{told}");
}
