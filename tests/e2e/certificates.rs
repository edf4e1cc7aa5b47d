//! `serve --manage-certificates`: replicas that agree on certificates, and repair what somebody breaks.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::CLUSTER;
use crate::harness::{Webhook, wait_for};
use crate::scene::{KUBERNETES, image, rules, simple_pod};

const SECRET: &str = "pullthrough-tls";
const ACCOUNT: &str = "pullthrough";
const IMAGE: &str = "registry.k8s.io/app:1";
/// Within seconds: a look every 3 s, and 5 s in which a published authority settles.
const SOON: Duration = Duration::from_secs(20);

/// A namespace with a service account that has the rights of the manifests, and the configuration that its webhooks share.
struct Installation {
    namespace: &'static str,
    folder: TempDir,
}

impl Installation {
    fn new(namespace: &'static str) -> Self {
        CLUSTER.create_namespace(namespace);
        CLUSTER.kubectl(&["create", "serviceaccount", ACCOUNT, "--namespace", namespace]).ok();
        let installation = Self { namespace, folder: tempfile::tempdir().unwrap() };
        installation.grant(&["get", "update"]);
        let token = CLUSTER.kubectl(&["create", "token", ACCOUNT, "--namespace", namespace]).ok();
        let file = |name: &str| installation.folder.path().join(name);
        fs::write(file("token"), token).unwrap();
        let authority = CLUSTER.certificate_authority();
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": CLUSTER.url(), "certificate-authority": authority}}],
            "users": [{"name": "u", "user": {"tokenFile": file("token")}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
            "current-context": "c",
        });
        fs::write(installation.kubeconfig(), kubeconfig.to_string()).unwrap();
        installation
    }

    /// Gives the service account these rights on the configuration, besides those on its Secret.
    fn grant(&self, verbs: &[&str]) {
        let namespace = self.namespace;
        let subject = json!([{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}]);
        let role = |kind: &str, rules: Value| {
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": kind,
                "metadata": {"name": format!("certificates-{namespace}"), "namespace": namespace},
                "rules": rules,
            })
        };
        let binding = |kind: &str, role: &str| {
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": kind,
                "metadata": {"name": format!("certificates-{namespace}"), "namespace": namespace},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": format!("certificates-{namespace}")},
                "subjects": subject,
            })
        };
        let secrets = json!([
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": ["get", "update"]},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        ]);
        let configurations = json!([{
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["mutatingwebhookconfigurations"],
            "resourceNames": [self.configuration()],
            "verbs": verbs,
        }]);
        let objects = [
            role("Role", secrets),
            binding("RoleBinding", "Role"),
            role("ClusterRole", configurations),
            binding("ClusterRoleBinding", "ClusterRole"),
        ];
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        CLUSTER.kubectl_with(&["apply", "-f", "-"], &list.to_string()).ok();
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn configuration(&self) -> String {
        format!("zz-{}", self.namespace)
    }

    fn replica(&self, arguments: &[&str]) -> Webhook {
        let configuration = format!("--webhook-configuration={}", self.configuration());
        let arguments = [&[configuration.as_str()], arguments].concat();
        Webhook::start_managed(&rules("", KUBERNETES), &self.kubeconfig(), &arguments)
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Has the API server ask every one of these about each Pod of the namespace, and take no failure from any.
    fn register(&self, replicas: &[&Webhook]) {
        let mut webhooks = vec![];
        for (index, replica) in replicas.iter().enumerate() {
            let mut configuration = replica.configuration(&["--failure-policy=Fail"]).unwrap();
            let mut webhook = configuration["webhooks"][0].take();
            webhook["name"] = json!(format!("replica-{index}.pullthrough.dev"));
            webhook["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": self.namespace}});
            webhooks.push(webhook);
        }
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": self.configuration()},
            "webhooks": webhooks,
        });
        CLUSTER.kubectl_with(&["apply", "-f", "-"], &configuration.to_string()).ok();
    }

    fn secret(&self) -> Option<Value> {
        let get = ["get", "secret", SECRET, "--namespace", self.namespace, "--ignore-not-found", "-o", "json"];
        serde_json::from_str(&CLUSTER.kubectl(&get).ok()).ok()
    }

    /// What each webhook's `caBundle` says, where all say the same as the Secret's `ca.crt`.
    fn published(&self) -> Option<String> {
        let configuration =
            CLUSTER.kubectl(&["get", "mutatingwebhookconfiguration", &self.configuration(), "-o", "json"]).json();
        let mut bundles =
            configuration["webhooks"].as_array()?.iter().map(|webhook| &webhook["clientConfig"]["caBundle"]);
        let authority = self.secret()?["data"]["ca.crt"].as_str()?.to_owned();
        bundles.all(|bundle| *bundle == json!(authority)).then_some(authority)
    }

    fn create(&self) -> Result<String, String> {
        let create = ["create", "--dry-run=server", "-o", "json", "-f", "-", "--namespace", self.namespace];
        let output = CLUSTER.kubectl_with(&create, &simple_pod("p", IMAGE).to_string());
        if output.status.success() { Ok(image(&output.json()).to_owned()) } else { Err(output.stderr) }
    }

    /// Waits until the certificates are in order, and whatever `changed` says; no Pod may be refused after that.
    fn wait_until_in_order(&self, replicas: &[&Webhook], changed: impl Fn() -> bool) {
        let mut why = String::new();
        let in_order = wait_for(SOON, || {
            why = match replicas.iter().find_map(|replica| replica.ready().err()) {
                Some(not_ready) => not_ready,
                None if self.published().is_none() => "not published".to_owned(),
                None if !changed() => "not changed".to_owned(),
                None => return Some(()),
            };
            None
        });
        let logs: Vec<_> = replicas.iter().map(|replica| replica.log()).collect();
        in_order.unwrap_or_else(|error| panic!("{error}: {why}\n{}", logs.join("\n---\n")));
        assert_eq!(self.create().as_deref(), Ok("cache.example.com/k8s/app:1"));
    }
}

