//! `pullthrough verify`, through the binary, against a cache and an upstream of the tests.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::content::{IMAGE, INDEX, Store, changed, is_amd64};
use super::program::{Said, run};
use super::server::{Answer, Ca, Seen, Server, acceptor, answer, error};

/// Runs the command with arguments and standard input.
pub async fn verify(arguments: &[&str], stdin: &str) -> Said {
    run(&[&["verify"], arguments].concat(), &[], stdin).await
}

/// The hosts of a scene and the rest of its rules file.
pub struct Scene {
    pub folder: TempDir,
    upstream: String,
}

impl Scene {
    /// Writes rules that send images of `upstream` to `to`.
    fn new(upstream: &str, to: &str, caches: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = json!({
            "apiVersion": "pullthrough.dev/v1alpha1", "kind": "Rules", "caches": caches,
            "rules": [{"name": "hub", "from": [upstream], "to": to}],
        });
        std::fs::write(folder.path().join("rules.yaml"), rules.to_string()).unwrap();
        Self { folder, upstream: upstream.to_owned() }
    }

    /// The rules file for a cache of a product.
    pub fn of(upstream: &Server, cache: &Server, product: &str) -> Self {
        let caches = json!([{"prefix": cache.host(), "product": product}]);
        Self::new(&upstream.host(), &format!("{}/hub", cache.host()), &caches)
    }

    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Asks for images of the upstream.
    pub async fn ask(&self, images: &[&str], arguments: &[&str]) -> Said {
        let rules = self.folder.path().join("rules.yaml").display().to_string();
        let list: String = images.iter().map(|image| format!("{}/{image}\n", self.upstream)).collect();
        verify(&[&["--rules", &rules, "--images", "-"], arguments].concat(), &list).await
    }

    async fn json(&self, images: &[&str], arguments: &[&str]) -> Said {
        self.ask(images, &[&["-o", "json"], arguments].concat()).await
    }
}

fn causes(line: &Value) -> Vec<&str> {
    line["causes"].as_array().unwrap().iter().map(|cause| cause["cause"].as_str().unwrap()).collect()
}

#[track_caller]
fn assert_found(said: &Said, status: &str, expected: &[&str]) {
    let line = said.line();
    assert_eq!((line["status"].as_str(), causes(&line)), (Some(status), expected.to_vec()), "{said:?}");
    assert_eq!(said.code, 0, "{said:?}");
}

fn not_found() -> Answer {
    error(404, "MANIFEST_UNKNOWN", "manifest unknown")
}

pub async fn upstream() -> Server {
    let store = Store::new();
    Server::plain(move |seen| store.answer(seen)).await
}

async fn of_status(status: u16) -> Server {
    Server::plain(move |_| answer(status, &[], "")).await
}

#[tokio::test]
async fn an_image_on_the_right_path_is_served() {
    let store = Store::new();
    let index = store.index.clone().unwrap();
    let (upstream, cache) = (upstream().await, Server::plain(move |seen| store.answer(seen)).await);
    let scene = Scene::of(&upstream, &cache, "distribution");
    let said = scene.json(&["app:1"], &["--platform", "linux/amd64,linux/arm64"]).await;
    assert_found(&said, "served", &[]);
    let line = said.line();
    let page = std::fs::read_to_string("docs/reference/verify.md").unwrap();
    let keys = line.as_object().unwrap().keys().filter(|key| !page.contains(&format!("`{key}`")));
    assert_eq!(keys.count(), 0, "{line}");
    assert_eq!(line["image"], format!("{}/hub/app:1", cache.host()));
    assert_eq!(line["upstream"], format!("{}/app:1", upstream.host()));
    assert_eq!((&line["digest"], &line["product"]), (&json!(index.as_str()), &json!("distribution")));
    assert_eq!(line["platforms"], json!(["linux/amd64", "linux/arm64/v8"]));
    // As a node asks, and the upstream is not asked.
    assert_eq!(
        cache.lines(),
        ["HEAD /v2/hub/app/manifests/1".to_owned(), format!("GET /v2/hub/app/manifests/{index}")]
    );
    assert_eq!(upstream.connections(), 0);
    let note = format!(
        "note: {} (distribution) is asked for 1 image: a request stores the manifest, but no layers\n",
        cache.host()
    );
    assert!(said.stderr.starts_with(&note), "{}", said.stderr);
}

