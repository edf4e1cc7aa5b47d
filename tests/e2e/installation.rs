//! A namespace whose replicas manage their certificates, and changes to these certificates.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::CLUSTER;
use crate::harness::{Balancer, Webhook, certificates, wait_for};
use crate::scene::{KUBERNETES, image, rules, simple_pod};

pub const SECRET: &str = "pullthrough-tls";
pub const ACCOUNT: &str = "pullthrough";
pub const IMAGE: &str = "registry.k8s.io/app:1";
/// Includes the interval of 3 s, and the 5 s in which a published CA settles.
pub const SOON: Duration = Duration::from_secs(20);
/// The time after which a CA that is not trusted has left `caBundle`.
pub const MINUTE: Duration = Duration::from_secs(60);

/// A namespace with a service account that has the permissions of the manifests, and the webhook configuration.
pub struct Installation {
    pub namespace: &'static str,
    folder: TempDir,
    balancer: Balancer,
    /// The CA of another webhook in the configuration, in base64.
    foreign: String,
}

impl Installation {
    pub fn new(namespace: &'static str) -> Self {
        CLUSTER.create_namespace(namespace);
        CLUSTER.kubectl(&["create", "serviceaccount", ACCOUNT, "--namespace", namespace]).ok();
        let (folder, balancer) = (tempfile::tempdir().unwrap(), Balancer::start().unwrap());
        let foreign = BASE64_STANDARD.encode(authority());
        let installation = Self { namespace, folder, balancer, foreign };
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

    /// Grants the service account these verbs on the configuration, beside those on its Secret.
    pub fn grant(&self, verbs: &[&str]) {
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

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub fn configuration(&self) -> String {
        format!("zz-{}", self.namespace)
    }

    pub fn replica(&self, arguments: &[&str]) -> Webhook {
        let configuration = format!("--webhook-configuration={}", self.configuration());
        let arguments = [&[configuration.as_str()], arguments].concat();
        Webhook::start_managed(&rules("", KUBERNETES), &self.kubeconfig(), &arguments)
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Registers these replicas for the Pods of the namespace, with `failurePolicy: Fail`, and for warnings about its templates.
    pub fn register(&self, replicas: &[&Webhook]) {
        self.balancer.set(replicas.iter().map(|replica| replica.address()).collect());
        let mut configuration = replicas[0].configuration(&["--failure-policy=Fail", "--warn-templates"]).unwrap();
        configuration["metadata"]["name"] = json!(self.configuration());
        let webhooks = configuration["webhooks"].as_array_mut().unwrap();
        for webhook in webhooks.iter_mut() {
            webhook["clientConfig"]["url"] = json!(format!("https://{}/mutate", self.balancer.address()));
            webhook["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": self.namespace}});
        }
        let mut foreign = webhooks[0].clone();
        foreign["name"] = json!("other.example.com");
        foreign["clientConfig"]["caBundle"] = json!(self.foreign);
        foreign["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": "none"}});
        webhooks.insert(0, foreign);
        CLUSTER.kubectl_with(&["apply", "-f", "-"], &configuration.to_string()).ok();
    }

    pub fn secret(&self) -> Option<Value> {
        let get = ["get", "secret", SECRET, "--namespace", self.namespace, "--ignore-not-found", "-o", "json"];
        serde_json::from_str(&CLUSTER.kubectl(&get).ok()).ok()
    }

    /// Returns the `caBundle`s of the other webhook, of pullthrough's for Pods, and of that for templates.
    pub fn bundles(&self) -> [Value; 3] {
        let configuration =
            CLUSTER.kubectl(&["get", "mutatingwebhookconfiguration", &self.configuration(), "-o", "json"]);
        let configuration = configuration.json();
        [0, 1, 2].map(|index| configuration["webhooks"][index]["clientConfig"]["caBundle"].clone())
    }

    /// Returns the CAs that the API server trusts, if they are those of the Secret.
    pub fn published(&self) -> Option<Vec<CertificateDer<'static>>> {
        let [foreign, ours, templates] = self.bundles();
        assert_eq!(foreign, self.foreign, "the caBundle of the other webhook was changed");
        (self.secret()?["data"]["ca.crt"] == ours && templates == ours).then(|| certificates(&ours))
    }

    /// Returns the CA of the certificate in use.
    pub fn ca(&self) -> CertificateDer<'static> {
        self.published().expect("published").remove(0)
    }

    /// Waits until a CA is not trusted any more. Returns the time that this took.
    pub fn wait_until_gone(&self, ca: &CertificateDer<'_>) -> Duration {
        let start = Instant::now();
        let gone = wait_for(MINUTE, || {
            let published = self.published().filter(|published| !published.contains(ca));
            published.map(drop)
        });
        gone.unwrap_or_else(|error| panic!("a CA is still trusted: {error}"));
        start.elapsed()
    }

    pub fn patch_secret(&self, patch: &Value) {
        let patch = patch.to_string();
        CLUSTER.kubectl(&["patch", "secret", SECRET, "--namespace", self.namespace, "--patch", &patch]).ok();
    }

    /// Runs `pullthrough certificates rotate` with the permissions of the replicas. Returns the exit code and the output.
    pub fn rotate(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_pullthrough"))
            .args(["certificates", "rotate", "--namespace", self.namespace])
            .args(["--configuration", &self.configuration()])
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(arguments)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (output.status.code(), text)
    }

    pub fn create(&self) -> Result<String, String> {
        let create = ["create", "--dry-run=server", "-o", "json", "-f", "-", "--namespace", self.namespace];
        let output = CLUSTER.kubectl_with(&create, &simple_pod("p", IMAGE).to_string());
        if output.status.success() { Ok(image(&output.json()).to_owned()) } else { Err(output.stderr) }
    }

    /// Waits until the certificates are valid and `changed` returns true. After that, no Pod may be denied.
    pub fn wait_until_in_order(&self, replicas: &[&Webhook], changed: impl Fn() -> bool) {
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

/// Returns another CA, in PEM.
pub fn authority() -> String {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}
