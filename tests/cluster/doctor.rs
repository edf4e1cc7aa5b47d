//! `pullthrough doctor` on the cluster as it is, and with one fault at a time.

use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::harness::{Webhook, wait_for};
use crate::injector::Injector;
use crate::{DEADLINE, ROLLOUT_TIMEOUT, step};

const NAMESPACE: &str = "pullthrough";
const CONFIGURATION: &str = "zz-pullthrough";
/// The label of every object that a row adds, for their removal.
const ADDED: &str = "tests.pullthrough.dev/added";

/// A fault, how to create it, and the expected finding.
struct Row {
    what: &'static str,
    finding: &'static str,
    break_it: fn(&Ward<'_>),
}

const ROWS: [Row; 17] = [
    Row {
        what: "the configuration is deleted",
        finding: "webhook-configuration-missing",
        break_it: |ward| {
            ward.kubectl(&["delete", "mutatingwebhookconfiguration", CONFIGURATION]);
        },
    },
    Row {
        what: "a rule of the webhook is missing",
        finding: "ephemeral-containers-not-covered",
        break_it: |ward| {
            ward.patch_webhook(json!([{"op": "remove", "path": "/webhooks/0/rules/1"}]));
        },
    },
    Row {
        what: "the selector excludes everything",
        finding: "no-namespace-covered",
        break_it: |ward| {
            let selector = json!({"matchLabels": {"pullthrough": "on"}});
            ward.patch_webhook(json!([{"op": "replace", "path": "/webhooks/0/namespaceSelector", "value": selector}]));
        },
    },
    Row {
        what: "kube-system fails closed",
        finding: "kube-system-fail-closed",
        break_it: |ward| {
            ward.patch_webhook(json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]));
        },
    },
    Row {
        what: "caBundle is emptied",
        finding: "ca-bundle-empty",
        break_it: |ward| {
            ward.stop_publishing();
            ward.patch_webhook(json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]));
        },
    },
    Row {
        what: "caBundle has another CA",
        finding: "wrong-ca",
        break_it: |ward| {
            ward.stop_publishing();
            ward.publish(&ward.injector.ca_pem);
        },
    },
    Row {
        what: "the API server does not trust the certificate",
        finding: "not-rewritten",
        break_it: |ward| {
            ward.stop_publishing();
            ward.publish(&ward.injector.ca_pem);
        },
    },
    Row {
        what: "the certificate has expired",
        finding: "certificate-expired",
        break_it: |ward| {
            ward.stop_publishing();
            let ca = std::fs::read(ward.expired.ca_file()).expect("a CA");
            let client = json!({"url": ward.expired.url(), "caBundle": BASE64_STANDARD.encode(ca)});
            ward.patch_webhook(json!([{"op": "replace", "path": "/webhooks/0/clientConfig", "value": client}]));
        },
    },
    Row {
        what: "no replica runs",
        finding: "no-ready-endpoints",
        break_it: |ward| {
            ward.kubectl(&["scale", "deployment/pullthrough", "--replicas=0"]);
        },
    },
    Row {
        what: "the Service has another port",
        finding: "service-port-missing",
        break_it: |ward| {
            ward.patch("service", json!([{"op": "replace", "path": "/spec/ports/0/port", "value": 444}]));
        },
    },
    Row {
        what: "the Service has another target port",
        finding: "service-target-wrong",
        break_it: |ward| {
            ward.patch("service", json!([{"op": "replace", "path": "/spec/ports/0/targetPort", "value": "metrics"}]));
        },
    },
    Row {
        what: "the Service selects other Pods",
        finding: "service-selects-no-pods",
        break_it: |ward| {
            ward.patch("service", json!([{"op": "add", "path": "/spec/selector/other", "value": "yes"}]));
        },
    },
    Row {
        what: "a later webhook reverts the rewrite",
        finding: "rewrite-reverted",
        break_it: |ward| ward.undo_rewrites(),
    },
    Row {
        what: "a replica has other rules",
        finding: "rules-differ",
        break_it: |ward| ward.add_a_replica_with_other_rules(),
    },
    Row {
        what: "the rules have a mistake",
        finding: "rules-invalid",
        break_it: |ward| {
            ward.patch(
                "configmap/pullthrough-rules",
                json!([{"op": "replace", "path": "/data/rules.yaml", "value": "rules: 1"}]),
            );
        },
    },
    Row {
        what: "the image can't be pulled",
        finding: "image-pull-failing",
        break_it: |ward| {
            let image = ward.cluster.upstream.image("absent:1");
            ward.kubectl(&["set", "image", "deployment/pullthrough", &format!("*={image}")]);
        },
    },
    Row { what: "a permission is missing", finding: "permission-missing", break_it: |ward| ward.stop_publishing() },
];

