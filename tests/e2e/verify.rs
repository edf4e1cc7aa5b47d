//! `pullthrough verify` of a cluster: its Pods, its templates, and the platforms of its nodes.

use std::path::Path;
use std::process::Command;

use axum::http::Method;
use serde_json::{Value, json};

use crate::harness::{ControlPlane, Options};
use crate::registry::{self, Reply};
use crate::scan::yard::documented_role;
use crate::scene::rules;

const NAMESPACE: &str = "verify";
/// A user with the permissions that the documentation lists for `scan` and `verify`.
const VERIFIER: &str = "verifier";
/// A user who may read Pods in one namespace.
const READER: &str = "reader";
/// A user without permissions.
const BLIND: &str = "blind";

/// Returns the output of the command.
fn verify(kubeconfig: &Path, rules: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
    command.args(["verify", "--rules", rules, "--kubeconfig"]).arg(kubeconfig).args(arguments);
    let output = command.env("DOCKER_CONFIG", "/nonexistent").output().expect("the binary runs");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
    (output.status.code().expect("an exit code"), stdout, stderr)
}

/// Starts a registry whose images have the platform linux/amd64, and those that `is_whole` linux/arm64 too.
fn registry_of(is_whole: fn(&str) -> bool) -> String {
    registry::start(move |head| {
        let path = head.split_whitespace().nth(1).unwrap_or_default();
        let architectures: &[&str] = if is_whole(path) { &["amd64", "arm64"] } else { &["amd64"] };
        let child = |architecture: &&str| {
            json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1,
                "digest": format!("sha256:{}", architecture[..1].repeat(64)),
                "platform": {"os": "linux", "architecture": architecture},
            })
        };
        let children: Vec<Value> = architectures.iter().map(child).collect();
        Reply::index(json!({"schemaVersion": 2, "mediaType": registry::INDEX_TYPE, "manifests": children}).to_string())
    })
}

/// Creates a node as its kubelet reports it; without an architecture, as before its first report.
fn create_node(cluster: &ControlPlane, name: &str, architecture: Option<&str>) {
    let client = cluster.client();
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    let mut node = client.post("/api/v1/nodes", &node).expect("a node");
    let Some(architecture) = architecture else { return };
    let text = |key: &str| (key.to_owned(), json!("x"));
    let others = ["machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion"];
    let mut info: serde_json::Map<String, Value> = others.into_iter().map(text).collect();
    info.extend(["kubeletVersion", "kubeProxyVersion"].map(text));
    info.extend([("operatingSystem".to_owned(), json!("linux")), ("architecture".to_owned(), json!(architecture))]);
    node["status"]["nodeInfo"] = Value::Object(info);
    let path = format!("/api/v1/nodes/{name}/status");
    client.request(Method::PUT, &path, node.to_string().into_bytes()).expect("its status");
}

fn create_pod(cluster: &ControlPlane, name: &str, image: &str) {
    let spec = json!({"containers": [{"name": "app", "image": image}]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
    cluster.client().post(&format!("/api/v1/namespaces/{NAMESPACE}/pods"), &pod).expect("a Pod");
}

fn line<'l>(lines: &'l [Value], image: &str) -> &'l Value {
    let is_of = |line: &&Value| line["upstream"].as_str().is_some_and(|upstream| upstream.ends_with(image));
    lines.iter().find(is_of).unwrap_or_else(|| panic!("{image}: {lines:#?}"))
}

