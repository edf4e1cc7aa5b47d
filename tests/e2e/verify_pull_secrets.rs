//! `pullthrough verify --read-pull-secrets`: a cluster whose Pods have right, wrong, unusable and no pull Secrets.

use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cache::{Cache, PASSWORD, basic};
use crate::harness::wait_for;
use crate::scene::rules;
use crate::{CLUSTER, DEADLINE};

const WRONG: &str = "wr0ng-passw0rd";
/// In a Secret whose `auth` is not base64.
const BROKEN: &str = "br0ken!auth";

/// A cluster with namespaces of its own, and the rules for a cache.
struct Scene {
    prefix: &'static str,
    cache: Cache,
    folder: TempDir,
}

struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }
}

fn apply(object: &Value) {
    CLUSTER.kubectl_with(&["apply", "-f", "-"], &object.to_string()).ok();
}

impl Scene {
    fn new(prefix: &'static str, of_rule: &str) -> Self {
        let (cache, folder) = (Cache::start(), tempfile::tempdir().expect("a folder"));
        let entry = format!(
            "  - {{name: kubernetes, from: [registry.k8s.io], to: \"{}/k8s\", imagePullSecrets: [{of_rule}]}}\n",
            cache.host
        );
        std::fs::write(folder.path().join("rules.yaml"), rules("", &entry)).expect("a file");
        Self { prefix, cache, folder }
    }

    /// The image under its name at the cache.
    fn image(&self) -> String {
        format!("{}/k8s/app:1", self.cache.host)
    }

    fn namespace(&self, name: &str) -> String {
        let namespace = format!("{}-{name}", self.prefix);
        CLUSTER.create_namespace(&namespace);
        namespace
    }

    /// Creates a pull Secret with an entry for the cache.
    fn secret(&self, namespace: &str, name: &str, entry: &Value) {
        let auths = json!({"auths": {self.cache.host.as_str(): entry}}).to_string();
        apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
            "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": auths},
        }));
    }

    fn account(namespace: &str, name: &str, secrets: &Value) {
        apply(&json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace},
            "imagePullSecrets": secrets,
        }));
    }

    fn pod(namespace: &str, image: &str, secrets: &Value) {
        apply(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": namespace},
            "spec": {"containers": [{"name": "app", "image": image}], "imagePullSecrets": secrets},
        }));
    }

    /// Creates a Deployment, whose template has this spec besides its container.
    fn deployment(namespace: &str, image: &str, mut spec: Value) {
        spec["containers"] = json!([{"name": "app", "image": image}]);
        let labels = json!({"app": "web"});
        apply(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": namespace},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
        }));
    }

    /// Runs the command with a kubeconfig. No output has a password, in any form.
    fn verify(&self, kubeconfig: &std::path::Path, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.args(["verify", "--no-upstream", "--rules"]).arg(self.folder.path().join("rules.yaml"));
        command.arg("--kubeconfig").arg(kubeconfig).args(arguments).env("DOCKER_CONFIG", "/nonexistent");
        let output = command.output().expect("the binary runs");
        let [stdout, stderr] =
            [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        for password in [PASSWORD, WRONG, BROKEN] {
            let encoded = BASE64_STANDARD.encode(password);
            let of_login = basic("jane", password);
            for secret in [password, encoded.trim_end_matches('='), of_login.trim_start_matches("Basic ")] {
                assert!(!stdout.contains(secret) && !stderr.contains(secret), "{secret}: {stdout}{stderr}");
            }
        }
        Said { code: output.status.code().expect("an exit code"), stdout, stderr }
    }
}

fn of_namespaces(namespaces: &[String]) -> Vec<&str> {
    namespaces.iter().flat_map(|namespace| ["--namespace", namespace.as_str()]).collect()
}