/// Zot imports by each request, so it gets one; a digest is asked for as it is.
#[tokio::test]
async fn the_order_of_requests_is_the_products() {
    let store = Store::new();
    let digest = store.index.clone().unwrap();
    let (upstream, cache) = (upstream().await, Server::plain(move |seen| store.answer(seen)).await);
    for (product, image, expected) in [
        ("zot", "app:1".to_owned(), vec!["GET /v2/hub/app/manifests/1".to_owned()]),
        ("ecr", "app:1".to_owned(), vec!["GET /v2/hub/app/manifests/1".to_owned()]),
        ("zot", format!("app:1@{digest}"), vec![format!("GET /v2/hub/app/manifests/{digest}")]),
    ] {
        let before = cache.lines().len();
        assert_found(&Scene::of(&upstream, &cache, product).json(&[&image], &[]).await, "served", &[]);
        assert_eq!(cache.lines()[before..], expected, "{product}");
    }
}

#[tokio::test]
async fn a_404_is_cross_checked_with_the_upstream() {
    let cache = Server::plain(|_| not_found()).await;
    for (upstream, status, of_distribution, of_harbor) in [
        (
            upstream().await,
            "missing",
            vec!["path", "upstream_login", "upstream_limit", "upstream_failure"],
            vec!["path", "upstream_login", "upstream_failure", "upstream_limit"],
        ),
        (of_status(404).await, "missing", vec!["absent"], vec!["absent"]),
        (
            of_status(401).await,
            "unknown",
            vec!["upstream_login", "absent", "path", "upstream_limit", "upstream_failure"],
            vec!["upstream_login", "absent", "path", "upstream_failure", "upstream_limit"],
        ),
        (
            of_status(403).await,
            "unknown",
            vec!["upstream_login", "absent", "path", "upstream_limit", "upstream_failure"],
            vec!["upstream_login", "absent", "path", "upstream_failure", "upstream_limit"],
        ),
        (
            Server::plain(|_| answer(429, &[("retry-after", "600")], "")).await,
            "unknown",
            vec!["upstream_limit", "absent", "path", "upstream_login", "upstream_failure"],
            vec!["upstream_limit", "absent", "path", "upstream_login", "upstream_failure"],
        ),
        (
            of_status(500).await,
            "unknown",
            vec!["upstream_failure", "absent", "path", "upstream_login", "upstream_limit"],
            vec!["upstream_failure", "absent", "path", "upstream_login", "upstream_limit"],
        ),
    ] {
        assert_found(
            &Scene::of(&upstream, &cache, "distribution").json(&["app:1"], &[]).await,
            status,
            &of_distribution,
        );
        assert_found(&Scene::of(&upstream, &cache, "harbor").json(&["app:1"], &[]).await, status, &of_harbor);
    }
    // Without the upstream's answer, nothing is excluded.
    let nowhere = Scene::new(
        "127.0.0.1:1",
        &format!("{}/hub", cache.host()),
        &json!([{"prefix": cache.host(), "product": "distribution"}]),
    );
    let all = ["upstream_failure", "absent", "path", "upstream_login", "upstream_limit"];
    assert_found(&nowhere.json(&["app:1"], &[]).await, "unknown", &all);
    let all = ["absent", "path", "upstream_login", "upstream_limit", "upstream_failure"];
    assert_found(&nowhere.json(&["app:1"], &["--no-upstream"]).await, "unknown", &all);
}

