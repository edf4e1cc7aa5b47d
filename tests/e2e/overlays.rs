//! The overlays of `manifests/`, applied to a real API server.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::installation::{NAMESPACE, Objects, ROOT, WEBHOOK_CONFIGURATION, entry, manifests, publish};
use crate::harness::{ControlPlane, Options, Output};

const OVERLAYS: [&str; 6] =
    ["self-managed", "cert-manager", "own-certificates", "high-availability", "fail-closed", "monitoring"];
/// API servers of GKE have this configuration.
const CRITICAL_PODS_NEED_A_QUOTA: &str = "
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
  - name: ResourceQuota
    configuration:
      apiVersion: apiserver.config.k8s.io/v1
      kind: ResourceQuotaConfiguration
      limitedResources:
        - resource: pods
          matchScopes:
            - {scopeName: PriorityClass, operator: In, values: [system-node-critical, system-cluster-critical]}
";

/// A copy of `manifests/` with user-provided certificates, as its README requires.
struct Copy(TempDir);

impl Copy {
    fn new() -> Copy {
        let folder = tempfile::tempdir().unwrap();
        run(Command::new("cp").arg("-r").arg(manifests("")).arg(folder.path()));
        let copy = Copy(folder);
        run(Command::new(format!("{ROOT}/certs/dev.sh")).arg(copy.0.path().join("manifests/overlays/own-certificates")));
        copy
    }

    /// Returns the objects of an overlay with a component.
    fn render_with(&self, cluster: &ControlPlane, overlay: &str, component: &str) -> Objects {
        let folder = format!("{overlay}-{component}");
        let path = self.0.path().join(&folder);
        fs::create_dir(&path).unwrap();
        let text = format!(
            "resources: [../manifests/overlays/{overlay}]\ncomponents: [../manifests/components/{component}]\n"
        );
        fs::write(path.join("kustomization.yaml"), text).unwrap();
        self.render(cluster, &folder)
    }

    /// Returns the objects of a folder.
    fn render(&self, cluster: &ControlPlane, folder: &str) -> Objects {
        Objects::parse(&cluster.kubectl(&["kustomize", self.0.path().join(folder).to_str().unwrap()]).ok())
    }
}

/// Applies the overlays one after the other, in a cluster with strict settings.
#[test]
fn every_overlay_installs_what_belongs_together() {
    let copy = Copy::new();
    let configuration = copy.0.path().join("admission.yaml");
    fs::write(&configuration, CRITICAL_PODS_NEED_A_QUOTA).unwrap();
    let arguments = vec![format!("--admission-control-config-file={}", configuration.display())];
    let cluster = ControlPlane::start(&Options { arguments, ..Options::default() }).unwrap_or_else(|e| panic!("{e:#}"));
    let authority = fs::read(copy.0.path().join("manifests/overlays/own-certificates/ca.crt")).unwrap();

    for overlay in OVERLAYS {
        println!("{overlay}");
        let rendered = copy.render(&cluster, &format!("manifests/overlays/{overlay}"));
        let list = rendered.list();
        assert_quiet(cluster.kubectl_with(&["apply", "--validate=strict", "-f", "-"], &list.to_string()));
        let installation = Installation { cluster: &cluster, rendered: &rendered, overlay };

        installation.references_meet();
        installation.rights_are_those_of_its_certificates();
        installation.network_is_as_closed_as_its_certificates_allow();
        installation.pods_are_let_in();
        match overlay {
            "cert-manager" => installation.asks_cert_manager_for_what_is_mounted(),
            "own-certificates" => installation.publishes_the_authority(&authority),
            "fail-closed" => installation.refuses_outside_of_kube_system(),
            _ => {}
        }
        if overlay != "own-certificates" {
            installation.keeps_the_authority_that_others_fill_in();
        }
        installation.warns_about_templates_with_the_component(&copy);

        // No controller runs that would complete the deletion of the namespace.
        let mut items = list["items"].as_array().unwrap().clone();
        items.retain(|object| object["kind"] != "Namespace");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        cluster.kubectl_with(&["delete", "-f", "-"], &list.to_string()).ok();
    }
}

struct Installation<'a> {
    cluster: &'a ControlPlane,
    rendered: &'a Objects,
    overlay: &'a str,
}

