//! The values of the chart: the effect of each, that the API server accepts it, and the errors for mistakes.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::{CACHE, helm, rendered, template};
use crate::CLUSTER;
use crate::harness::installation::{CHART, NAMESPACE, Objects, manifests};
use crate::harness::wait_for;

const POD: &str = "/spec/template/spec";
const RULES: &str = "--rules=/etc/pullthrough/rules/rules.yaml";
/// The rules file of a chart with `operators`.
const OPERATORS: &str = r"apiVersion: pullthrough.dev/v1alpha1
kind: Rules
allowOptOut: false
recordOriginals: false
operators:
  onRecreateLoop: standDown
  skip: known
rules:
  - name: gitlab
    pattern: registry\.gitlab\.com/(.+)
    to: cache.corp.internal/$1
";
const CONTAINER: &str = "/spec/template/spec/containers/0";

/// A kind of object, a JSON pointer into it, and the expected value; null if there must be none.
type Expected = (&'static str, String, Value);

/// Returns values, which are added to a `cache`, and their effect.
fn options() -> Vec<(Value, Vec<Expected>)> {
    let deployment = |path: &str, value: Value| ("Deployment", path.to_owned(), value);
    let pod = |path: &str, value: Value| deployment(&format!("{POD}{path}"), value);
    let container = |path: &str, value: Value| deployment(&format!("{CONTAINER}{path}"), value);
    let webhook = |path: &str, value: Value| ("MutatingWebhookConfiguration", format!("/webhooks/0{path}"), value);
    let templates = |path: &str, value: Value| ("MutatingWebhookConfiguration", format!("/webhooks/1{path}"), value);
    let of = |kind: &'static str, path: &str, value: Value| (kind, path.to_owned(), value);
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let arguments = |from: usize, arguments: &[&str]| -> Vec<_> {
        let numbered = arguments.iter().enumerate();
        numbered.map(|(n, argument)| container(&format!("/args/{}", from + n), json!(argument))).collect()
    };
    let peer = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}});
    let address = json!({"ipBlock": {"cidr": "192.0.2.0/28"}});
    let toleration =
        json!({"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"});
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}],
    }}});
    let other = json!({"key": "team", "operator": "In", "values": ["shop"]});
    let opt_out = json!({"key": "pullthrough.dev/rewrite", "operator": "NotIn", "values": ["disabled"]});
    let rule = json!({"name": "gitlab", "pattern": "registry\\.gitlab\\.com/(.+)", "to": "cache.corp.internal/$1"});
    let labels = |label: &str| format!("/metadata/labels/{label}");

    vec![
        (
            json!({"cache": {"prefix": "cache.corp.internal/a"}}),
            [
                arguments(
                    1,
                    &[
                        RULES,
                        "--manage-certificates",
                        "--certificate-secret=pullthrough-tls",
                        "--webhook-configuration=zz-pullthrough",
                        "--certificate-lifetime=2160h",
                        "--listen=[::]:8443",
                        "--metrics-listen=[::]:8080",
                        "--log-format=json",
                        "--log-level=info",
                        "--replicas=2",
                        "--drain-delay=5s",
                        "--shutdown-timeout=15s",
                    ],
                ),
                vec![
                    pod("/volumes/0/configMap/name", json!("pullthrough-rules")),
                    pod("/volumes/1", Value::Null),
                    container("/volumeMounts/0/mountPath", json!("/etc/pullthrough/rules")),
                    container("/volumeMounts/1", Value::Null),
                    pod("/automountServiceAccountToken", json!(true)),
                    pod("/priorityClassName", json!("system-cluster-critical")),
                    pod("/topologySpreadConstraints/0/matchLabelKeys", json!(["pod-template-hash"])),
                    webhook("/failurePolicy", json!("Ignore")),
                    webhook("/namespaceSelector/matchExpressions/0/values", json!([NAMESPACE])),
                    of("NetworkPolicy", "/spec/ingress/0/from", Value::Null),
                    of("ValidatingAdmissionPolicy", "/spec/failurePolicy", json!("Fail")),
                    of("ValidatingAdmissionPolicyBinding", "/spec/validationActions", json!(["Deny"])),
                ],
            ]
            .concat(),
        ),
        (
            json!({"cache": {"prefix": CACHE, "mode": "enforce", "namespaces": {"exclude": ["kube-system"]}}}),
            vec![container("/args/1", json!(RULES))],
        ),
        (json!({"cache": {}, "rules": [rule], "recordOriginals": true}), vec![container("/args/1", json!(RULES))]),
        (
            json!({"cache": {}, "rules": [rule], "allowOptOut": true}),
            vec![
                webhook("/namespaceSelector/matchExpressions/1", opt_out.clone()),
                webhook("/objectSelector/matchExpressions/0", opt_out),
            ],
        ),
        (
            json!({"cache": {}, "rules": [rule], "caches": [{"prefix": "cache.corp.internal"}]}),
            vec![container("/args/1", json!(RULES))],
        ),
        (
            json!({"cache": {}, "rules": [rule], "operators": {"skip": "known", "onRecreateLoop": "standDown"}}),
            vec![of("ConfigMap", "/data/rules.yaml", json!(OPERATORS))],
        ),
        (
            json!({"cache": {}, "rules": [rule], "whenNotUnderstood": "deny"}),
            vec![of("ConfigMap", "/metadata/name", json!("pullthrough-rules"))],
        ),
        (
            json!({"cache": {}, "existingConfigMap": "ours"}),
            vec![
                pod("/volumes/0/configMap/name", json!("ours")),
                container("/volumeMounts/0/mountPath", json!("/etc/pullthrough/rules")),
            ],
        ),
        (
            json!({"image": {"repository": "registry.example.com/p", "tag": "2", "digest": digest, "pullPolicy": "Always"}}),
            vec![
                container("/image", json!(format!("registry.example.com/p:2@{digest}"))),
                container("/imagePullPolicy", json!("Always")),
            ],
        ),
        (
            json!({"image": {"digest": digest}}),
            vec![container("/image", json!(format!("ghcr.io/pullthrough/pullthrough@{digest}")))],
        ),
        (json!({"imagePullSecrets": [{"name": "pull"}]}), vec![pod("/imagePullSecrets/0/name", json!("pull"))]),
        (
            json!({"webhook": {
                "failurePolicy": "Fail", "timeoutSeconds": 7, "excludedNamespaces": ["kube-system", NAMESPACE],
                "namespaceSelector": {"matchLabels": {"a": "b"}, "matchExpressions": [other]},
                "annotations": {"admissions.enforcer/disabled": "true"},
            }}),
            vec![
                webhook("/failurePolicy", json!("Fail")),
                webhook("/timeoutSeconds", json!(7)),
                webhook("/namespaceSelector/matchExpressions/0/values", json!([NAMESPACE, "kube-system"])),
                webhook("/namespaceSelector/matchExpressions/1", other),
                webhook("/namespaceSelector/matchLabels", json!({"a": "b"})),
                of(
                    "MutatingWebhookConfiguration",
                    "/metadata/annotations/admissions.enforcer~1disabled",
                    json!("true"),
                ),
            ],
        ),
        (
            json!({"webhook": {
                "warnTemplates": true, "failurePolicy": "Fail", "timeoutSeconds": 7, "excludedNamespaces": ["calico-system"],
                "namespaceSelector": {"matchLabels": {"a": "b"}},
            }}),
            vec![
                webhook("/name", json!("rewrite.pullthrough.dev")),
                templates("/name", json!("warn.pullthrough.dev")),
                templates("/failurePolicy", json!("Ignore")),
                templates("/timeoutSeconds", json!(1)),
                templates("/clientConfig/service/namespace", json!(NAMESPACE)),
                templates(
                    "/namespaceSelector/matchExpressions/0/values",
                    json!([NAMESPACE, "kube-system", "calico-system"]),
                ),
                templates("/namespaceSelector/matchLabels", json!({"a": "b"})),
            ],
        ),
        (json!({"webhook": {"warnTemplates": false}}), vec![templates("", Value::Null)]),
        (
            json!({"certificates": {"source": "managed", "secretName": "ours", "lifetime": "8760h"}}),
            [
                arguments(3, &["--certificate-secret=ours"]),
                arguments(5, &["--certificate-lifetime=8760h"]),
                vec![of("Role", "/rules/0/resourceNames", json!(["ours"]))],
            ]
            .concat(),
        ),
        (
            json!({"certificates": {"source": "cert-manager", "secretName": "ours", "lifetime": "24h"}}),
            vec![
                pod("/volumes/1/secret/secretName", json!("ours")),
                pod("/automountServiceAccountToken", json!(false)),
                of("NetworkPolicy", "/spec/egress", json!([])),
            ],
        ),
        (
            json!({"certificates": {"source": "secret", "caBundle": "-----BEGIN CERTIFICATE-----\n"}}),
            vec![
                container("/args/2", json!("--tls-cert=/etc/pullthrough/tls/tls.crt")),
                container("/args/3", json!("--tls-key=/etc/pullthrough/tls/tls.key")),
                container("/volumeMounts/1/mountPath", json!("/etc/pullthrough/tls")),
                pod("/volumes/1/secret/secretName", json!("pullthrough-tls")),
                webhook("/clientConfig/caBundle", json!("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==")),
            ],
        ),
        (
            json!({"certificates": {"guard": false}}),
            vec![
                of("ValidatingAdmissionPolicy", "", Value::Null),
                of("ValidatingAdmissionPolicyBinding", "", Value::Null),
            ],
        ),
        (
            json!({"clients": {"ca": "-----BEGIN CERTIFICATE-----\n", "names": ["kube-apiserver", "api.example.com"]}}),
            [
                arguments(
                    6,
                    &[
                        "--client-ca=/etc/pullthrough/client/ca.crt",
                        "--client-name=kube-apiserver",
                        "--client-name=api.example.com",
                    ],
                ),
                vec![
                    container("/volumeMounts/1/mountPath", json!("/etc/pullthrough/client")),
                    pod("/volumes/1/configMap/name", json!("pullthrough-client-ca")),
                    of("ConfigMap", "/metadata/name", json!("pullthrough-client-ca")),
                    of("ConfigMap", "/data", json!({"ca.crt": "-----BEGIN CERTIFICATE-----\n"})),
                ],
            ]
            .concat(),
        ),
        (
            json!({"clients": {"existingConfigMap": "ours"}}),
            vec![
                pod("/volumes/1/configMap/name", json!("ours")),
                of("ConfigMap", "/metadata/name", json!("pullthrough-rules")),
            ],
        ),
        (
            json!({"replicas": 5}),
            vec![deployment("/spec/replicas", json!(5)), container("/args/10", json!("--replicas=5"))],
        ),
        (
            json!({"port": 10250, "metricsPort": 9090, "listenAddress": "0.0.0.0"}),
            [
                arguments(6, &["--listen=0.0.0.0:10250", "--metrics-listen=0.0.0.0:9090"]),
                vec![
                    container("/ports/0/containerPort", json!(10250)),
                    container("/ports/1/containerPort", json!(9090)),
                    of("Service", "/spec/ports/0/targetPort", json!("https")),
                ],
            ]
            .concat(),
        ),
        (
            json!({"hostNetwork": true}),
            vec![
                pod("/hostNetwork", json!(true)),
                pod("/dnsPolicy", json!("ClusterFirstWithHostNet")),
                deployment("/spec/strategy/rollingUpdate", json!({"maxSurge": 0, "maxUnavailable": 1})),
                of("NetworkPolicy", "", Value::Null),
            ],
        ),
        (
            json!({"priorityClassName": ""}),
            vec![pod("/priorityClassName", Value::Null), of("ResourceQuota", "", Value::Null)],
        ),
        (
            json!({"resources": {"limits": {"memory": "512Mi"}}, "nodeSelector": {"disk": "ssd"}}),
            vec![
                container("/resources/limits/memory", json!("512Mi")),
                container("/resources/requests/memory", json!("32Mi")),
                pod("/nodeSelector", json!({"disk": "ssd", "kubernetes.io/os": "linux"})),
            ],
        ),
        (
            json!({"tolerations": [toleration], "affinity": affinity}),
            vec![pod("/tolerations/0", toleration), pod("/affinity", affinity)],
        ),
        (
            json!({"topologySpreadConstraints": [
                {"topologyKey": "zone", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": ["a"]},
            ]}),
            vec![
                pod("/topologySpreadConstraints/0/matchLabelKeys", json!(["a"])),
                pod(
                    "/topologySpreadConstraints/0/labelSelector/matchLabels/app.kubernetes.io~1name",
                    json!("pullthrough"),
                ),
                pod("/topologySpreadConstraints/1", Value::Null),
            ],
        ),
        (json!({"pdb": {"enabled": false}}), vec![of("PodDisruptionBudget", "", Value::Null)]),
        (
            json!({"pdb": {"maxUnavailable": "25%"}}),
            vec![of("PodDisruptionBudget", "/spec/maxUnavailable", json!("25%"))],
        ),
        (
            json!({
                "certificates": {"source": "secret", "caBundle": "-----BEGIN CERTIFICATE-----\n"},
                "caches": [{"prefix": "cache.example.com", "health": {}, "caFile": "/etc/pullthrough/ca/cache.crt"}],
                "probes": {"caConfigMap": "authorities", "pullSecrets": ["one", "two"]},
                "networkPolicy": {"cachesTo": [address], "cachePorts": [5000]},
            }),
            [
                arguments(
                    4,
                    &[
                        "--pull-secret=/etc/pullthrough/pull-secrets/one/.dockerconfigjson",
                        "--pull-secret=/etc/pullthrough/pull-secrets/two/.dockerconfigjson",
                    ],
                ),
                vec![
                    pod("/volumes/2/configMap/name", json!("authorities")),
                    pod("/volumes/4/secret/secretName", json!("two")),
                    container("/volumeMounts/2/mountPath", json!("/etc/pullthrough/ca")),
                    container("/volumeMounts/4/mountPath", json!("/etc/pullthrough/pull-secrets/two")),
                    pod("/automountServiceAccountToken", json!(false)),
                    of("NetworkPolicy", "/spec/egress/0/ports/0/port", json!(53)),
                    of("NetworkPolicy", "/spec/egress/1/ports/0/port", json!(5000)),
                    of("NetworkPolicy", "/spec/egress/1/to", json!([address])),
                ],
            ]
            .concat(),
        ),
        (json!({"probes": {"enabled": true}}), vec![of("NetworkPolicy", "/spec/egress/2/ports/0/port", json!(443))]),
        (json!({"networkPolicy": {"enabled": false}}), vec![of("NetworkPolicy", "", Value::Null)]),
        (
            json!({"networkPolicy": {"httpsFrom": [address], "metricsFrom": [peer], "apiServerPorts": [16443]}}),
            vec![
                of("NetworkPolicy", "/spec/ingress/0/ports/0/port", json!("https")),
                of("NetworkPolicy", "/spec/ingress/0/from", json!([address])),
                of("NetworkPolicy", "/spec/ingress/1/from/0", peer),
                of("NetworkPolicy", "/spec/egress/1/ports/0/port", json!(16443)),
            ],
        ),
        (
            json!({"logFormat": "text", "logLevel": "debug", "extraArgs": ["--no-warnings"],
                "extraEnv": [{"name": "A", "value": "b"}]}),
            [
                arguments(8, &["--log-format=text", "--log-level=debug"]),
                arguments(13, &["--no-warnings"]),
                vec![container("/env/0", json!({"name": "A", "value": "b"}))],
            ]
            .concat(),
        ),
        (
            json!({"podAnnotations": {"a": "b"}, "podLabels": {"c": "d", "app.kubernetes.io/name": "other"}}),
            vec![
                deployment("/spec/template/metadata/annotations/a", json!("b")),
                deployment("/spec/template/metadata/labels/c", json!("d")),
                deployment("/spec/template/metadata/labels/app.kubernetes.io~1name", json!("pullthrough")),
            ],
        ),
        (
            json!({"monitoring": {
                "serviceMonitor": {"enabled": true, "labels": {"release": "a"}, "interval": "15s"},
                "prometheusRule": {"enabled": true, "labels": {"release": "b"}},
            }}),
            vec![
                of("ServiceMonitor", &labels("release"), json!("a")),
                of("ServiceMonitor", "/spec/endpoints/0/interval", json!("15s")),
                of("PrometheusRule", &labels("release"), json!("b")),
                of("PrometheusRule", "/spec/groups/0/name", json!("pullthrough")),
            ],
        ),
        (
            json!({"cache": {}, "existingConfigMap": "ours", "monitoring": {"dashboard":
                {"enabled": true, "labels": {"c": "d"}, "annotations": {"folder": "e"}}}}),
            vec![
                of("ConfigMap", &labels("grafana_dashboard"), json!("1")),
                of("ConfigMap", &labels("c"), json!("d")),
                of("ConfigMap", "/metadata/annotations/folder", json!("e")),
                of(
                    "ConfigMap",
                    "/data/pullthrough.json",
                    json!(fs::read_to_string(manifests("chart/files/dashboard.json")).unwrap()),
                ),
            ],
        ),
    ]
}