/// The cache has the project `hub`, and the rules name another. Once one image of a path is served, the path is not the cause.
#[tokio::test]
async fn a_wrong_project_is_told_from_a_fault_of_the_upstream() {
    let (store, other) = (Store::new(), Store::new());
    let cache = Server::plain(move |seen| match seen.path.strip_prefix("/v2/hub/") {
        Some(rest) if !rest.starts_with("bad/") => store.answer(seen),
        _ => not_found(),
    })
    .await;
    let upstream = Server::plain(move |seen| other.answer(seen)).await;
    let caches = json!([{"prefix": cache.host(), "product": "harbor"}]);
    let scene = Scene::new(&upstream.host(), &format!("{}/hubb", cache.host()), &caches);
    let wrong = ["path", "upstream_login", "upstream_failure", "upstream_limit"];
    assert_found(&scene.json(&["app:1"], &[]).await, "missing", &wrong);
    let scene = Scene::of(&upstream, &cache, "harbor");
    let said = scene.json(&["bad/app:1", "app:1"], &[]).await;
    let lines = said.lines();
    assert_eq!(lines.iter().map(|line| line["status"].as_str().unwrap()).collect::<Vec<_>>(), ["missing", "served"]);
    assert_eq!(causes(&lines[0]), ["upstream_login", "upstream_failure", "upstream_limit"]);
}

#[tokio::test]
async fn a_missing_library_is_named() {
    let store = Store::new();
    let cache =
        Server::plain(move |seen| if seen.path.contains("/library/") { store.answer(seen) } else { not_found() }).await;
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yaml").display().to_string();
    for (pattern, to, status, first) in [
        (r"docker\.io/library/(.+)", "hub/$1", "unknown", "library_missing"),
        (r"docker\.io/(.+)", "hub/$1", "served", ""),
    ] {
        let document = json!({
            "apiVersion": "pullthrough.dev/v1alpha1", "kind": "Rules",
            "rules": [{"name": "hub", "pattern": pattern, "to": format!("{}/{to}", cache.host())}],
        });
        std::fs::write(&rules, document.to_string()).unwrap();
        let said = verify(&["--rules", &rules, "--images", "-", "--no-upstream", "-o", "json"], "nginx:1\n").await;
        let line = said.line();
        assert_eq!(line["status"], status, "{said:?}");
        assert_eq!(causes(&line).first().copied().unwrap_or_default(), first, "{said:?}");
    }
}

/// Returns a cache that requires a login with Basic.
async fn with_basic(user: &'static str, password: &'static str) -> Server {
    use base64::Engine as _;
    let store = Store::new();
    let expected = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}")));
    Server::plain(move |seen| match &seen.authorization {
        Some(found) if *found == expected && seen.path.contains("/secret/") => error(403, "DENIED", "no"),
        Some(found) if *found == expected => store.answer(seen),
        _ => {
            let mut denied = error(401, "UNAUTHORIZED", "authentication required");
            denied.headers_mut().insert("www-authenticate", "Basic realm=\"r\"".parse().unwrap());
            denied
        }
    })
    .await
}

#[tokio::test]
async fn denials_are_told_apart() {
    let (upstream, cache) = (upstream().await, with_basic("jane", "hunter2").await);
    let scene = Scene::of(&upstream, &cache, "distribution");
    let login = |password: &str| {
        scene.file(
            &format!("{password}.json"),
            &json!({"auths": {cache.host(): {"username": "jane", "password": password}}}).to_string(),
        )
    };
    let (right, expired) = (login("hunter2"), login("hunter1"));
    for (image, arguments, status, expected) in [
        ("app:1", vec!["--anonymous"], "denied", vec!["no_credentials"]),
        ("app:1", vec![], "denied", vec!["no_credentials"]),
        ("app:1", vec!["--pull-secret", &expired], "denied", vec!["login", "upstream_login"]),
        ("app:1", vec!["--pull-secret", &right], "served", vec![]),
        ("app:1", vec!["--docker-config", &right], "served", vec![]),
        ("secret/app:1", vec!["--pull-secret", &right], "denied", vec!["rights", "upstream_login"]),
    ] {
        let said = scene.json(&[image], &arguments).await;
        assert_found(&said, status, &expected);
        assert!(!format!("{said:?}").contains("hunter"), "{said:?}");
    }
}

