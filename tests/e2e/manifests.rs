//! What `manifests/` renders to, applied to a real API server.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::harness::{ControlPlane, Options};

/// The overlay own-certificates, applied.
static INSTALLED: LazyLock<Installation> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("cp").arg("-r").arg(manifests("")).arg(folder.path()));
    let overlay = folder.path().join("manifests/overlays/own-certificates");
    run(Command::new(format!("{ROOT}/certs/dev.sh")).arg(&overlay));
    Installation { authority: fs::read(overlay.join("ca.crt")).unwrap(), ..Installation::of(&overlay, |_| true) }
});

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const NAMESPACE: &str = "pullthrough";

#[test]
fn the_authority_of_own_certificates_is_registered() {
    let secret = INSTALLED.get("secret", "pullthrough-tls");
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let registration = INSTALLED.get("mutatingwebhookconfiguration", "zz-pullthrough");
    let ca_bundle = registration["webhooks"][0]["clientConfig"]["caBundle"].as_str().unwrap();
    assert_eq!(BASE64_STANDARD.decode(ca_bundle).unwrap(), INSTALLED.authority);
}

#[test]
fn cert_manager_is_asked_for_what_is_mounted() {
    // Its own resources can't be applied without cert-manager.
    let is_of_cert_manager = |object: &Value| object["apiVersion"] == "cert-manager.io/v1";
    let installation = Installation::of(&manifests("overlays/cert-manager"), |object| !is_of_cert_manager(object));
    let registration = installation.get("mutatingwebhookconfiguration", "zz-pullthrough");
    assert_eq!(registration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"], "pullthrough/pullthrough");

    let rendered = &installation.rendered;
    let certificate = &rendered.get("Certificate", "pullthrough")["spec"];
    let service = &registration["webhooks"][0]["clientConfig"]["service"];
    let host = format!("{}.{}.svc", service["name"].as_str().unwrap(), service["namespace"].as_str().unwrap());
    assert_eq!(certificate["dnsNames"], json!([host, format!("{host}.cluster.local")]));
    let pod = &rendered.get("Deployment", "pullthrough")["spec"]["template"]["spec"];
    let mounted = entry(&pod["volumes"], "tls");
    assert_eq!(certificate["secretName"], mounted["secret"]["secretName"]);

    let authority = &rendered.get("Issuer", certificate["issuerRef"]["name"].as_str().unwrap())["spec"]["ca"];
    let authority_certificate = &rendered.get("Certificate", "pullthrough-ca")["spec"];
    assert_eq!(authority["secretName"], authority_certificate["secretName"]);
    rendered.get("Issuer", authority_certificate["issuerRef"]["name"].as_str().unwrap());
    let mut namespaces =
        rendered.0.iter().filter(|object| is_of_cert_manager(object)).map(|object| &object["metadata"]["namespace"]);
    assert!(namespaces.all(|namespace| namespace == NAMESPACE));
}

#[test]
fn what_belongs_together_finds_each_other() {
    let deployment = INSTALLED.get("deployment", "pullthrough");
    let pod = &deployment["spec"]["template"];
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    let labels = pod["metadata"]["labels"].as_object().unwrap();
    let selects =
        |selector: &Value| selector.as_object().unwrap().iter().all(|label| labels.get(label.0) == Some(label.1));

    let service = INSTALLED.get("service", "pullthrough");
    assert!(selects(&service["spec"]["selector"]));
    assert!(selects(&INSTALLED.get("poddisruptionbudget", "pullthrough")["spec"]["selector"]["matchLabels"]));
    assert!(selects(&pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]));

    let container = &pod["spec"]["containers"][0];
    let https = entry(&container["ports"], service["spec"]["ports"][0]["targetPort"].as_str().unwrap());
    assert_eq!((&service["spec"]["ports"][0]["port"], &https["containerPort"]), (&json!(443), &json!(8443)));
    let registered =
        &INSTALLED.get("mutatingwebhookconfiguration", "zz-pullthrough")["webhooks"][0]["clientConfig"]["service"];
    assert_eq!(registered, &json!({"name": "pullthrough", "namespace": NAMESPACE, "path": "/mutate", "port": 443}));

    let rules = fs::read_to_string(manifests("base/rules.yaml")).unwrap();
    let volume = entry(&pod["spec"]["volumes"], "rules");
    assert_eq!(INSTALLED.get("configmap", volume["configMap"]["name"].as_str().unwrap())["data"]["rules.yaml"], rules);
    let mounts = container["volumeMounts"].as_array().unwrap();
    assert!(mounts.iter().all(|mount| mount.get("subPath").is_none()));
    let service_account = INSTALLED.get("serviceaccount", pod["spec"]["serviceAccountName"].as_str().unwrap());
    assert_eq!(service_account["automountServiceAccountToken"], false);
}