pub fn finds_what_is_broken(cluster: &Cluster) {
    let mut expired =
        Webhook::start("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\n").expect("a webhook");
    expired.resume_expired().expect("a webhook with an expired certificate");
    let ward = Ward {
        cluster,
        saved: saved(cluster),
        injector: Injector::start(),
        undoing: Injector::undoing(&cluster.cache.image("k8s")),
        expired,
    };
    step("doctor reports no fault", || ward.wait_until("healthy", |said| said.code == 0));
    for Row { what, finding, break_it } in ROWS {
        if finding == "permission-missing" && !ward.manages_certificates() {
            println!("          {what}: skipped, because certificates are not managed");
            continue;
        }
        step(&format!("doctor: {what}: {finding}"), || {
            break_it(&ward);
            let said = ward.wait_until(finding, |said| said.finds(finding));
            assert_eq!(said.code, 1, "{what}: {:#}", said.report);
            ward.repair();
            ward.wait_until("healthy again", |said| said.code == 0);
        });
    }
}

struct Ward<'c> {
    cluster: &'c Cluster,
    /// The objects before the change.
    saved: Vec<Value>,
    injector: Injector,
    undoing: Injector,
    expired: Webhook,
}

/// The output of doctor, and its exit code.
#[derive(Debug)]
struct Said {
    code: i32,
    report: Value,
}

impl Said {
    fn finds(&self, id: &str) -> bool {
        let checks = self.report["checks"].as_array().expect("checks");
        checks.iter().flat_map(|check| check["findings"].as_array().expect("findings")).any(|one| one["id"] == id)
    }
}

/// Returns the objects that rows change. Roles exist only with managed certificates.
fn saved(cluster: &Cluster) -> Vec<Value> {
    let objects = [
        ("mutatingwebhookconfiguration", CONFIGURATION),
        ("service", "pullthrough"),
        ("deployment", "pullthrough"),
        ("configmap", "pullthrough-rules"),
        ("clusterrolebinding", "pullthrough"),
    ];
    let read = objects.into_iter().filter_map(|(kind, name)| {
        let get = ["get", kind, name, "--namespace", NAMESPACE, "--ignore-not-found", "--output=json"];
        let text = cluster.kubectl(&get).ok();
        let mut object: Value = serde_json::from_str(&text).ok()?;
        object.as_object_mut()?.remove("status");
        let metadata = object["metadata"].as_object_mut()?;
        for key in ["resourceVersion", "uid", "creationTimestamp", "managedFields", "generation"] {
            metadata.remove(key);
        }
        Some(object)
    });
    read.collect()
}