#[tokio::test]
async fn the_plugin_of_a_node_gives_credentials() {
    let (upstream, cache) = (upstream().await, with_basic("plugin", "hunter2").await);
    let scene = Scene::of(&upstream, &cache, "distribution");
    let config = |secret: &str| {
        let provider = json!({
            "name": "credential-provider-1", "matchImages": [cache.host()], "defaultCacheDuration": "1m",
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "env": [{"name": "SECRET", "value": secret}, {"name": "RUNS", "value": "/dev/null"}, {"name": "PATH", "value": "/usr/bin:/bin"}],
        });
        let config = json!({"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig", "providers": [provider]});
        scene.file(&format!("{secret}.json"), &config.to_string())
    };
    let programs = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/registry/programs");
    for (secret, status, expected) in
        [("hunter2", "served", vec![]), ("hunter1", "denied", vec!["login", "upstream_login"])]
    {
        let config = config(secret);
        let arguments =
            ["--image-credential-provider-config", &config, "--image-credential-provider-bin-dir", programs];
        let said = scene.json(&["app:1"], &arguments).await;
        assert_found(&said, status, &expected);
        assert!(said.line()["credential"].as_str().is_some_and(|source| source.starts_with("credential provider")));
    }
}

/// An expired token of ECR is a 403 without a challenge.
#[tokio::test]
async fn a_denial_without_challenge_has_the_causes_of_its_product() {
    let (upstream, cache) = (upstream().await, Server::plain(|_| error(403, "DENIED", "token expired")).await);
    let said = Scene::of(&upstream, &cache, "ecr").json(&["app:1"], &[]).await;
    assert_found(&said, "denied", &["rights", "no_credentials"]);
    let scene = Scene::of(&upstream, &cache, "ecr");
    let auths = json!({"auths": {cache.host(): {"username": "AWS", "password": "hunter2"}}}).to_string();
    let file = scene.file("secret.json", &auths);
    let said = scene.json(&["app:1"], &["--pull-secret", &file]).await;
    assert_found(&said, "denied", &["rights", "login"]);
    // The vendor's fix has its source.
    let login = &said.line()["causes"][1];
    assert!(login["fix"].as_str().is_some_and(|fix| fix.contains("ecr-credential-provider")), "{login}");
    assert!(
        login["source"].as_str().is_some_and(|source| source.starts_with("https://docs.aws.amazon.com/")),
        "{login}"
    );
    let said = Scene::of(&upstream, &cache, "generic").json(&["app:1"], &["--pull-secret", &file]).await;
    assert!(said.line()["causes"].as_array().unwrap().iter().all(|cause| cause["source"].is_null()), "{said:?}");
}

/// distribution passes on a 401 of its upstream to a request by digest. The cache itself asks for no login.
#[tokio::test]
async fn a_401_of_the_upstream_is_told_from_the_caches_own() {
    let cache = Server::plain(|seen| match &*seen.path {
        "/v2/" => answer(200, &[], "{}"),
        _ => error(401, "UNAUTHORIZED", "authentication required"),
    })
    .await;
    let upstream = of_status(401).await;
    let image = format!("app@sha256:{}", "a".repeat(64));
    let said = Scene::of(&upstream, &cache, "distribution").json(&[&image], &[]).await;
    assert_found(&said, "denied", &["upstream_login"]);
}

