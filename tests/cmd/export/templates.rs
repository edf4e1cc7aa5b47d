//! `export webhook --warn-templates`.

use serde_json::{Value, json};

use crate::program::{file, pullthrough};

const RULES: &str = "apiVersion: pullthrough.dev/v1alpha1
kind: Rules
allowOptOut: true
caches: [{prefix: eu.example.com, health: {}}, {prefix: us.example.com, health: {}}]
rules:
  - {name: hub, from: [docker.io], to: eu.example.com/hub, failover: [us.example.com/hub]}
  - {name: quay, from: [quay.io], to: eu.example.com/quay, checkExists: {}}
  - {name: partial, from: [ghcr.io], to: eu.example.com/ghcr, rollout: 25%}
  - {name: plain, from: [registry.k8s.io], to: eu.example.com/k8s}
";

#[test]
fn the_webhook_for_templates_never_fails_a_request() {
    let rules = file("rules.yaml", RULES);
    let rules = rules.path().display().to_string();
    let arguments = [
        "export",
        "webhook",
        "--rules",
        &rules,
        "--service",
        "infra/mirror:8443",
        "--failure-policy",
        "Fail",
        "--timeout-seconds",
        "9",
    ];
    let plain = pullthrough(&arguments);
    let output = pullthrough(&[&arguments[..], &["--warn-templates"]].concat());
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!("warn_templates", String::from_utf8(output.stderr).unwrap());
    assert_eq!(plain.stderr, b"");
    let [plain, configuration]: [Value; 2] =
        [plain.stdout, output.stdout].map(|text| serde_saphyr::from_slice(&text).expect("YAML"));
    let (pods, templates) = (&configuration["webhooks"][0], &configuration["webhooks"][1]);
    assert_eq!(configuration["webhooks"].as_array().map(Vec::len), Some(2));
    assert_eq!(pods, &plain["webhooks"][0]);
    for field in ["clientConfig", "namespaceSelector", "matchPolicy", "admissionReviewVersions"] {
        assert_eq!(templates[field], pods[field], "{field}");
    }
    let expected = json!({
        "failurePolicy": "Ignore", "timeoutSeconds": 1, "sideEffects": "None", "reinvocationPolicy": "Never", "objectSelector": {},
    });
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&templates[field], value, "{field}");
    }
    let resources = templates["rules"].as_array().expect("rules").iter().flat_map(|rule| {
        assert_eq!(rule["operations"], json!(["CREATE", "UPDATE"]));
        let group = rule["apiGroups"][0].as_str().expect("a group");
        let resources = rule["resources"].as_array().expect("resources").iter();
        resources.map(move |resource| format!("{group}/{}", resource.as_str().expect("a resource")))
    });
    let mut resources: Vec<String> = resources.collect();
    resources.sort();
    let expected = [
        "/podtemplates",
        "/replicationcontrollers",
        "apps/daemonsets",
        "apps/deployments",
        "apps/replicasets",
        "apps/statefulsets",
        "batch/cronjobs",
        "batch/jobs",
    ];
    assert_eq!(resources, expected);
}