#[test]
fn pod_security_restricted_lets_the_pods_in() {
    let enforced = "pod-security.kubernetes.io/enforce";
    assert_eq!(INSTALLED.get("namespace", NAMESPACE)["metadata"]["labels"][enforced], "restricted");

    let mut pod = INSTALLED.rendered.get("Deployment", "pullthrough")["spec"]["template"].clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = "pullthrough".into();
    let create = ["create", "-n", NAMESPACE, "--dry-run=server", "--validate=strict", "-f", "-"];
    let output = INSTALLED.cluster.kubectl_with(&create, &pod.to_string());
    assert_eq!(output.stderr, "");
    output.ok();

    pod["spec"]["securityContext"]["runAsNonRoot"] = Value::Null;
    let refusal = INSTALLED.cluster.kubectl_with(&create, &pod.to_string()).err();
    assert!(refusal.contains("violates PodSecurity \"restricted"), "{refusal}");
}

#[test]
fn serve_knows_the_arguments_of_the_deployment() {
    let pod = &INSTALLED.rendered.get("Deployment", "pullthrough")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let arguments: Vec<_> =
        container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect();
    let (command, flags) = arguments.split_first().unwrap();
    let flags: Vec<_> = flags.iter().map(|flag| flag.split_once('=').unwrap()).collect();

    let help = run(pullthrough().args([command, "--help"]));
    let known: BTreeSet<_> = help.split_whitespace().filter(|word| word.starts_with("--")).collect();
    let unknown: Vec<_> = flags.iter().filter(|(name, _)| !known.contains(name)).collect();
    assert!(unknown.is_empty(), "pullthrough {command} has no {unknown:?}:\n{help}");

    let value = |name| flags.iter().find(|flag| flag.0 == name).unwrap_or_else(|| panic!("no {name}")).1;
    let seconds = |name| value(name).parse::<u64>().unwrap();
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(seconds("--drain-delay-secs") + seconds("--shutdown-timeout-secs") < grace);

    for (flag, port) in [("--listen", "https"), ("--metrics-listen", "metrics")] {
        let port = &entry(&container["ports"], port)["containerPort"];
        assert_eq!(value(flag), format!("[::]:{port}"));
    }
    for (flag, volume) in [("--rules", "rules"), ("--tls-cert", "tls"), ("--tls-key", "tls")] {
        let mounted = entry(&container["volumeMounts"], volume)["mountPath"].as_str().unwrap();
        assert_eq!(Path::new(value(flag)).parent(), Some(Path::new(mounted)));
    }
}

#[test]
fn the_rules_are_valid() {
    run(pullthrough().args(["check", "--rules"]).arg(manifests("base/rules.yaml")));
}

/// A cluster of its own, since a registration is for all of a cluster, where a folder of manifests is applied.
struct Installation {
    cluster: ControlPlane,
    rendered: Objects,
    /// PEM.
    authority: Vec<u8>,
}

impl Installation {
    #[track_caller]
    fn of(folder: &Path, is_applied: impl Fn(&Value) -> bool) -> Installation {
        let cluster = ControlPlane::start(&Options::default()).unwrap_or_else(|error| panic!("{error:#}"));
        let yaml = cluster.kubectl(&["kustomize", folder.to_str().unwrap()]).ok();
        let objects: Vec<_> = serde_saphyr::from_multiple(&yaml).unwrap_or_else(|error| panic!("{error}:\n{yaml}"));
        let rendered = Objects(objects);

        let items: Vec<_> = rendered.0.iter().filter(|object| is_applied(object)).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        let output = cluster.kubectl_with(&["apply", "--validate=strict", "-f", "-"], &list.to_string());
        assert_eq!(output.stderr, "");
        output.ok();
        Installation { cluster, rendered, authority: Vec::new() }
    }

    #[track_caller]
    fn get(&self, kind: &str, name: &str) -> Value {
        self.cluster.kubectl(&["get", kind, name, "-n", NAMESPACE, "-o", "json"]).json()
    }
}

/// What a folder renders to.
struct Objects(Vec<Value>);

impl Objects {
    #[track_caller]
    fn get(&self, kind: &str, name: &str) -> &Value {
        let found = self.0.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}"))
    }
}

fn manifests(path: &str) -> PathBuf {
    Path::new(ROOT).join("manifests").join(path)
}

/// The entry of a list that has the name.
#[track_caller]
fn entry<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().into_iter().flatten().find(|entry| entry["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

fn pullthrough() -> Command {
    Command::new(env!("CARGO_BIN_EXE_pullthrough"))
}

/// Runs a command that has to succeed, and returns what it wrote to stdout.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?} failed ({}):\n{stdout}{stderr}", output.status);
    stdout
}