#[tokio::test]
async fn a_rate_limit_ends_the_requests_for_the_same_upstream() {
    for (headers, expected) in
        [(vec![("retry-after", "600")], json!(600)), (vec![], Value::Null), (vec![("retry-after", "0")], json!(0))]
    {
        let upstream = upstream().await;
        let cache = Server::plain(move |_| answer(429, &headers, "")).await;
        let scene = Scene::of(&upstream, &cache, "harbor");
        let images: Vec<String> = (0..20).map(|index| format!("app:{index}")).collect();
        let images: Vec<&str> = images.iter().map(String::as_str).collect();
        let said = scene.json(&images, &["--concurrency", "1", "--fail-on", "rate_limited"]).await;
        assert_eq!(said.code, 1, "{said:?}");
        for line in said.lines() {
            assert_eq!((&line["status"], causes(&line)), (&json!("rate_limited"), vec!["upstream_limit"]));
            assert_eq!(line["retry_after_secs"], expected);
        }
        assert_eq!(said.lines().iter().filter(|line| line["inferred"] == true).count(), 19);
        assert!(cache.lines().len() <= 3, "{:?}", cache.lines());
        assert!(said.stderr.contains("--fail-on: 20 images rate_limited\n"), "{}", said.stderr);
    }
}

#[tokio::test]
async fn a_cache_that_is_unreachable_is_named_with_the_cause() {
    let (ca, store) = (Ca::new(), Store::new());
    let right = Server::tls(ca.acceptor(&["127.0.0.1"]), move |seen| store.answer(seen)).await;
    let wrong_name = Server::tls(ca.acceptor(&["harbor.example.com"]), |_| not_found()).await;
    let expired = ca.issue(&["127.0.0.1"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let expired = Server::tls(acceptor(&expired, None), |_| not_found()).await;
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.crt").display().to_string();
    std::fs::write(&ca_file, &ca.pem).unwrap();
    for (host, ca_file, status, expected) in [
        (right.host(), Some(&ca_file), "served", vec![]),
        (right.host(), None, "unreachable", vec!["unknown_ca"]),
        (wrong_name.host(), Some(&ca_file), "unreachable", vec!["wrong_certificate_name"]),
        (expired.host(), Some(&ca_file), "unreachable", vec!["certificate_time"]),
        ("127.0.0.1:1".to_owned(), None, "unreachable", vec!["connection_refused"]),
        ("cache.invalid".to_owned(), None, "unreachable", vec!["dns"]),
    ] {
        let mut cache = json!({"prefix": host, "product": "generic"});
        if let Some(file) = ca_file {
            cache["caFile"] = json!(file);
        }
        let scene = Scene::new("127.0.0.1:2", &format!("{host}/hub"), &json!([cache]));
        let said = scene.json(&["app:1"], &[]).await;
        assert_found(&said, status, &expected);
    }
    // The second image is not asked for.
    let scene = Scene::new("127.0.0.1:2", "127.0.0.1:1/hub", &json!([]));
    let said = scene.json(&["app:1", "app:2"], &["--concurrency", "1"]).await;
    assert_eq!(said.lines().iter().map(|line| line["inferred"].as_bool().unwrap()).collect::<Vec<_>>(), [false, true]);
    let said = scene.ask(&["app:1", "app:2"], &["--concurrency", "1"]).await;
    assert!(said.stdout.contains("\nunreachable 2 images at 127.0.0.1:1\n"), "{}", said.stdout);
    let text = scene.ask(&["app:1"], &[]).await.stdout;
    assert!(
        text.contains("127.0.0.1:1 refused the connection") && text.contains("\n    fix     start the cache"),
        "{text}"
    );
}

/// The harness' proxy connects every name to loopback.
#[tokio::test]
async fn plain_http_and_proxies_are_named() {
    let store = Store::new();
    let cache = Server::plain(move |seen| store.answer(seen)).await;
    let proxy = super::server::proxy(super::proxy::ProxyKind::Http, None);
    let host = cache.at("registry.example.com");
    let scene = Scene::new("127.0.0.1:2", &format!("{host}/hub"), &json!([]));
    let rules = scene.folder.path().join("rules.yaml").display().to_string();
    for (proxy, more, status, expected) in [
        (proxy.url(""), vec![], "unreachable", vec!["plain_http"]),
        (proxy.url(""), vec!["--plain-http", &host], "served", vec![]),
        ("http://127.0.0.1:1".to_owned(), vec![], "unreachable", vec!["proxy"]),
    ] {
        let arguments = [&["verify", "--rules", &rules, "--images", "-", "-o", "json"], &*more].concat();
        let variables = [("HTTPS_PROXY", proxy.clone()), ("HTTP_PROXY", proxy)];
        let line = run(&arguments, &variables, "127.0.0.1:2/app:1\n").await.line();
        assert_eq!((line["status"].as_str(), causes(&line)), (Some(status), expected), "{line}");
    }
}

/// A proxy or a portal that answers for the cache.
#[tokio::test]
async fn a_page_is_not_the_answer_of_a_registry() {
    let upstream = upstream().await;
    for (status, found, first) in
        [(200, "unknown", "not_a_registry"), (403, "denied", "not_a_registry"), (404, "missing", "not_a_registry")]
    {
        let cache =
            Server::plain(move |_| answer(status, &[("content-type", "text/html")], "<html>Please log in</html>"))
                .await;
        let line = Scene::of(&upstream, &cache, "harbor").json(&["app:1"], &[]).await.line();
        assert_eq!((line["status"].as_str(), causes(&line)[0]), (Some(found), first), "{line}");
    }
}

/// A disk that is full is a 500. Some causes of the upstream look alike.
#[tokio::test]
async fn faults_of_the_cache_have_the_causes_that_look_alike() {
    let upstream = upstream().await;
    for (status, expected) in [
        (500, vec!["upstream_failure", "upstream_login", "upstream_limit", "cache_failure"]),
        (502, vec!["upstream_failure", "cache_failure"]),
        (503, vec!["cache_failure"]),
        (507, vec!["cache_failure", "upstream_failure"]),
    ] {
        let cache = of_status(status).await;
        let said = Scene::of(&upstream, &cache, "distribution").json(&["app:1"], &[]).await;
        assert_found(&said, "unknown", &expected);
    }
}

#[tokio::test]
async fn a_slow_cache_is_a_timeout() {
    let upstream = upstream().await;
    let cache = Server::raw(|mut stream| async move {
        super::server::read_head(&mut stream).await;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    })
    .await;
    let said = Scene::of(&upstream, &cache, "zot").json(&["app:1"], &["--timeout", "1s"]).await;
    assert_found(&said, "unreachable", &["timeout"]);
}

#[tokio::test]
async fn a_missing_platform_is_the_images_or_the_caches() {
    let trimmed = || {
        Server::plain({
            let store = changed(is_amd64, "");
            move |seen| store.answer(seen)
        })
    };
    let whole = upstream().await;
    let platform = ["--platform", "linux/amd64,linux/arm64"];
    for (upstream, product, expected) in [
        (trimmed().await, "harbor", vec!["platform_absent"]),
        (whole, "harbor", vec!["index_trimmed"]),
        (of_status(500).await, "harbor", vec!["platform_absent", "index_trimmed"]),
    ] {
        let cache = trimmed().await;
        let scene = Scene::of(&upstream, &cache, product);
        let said = scene.json(&["app:1"], &platform).await;
        assert_found(&said, "missing", &expected);
        assert_eq!(said.line()["missing_platforms"], json!(["linux/arm64"]));
        assert_found(&scene.json(&["app:1"], &["--platform", "linux/amd64"]).await, "served", &[]);
    }
}

/// An image without an index has its platform in its configuration.
#[tokio::test]
async fn the_platform_of_an_image_without_an_index_is_read() {
    let upstream = upstream().await;
    let mut store = Store::new();
    let index: Value = serde_json::from_slice(&store.manifest_of(store.index.as_ref().unwrap())).unwrap();
    let child = index["manifests"][0]["digest"].as_str().unwrap();
    let child = store.manifest_of(&pullthrough::registry::Digest::parse(child).unwrap());
    store.index = Some(store.manifest(IMAGE, child));
    let cache = Server::plain(move |seen| store.answer(seen)).await;
    let scene = Scene::of(&upstream, &cache, "distribution");
    assert_found(&scene.json(&["app:1"], &["--platform", "linux/amd64"]).await, "served", &[]);
    let said = scene.json(&["app:1"], &["--platform", "linux/arm64"]).await;
    assert_found(&said, "missing", &["tag_stale", "index_trimmed"]);
}

#[tokio::test]
async fn digests_are_compared_with_the_upstreams() {
    let old = || changed(|_| true, "2026-10-01T00:00:00Z");
    let new = || changed(|_| true, "2026-10-13T00:00:00Z");
    // The upstream has both, and serves the new one for each tag.
    let both = || {
        let mut store = old();
        let index = new();
        store.index = Some(store.manifest(INDEX, index.manifest_of(index.index.as_ref().unwrap())));
        store
    };
    let other = || changed(|_| true, "2026-11-01T00:00:00Z");
    let trimmed = || changed(is_amd64, "");
    for (upstream, cache, result, finding) in [
        (Some(new()), new(), "equal", None),
        (Some(both()), old(), "stale", Some("stale")),
        (Some(new()), trimmed(), "trimmed", Some("trimmed")),
        (Some(new()), other(), "different", Some("different")),
        (None, new(), "unknown", None),
    ] {
        let upstream = match upstream {
            Some(store) => Server::plain(move |seen| store.answer(seen)).await,
            None => of_status(401).await,
        };
        let cache = Server::plain(move |seen| cache.answer(seen)).await;
        let scene = Scene::of(&upstream, &cache, "harbor");
        let said = scene.json(&["app:1"], &["--digest-proof"]).await;
        assert_found(&said, "served", &[]);
        let line = said.line();
        assert_eq!(line["digest_proof"]["result"], result, "{line}");
        let stale_secs = if result == "stale" { json!(12 * 86_400) } else { Value::Null };
        assert_eq!(line["digest_proof"]["stale_secs"], stale_secs, "{line}");
        let gate = scene.ask(&["app:1"], &["--digest-proof", "--fail-on", "stale,trimmed,different"]).await;
        let code = match (finding, result) {
            (Some(_), _) => 1,
            // A gate that could not compare fails.
            (None, "unknown") => 2,
            (None, _) => 0,
        };
        assert_eq!(gate.code, code, "{gate:?}");
        assert!(
            result == "equal"
                || gate.stdout.contains(&format!(
                    "{} {}",
                    if result == "unknown" { "not compared" } else { result },
                    cache.host()
                )),
            "{}",
            gate.stdout
        );
    }
}

/// Images of manifests, with those that no rule rewrites; and rules that only observe.
#[tokio::test]
async fn manifests_are_read_as_scan_reads_them() {
    let store = Store::new();
    let (upstream, cache) = (upstream().await, Server::plain(move |seen| store.answer(seen)).await);
    let scene = Scene::of(&upstream, &cache, "distribution");
    let rules = scene.folder.path().join("rules.yaml").display().to_string();
    let pod = |image: &str| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": image}]}});
    let images = [
        format!("{}/app:1", upstream.host()),
        format!("{}/app:1", upstream.host()),
        format!("{}/hub/app:1", cache.host()),
        "quay.io/other:1".to_owned(),
    ];
    let list =
        json!({"apiVersion": "v1", "kind": "List", "items": images.iter().map(|image| pod(image)).collect::<Vec<_>>()});
    let said = verify(&["--rules", &rules, "-"], &list.to_string()).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.contains("\n1 of 1 image served; 1 place not checked"), "{}", said.stdout);
    let said = verify(&["--rules", &rules, "-o", "json", "-"], &list.to_string()).await;
    assert_eq!(said.line()["places"], 3);

    let observing =
        std::fs::read_to_string(&rules).unwrap().replace("\"name\":\"hub\"", "\"name\":\"hub\",\"mode\":\"observe\"");
    let observing = scene.file("observing.yaml", &observing);
    let said = verify(&["--rules", &observing, "-o", "json", "-"], &list.to_string()).await;
    assert_eq!(said.line()["status"], "served");
    // A gate that inspected nothing fails.
    for (stdin, told) in
        [("", "nothing was inspected"), ("apiVersion: v1\nkind: Strange\nspec: {image: a.io/b:1}\n", "not understood")]
    {
        let said = verify(&["--rules", &rules, "--fail-on", "missing", "-"], stdin).await;
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.stderr.contains(told), "{said:?}");
    }
}