#[test]
fn every_value_does_what_it_says_and_is_accepted() {
    CLUSTER.create_namespace(NAMESPACE);
    for (values, expected) in options() {
        let values = with_cache(values);
        let objects = rendered(&values).unwrap_or_else(|error| panic!("{values}: {error}"));
        for (kind, path, value) in expected {
            let object = objects.find(kind).next().unwrap_or(&Value::Null);
            let found = object.pointer(&path).unwrap_or(&Value::Null);
            assert_eq!(found, &value, "{kind}{path} with {values}");
        }
        let apply = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        let mut output = CLUSTER.kubectl_with(&apply, &objects.list().to_string());
        // The API server may not know a new namespace everywhere yet.
        let known = wait_for(crate::DEADLINE, || {
            if output.stderr.contains("namespaces \"pullthrough\" not found") {
                output = CLUSTER.kubectl_with(&apply, &objects.list().to_string());
                return None;
            }
            Some(())
        });
        known.unwrap_or_else(|error| panic!("{error}: {}", output.stderr));
        assert_eq!(output.stderr, "", "{values}");
        output.ok();
    }
}

#[test]
fn no_value_is_without_a_test() {
    let text = fs::read_to_string(manifests("chart/values.yaml")).unwrap();
    let defaults: Value = serde_saphyr::from_str(&text).unwrap();
    let tested: BTreeSet<_> = options().iter().flat_map(|(values, _)| leaves(values)).collect();
    let untested: Vec<_> =
        leaves(&defaults).into_iter().filter(|leaf| !tested.iter().any(|path| path.starts_with(leaf))).collect();
    // Other tests cover resources, the default label and namespaces of others.
    assert_eq!(
        untested,
        [
            "/monitoring/dashboard/labels/grafana_dashboard",
            "/nodeSelector/kubernetes.io~1os",
            "/resources/requests/cpu",
            "/resources/requests/memory",
            "/webhook/allowSharedNamespace"
        ],
    );
}