impl Installation<'_> {
    #[track_caller]
    fn get(&self, kind: &str, name: &str) -> Value {
        self.cluster.kubectl(&["get", kind, name, "-n", NAMESPACE, "-o", "json"]).json()
    }

    fn is_self_managed(&self) -> bool {
        !["cert-manager", "own-certificates"].contains(&self.overlay)
    }

    /// The webhook for templates has the client and the namespaces of the one for Pods, and the guard lets its CA be published.
    fn warns_about_templates_with_the_component(&self, copy: &Copy) {
        let rendered = copy.render_with(self.cluster, self.overlay, "warn-templates");
        let list = rendered.list();
        let objects = list["items"].as_array().unwrap();
        let of = |kind: &str| objects.iter().find(move |object| object["kind"] == kind);
        let registration = of("MutatingWebhookConfiguration").unwrap();
        self.cluster.kubectl_with(&["apply", "--dry-run=server", "-f", "-"], &registration.to_string()).ok();
        let webhooks = registration["webhooks"].as_array().unwrap();
        assert_eq!(
            webhooks.iter().map(|one| &one["name"]).collect::<Vec<_>>(),
            ["rewrite.pullthrough.dev", "warn.pullthrough.dev"]
        );
        for field in ["clientConfig", "namespaceSelector"] {
            assert_eq!(webhooks[0][field], webhooks[1][field], "{}: {field}", self.overlay);
        }
        assert_eq!(webhooks[1]["failurePolicy"], "Ignore", "{}", self.overlay);
        let mut guards = objects.iter().filter(|object| object["kind"] == "ValidatingAdmissionPolicy");
        let names = "['rewrite.pullthrough.dev', 'warn.pullthrough.dev']";
        let is_allowed = guards.any(|guard| guard.to_string().contains(names));
        assert_eq!(is_allowed, self.is_self_managed(), "{}", self.overlay);
    }

    fn references_meet(&self) {
        let deployment = self.get("deployment", "pullthrough");
        let pod = &deployment["spec"]["template"];
        let is_available = ["high-availability", "fail-closed"].contains(&self.overlay);
        assert_eq!(deployment["spec"]["replicas"], if is_available { 3 } else { 2 });
        assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"], json!({"maxSurge": 1, "maxUnavailable": 0}));
        let labels = pod["metadata"]["labels"].as_object().unwrap();
        let selects =
            |selector: &Value| selector.as_object().unwrap().iter().all(|label| labels.get(label.0) == Some(label.1));

        let service = self.get("service", "pullthrough");
        assert!(selects(&service["spec"]["selector"]));
        for kind in ["poddisruptionbudget", "deployment"] {
            assert!(selects(&self.get(kind, "pullthrough")["spec"]["selector"]["matchLabels"]));
        }
        assert!(selects(&self.get("networkpolicy", "pullthrough")["spec"]["podSelector"]["matchLabels"]));
        assert!(selects(&pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]));
        let apart = &pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        assert_eq!(apart.is_array(), is_available);
        assert!(!is_available || selects(&apart[0]["labelSelector"]["matchLabels"]));

        let container = &pod["spec"]["containers"][0];
        let https =
            entry(&container["ports"], entry(&service["spec"]["ports"], "https")["targetPort"].as_str().unwrap());
        assert_eq!((&service["spec"]["ports"][0]["port"], &https["containerPort"]), (&json!(443), &json!(8443)));
        let registration = self.get("mutatingwebhookconfiguration", "zz-pullthrough");
        let called = &registration["webhooks"][0]["clientConfig"]["service"];
        assert_eq!(called, &json!({"name": "pullthrough", "namespace": NAMESPACE, "path": "/mutate", "port": 443}));
        assert!(registration["webhooks"].get(1).is_none(), "Argo CD must ignore the caBundle of the first webhook");

        let rules = fs::read_to_string(manifests("base/rules.yaml")).unwrap();
        let volume = entry(&pod["spec"]["volumes"], "rules");
        assert_eq!(self.get("configmap", volume["configMap"]["name"].as_str().unwrap())["data"]["rules.yaml"], rules);
        let mounts = container["volumeMounts"].as_array().unwrap();
        assert!(mounts.iter().all(|mount| mount.get("subPath").is_none()));

        for monitor in self.rendered.find("ServiceMonitor") {
            let labels = &service["metadata"]["labels"];
            let wanted = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
            assert!(wanted.iter().all(|(label, value)| labels[label] == *value));
            let port = entry(&service["spec"]["ports"], monitor["spec"]["endpoints"][0]["port"].as_str().unwrap());
            entry(&container["ports"], port["targetPort"].as_str().unwrap());
        }
        for kind in ["ServiceMonitor", "PrometheusRule"] {
            assert_eq!(self.rendered.find(kind).count(), usize::from(self.overlay == "monitoring"));
        }
    }

    /// Compares the permissions in the manifests with the answers of the API server.
    fn rights_are_those_of_its_certificates(&self) {
        let kinds = [
            ("Role", 1),
            ("RoleBinding", 1),
            ("ClusterRole", 1),
            ("ClusterRoleBinding", 1),
            // tests/e2e/guard.rs tests these policies.
            ("ValidatingAdmissionPolicy", 2),
            ("ValidatingAdmissionPolicyBinding", 2),
        ];
        for (kind, count) in kinds {
            let expected = if self.is_self_managed() { count } else { 0 };
            assert_eq!(self.rendered.find(kind).count(), expected, "{kind}");
        }
        let pod = &self.get("deployment", "pullthrough")["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], self.is_self_managed());
        let service_account = self.get("serviceaccount", pod["serviceAccountName"].as_str().unwrap());
        assert_eq!(service_account["automountServiceAccountToken"], false);

        let may = |verb: &str, what: &str, namespace: &str| {
            let user = format!("system:serviceaccount:{NAMESPACE}:pullthrough");
            let question = ["auth", "can-i", verb, what, "--namespace", namespace, "--as", &user];
            self.cluster.kubectl(&question).stdout.trim() == "yes"
        };
        if self.is_self_managed() {
            let secrets = json!([
                {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["pullthrough-tls"], "verbs": ["get", "update"]},
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
            ]);
            assert_eq!(self.get("role", "pullthrough")["rules"], secrets);
            let registration = json!([{
                "apiGroups": ["admissionregistration.k8s.io"], "resources": ["mutatingwebhookconfigurations"],
                "resourceNames": ["zz-pullthrough"], "verbs": ["get", "update"],
            }]);
            assert_eq!(self.get("clusterrole", "pullthrough")["rules"], registration);
        }
        let registration = "mutatingwebhookconfigurations/zz-pullthrough";
        for (verb, what, namespace) in [
            ("get", "secrets/pullthrough-tls", NAMESPACE),
            ("update", "secrets/pullthrough-tls", NAMESPACE),
            ("create", "secrets", NAMESPACE),
            ("get", registration, NAMESPACE),
            ("update", registration, NAMESPACE),
        ] {
            assert_eq!(may(verb, what, namespace), self.is_self_managed(), "{verb} {what}");
        }
        for (verb, what, namespace) in [
            ("get", "secrets/other", NAMESPACE),
            ("list", "secrets", NAMESPACE),
            ("create", "secrets", "default"),
            ("get", "secrets/pullthrough-tls", "default"),
            ("delete", registration, NAMESPACE),
            ("update", "mutatingwebhookconfigurations/other", NAMESPACE),
        ] {
            assert!(!may(verb, what, namespace), "{verb} {what} in {namespace}");
        }
    }

    fn network_is_as_closed_as_its_certificates_allow(&self) {
        let policy = &self.get("networkpolicy", "pullthrough")["spec"];
        assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
        let ports: Vec<_> = policy["egress"].as_array().into_iter().flatten().map(|rule| &rule["ports"]).collect();
        assert_eq!(ports.is_empty(), !self.is_self_managed());
        let container = &self.get("deployment", "pullthrough")["spec"]["template"]["spec"]["containers"][0];
        for rule in policy["ingress"].as_array().unwrap() {
            entry(&container["ports"], rule["ports"][0]["port"].as_str().unwrap());
        }
    }

    /// The Pods meet Pod Security `restricted` without a warning. They are critical Pods, which need a quota in this cluster.
    fn pods_are_let_in(&self) {
        let enforced = "pod-security.kubernetes.io/enforce";
        assert_eq!(self.get("namespace", NAMESPACE)["metadata"]["labels"][enforced], "restricted");
        let mut pod = self.rendered.get("Deployment", "pullthrough")["spec"]["template"].clone();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["name"] = "pullthrough".into();
        let create = |pod: &Value| {
            let create = ["create", "-n", NAMESPACE, "--dry-run=server", "--validate=strict", "-f", "-"];
            self.cluster.kubectl_with(&create, &pod.to_string())
        };
        // No controller runs that would set this status.
        let hard = &self.get("resourcequota", "pullthrough")["spec"]["hard"];
        let status = json!({"status": {"hard": hard, "used": {"pods": "0"}}}).to_string();
        let patch = ["patch", "resourcequota/pullthrough", "-n", NAMESPACE, "--subresource=status", "--type=merge"];
        self.cluster.kubectl(&[&patch[..], &["--patch", &status]].concat()).ok();
        let mut let_in = create(&pod);
        // The API server reads the status after some time.
        let heard = crate::harness::wait_for(crate::DEADLINE, || {
            let_in = create(&pod);
            (!let_in.stderr.contains("status unknown for quota")).then_some(())
        });
        heard.unwrap_or_else(|error| panic!("{error}: {}", let_in.stderr));
        assert_quiet(let_in);

        let mut as_root = pod.clone();
        as_root["spec"]["securityContext"]["runAsNonRoot"] = Value::Null;
        let refusal = create(&as_root).err();
        assert!(refusal.contains("violates PodSecurity \"restricted"), "{refusal}");

        let mut elsewhere = pod;
        // In this namespace no overlay's webhook denies the Pod first.
        elsewhere["metadata"]["namespace"] = "kube-system".into();
        let create = ["create", "-n", "kube-system", "--dry-run=server", "-f", "-"];
        let refusal = self.cluster.kubectl_with(&create, &elsewhere.to_string()).err();
        assert!(refusal.contains("insufficient quota to match these scopes"), "{refusal}");
    }

    fn asks_cert_manager_for_what_is_mounted(&self) {
        let registration = self.get("mutatingwebhookconfiguration", "zz-pullthrough");
        assert_eq!(
            registration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"],
            "pullthrough/pullthrough"
        );
        let rendered = self.rendered;
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
        for kind in ["Certificate", "Issuer"] {
            assert_eq!(rendered.find(kind).filter(|object| object["metadata"]["namespace"] == NAMESPACE).count(), 2);
        }
    }

    fn publishes_the_authority(&self, authority: &[u8]) {
        assert_eq!(self.get("secret", "pullthrough-tls")["type"], "kubernetes.io/tls");
        let registration = self.get("mutatingwebhookconfiguration", "zz-pullthrough");
        let ca_bundle = registration["webhooks"][0]["clientConfig"]["caBundle"].as_str().unwrap();
        assert_eq!(BASE64_STANDARD.decode(ca_bundle).unwrap(), authority);
    }

    fn refuses_outside_of_kube_system(&self) {
        let webhook = &self.get("mutatingwebhookconfiguration", "zz-pullthrough")["webhooks"][0];
        assert_eq!(webhook["failurePolicy"], "Fail");
        assert_eq!(webhook["namespaceSelector"]["matchExpressions"][0]["values"], json!([NAMESPACE, "kube-system"]));
        let create = |namespace: &str| {
            let run = ["run", "p", "--image=registry.k8s.io/pause:3.10", "--dry-run=server", "--namespace", namespace];
            self.cluster.kubectl(&run)
        };
        let called = crate::harness::wait_for(crate::DEADLINE, || {
            let output = create("default");
            (!output.status.success()).then_some(output.stderr)
        });
        let refusal = called.expect("the webhook is unavailable, so the Pod is denied");
        assert!(refusal.contains("failed calling webhook \"rewrite.pullthrough.dev\""), "{refusal}");
        create("kube-system").ok();
    }

    /// The manifests have no `caBundle`. So applying them again shows no difference, and does not remove it.
    fn keeps_the_authority_that_others_fill_in(&self) {
        let ca_bundle = "cHVibGlzaGVk";
        publish(self.cluster, ca_bundle);
        let manifest = self.rendered.get("MutatingWebhookConfiguration", "zz-pullthrough").to_string();
        for how in [&[][..], &["--server-side", "--force-conflicts", "--field-manager=gitops"]] {
            assert_quiet(self.cluster.kubectl_with(&[&["diff", "-f", "-"], how].concat(), &manifest));
            self.cluster.kubectl_with(&[&["apply", "-f", "-"], how].concat(), &manifest).ok();
            let path = "--output=jsonpath={.webhooks[0].clientConfig.caBundle}";
            assert_eq!(self.cluster.kubectl(&["get", WEBHOOK_CONFIGURATION, path]).ok(), ca_bundle);
        }
    }
}

