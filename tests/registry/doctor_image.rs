//! `pullthrough doctor --image` without a cluster, through the binary.

use serde_json::{Value, json};

use super::content::Store;
use super::faults::faults;
use super::program::{Said, run};
use super::server::{Server, error};

/// A cache with its upstream, and a folder for files.
struct Scene {
    folder: tempfile::TempDir,
    image: String,
    cache: Server,
    _upstream: Server,
}

impl Scene {
    async fn new(product: &str, cache: Server) -> Self {
        let (folder, store) = (tempfile::tempdir().unwrap(), Store::new());
        let upstream = Server::plain(move |seen| store.answer(seen)).await;
        let rules = json!({
            "apiVersion": "pullthrough.dev/v1alpha1", "kind": "Rules",
            "caches": [{"prefix": cache.host(), "product": product}],
            "rules": [{"name": "hub", "from": [upstream.host()], "to": format!("{}/hub", cache.host())}],
        });
        std::fs::write(folder.path().join("rules.yaml"), rules.to_string()).unwrap();
        Self { folder, image: format!("{}/app:1", upstream.host()), cache, _upstream: upstream }
    }

    async fn serving(product: &str) -> Self {
        let store = Store::new();
        Self::new(product, Server::plain(move |seen| store.answer(seen)).await).await
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    async fn doctor(&self, image: &str, arguments: &[&str]) -> Said {
        let rules = self.folder.path().join("rules.yaml").display().to_string();
        let all = [&["doctor", "--image", image, "--no-cluster", "--rules", &rules], arguments].concat();
        run(&all, &[], "").await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        self.doctor(&self.image, &[&["-o", "json"], arguments].concat()).await.line()
    }
}

fn causes(report: &Value) -> Vec<&str> {
    report["image"]["causes"].as_array().unwrap().iter().map(|cause| cause["cause"].as_str().unwrap()).collect()
}

fn findings(report: &Value) -> Vec<&Value> {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().flat_map(|check| check["findings"].as_array().unwrap()).collect()
}

fn ids(report: &Value) -> Vec<&str> {
    findings(report).iter().map(|finding| finding["id"].as_str().unwrap()).collect()
}

#[track_caller]
fn has_fact(report: &Value, text: &str) {
    let checks = report["checks"].as_array().unwrap();
    let mut facts = checks.iter().flat_map(|check| check["facts"].as_array().unwrap());
    assert!(facts.any(|fact| fact.as_str().unwrap().contains(text)), "{text}: {report:#}");
}

/// The table of faults of `verify`.
#[tokio::test]
async fn the_cause_of_each_fault_is_named() {
    let faults = faults().await;
    let mut wrong = Vec::new();
    for fault in &faults {
        let rules = fault.rules();
        let mut arguments = vec!["doctor", "--image", &fault.image, "--no-cluster", "--rules", &rules, "-o", "json"];
        arguments.extend(fault.arguments.iter().map(String::as_str));
        arguments.extend(fault.platforms.iter().flat_map(|platforms| ["--platform", *platforms]));
        let said = run(&arguments, &fault.variables, "").await;
        let report = said.line();
        let found = (report["image"]["status"].as_str(), causes(&report));
        let proof = report["image"]["digest_proof"].as_str().filter(|_| fault.status == "served");
        if found != (Some(fault.status), fault.causes.clone()) || proof != fault.proof {
            wrong.push(format!("{}: {report}", fault.name));
        }
        // A stale tag is normal for a cache.
        let code = i32::from(fault.proof != Some("stale"));
        assert_eq!(said.code, code, "{}: {said:?}", fault.name);
        let id = if fault.status == "served" { "image-differs" } else { "image-not-served" };
        assert_eq!(ids(&report).iter().filter(|one| **one == id).count(), 1, "{}: {report}", fault.name);
        assert!(!format!("{said:?}").contains("hunter"), "{}: {said:?}", fault.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(faults.len() >= 24, "{}", faults.len());
}

#[tokio::test]
async fn the_chain_of_a_served_image_is_on_one_page() {
    let scene = Scene::serving("distribution").await;
    let said = scene.doctor(&scene.image, &["--anonymous"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    let name = format!("{}/hub/app:1", scene.cache.host());
    for text in [
        &format!("image {}, namespace default\nserved\n", scene.image),
        &format!("             rule hub: {name}\n"),
        "             looked for in: nothing (--anonymous)\n",
        &format!("             {} (distribution): served; answer: 200\n", scene.cache.host()),
        "             platforms: linux/amd64, linux/arm64/v8\n",
        "upstream: Does the upstream serve the image?  ok\n",
        "nodes: How do nodes ask for the name?  ok\n",
        "\nhealthy: 0 errors, 0 warnings, 0 notes\n",
    ] {
        assert!(said.stdout.contains(text), "{text}: {}", said.stdout);
    }
    assert!(said.stderr.starts_with(&format!("note: {} (distribution) is asked for 1 image", scene.cache.host())));
    let page = std::fs::read_to_string("docs/reference/doctor.md").unwrap();
    let report = scene.json(&[]).await;
    let keys = report["image"].as_object().unwrap().keys().filter(|key| !page.contains(&format!("`{key}`")));
    assert_eq!(keys.collect::<Vec<_>>(), [""; 0]);
    assert_eq!(report["server"], Value::Null);
}

/// The fix of the product, with its source, is before the general one.
#[tokio::test]
async fn the_vendors_fix_is_named_with_its_source() {
    let cache = Server::plain(|_| error(403, "DENIED", "no")).await;
    let scene = Scene::new("ecr", cache).await;
    let report = scene.json(&[]).await;
    let first = &report["image"]["causes"][0];
    assert_eq!(first["cause"], "rights");
    assert!(first["fix"].as_str().unwrap().contains("`ecr:BatchImportUpstreamImage`"), "{first}");
    assert!(first["source"].as_str().unwrap().starts_with("https://docs.aws.amazon.com/"), "{first}");
    let finding = findings(&report)[0];
    let (what, fix) = (finding["what"].as_str().unwrap(), finding["fix"].as_str().unwrap());
    assert!(what.contains("\n1. the credentials have no right") && what.contains("\n2. "), "{what}");
    assert!(fix.starts_with("1. for first pulls, allow") && fix.contains("\n2. "), "{fix}");
    has_fact(&report, "403 of ecr: The role lacks a right");
}

#[tokio::test]
async fn credentials_are_named_and_never_printed() {
    let scene = Scene::serving("generic").await;
    let login = |host: &str| json!({"auths": {host: {"username": "jane", "password": "hunter2"}}}).to_string();
    let right = scene.file("right.json", &login(&scene.cache.host()));
    let other = scene.file("other.json", &login("other.example.com"));
    let report = scene.json(&["--pull-secret", &right, "--pull-secret", &other]).await;
    has_fact(&report, &format!("--pull-secret {right}: key {}", scene.cache.host()));
    has_fact(&report, &format!("--pull-secret {other}: no key matches {}/hub/app", scene.cache.host()));
    has_fact(&report, &format!("the cache's answer is for: pull credentials, key {}", scene.cache.host()));
    assert!(!report.to_string().contains("hunter2"));
    has_fact(&scene.json(&[]).await, "nodes do not use these; set --pull-secret");
}

#[tokio::test]
async fn the_configuration_of_a_node_is_read() {
    let scene = Scene::serving("generic").await;
    has_fact(&scene.json(&[]).await, "containerd's hosts.toml: not read; set --containerd-hosts");
    let hosts = scene.folder.path().join("certs.d").display().to_string();
    let folder = format!("certs.d/{}_{}_", "127.0.0.1", scene.cache.address.port());
    let arguments = ["--containerd-hosts", &*hosts];
    std::fs::create_dir_all(&hosts).unwrap();
    has_fact(&scene.json(&arguments).await, &format!("nothing for {}", scene.cache.host()));
    scene.file(&format!("{folder}/hosts.toml"), "server = \"https://elsewhere.example\"\nca = \"/ca.crt\"\n");
    has_fact(&scene.json(&arguments).await, "hosts.toml: https://elsewhere.example, CA /ca.crt");
    scene.file(&format!("{folder}/hosts.toml"), "server = ");
    let report = scene.json(&arguments).await;
    assert_eq!((ids(&report), &report["verdict"]), (vec!["mirror-configuration-invalid"], &json!("faults")));
}

/// containerd 2.3 and later give up after 30 s.
#[tokio::test]
async fn a_cache_that_imports_before_it_answers_is_noted() {
    for (product, expected) in [("zot", vec!["first-pull-too-slow"]), ("harbor", vec![])] {
        let report = Scene::serving(product).await.json(&[]).await;
        assert_eq!(ids(&report), expected, "{product}");
    }
}

#[tokio::test]
async fn images_that_no_rule_sends_to_a_cache_are_asked_of_the_upstream() {
    let scene = Scene::serving("generic").await;
    let missing = Server::plain(|_| error(404, "MANIFEST_UNKNOWN", "manifest unknown")).await;
    for (image, code, expected) in [
        (format!("{}/a:1", missing.host()), 1, vec!["image-not-rewritten", "image-not-served"]),
        (format!("{}/hub/app:1", scene.cache.host()), 0, vec![]),
        ("Not An Image".to_owned(), 1, vec!["image-invalid"]),
    ] {
        let said = scene.doctor(&image, &["-o", "json"]).await;
        let report = said.line();
        assert_eq!((said.code, ids(&report)), (code, expected), "{report:#}");
    }
    assert_eq!(missing.lines(), ["HEAD /v2/a/manifests/1"]);
}

#[tokio::test]
async fn wrong_usage_is_an_error() {
    let scene = Scene::serving("generic").await;
    for (arguments, told) in [
        (vec!["doctor", "--image", "a", "--no-cluster"], "--rules <FILE>"),
        (vec!["doctor", "--anonymous"], "--image <IMAGE>"),
        (vec!["doctor", "--image-namespace", "a"], "--image <IMAGE>"),
        (vec!["doctor", "--image", "a", "--probe-namespace", "b"], "cannot be used with"),
        (vec!["doctor", "--image", "a", "--read-pull-secrets", "--anonymous"], "cannot be used with"),
        (vec!["doctor", "--image", "a", "--kubeconfig", "/nonexistent"], "the kubeconfig /nonexistent: not found"),
    ] {
        let said = run(&arguments, &[], "").await;
        assert_eq!((said.code, &*said.stdout), (2, ""), "{arguments:?} {said:?}");
        assert!(said.stderr.contains(told), "{arguments:?} {said:?}");
    }
    let said = scene.doctor("a", &["--pull-secret", "/nonexistent", "-o", "json"]).await;
    let report = said.line();
    assert_eq!((said.code, &report["verdict"]), (2, &json!("failed")), "{said:?}");
    assert!(report["error"].as_str().unwrap().contains("--pull-secret /nonexistent is unreadable"), "{report}");
}
