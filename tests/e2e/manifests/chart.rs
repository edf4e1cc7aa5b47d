//! The values of the chart: what each does, that the API server accepts it, and what is said against a mistake.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::render::{NAMESPACE, Objects, manifests, rendered};
use crate::CLUSTER;
use crate::harness::wait_for;

const POD: &str = "/spec/template/spec";
const CONTAINER: &str = "/spec/template/spec/containers/0";

/// A kind of object, a JSON pointer into it, and what has to be there; null where nothing may be.
type Expected = (&'static str, String, Value);

/// Values, by default beside a `cache`, and what they lead to.
fn options() -> Vec<(Value, Vec<Expected>)> {
    let deployment = |path: &str, value: Value| ("Deployment", path.to_owned(), value);
    let pod = |path: &str, value: Value| deployment(&format!("{POD}{path}"), value);
    let container = |path: &str, value: Value| deployment(&format!("{CONTAINER}{path}"), value);
    let webhook = |path: &str, value: Value| ("MutatingWebhookConfiguration", format!("/webhooks/0{path}"), value);
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
    let rule = json!({"name": "gitlab", "pattern": "registry\\.gitlab\\.com/(.+)", "to": "cache.example.com/$1"});
    let labels = |label: &str| format!("/metadata/labels/{label}");

    vec![
        (
            json!({"cache": "cache.example.com/a"}),
            [
                arguments(
                    1,
                    &[
                        "--cache=cache.example.com/a",
                        "--manage-certificates",
                        "--certificate-secret=pullthrough-tls",
                        "--webhook-configuration=zz-pullthrough",
                        "--certificate-lifetime-secs=7776000",
                        "--listen=[::]:8443",
                        "--metrics-listen=[::]:8080",
                        "--log-format=json",
                        "--log-level=info",
                        "--drain-delay-secs=5",
                        "--shutdown-timeout-secs=15",
                    ],
                ),
                vec![
                    pod("/volumes", Value::Null),
                    container("/volumeMounts", Value::Null),
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
            json!({"cache": "", "rules": [rule], "recordOriginals": true}),
            vec![container("/args/1", json!("--rules=/etc/pullthrough/rules/rules.yaml"))],
        ),
        (
            json!({"cache": "", "rules": [rule], "allowOptOut": true}),
            vec![
                webhook("/namespaceSelector/matchExpressions/1", opt_out.clone()),
                webhook("/objectSelector/matchExpressions/0", opt_out),
            ],
        ),
        (
            json!({"cache": "", "rules": [rule], "whenNotUnderstood": "deny"}),
            vec![of("ConfigMap", "/metadata/name", json!("pullthrough-rules"))],
        ),
        (
            json!({"cache": "", "existingConfigMap": "ours"}),
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
            json!({"certificates": {"source": "managed", "secretName": "ours", "lifetimeSeconds": 31_536_000}}),
            [
                arguments(3, &["--certificate-secret=ours"]),
                arguments(5, &["--certificate-lifetime-secs=31536000"]),
                vec![of("Role", "/rules/0/resourceNames", json!(["ours"]))],
            ]
            .concat(),
        ),
        (
            json!({"certificates": {"source": "cert-manager", "secretName": "ours", "lifetimeSeconds": 86400}}),
            vec![
                pod("/volumes/0/secret/secretName", json!("ours")),
                pod("/automountServiceAccountToken", json!(false)),
                of("NetworkPolicy", "/spec/egress", json!([])),
            ],
        ),
        (
            json!({"certificates": {"source": "secret", "caBundle": "-----BEGIN CERTIFICATE-----\n"}}),
            vec![
                container("/args/2", json!("--tls-cert=/etc/pullthrough/tls/tls.crt")),
                container("/args/3", json!("--tls-key=/etc/pullthrough/tls/tls.key")),
                container("/volumeMounts/0/mountPath", json!("/etc/pullthrough/tls")),
                pod("/volumes/0/secret/secretName", json!("pullthrough-tls")),
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
                    container("/volumeMounts/0/mountPath", json!("/etc/pullthrough/client")),
                    pod("/volumes/0/configMap/name", json!("pullthrough-client-ca")),
                    of("ConfigMap", "/metadata/name", json!("pullthrough-client-ca")),
                    of("ConfigMap", "/data", json!({"ca.crt": "-----BEGIN CERTIFICATE-----\n"})),
                ],
            ]
            .concat(),
        ),
        (
            json!({"clients": {"existingConfigMap": "ours"}}),
            vec![pod("/volumes/0/configMap/name", json!("ours")), of("ConfigMap", "", Value::Null)],
        ),
        (json!({"replicas": 5}), vec![deployment("/spec/replicas", json!(5))]),
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
                arguments(12, &["--no-warnings"]),
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
            json!({"cache": "", "existingConfigMap": "ours", "monitoring": {"dashboard":
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
        // A namespace that was made a moment ago may not be known to all of the API server yet.
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
    // What is measured, and a label that is there by default, are not to be repeated here.
    assert_eq!(
        untested,
        [
            "/monitoring/dashboard/labels/grafana_dashboard",
            "/nodeSelector/kubernetes.io~1os",
            "/resources/requests/cpu",
            "/resources/requests/memory"
        ],
    );
}

/// Paths of what is no object, or an empty one.
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
    let rules: Value = serde_saphyr::from_str(&fs::read_to_string("tests/data/rules.yaml").unwrap()).unwrap();
    let values = json!({"rules": rules["rules"], "allowOptOut": true, "recordOriginals": true});
    let objects = rendered(&values).unwrap_or_else(|error| panic!("{error}"));
    let text = objects.get("ConfigMap", "pullthrough-rules")["data"]["rules.yaml"].as_str().unwrap();
    let config = pullthrough::config::parse("rules.yaml", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let expected = fs::read_to_string("tests/data/rules.yaml").unwrap();
    let expected = expected.replace("rules:\n", "allowOptOut: true\nrecordOriginals: true\nrules:\n");
    let expected = pullthrough::config::parse("rules.yaml", &expected).unwrap();
    assert_eq!(config.settings, expected.settings);
    assert_eq!(format!("{:?}", config.rules), format!("{:?}", expected.rules));
}

#[test]
fn mistakes_are_named() {
    let rule = json!({"name": "a", "from": ["registry.k8s.io"], "to": "cache.example.com"});
    let misspelt = json!({"name": "a", "form": ["registry.k8s.io"], "to": "cache.example.com"});
    for (values, complaint) in [
        (json!({"cache": ""}), "Nothing says what to rewrite. Set one of\n  cache "),
        (json!({"rules": [rule]}), "cache and rules exclude each other"),
        (json!({"allowOptOut": true}), "allowOptOut, recordOriginals and whenNotUnderstood belong to rules"),
        (json!({"whenNotUnderstood": "deny"}), "allowOptOut, recordOriginals and whenNotUnderstood belong to rules"),
        (
            json!({"cache": "", "existingConfigMap": "a", "whenNotUnderstood": "deny"}),
            "write them into the rules.yaml of a",
        ),
        (
            json!({"cache": "", "existingConfigMap": "a", "recordOriginals": true}),
            "write them into the rules.yaml of a",
        ),
        (json!({"whenNotUnderstood": "reject"}), "at '/whenNotUnderstood': value must be one of 'allow', 'deny'"),
        (
            json!({"certificates": {"caBundle": "-----BEGIN CERTIFICATE-----"}}),
            "certificates.caBundle is for `source: secret`",
        ),
        (json!({"certificates": {"source": "secret", "caBundle": "ca.crt"}}), "is no certificate in PEM: --set-file"),
        (
            json!({"clients": {"ca": "-----BEGIN CERTIFICATE-----", "existingConfigMap": "a"}}),
            "clients.ca and clients.existingConfigMap exclude each other",
        ),
        (json!({"clients": {"ca": "ca.crt"}}), "clients.ca is not a certificate in PEM: --set-file"),
        (json!({"clients": {"names": ["a"]}}), "clients.names needs the CA that signs for these names"),
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
        (json!({"cache": "", "rules": [misspelt]}), "at '/rules/0': additional properties 'form' not allowed"),
        (json!({"image": {"tag": 1.5}}), "at '/image/tag': got number, want string"),
        (json!({"image": {"digest": "sha256:1"}}), "at '/image/digest'"),
        (json!({"podLabels": {"a": true}}), "at '/podLabels/a': got boolean, want string"),
    ] {
        let values = with_cache(values);
        let error = rendered(&values).err().unwrap_or_else(|| panic!("{values} is accepted"));
        assert!(error.contains(complaint), "{values}: {error}");
    }
}

/// The chart and the program go by the same version.
#[test]
fn the_version_is_that_of_the_program() {
    let chart: Value = serde_saphyr::from_str(&fs::read_to_string(manifests("chart/Chart.yaml")).unwrap()).unwrap();
    assert_eq!([&chart["version"], &chart["appVersion"]], [env!("CARGO_PKG_VERSION"); 2]);
}

#[test]
fn another_namespace_is_meant_everywhere() {
    for source in ["managed", "cert-manager"] {
        let values = format!("--set=cache=cache.example.com,certificates.secretName=ours,certificates.source={source}");
        let yaml = super::render::template(&["--namespace=infra", &values], "");
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
    let rule = json!({"name": "a", "from": ["registry.k8s.io"], "to": "cache.example.com"});
    for (choice, expected) in [("allow", false), ("deny", true)] {
        let objects = rendered(&json!({"rules": [rule], "whenNotUnderstood": choice}));
        let objects = objects.unwrap_or_else(|error| panic!("{error}"));
        let text = objects.get("ConfigMap", "pullthrough-rules")["data"]["rules.yaml"].as_str().unwrap();
        assert_eq!(text.contains("whenNotUnderstood: deny\n"), expected, "{text}");
    }
}

fn with_cache(mut values: Value) -> Value {
    let values_of = values.as_object_mut().unwrap();
    values_of.entry("cache").or_insert_with(|| json!("cache.example.com/k8s"));
    values
}