#[test]
fn replicas_agree_and_repair() {
    let installation = Installation::new("certificates");
    let replicas = [installation.replica(&[]), installation.replica(&[]), installation.replica(&[])];
    let replicas = replicas.each_ref();
    for replica in replicas {
        let waits = wait_for(SOON, || replica.ready().err().filter(|why| why.contains("there is no")));
        waits.expect("nothing is registered, and each says so");
    }
    installation.register(&replicas);
    installation.wait_until_in_order(&replicas, || true);
    let secret = installation.secret().unwrap();
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let owner = &secret["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["name"]), (&json!("ServiceAccount"), &json!(ACCOUNT)));
    let generations = |replica: &Webhook| replica.log().matches("wrote the certificate").count();
    let made = || replicas.iter().map(|replica| generations(replica)).sum::<usize>();
    // Lines are written a moment after what they tell of.
    wait_for(SOON, || (made() > 0).then_some(())).expect("a line that tells of it");
    assert_eq!(made(), 1, "one made it for all");

    let namespace = ["--namespace", installation.namespace];
    let certificate = || installation.secret().map(|secret| secret["data"]["tls.crt"].clone());
    let garbage = json!({"data": {"ca.crt": "", "tls.crt": BASE64_STANDARD.encode("garbage")}}).to_string();
    let emptied = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": ""}]).to_string();
    let configuration = installation.configuration();
    // What is done to the cluster, and whether another certificate comes of it.
    let table: [(&[&str], bool); 3] = [
        (&["delete", "secret", SECRET, namespace[0], namespace[1]], true),
        (&["patch", "secret", SECRET, namespace[0], namespace[1], "--patch", &garbage], true),
        (&["patch", "mutatingwebhookconfiguration", &configuration, "--type=json", "--patch", &emptied], false),
    ];
    for (command, is_new) in table {
        let before = certificate();
        CLUSTER.kubectl(command).ok();
        installation.wait_until_in_order(&replicas, || (certificate() != before) == is_new);
    }
    // While the new certificates settled, the old ones were served and trusted: nobody was without.
    let authority = installation.published().unwrap();
    let authorities = String::from_utf8(BASE64_STANDARD.decode(authority).unwrap()).unwrap();
    assert_eq!(authorities.matches("BEGIN CERTIFICATE").count(), 3);
}

#[test]
fn no_pod_is_refused_while_certificates_change() {
    let installation = Installation::new("certificates-change");
    let replicas = [installation.replica(&[]), installation.replica(&[])];
    let replicas = replicas.each_ref();
    installation.register(&replicas);
    installation.wait_until_in_order(&replicas, || true);
    let serving = || replicas.map(|replica| replica.log().matches("serving the certificate of the Secret").count());
    let data = || installation.secret().map(|secret| secret["data"].clone()).unwrap_or_default();
    let first = data();
    let delete = || CLUSTER.kubectl(&["delete", "secret", SECRET, "--namespace", installation.namespace]).ok();
    // As a backup that is restored, or a tool that has its own mind, would.
    let put_back = || {
        let patch = json!({"data": first}).to_string();
        CLUSTER.kubectl(&["patch", "secret", SECRET, "--namespace", installation.namespace, "--patch", &patch]).ok()
    };
    let table: [(&str, &dyn Fn() -> String); 2] = [("deleted", &delete), ("put back", &put_back)];
    for (what, change) in table {
        let before = serving();
        change();
        let all_changed = wait_for(SOON, || {
            assert_eq!(installation.create().as_deref(), Ok("cache.example.com/k8s/app:1"), "{what}");
            (serving() == before.map(|count| count + 1)).then_some(())
        });
        all_changed.unwrap_or_else(|error| panic!("{what}: both serve another certificate: {error}"));
        installation.wait_until_in_order(&replicas, || true);
    }
    assert_eq!(data()["tls.crt"], first["tls.crt"]);
    assert_ne!(data()["ca.crt"], first["ca.crt"], "what was served until then is still trusted");
}

#[test]
fn what_cannot_be_renewed_is_served_on() {
    let installation = Installation::new("certificates-immutable");
    let replica = installation.replica(&[]);
    installation.register(&[&replica]);
    installation.wait_until_in_order(&[&replica], || true);
    let immutable = ["patch", "secret", SECRET, "--namespace", installation.namespace, "-p", r#"{"immutable": true}"#];
    CLUSTER.kubectl(&immutable).ok();

    // By its reckoning, the certificate of three months is in the second half of its year.
    let other = installation.replica(&["--certificate-lifetime-secs=31536000"]);
    installation.register(&[&replica, &other]);
    let failing = r#"pullthrough_last_reload_successful{what="certificate"}"#;
    installation.wait_until_in_order(&[&replica, &other], || other.metric(failing) == 0.0);
    other.wait_for_log("field is immutable when `immutable` is set");
}

#[test]
fn a_server_that_may_not_publish_serves_on() {
    let installation = Installation::new("certificates-forbidden");
    let replica = installation.replica(&[]);
    installation.register(&[&replica]);
    installation.wait_until_in_order(&[&replica], || true);

    installation.grant(&["get"]);
    let failing = r#"pullthrough_last_reload_successful{what="certificate"}"#;
    assert_eq!(replica.metric(failing), 1.0);
    let emptied = r#"[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]"#;
    let patch = ["patch", "mutatingwebhookconfiguration", &installation.configuration(), "--type=json", "-p", emptied];
    CLUSTER.kubectl(&patch).ok();
    let not_ready = wait_for(SOON, || replica.ready().err()).expect("what is served is not what is published");
    assert!(
        not_ready.contains("does not accept the serving certificate: no trusted authority has signed it"),
        "{not_ready}"
    );
    assert_eq!(replica.metric(failing), 0.0);
    replica.wait_for_log(r#"cannot update resource \"mutatingwebhookconfigurations\""#);

    installation.grant(&["get", "update"]);
    installation.wait_until_in_order(&[&replica], || replica.metric(failing) == 1.0);
}