/// Returns the paths of values that are not objects, and of empty objects.
fn leaves(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) if !fields.is_empty() => fields
            .iter()
            .flat_map(|(name, value)| {
                let name = name.replace('/', "~1");
                leaves(value).into_iter().map(move |leaf| format!("/{name}{leaf}"))
            })
            .collect(),
        _ => vec![String::new()],
    }
}

#[test]
fn rules_reach_the_config_map_as_the_server_reads_them() {
    let written = real(&fs::read_to_string("tests/data/rules.yaml").unwrap());
    let rules: Value = serde_saphyr::from_str(&written).unwrap();
    let caches = json!([{"prefix": "harbor.corp.internal", "product": "harbor", "caFile": "/ca.crt"}]);
    let values = json!({"rules": rules["rules"], "caches": caches, "allowOptOut": true, "recordOriginals": true});
    let objects = rendered(&values).unwrap_or_else(|error| panic!("{error}"));
    let text = objects.get("ConfigMap", "pullthrough-rules")["data"]["rules.yaml"].as_str().unwrap();
    let config = pullthrough::config::parse("rules.yaml", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let head = format!("allowOptOut: true\nrecordOriginals: true\ncaches: {caches}\nrules:\n");
    let expected = written.replace("rules:\n", &head);
    let expected = pullthrough::config::parse("rules.yaml", &expected).unwrap();
    assert_eq!(config.settings, expected.settings);
    assert_eq!(format!("{:?}", config.rules), format!("{:?}", expected.rules));
}

/// The way from values to `check`, as its help has it.
#[test]
fn the_rules_of_values_can_be_checked() {
    let rule = json!({"name": "hub", "from": ["docker.io"], "to": "cache.corp.internal/hub"});
    let mut copy = rule.clone();
    copy["name"] = json!("hub-shop");
    copy["namespaces"] = json!({"include": ["shop"]});
    let one_namespace = json!({"cache": {"prefix": CACHE, "mode": "enforce", "namespaces": {"include": ["shop"]}}});
    for (values, code, said) in [
        (json!({"rules": [copy, rule]}), 0, "2 rules, no problem found"),
        (json!({"rules": [rule, copy]}), 1, "1 finding"),
        (one_namespace, 0, "2 rules, no problem found"),
    ] {
        let rendered = template(&["--values=-", "--show-only=templates/rules.yaml"], &values.to_string());
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), rendered.unwrap_or_else(|error| panic!("{error}"))).unwrap();
        let mut check = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        let output = check.args(["check", "-"]).stdin(file.reopen().unwrap()).output().unwrap();
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.code() == Some(code) && printed.contains(said), "{values}: {printed}");
    }
}