#[test]
fn images_of_pods_need_the_platforms_of_the_nodes() {
    let users = vec![(VERIFIER, "verifiers"), (READER, "readers"), (BLIND, "nobody")];
    let cluster = ControlPlane::start(&Options { users, ..Options::default() }).expect("a control plane");
    cluster.create_namespace(NAMESPACE);
    create_node(&cluster, "intel", Some("amd64"));
    let cache = registry_of(|path| path.contains("/whole/"));
    let upstream = registry_of(|path| !path.contains("/single/"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml").display().to_string();
    let entry = format!("  - {{name: hub, from: [\"{upstream}\"], to: \"{cache}/hub\"}}\n");
    let caches = format!("caches: [{{prefix: \"{cache}\", product: harbor}}]\n");
    std::fs::write(&file, rules(&caches, &entry)).expect("a file");
    for name in ["whole", "half", "single"] {
        create_pod(&cluster, name, &format!("{upstream}/{name}/app:1"));
    }
    create_pod(&cluster, "second", &format!("{upstream}/half/app:1"));
    create_pod(&cluster, "other", "registry.example.com/app:1");
    let admin = cluster.kubeconfig();
    let json = |kubeconfig: &Path, arguments: &[&str]| {
        let (code, stdout, stderr) = verify(kubeconfig, &file, &[&["-o", "json"], arguments].concat());
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        (code, stdout.lines().map(parse).collect::<Vec<Value>>(), stderr)
    };

    // One platform is enough while all nodes have it.
    let (code, lines, stderr) = json(&admin, &["--fail-on", "missing"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("note: platforms that each image must have: linux/amd64\n"), "{stderr}");
    assert!(lines.len() == 3 && lines.iter().all(|line| line["status"] == "served"), "{lines:#?}");

    create_node(&cluster, "arm", Some("arm64"));
    create_node(&cluster, "new", None);
    cluster.kubectl_with(&["create", "-f", "-"], documented_role()).ok();
    let bind = ["create", "clusterrolebinding", "verify", "--clusterrole=pullthrough-scan", "--user=verifier"];
    cluster.kubectl(&bind).ok();
    let verifier = cluster.kubeconfig_of(VERIFIER);
    let (code, lines, stderr) = json(&verifier, &["--fail-on", "missing"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(!stderr.contains("skipped: "), "the documented role is not enough: {stderr}");
    for told in [
        "note: platforms that each image must have: linux/amd64, linux/arm64\n",
        "note: 1 node has not reported a platform; set --platform to require it\n",
        "--fail-on: 2 images missing\n",
    ] {
        assert!(stderr.contains(told), "{told}: {stderr}");
    }
    for (image, status, causes, missing, places) in [
        ("/whole/app:1", "served", vec![], json!([]), 1),
        ("/half/app:1", "missing", vec!["index_trimmed"], json!(["linux/arm64"]), 2),
        ("/single/app:1", "missing", vec!["platform_absent"], json!(["linux/arm64"]), 1),
    ] {
        let line = line(&lines, image);
        let found: Vec<_> =
            line["causes"].as_array().expect("causes").iter().filter_map(|cause| cause["cause"].as_str()).collect();
        assert_eq!((&line["status"], found), (&json!(status), causes), "{line:#}");
        assert_eq!((&line["missing_platforms"], &line["places"]), (&missing, &json!(places)), "{line:#}");
        assert!(line["place"].as_str().is_some_and(|place| place.starts_with("Pod verify/")), "{line:#}");
    }
    let (_, table, _) = verify(&verifier, &file, &[]);
    for told in [
        "  platform  missing: linux/arm64; served: linux/amd64\n",
        &format!("  image     {cache}/hub/half/app:1\n    for     {upstream}/half/app:1 (rule hub)\n"),
        " and 1 place more\n",
        "1 of 3 images served; 1 place not checked, since no rule sends the image to a cache\n",
    ] {
        assert!(table.contains(told), "{told}: {table}");
    }
    // An option replaces the platforms of the nodes.
    let (_, lines, _) = json(&verifier, &["--platform", "linux/amd64"]);
    assert!(lines.iter().all(|line| line["status"] == "served"), "{lines:#?}");

    // In one namespace, nodes are not read, and so their platforms are not required.
    let role = ["create", "role", "reader", "-n", NAMESPACE, "--verb=list", "--resource=pods"];
    cluster.kubectl(&role).ok();
    cluster.kubectl(&["create", "rolebinding", "reader", "-n", NAMESPACE, "--role=reader", "--user=reader"]).ok();
    let reader = cluster.kubeconfig_of(READER);
    let (code, lines, stderr) = json(&reader, &["--namespace", NAMESPACE]);
    assert!(code == 0 && lines.len() == 3 && lines.iter().all(|line| line["status"] == "served"), "{stderr}");
    assert!(stderr.contains("note: platforms are not checked; set --platform\n"), "{stderr}");
    assert!(stderr.contains("skipped: Deployments of namespace verify: "), "{stderr}");

    // A gate does not pass without what it may not read.
    let (code, lines, stderr) = json(&reader, &["--fail-on", "missing"]);
    assert!(code == 2 && lines.is_empty(), "{stderr}");
    let (code, _, stderr) = json(&cluster.kubeconfig_of(BLIND), &[]);
    assert_eq!(code, 2, "{stderr}");
    for told in ["Pods", "Nodes"] {
        let told = format!("skipped: {told}: ");
        assert!(stderr.contains(&told), "{told}: {stderr}");
    }
}

/// Objects are listed. The one that is read by its name is the webhook's.
#[test]
fn the_documented_role_only_lists() {
    let role: Value = serde_saphyr::from_str(documented_role()).expect("YAML");
    for rule in role["rules"].as_array().expect("rules") {
        let expected = if rule["resourceNames"].is_null() { json!(["list"]) } else { json!(["get"]) };
        assert_eq!(rule["verbs"], expected, "{rule}");
    }
    assert!(!role.to_string().contains("secrets"), "{role}");
}