#[test]
fn images_are_asked_for_with_the_pull_secrets_of_their_pods() {
    let scene = Scene::new("ps", "pull");
    let image = scene.image();
    let right = json!({"username": "jane", "password": PASSWORD});
    let pull = json!([{"name": "pull"}]);

    let of_pod = scene.namespace("pod");
    scene.secret(&of_pod, "pull", &right);
    Scene::pod(&of_pod, &image, &pull);
    // A template has the Secrets of its service account, if it names none.
    let of_account = scene.namespace("account");
    scene.secret(&of_account, "mirror", &json!({"auth": BASE64_STANDARD.encode(format!("jane:{PASSWORD}"))}));
    Scene::account(&of_account, "puller", &json!([{"name": "mirror"}]));
    Scene::deployment(&of_account, &image, json!({"serviceAccountName": "puller"}));
    // The webhook adds the Secrets of the rule, where it rewrites.
    let of_rule = scene.namespace("rule");
    scene.secret(&of_rule, "pull", &right);
    Scene::account(&of_rule, "default", &json!([]));
    Scene::deployment(&of_rule, "registry.k8s.io/app:1", json!({}));
    let wrong = scene.namespace("wrong");
    scene.secret(&wrong, "pull", &json!({"username": "jane", "password": WRONG}));
    Scene::account(&wrong, "default", &json!([{"name": "unused"}]));
    Scene::deployment(&wrong, &image, json!({"imagePullSecrets": pull}));
    let none = scene.namespace("none");
    Scene::pod(&none, &image, &json!([]));
    Scene::deployment(&none, &image, json!({"serviceAccountName": "gone"}));
    let broken = scene.namespace("broken");
    scene.secret(&broken, "broken", &json!({"auth": BROKEN}));
    CLUSTER
        .kubectl(&["create", "secret", "generic", "opaque", "-n", &broken, &format!("--from-literal=a={PASSWORD}")])
        .ok();
    Scene::pod(&broken, &image, &json!([{"name": "broken"}, {"name": "opaque"}, {"name": "absent"}]));

    let admin = CLUSTER.kubeconfig();
    let namespaces = [of_pod, of_account, of_rule, wrong, none, broken];
    let selected = of_namespaces(&namespaces);
    let with = |arguments: &[&'static str]| [&selected[..], &["--read-pull-secrets"], arguments].concat();
    let said = scene.verify(&admin, &with(&["-o", "json"]));
    assert_eq!(said.code, 0, "{}", said.stderr);
    let found: Vec<Value> = said
        .lines()
        .iter()
        .map(|line| json!([line["status"], line["causes"][0]["cause"], line["places"], line["pull_secrets"]]))
        .collect();
    let entry = |namespace: &str, secrets: &[&str], unusable: &[&str]| json!({"namespace": format!("ps-{namespace}"), "secrets": secrets, "unusable": unusable});
    let expected = [
        json!([
            "served",
            null,
            3,
            [entry("account", &["mirror"], &[]), entry("pod", &["pull"], &[]), entry("rule", &["pull"], &[])]
        ]),
        json!([
            "denied",
            "no_credentials",
            3,
            [entry("broken", &[], &["broken", "opaque", "absent"]), entry("none", &[], &[])]
        ]),
        json!(["denied", "login", 1, [entry("wrong", &["pull"], &[])]]),
    ];
    for one in &expected {
        assert!(found.contains(one), "{one}\n{found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    // Three namespaces have the right login, and it is sent for one question: HEAD, then GET.
    let logins = scene.cache.logins();
    let sent = |login: &str| logins.iter().filter(|one| *one == login).count();
    assert_eq!(sent(&basic("jane", PASSWORD)), 2, "{logins:?}");
    assert!(sent(&basic("jane", WRONG)) > 0, "{logins:?}");

    for part in [
        "Secret ps-broken/absent: it does not exist",
        "ServiceAccount ps-none/gone: it does not exist",
        "Secret ps-broken/opaque: its type is Opaque",
        "Secret ps-broken/broken: `auth` of ",
        "so the kubelet pulls no image for Pods with it; write base64 of USER:PASSWORD",
    ] {
        assert!(said.stderr.contains(part), "{part}\n{}", said.stderr);
    }
    assert!(!said.stderr.contains("ps-wrong/unused"), "{}", said.stderr);

    // The reports for people name the Secrets.
    let [table, markdown] = ["table", "markdown"].map(|format| scene.verify(&admin, &with(&["-o", format])).stdout);
    let of_broken = "ps-broken/broken (unusable), ps-broken/opaque (unusable), ps-broken/absent (unusable), none in namespace ps-none";
    for part in [of_broken, "ps-wrong/pull", "counted once for each set of pull credentials"] {
        assert!(table.contains(part), "{part}\n{table}");
    }
    assert!(markdown.contains("pull Secrets: ps-wrong/pull"), "{markdown}");

    // A gate fails for the image; without such an image, for the Secrets that can't be used.
    let said = scene.verify(&admin, &with(&["--fail-on", "denied"]));
    assert_eq!(said.code, 1, "{}", said.stderr);
    let said = scene.verify(&admin, &with(&["--fail-on", "missing"]));
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(
        said.stderr.contains("error: pull credentials are incomplete, since 4 objects can't be used"),
        "{}",
        said.stderr
    );
    let said = scene.verify(
        &admin,
        &[&of_namespaces(&namespaces[..3])[..], &["--read-pull-secrets", "--fail-on", "denied"]].concat(),
    );
    assert_eq!(said.code, 0, "{}", said.stderr);
    // Without the option, Secrets are not read.
    let said = scene.verify(&admin, &[&selected[..], &["-o", "json"]].concat());
    let found: Vec<Value> = said.lines().iter().map(|line| json!([line["status"], line["pull_secrets"]])).collect();
    assert_eq!(found, [json!(["denied", null])], "{}", said.stderr);
}

/// Secrets are read by name, each once. A user without permissions learns which are missing.
#[test]
fn secrets_are_read_by_name_with_the_permission_to_get_them() {
    let scene = Scene::new("psr", "");
    let image = scene.image();
    let namespace = scene.namespace("a");
    scene.secret(&namespace, "pull", &json!({"username": "jane", "password": PASSWORD}));
    Scene::pod(&namespace, &image, &json!([{"name": "pull"}]));
    Scene::account(&namespace, "puller", &json!([{"name": "pull"}]));
    Scene::deployment(&namespace, &image, json!({"serviceAccountName": "puller"}));
    // The Secrets of other images are not read.
    apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other", "namespace": namespace},
        "spec": {"containers": [{"name": "app", "image": "quay.io/app:1"}], "imagePullSecrets": [{"name": "other"}]},
    }));
    for (user, verbs) in [("blind", ""), ("reader", "secrets,serviceaccounts")] {
        CLUSTER.kubectl(&["create", "serviceaccount", user, "-n", &namespace]).ok();
        let user = format!("{namespace}:{user}");
        let bind = |name: &str, verb: &str, resources: &str| {
            let resources = format!("--resource={resources}");
            CLUSTER.kubectl(&["create", "role", name, "-n", &namespace, verb, &resources]).ok();
            let (role, user) = (format!("--role={name}"), format!("--serviceaccount={user}"));
            CLUSTER.kubectl(&["create", "rolebinding", name, "-n", &namespace, &role, &user]).ok();
        };
        let name = user.replace(':', "-");
        bind(
            &format!("{name}-list"),
            "--verb=list",
            "pods,podtemplates,replicationcontrollers,deployments.apps,statefulsets.apps,daemonsets.apps,replicasets.apps,jobs.batch,cronjobs.batch",
        );
        if !verbs.is_empty() {
            bind(&format!("{name}-get"), "--verb=get", verbs);
        }
    }
    let verify = |user: &str| {
        let kubeconfig = CLUSTER.service_account_kubeconfig(&namespace, user).expect("a kubeconfig");
        scene.verify(&kubeconfig, &["--namespace", &namespace, "--read-pull-secrets", "-o", "json"])
    };
    let said = verify("blind");
    let found: Vec<Value> = said.lines().iter().map(|line| json!([line["status"], line["pull_secrets"]])).collect();
    let use_of = |secrets: &[&str], unusable: &[&str]| json!([{"namespace": namespace, "secrets": secrets, "unusable": unusable}]);
    assert_eq!(found, [json!(["denied", use_of(&[], &["pull"])])], "{}", said.stderr);
    for part in [
        format!("Secret {namespace}/pull: forbidden"),
        format!("ServiceAccount {namespace}/puller: forbidden"),
        "resources: [secrets], verbs: [get]".to_owned(),
        "resources: [serviceaccounts], verbs: [get]".to_owned(),
    ] {
        assert!(said.stderr.contains(&part), "{part}\n{}", said.stderr);
    }
    let said = verify("reader");
    let found: Vec<Value> = said.lines().iter().map(|line| json!([line["status"], line["pull_secrets"]])).collect();
    assert_eq!(found, [json!(["served", use_of(&["pull"], &[])])], "{}", said.stderr);

    // The event of the last request may be late.
    let user = format!("system:serviceaccount:{namespace}:reader");
    let requests = wait_for(DEADLINE, || {
        let events = CLUSTER.audit_events().into_iter().filter(|event| event["user"]["username"] == user.as_str());
        let of_secrets = |event: &Value| {
            let reference = &event["objectRef"];
            let resource = reference["resource"].as_str()?.to_owned();
            matches!(&*resource, "secrets" | "serviceaccounts")
                .then(|| format!("{} {resource} {}", event["verb"].as_str().unwrap_or_default(), reference["name"]))
        };
        let mut requests: Vec<String> = events.filter_map(|event| of_secrets(&event)).collect();
        requests.sort();
        (requests.len() >= 2).then_some(requests)
    });
    assert_eq!(requests.expect("audit events"), ["get secrets \"pull\"", "get serviceaccounts \"puller\""]);
}

#[test]
fn manifests_and_lists_have_no_pull_secrets_in_a_cluster() {
    let scene = Scene::new("psm", "");
    let file = scene.folder.path().join("images.txt");
    std::fs::write(&file, "registry.k8s.io/app:1\n").expect("a file");
    let file = file.display().to_string();
    for arguments in [&[file.as_str()][..], &["--images", &file]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.args(["verify", "--read-pull-secrets", "--rules"]).arg(scene.folder.path().join("rules.yaml"));
        let output = command.args(arguments).output().expect("the binary runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("remove PATH and --images, or save the Secret"), "{stderr}");
    }
}