/// The commands are those of docs/start/install-with-kustomize.md.
#[test]
fn a_kustomization_of_ones_own_changes_rules_image_and_replicas() {
    let copy = Copy::new();
    let own = copy.0.path().join("own");
    fs::create_dir(&own).unwrap();
    let rules = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\n";
    fs::write(own.join("rules.yaml"), rules).unwrap();
    for overlay in OVERLAYS {
        let kustomization = json!({
            "resources": [format!("../manifests/overlays/{overlay}")],
            "configMapGenerator": [
                {"name": "pullthrough-rules", "namespace": NAMESPACE, "behavior": "merge", "files": ["rules.yaml"]},
            ],
            "images": [{"name": "ghcr.io/pullthrough/pullthrough", "newName": "registry.example.com/p", "newTag": "test"}],
            "replicas": [{"name": "pullthrough", "count": 5}],
            "components": ["../manifests/components/probe-caches", "../manifests/components/cache-credentials"],
        });
        fs::write(own.join("kustomization.yaml"), kustomization.to_string()).unwrap();
        let rendered = copy.render(&crate::CLUSTER, "own");
        assert_eq!(rendered.get("ConfigMap", "pullthrough-rules")["data"], json!({"rules.yaml": rules}));
        let deployment = &rendered.get("Deployment", "pullthrough")["spec"];
        assert_eq!(deployment["replicas"], 5);
        let pod = &deployment["template"]["spec"];
        assert_eq!(pod["containers"][0]["image"], "registry.example.com/p:test");
        let last = |list: &serde_json::Value| list.as_array().unwrap().last().unwrap().clone();
        assert_eq!(
            last(&pod["containers"][0]["args"]),
            "--pull-secret=/etc/pullthrough/pull-secrets/.dockerconfigjson"
        );
        assert_eq!(last(&pod["volumes"])["secret"]["secretName"], "pullthrough-cache-credentials");
        let egress = last(&rendered.get("NetworkPolicy", "pullthrough")["spec"]["egress"]);
        assert_eq!(egress["ports"], json!([{"port": 443, "protocol": "TCP"}]));
    }
    // Monitoring can be combined with any other overlay.
    let kustomization = json!({"resources": ["../manifests/overlays/fail-closed", "../manifests/monitoring"]});
    fs::write(own.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    copy.render(&crate::CLUSTER, "own").get("PrometheusRule", "pullthrough");
}

#[test]
fn serve_knows_the_arguments_of_every_deployment() {
    let copy = Copy::new();
    for overlay in OVERLAYS {
        let rendered = copy.render(&crate::CLUSTER, &format!("manifests/overlays/{overlay}"));
        let pod = &rendered.get("Deployment", "pullthrough")["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let arguments: Vec<_> =
            container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect();
        let (command, flags) = arguments.split_first().unwrap();
        let flags: Vec<_> = flags.iter().map(|flag| flag.split_once('=').unwrap_or((flag, ""))).collect();

        let help = run(pullthrough().args([command, "--help"]));
        let known: BTreeSet<_> = help.split_whitespace().filter(|word| word.starts_with("--")).collect();
        let unknown: Vec<_> = flags.iter().filter(|(name, _)| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "{overlay}: pullthrough {command} has no {unknown:?}:\n{help}");

        let value = |name| flags.iter().find(|flag| flag.0 == name).unwrap_or_else(|| panic!("no {name}")).1;
        let seconds = |name| value(name).trim_end_matches('s').parse::<u64>().unwrap();
        let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
        assert!(seconds("--drain-delay") + seconds("--shutdown-timeout") < grace);

        for (flag, port) in [("--listen", "https"), ("--metrics-listen", "metrics")] {
            let port = &entry(&container["ports"], port)["containerPort"];
            assert_eq!(value(flag), format!("[::]:{port}"));
        }
        let files: Vec<_> = flags.iter().filter(|(_, value)| value.starts_with('/')).collect();
        assert!(!files.is_empty());
        for (flag, file) in files {
            let volume = flag.trim_start_matches("--").split('-').next().unwrap();
            let mounted = entry(&container["volumeMounts"], volume)["mountPath"].as_str().unwrap();
            assert_eq!(Path::new(file).parent(), Some(Path::new(mounted)));
        }
    }
}

#[test]
fn the_rules_are_valid() {
    run(pullthrough().arg("check").arg(manifests("base/rules.yaml")));
}

fn pullthrough() -> Command {
    Command::new(env!("CARGO_BIN_EXE_pullthrough"))
}

/// Asserts that kubectl succeeded without a warning.
#[track_caller]
fn assert_quiet(output: Output) {
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}: {}{}",
        output.command,
        output.stdout,
        output.stderr
    );
}

/// Runs a command, which must succeed. Returns its standard output.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?} failed ({}):\n{stdout}{stderr}", output.status);
    stdout
}