/// The files of values that the pages of `docs/how-to/caches/` print.
#[test]
fn the_chart_takes_the_values_of_each_cache() {
    let files: Vec<_> = fs::read_dir(manifests("values/caches")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        let values = file.display();
        let printed = fs::read_to_string(&file).unwrap();
        let written = real(&printed);
        // Other names may be real, so the chart takes them. The rules observe.
        if written != printed {
            let placeholder = template(&["--values=-"], &printed).expect_err("the cache of the page is a placeholder");
            assert!(placeholder.contains("is a placeholder"), "{values}: {placeholder}");
        }
        assert_eq!(printed.matches("mode: observe\n").count(), printed.matches("- name: ").count(), "{values}");
        let objects = template(&["--values=-"], &written).unwrap_or_else(|error| panic!("{values}: {error}"));
        let objects = Objects::parse(&objects);
        let text = objects.get("ConfigMap", "pullthrough-rules")["data"]["rules.yaml"].as_str().unwrap();
        let config = pullthrough::config::parse("rules.yaml", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let expected = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\n{written}");
        let expected = pullthrough::config::parse("rules.yaml", &expected).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(format!("{:?}", config.rules), format!("{:?}", expected.rules), "{values}");
    }
}

#[test]
fn mistakes_are_named() {
    let rule = json!({"name": "a", "from": ["registry.k8s.io"], "to": "cache.corp.internal"});
    let misspelt = json!({"name": "a", "form": ["registry.k8s.io"], "to": "cache.corp.internal"});
    for (values, complaint) in [
        (json!({"cache": {}}), "There are no rules. Set one of\n  cache.prefix "),
        (json!({"rules": [rule]}), "cache.prefix and rules exclude each other"),
        (json!({"cache": CACHE}), "at '/cache': got string, want object"),
        (
            json!({"cache": {"prefix": CACHE, "mode": "warn"}}),
            "at '/cache/mode': value must be one of 'enforce', 'observe'",
        ),
        (
            json!({"cache": {"prefix": CACHE, "namespaces": {"only": ["a"]}}}),
            "at '/cache/namespaces': additional properties 'only' not allowed",
        ),
        (
            json!({"cache": {"mode": "enforce"}, "rules": [rule]}),
            "cache.mode and cache.namespaces have no effect without cache.prefix. Set mode and namespaces in the rules of `rules`",
        ),
        (
            json!({"cache": {"prefix": "Cache.Example.com:443/k8s"}}),
            "Cache.Example.com:443/k8s is a placeholder: no image can be pulled from it. Set cache.prefix to your cache",
        ),
        (
            json!({"cache": {"prefix": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/k8s"}}),
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/k8s is a placeholder",
        ),
        (
            json!({"cache": {}, "rules": [{"name": "a", "from": ["registry.k8s.io"], "to": "registry.example/k8s"}]}),
            "registry.example/k8s is a placeholder: no image can be pulled from it. Set `to` in rule a to your cache",
        ),
        (
            json!({"cache": {"prefix": "YOUR-CACHE"}}),
            "invalid cache.prefix `YOUR-CACHE`: its first component is not a registry host (with a `.` or a `:`, or \
             `localhost`); write the cache's host first, as in `cache.example.com/YOUR-CACHE`",
        ),
        (
            json!({"cache": {}, "rules": [{"name": "a", "from": ["registry.k8s.io"], "to": "k8s"}]}),
            "invalid `to` in rule a `k8s`: its first component is not a registry host",
        ),
        (
            json!({"cache": {"prefix": "https://cache.corp.internal/k8s"}}),
            "invalid cache.prefix `https://cache.corp.internal/k8s`: it has a scheme; write `cache.corp.internal/k8s`",
        ),
        (
            json!({"cache": {}, "existingConfigMap": "a", "whenNotUnderstood": "deny"}),
            "Set them in the rules.yaml of a",
        ),
        (json!({"cache": {}, "existingConfigMap": "a", "recordOriginals": true}), "Set them in the rules.yaml of a"),
        (
            json!({"cache": {}, "existingConfigMap": "a", "caches": [{"prefix": "b.io"}]}),
            "Set them in the rules.yaml of a",
        ),
        (json!({"cache": {}, "rules": [], "caches": [{"prefix": "b.io", "healthy": {}}]}), "at '/caches/0'"),
        (json!({"whenNotUnderstood": "reject"}), "at '/whenNotUnderstood': value must be one of 'allow', 'deny'"),
        (
            json!({"certificates": {"caBundle": "-----BEGIN CERTIFICATE-----"}}),
            "certificates.caBundle is for `source: secret`",
        ),
        (
            json!({"certificates": {"source": "secret", "caBundle": "ca.crt"}}),
            "is not a certificate in PEM. Set it with --set-file",
        ),
        (
            json!({"clients": {"ca": "-----BEGIN CERTIFICATE-----", "existingConfigMap": "a"}}),
            "clients.ca and clients.existingConfigMap exclude each other",
        ),
        (json!({"clients": {"ca": "ca.crt"}}), "clients.ca is not a certificate in PEM. Set it with --set-file"),
        (json!({"clients": {"names": ["a"]}}), "clients.names requires the CA of these names"),
        (json!({"clients": {"names": ["a,b"]}}), "at '/clients/names/0': 'a,b' does not match pattern"),
        (json!({"metricsPort": 8443}), "port and metricsPort are both 8443"),
        (json!({"replica": 3}), "additional properties 'replica' not allowed"),
        (json!({"webhook": {"failPolicy": "Fail"}}), "at '/webhook': additional properties 'failPolicy' not allowed"),
        (
            json!({"webhook": {"failurePolicy": "fail"}}),
            "at '/webhook/failurePolicy': value must be one of 'Ignore', 'Fail'",
        ),
        (
            json!({"certificates": {"source": "self-managed"}}),
            "value must be one of 'managed', 'cert-manager', 'secret'",
        ),
        (json!({"cache": {}, "rules": [misspelt]}), "at '/rules/0': additional properties 'form' not allowed"),
        (json!({"image": {"tag": 1.5}}), "at '/image/tag': got number, want string"),
        (json!({"image": {"digest": "sha256:1"}}), "at '/image/digest'"),
        (json!({"podLabels": {"a": true}}), "at '/podLabels/a': got boolean, want string"),
    ] {
        let values = with_cache(values);
        let error = rendered(&values).err().unwrap_or_else(|| panic!("{values} is accepted"));
        assert!(error.contains(complaint), "{values}: {error}");
    }
}

/// The chart and the program reject a cache without a host in the same words.
#[test]
fn a_cache_without_a_host_has_one_message() {
    let error = pullthrough::config::Config::for_cache("YOUR-CACHE").expect_err("it has no host").to_string();
    let of_chart = rendered(&json!({"cache": {"prefix": "YOUR-CACHE"}})).err().expect("it has no host");
    assert!(of_chart.contains(&error), "{of_chart}\n{error}");
}

#[test]
fn a_namespace_of_others_must_be_allowed() {
    let cache = format!("--set=cache.prefix={CACHE}");
    for namespace in ["default", "kube-system"] {
        // Helm takes the last one.
        let namespaced = format!("--namespace={namespace}");
        let error = template(&[&namespaced, &cache], "").expect_err(namespace);
        for part in ["The namespace {} has Pods of others.", "\n  --namespace pullthrough --create-namespace\n"] {
            assert!(error.contains(&part.replace("{}", namespace)), "{error}");
        }
        template(&[&namespaced, &cache, "--set=webhook.allowSharedNamespace=true"], "")
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The notes for rules, which have no commands for the next step.
#[test]
fn the_notes_name_namespaces_and_an_image_of_the_rules() {
    let rule = |from: Value, more: Value| {
        let mut rule = json!({"name": "hub", "from": from, "to": "cache.corp.internal/hub"});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rule
    };
    let hub = || json!(["docker.io"]);
    let pattern = json!({"name": "p", "pattern": "quay\\.io/(.+)", "to": "cache.corp.internal/$1", "mode": "observe"});
    let one = json!({"mode": "enforce", "namespaces": {"include": ["shop-*", "shop"]}});
    let observing = || rule(hub(), json!({"name": "hub-observed", "mode": "observe"}));
    for (rules, excluded, expected) in [
        (
            json!([observing()]),
            json!([]),
            vec![
                "--image nginx --namespace default ",
                "all rules observe (hub-observed)",
                "      include:\n      - team-a\n    to: ",
                "\n    name: hub-observed-enforced\n",
            ],
        ),
        (
            json!([rule(hub(), one), observing()]),
            json!([]),
            vec![
                "\n  hub: only in the namespaces shop-*, shop\n",
                "which observe: hub-observed.",
                "--image nginx --namespace shop ",
                "Remove the copies (hub), and `mode: observe` of the rules.",
            ],
        ),
        (
            json!([pattern, rule(json!(["ghcr.io/a"]), json!({"namespaces": {"exclude": ["d*", "kube-system"]}}))]),
            json!([]),
            vec![
                "\n  hub: in all namespaces except d*, kube-system\n",
                "Replace NAMESPACE with a namespace of the rule.",
                "--image ghcr.io/a/test:1 --namespace NAMESPACE ",
            ],
        ),
        (
            json!([pattern]),
            json!(["default"]),
            vec!["Replace IMAGE with an image that a rule matches.", "--image IMAGE --namespace NAMESPACE "],
        ),
    ] {
        let values = json!({"rules": rules, "webhook": {"excludedNamespaces": excluded}}).to_string();
        let install = ["install", NAMESPACE, CHART, "--dry-run=client", "--namespace", NAMESPACE, "--values=-"];
        let notes = helm(&install, &values).unwrap_or_else(|error| panic!("{error}"));
        let notes = notes.split_once("\nNOTES:\n").expect("notes").1;
        for text in expected {
            assert!(notes.contains(text), "{text}: {notes}");
        }
    }
}

/// The step after observing has one wording.
#[test]
fn the_next_step_has_one_wording() {
    let words = |text: &str| {
        let lines = text.lines().map(|line| line.trim_start_matches(['#', ' ']));
        lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ").replace("To enforce", "to enforce")
    };
    let init = pullthrough::init::Layout::new(pullthrough::init::Product::Harbor, "harbor.corp.internal", &[]).unwrap();
    let texts =
        ["base/rules.yaml", "chart/templates/NOTES.txt"].map(|file| fs::read_to_string(manifests(file)).unwrap());
    for text in texts.into_iter().chain([init.rules()]) {
        assert!(words(&text).contains(pullthrough::words::ONE_NAMESPACE), "{text}");
    }
}

/// The chart and the program have the same version.
#[test]
fn the_version_is_that_of_the_program() {
    let chart: Value = serde_saphyr::from_str(&fs::read_to_string(manifests("chart/Chart.yaml")).unwrap()).unwrap();
    assert_eq!([&chart["version"], &chart["appVersion"]], [env!("CARGO_PKG_VERSION"); 2]);
}

#[test]
fn another_namespace_is_meant_everywhere() {
    for source in ["managed", "cert-manager"] {
        let values =
            format!("--set=cache.prefix=cache.corp.internal,certificates.secretName=ours,certificates.source={source}");
        let yaml = template(&["--namespace=infra", &values], "");
        let objects = Objects::parse(&yaml.unwrap_or_else(|error| panic!("{error}")));
        let of_the_cluster = [
            "MutatingWebhookConfiguration",
            "ClusterRole",
            "ClusterRoleBinding",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
        ];
        for object in &objects.0 {
            let is_of_the_cluster = of_the_cluster.contains(&object["kind"].as_str().unwrap());
            assert!(object["metadata"]["namespace"] == "infra" || is_of_the_cluster, "{object}");
            assert!(!object.to_string().contains("\"namespace\":\"pullthrough\""), "{object}");
            assert!(!object.to_string().contains("serviceaccount:pullthrough"), "{object}");
        }
        let webhook = &objects.get("MutatingWebhookConfiguration", "zz-pullthrough")["webhooks"][0];
        assert_eq!(webhook["clientConfig"]["service"]["namespace"], "infra");
        assert_eq!(webhook["namespaceSelector"]["matchExpressions"][0]["values"], json!(["infra"]));
        if source == "managed" {
            let guard = &objects.get("ValidatingAdmissionPolicy", "pullthrough-guard-secrets")["spec"];
            let message = "pullthrough may create and update the Secret ours in namespace infra, and no other";
            assert_eq!(guard["validations"][0]["message"], message);
        } else {
            let certificate = &objects.get("Certificate", "pullthrough")["spec"];
            assert_eq!(certificate["dnsNames"][0], "pullthrough.infra.svc");
        }
    }
}

#[test]
fn rules_say_what_becomes_of_pods_that_are_not_understood() {
    let rule = json!({"name": "a", "from": ["registry.k8s.io"], "to": "cache.corp.internal"});
    for (choice, expected) in [("allow", false), ("deny", true)] {
        let objects = rendered(&json!({"rules": [rule], "whenNotUnderstood": choice}));
        let objects = objects.unwrap_or_else(|error| panic!("{error}"));
        let text = objects.get("ConfigMap", "pullthrough-rules")["data"]["rules.yaml"].as_str().unwrap();
        assert_eq!(text.contains("whenNotUnderstood: deny\n"), expected, "{text}");
    }
}

/// Returns rules with caches that the chart does not take for placeholders.
fn real(rules: &str) -> String {
    rules.replace("example.com", "corp.internal").replace("123456789012", "210987654321")
}

fn with_cache(mut values: Value) -> Value {
    let values_of = values.as_object_mut().unwrap();
    values_of.entry("cache").or_insert_with(|| json!({"prefix": CACHE}));
    values
}