impl Ward<'_> {
    fn kubectl(&self, arguments: &[&str]) -> String {
        self.cluster.kubectl(&[&["--namespace", NAMESPACE], arguments].concat()).ok()
    }

    fn patch(&self, what: &str, patch: Value) {
        let what = if what.contains('/') { what.to_owned() } else { format!("{what}/pullthrough") };
        self.kubectl(&["patch", &what, "--type=json", "--patch", &patch.to_string()]);
    }

    fn patch_webhook(&self, patch: Value) {
        self.patch(&format!("mutatingwebhookconfiguration/{CONFIGURATION}"), patch);
    }

    fn publish(&self, ca_pem: &str) {
        let value = BASE64_STANDARD.encode(ca_pem);
        self.patch_webhook(json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": value}]));
    }

    fn object(&self, kind: &str) -> &Value {
        self.saved.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
    }

    fn manages_certificates(&self) -> bool {
        self.saved.iter().any(|object| object["kind"] == "ClusterRoleBinding")
    }

    /// Removes the permission to publish the CA. Otherwise the replicas would repair `caBundle` before doctor reads it.
    fn stop_publishing(&self) {
        if !self.manages_certificates() {
            return;
        }
        self.kubectl(&["delete", "clusterrolebinding", "pullthrough"]);
        let configuration = format!("mutatingwebhookconfiguration/{CONFIGURATION}");
        let account = format!("system:serviceaccount:{NAMESPACE}:pullthrough");
        let can = ["auth", "can-i", "update", &configuration, "--as", &account];
        wait_for(DEADLINE, || (!self.cluster.kubectl(&can).status.success()).then_some(())).expect("no permission");
    }

    fn undo_rewrites(&self) {
        let mut configuration = self.object("MutatingWebhookConfiguration").clone();
        configuration["metadata"] = json!({"name": "zzz-old", "labels": {ADDED: "yes"}});
        let webhook = &mut configuration["webhooks"][0];
        webhook["name"] = json!("undo.example.com");
        let ca_bundle = BASE64_STANDARD.encode(&self.undoing.ca_pem);
        webhook["clientConfig"] = json!({"url": self.undoing.url, "caBundle": ca_bundle});
        self.cluster.apply(NAMESPACE, &configuration);
    }

    /// Adds a second Deployment, whose Pods the Service selects too.
    fn add_a_replica_with_other_rules(&self) {
        let metadata = || json!({"name": "pullthrough-other", "labels": {ADDED: "yes"}});
        let mut rules = self.object("ConfigMap").clone();
        rules["metadata"] = metadata();
        let text = rules["data"]["rules.yaml"].as_str().expect("rules").replace("kubernetes", "other");
        rules["data"]["rules.yaml"] = json!(text);
        let mut deployment = self.object("Deployment").clone();
        deployment["metadata"] = metadata();
        let spec = &mut deployment["spec"];
        spec["replicas"] = json!(1);
        spec["selector"]["matchLabels"][ADDED] = json!("yes");
        spec["template"]["metadata"]["labels"][ADDED] = json!("yes");
        let volumes = spec["template"]["spec"]["volumes"].as_array_mut().expect("volumes");
        for volume in volumes.iter_mut().filter(|volume| volume["configMap"]["name"] == "pullthrough-rules") {
            volume["configMap"]["name"] = json!("pullthrough-other");
        }
        self.cluster.apply(NAMESPACE, &rules);
        self.cluster.apply(NAMESPACE, &deployment);
        self.kubectl(&["rollout", "status", "deployment/pullthrough-other", ROLLOUT_TIMEOUT]);
    }

    fn repair(&self) {
        let added = format!("{ADDED}=yes");
        self.kubectl(&["delete", "mutatingwebhookconfiguration,deployment,configmap", "--selector", &added]);
        for object in &self.saved {
            let written = |verb| {
                let arguments = ["--namespace", NAMESPACE, verb, "--filename=-"];
                self.cluster.control_plane.kubectl_with(&arguments, &object.to_string())
            };
            // kubectl reads the resource version that it replaces, and the status may change in between.
            let replaced = wait_for(DEADLINE, || {
                let replaced = written("replace");
                (!replaced.stderr.contains("(Conflict)")).then_some(replaced)
            });
            let replaced = replaced.expect("no conflict");
            if replaced.stderr.contains("(NotFound)") {
                written("create").ok();
            } else {
                replaced.ok();
            }
        }
        self.kubectl(&["rollout", "status", "deployment/pullthrough", ROLLOUT_TIMEOUT]);
        let pods = ["wait", "--for=delete", "pods", "--selector", &added, "--timeout=60s"];
        self.kubectl(&pods);
    }

    fn doctor(&self) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_pullthrough"))
            .args(["doctor", "--output=json", "--kubeconfig"])
            .arg(self.cluster.control_plane.kubeconfig())
            .output()
            .expect("the binary runs");
        let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        let report = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
        Said { code: output.status.code().expect("an exit code"), report }
    }

    #[track_caller]
    fn wait_until(&self, what: &str, is_so: impl Fn(&Said) -> bool) -> Said {
        let mut last = None;
        let said = wait_for(2 * DEADLINE, || {
            let said = self.doctor();
            if is_so(&said) {
                return Some(said);
            }
            last = Some(said.report);
            None
        });
        said.unwrap_or_else(|error| panic!("doctor did not report {what}: {error:#}: {:#}", last.unwrap_or_default()))
    }
}
