//! `serve --manage-certificates`: replicas that agree on certificates, and repair what somebody breaks.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::CLUSTER;
use crate::harness::{Balancer, Webhook, certificates, handshake, wait_for};
use crate::scene::{KUBERNETES, image, rules, simple_pod};

const SECRET: &str = "pullthrough-tls";
const ACCOUNT: &str = "pullthrough";
const IMAGE: &str = "registry.k8s.io/app:1";
/// Within seconds: a look every 3 s, and 5 s in which a published authority settles.
const SOON: Duration = Duration::from_secs(20);
/// In which a CA that is not to be trusted leaves `caBundle`.
const MINUTE: Duration = Duration::from_secs(60);

/// A namespace with a service account that has the rights of the manifests, and the configuration that its webhooks share.
struct Installation {
    namespace: &'static str,
    folder: TempDir,
    balancer: Balancer,
    /// The CA of another webhook of the configuration, in base64.
    foreign: String,
}

impl Installation {
    fn new(namespace: &'static str) -> Self {
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

    /// Has the API server ask one of these about each Pod of the namespace, and take no failure.
    fn register(&self, replicas: &[&Webhook]) {
        self.balancer.set(replicas.iter().map(|replica| replica.address()).collect());
        let mut configuration = replicas[0].configuration(&["--failure-policy=Fail"]).unwrap();
        configuration["metadata"]["name"] = json!(self.configuration());
        let webhook = &mut configuration["webhooks"][0];
        webhook["clientConfig"]["url"] = json!(format!("https://{}/mutate", self.balancer.address()));
        webhook["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": self.namespace}});
        let mut foreign = webhook.clone();
        foreign["name"] = json!("other.example.com");
        foreign["clientConfig"]["caBundle"] = json!(self.foreign);
        foreign["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": "none"}});
        configuration["webhooks"] = json!([foreign, webhook]);
        CLUSTER.kubectl_with(&["apply", "-f", "-"], &configuration.to_string()).ok();
    }

    fn secret(&self) -> Option<Value> {
        let get = ["get", "secret", SECRET, "--namespace", self.namespace, "--ignore-not-found", "-o", "json"];
        serde_json::from_str(&CLUSTER.kubectl(&get).ok()).ok()
    }

    /// The `caBundle`s of the other webhook and of ours.
    fn bundles(&self) -> [Value; 2] {
        let configuration =
            CLUSTER.kubectl(&["get", "mutatingwebhookconfiguration", &self.configuration(), "-o", "json"]);
        let configuration = configuration.json();
        [0, 1].map(|index| configuration["webhooks"][index]["clientConfig"]["caBundle"].clone())
    }

    /// The CAs that the API server trusts, where they are those of the Secret.
    fn published(&self) -> Option<Vec<CertificateDer<'static>>> {
        let [foreign, ours] = self.bundles();
        assert_eq!(foreign, self.foreign, "the other webhook's stays");
        (self.secret()?["data"]["ca.crt"] == ours).then(|| certificates(&ours))
    }

    /// The CA of the certificate that is served.
    fn ca(&self) -> CertificateDer<'static> {
        self.published().expect("published").remove(0)
    }

    /// Waits until a CA is not trusted, and returns how long that took.
    fn wait_until_gone(&self, ca: &CertificateDer<'_>) -> Duration {
        let start = Instant::now();
        let gone = wait_for(MINUTE, || {
            let published = self.published().filter(|published| !published.contains(ca));
            published.map(drop)
        });
        gone.unwrap_or_else(|error| panic!("a CA is still trusted: {error}"));
        start.elapsed()
    }

    fn patch_secret(&self, patch: &Value) {
        let patch = patch.to_string();
        CLUSTER.kubectl(&["patch", "secret", SECRET, "--namespace", self.namespace, "--patch", &patch]).ok();
    }

    /// Runs `pullthrough certificates rotate` with the rights of the replicas; its exit code, and what it printed.
    fn rotate(&self, arguments: &[&str]) -> (Option<i32>, String) {
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
    let emptied = json!([{"op": "replace", "path": "/webhooks/1/clientConfig/caBundle", "value": ""}]).to_string();
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
    // While the new certificates settled, the old ones were served and trusted: nobody was without. How many of the two
    // before were served still depends on how fast the Secret was broken again.
    let trusted = installation.published().unwrap().len();
    assert!((2..=3).contains(&trusted), "{trusted}");
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
    let delete = || {
        CLUSTER.kubectl(&["delete", "secret", SECRET, "--namespace", installation.namespace]).ok();
    };
    // As a backup that is restored, or a tool that has its own mind, would.
    let put_back = || installation.patch_secret(&json!({"data": first}));
    let table: [(&str, &dyn Fn()); 2] = [("deleted", &delete), ("put back", &put_back)];
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
    installation.patch_secret(&json!({"immutable": true}));

    // The certificate of three months is valid for longer than it is to be.
    let other = installation.replica(&["--certificate-lifetime-secs=86400"]);
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
    let emptied = r#"[{"op": "remove", "path": "/webhooks/1/clientConfig/caBundle"}]"#;
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

/// A CA of somebody else, in PEM.
fn authority() -> String {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

/// Pods that are created without a pause, and handshakes with every replica by what is published.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Vec<String>)>,
}

impl Load {
    fn start(installation: &Installation, replicas: &[&Webhook]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (namespace, configuration) = (installation.namespace, installation.configuration());
        let replicas: Vec<SocketAddr> = replicas.iter().map(|replica| replica.address()).collect();
        let thread = thread::spawn(move || {
            let client = CLUSTER.client();
            let path = format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{configuration}");
            let (mut created, mut faults) = (0, Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                match client.dry_run(namespace, &simple_pod("p", IMAGE)) {
                    Ok(pod) if image(&pod) == "cache.example.com/k8s/app:1" => created += 1,
                    Ok(pod) => faults.push(format!("not rewritten: {}", image(&pod))),
                    Err(error) => faults.push(error.to_string()),
                }
                let configuration = client.get(&path).expect("the configuration");
                let bundle = certificates(&configuration["webhooks"][1]["clientConfig"]["caBundle"]);
                let shown = replicas.iter().map(|&replica| handshake(replica, "127.0.0.1", &bundle));
                faults.extend(shown.filter_map(Result::err).map(|error| error.to_string()));
            }
            (created, faults)
        });
        Self { stop, thread }
    }

    #[track_caller]
    fn assert_nothing_lost(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (created, faults) = self.thread.join().expect("the load runs until it is stopped");
        assert!(created > 100, "{created}");
        assert_eq!(faults, [""; 0], "of {created}");
        println!("{created} Pods created, none lost");
    }
}

fn sha256(certificate: &CertificateDer<'_>) -> String {
    Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn foreign_and_revoked_cas_are_trusted_no_more() {
    let installation = Installation::new("certificates-revoked");
    let mut replicas = [installation.replica(&[]), installation.replica(&[])];
    installation.register(&replicas.each_ref());
    installation.wait_until_in_order(&replicas.each_ref(), || true);
    let load = Load::start(&installation, &replicas.each_ref());
    let namespace = installation.namespace;
    let delete = || CLUSTER.kubectl(&["delete", "secret", SECRET, "--namespace", namespace]).ok();

    // A CA of somebody else, in the Secret and in caBundle; it outlives no deletion of the Secret either.
    let planted = authority();
    let of_both = |own: &Value| {
        let own = String::from_utf8(BASE64_STANDARD.decode(own.as_str().unwrap()).unwrap()).unwrap();
        BASE64_STANDARD.encode(format!("{planted}{own}"))
    };
    let ca = certificates(&json!(BASE64_STANDARD.encode(&planted))).remove(0);
    let secret = installation.secret().unwrap();
    installation.patch_secret(&json!({"data": {"ca.crt": of_both(&secret["data"]["ca.crt"])}}));
    let took = installation.wait_until_gone(&ca);
    println!("planted in the Secret: gone after {took:?}");
    let [_, ours] = installation.bundles();
    let patch = json!([{"op": "replace", "path": "/webhooks/1/clientConfig/caBundle", "value": of_both(&ours)}]);
    let configuration = installation.configuration();
    let before = installation.secret().map(|secret| secret["data"]["tls.crt"].clone());
    let patch = patch.to_string();
    CLUSTER.kubectl(&["patch", "mutatingwebhookconfiguration", &configuration, "--type=json", "--patch", &patch]).ok();
    delete();
    let took = installation.wait_until_gone(&ca);
    println!("planted in caBundle: gone after {took:?}");
    let is_new = || installation.secret().map(|secret| secret["data"]["tls.crt"].clone()) != before;
    installation.wait_until_in_order(&replicas.each_ref(), is_new);
    assert!(!installation.published().unwrap().contains(&ca));

    // A key leaked.
    let leaked = installation.ca();
    let revoke = format!("pullthrough.dev/revoke={}", sha256(&leaked));
    CLUSTER.kubectl(&["annotate", "secret", SECRET, "--namespace", namespace, &revoke]).ok();
    let took = installation.wait_until_gone(&leaked);
    println!("revoked: gone after {took:?}");
    installation.wait_until_in_order(&replicas.each_ref(), || true);

    // Likewise for a person, once renewed and once revoked.
    let before = installation.ca();
    let (code, text) = installation.rotate(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("still trusted {}", sha256(&before))), "{text}");
    assert!(installation.published().unwrap().contains(&before));
    installation.wait_until_in_order(&replicas.each_ref(), || true);
    let revoked = installation.published().unwrap();
    let (code, text) = installation.rotate(&["--revoke"]);
    assert_eq!(code, Some(0), "{text}");
    let published = installation.published().unwrap();
    for ca in &revoked {
        assert!(text.contains(&format!("not trusted   {}", sha256(ca))), "{text}");
        assert!(!published.contains(ca));
    }
    load.assert_nothing_lost();

    // A replica that is gone holds nothing up.
    replicas[1].stop();
    let start = Instant::now();
    let (code, text) = installation.rotate(&["--revoke"]);
    assert_eq!(code, Some(0), "{text}");
    println!("revoked without one of the replicas: gone after {:?}", start.elapsed());
    assert!(start.elapsed() < MINUTE);
    assert_eq!(installation.published().unwrap().len(), 1);
}

#[test]
fn a_rotation_that_cannot_be_is_told() {
    let installation = Installation::new("certificates-rotate");
    let replica = installation.replica(&[]);
    installation.register(&[&replica]);
    installation.wait_until_in_order(&[&replica], || true);
    let annotate = |value: &str| {
        let annotation = format!("pullthrough.dev/revoke={value}");
        let annotate =
            ["annotate", "--overwrite", "secret", SECRET, "--namespace", installation.namespace, &annotation];
        CLUSTER.kubectl(&annotate).ok();
    };
    annotate("all");
    replica.wait_for_log(r#"the annotation pullthrough.dev/revoke has \"all\"; write the SHA-256 of a CA certificate"#);
    annotate("");
    replica.wait_for_log("certificate renewal works again");

    drop(replica);
    let table: [(&[&str], i32, &str); 3] = [
        (&["--timeout=1"], 1, "not rotated within 1 s; check with `pullthrough doctor` that replicas run"),
        (&["--secret=other"], 2, "this needs permission to get secrets in namespace certificates-rotate"),
        (&["--timeout=0"], 2, "0 is not in 1..=3600"),
    ];
    for (arguments, expected, part) in table {
        let (code, text) = installation.rotate(arguments);
        assert_eq!(code, Some(expected), "{text}");
        assert!(text.contains(part), "{text}");
    }
    let admin = CLUSTER.kubeconfig();
    let admin = ["--kubeconfig", admin.to_str().unwrap()];
    let output = Command::new(env!("CARGO_BIN_EXE_pullthrough")).args(["certificates", "rotate"]).args(admin).output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("there is no Secret pullthrough-tls in namespace pullthrough; name the one"), "{text}");
}