#[tokio::test]
async fn wrong_usage_is_an_error() {
    let scene = Scene::new(
        "127.0.0.1:2",
        "127.0.0.1:1/hub",
        &json!([{"prefix": "127.0.0.1:1", "caFile": "/nonexistent/ca.crt"}]),
    );
    let said = scene.ask(&["app:1"], &[]).await;
    assert_eq!((said.code, &*said.stdout), (2, ""), "{said:?}");
    assert!(
        said.stderr.contains("`caFile` of the cache `127.0.0.1:1` is unreadable: /nonexistent/ca.crt; fix the path"),
        "{said:?}"
    );
    let scene = Scene::new("127.0.0.1:2", "127.0.0.1:1/hub", &json!([]));
    let broken = scene.file("broken.json", "{");
    for (arguments, told) in [
        (vec!["--fail-on", "stale"], "--fail-on stale needs --digest-proof"),
        (vec!["--platform", "linux"], "write OS/ARCHITECTURE"),
        (vec!["--plain-http", "a/b"], "write HOST or HOST:PORT"),
        (vec!["--pull-secret", "/nonexistent"], "--pull-secret /nonexistent is unreadable; fix the path"),
        (vec!["--pull-secret", &broken], "invalid JSON"),
        (vec!["--docker-config", "/nonexistent"], "--docker-config /nonexistent does not exist"),
        (vec!["--image-credential-provider-config", "/nonexistent"], "--image-credential-provider-bin-dir"),
        (vec!["--no-upstream", "--digest-proof"], "cannot be used with"),
        (vec!["--concurrency", "0"], "1..=64"),
    ] {
        let said = scene.ask(&["app:1"], &arguments).await;
        assert_eq!((said.code, &*said.stdout), (2, ""), "{arguments:?} {said:?}");
        assert!(said.stderr.contains(told), "{arguments:?} {said:?}");
    }
    let rules = scene.folder.path().join("rules.yaml").display().to_string();
    let said = verify(&["--rules", &rules, "--images", "/nonexistent"], "").await;
    assert!(said.code == 2 && said.stderr.contains("/nonexistent: not found; check the path"), "{said:?}");
}

/// A registry is asked for no more images at a time than allowed.
#[tokio::test(flavor = "multi_thread")]
async fn requests_to_a_host_are_limited() {
    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: Mutex<usize> = Mutex::new(0);
    let store = Store::new();
    let slow = move |seen: &Seen| {
        let now = NOW.fetch_add(1, Ordering::SeqCst) + 1;
        let mut most = MOST.lock().unwrap();
        *most = now.max(*most);
        drop(most);
        std::thread::sleep(std::time::Duration::from_millis(20));
        NOW.fetch_sub(1, Ordering::SeqCst);
        store.answer(seen)
    };
    let (upstream, cache) = (upstream().await, Server::plain(slow).await);
    let images: Vec<String> = (0..20).map(|index| format!("app:{index}")).collect();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let said = Scene::of(&upstream, &cache, "distribution").json(&images, &["--concurrency", "2"]).await;
    assert_eq!(said.lines().iter().filter(|line| line["status"] == "served").count(), 20, "{said:?}");
    assert!(*MOST.lock().unwrap() <= 2);
}
