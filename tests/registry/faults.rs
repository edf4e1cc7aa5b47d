//! Faults, injected one at a time, with what commands have to name for each: the injected cause, and those that look the same
//! from outside.

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::content::{Store, changed, is_amd64};
use super::program::run;
use super::proxy::ProxyKind;
use super::server::{self, Answer, Ca, Seen, Server, acceptor, answer, error};

/// The image that every fault is about, at the upstream.
const IMAGE: &str = "app:1";
const PASSWORD: &str = "hunter2";

/// A fault, with its servers and what a command needs to meet it.
pub struct Fault {
    pub name: &'static str,
    /// The injected cause.
    pub cause: &'static str,
    /// All causes that a command has to name, in this order.
    pub causes: Vec<&'static str>,
    pub status: &'static str,
    /// The result of comparing digests, if this is what shows the fault.
    pub proof: Option<&'static str>,
    /// The image as manifests have it.
    pub image: String,
    /// The platforms that the image must have, as `--platform` has them.
    pub platforms: Option<&'static str>,
    /// Flags for registries: credentials and the timeout.
    pub arguments: Vec<String>,
    pub variables: Vec<(&'static str, String)>,
    folder: TempDir,
    rules: Value,
    _servers: Vec<Server>,
}

impl Fault {
    /// Makes a fault of a cache of a product with this name.
    fn at(host: &str, product: &str, upstream: Server) -> Self {
        let rules = json!({
            "apiVersion": "pullthrough.dev/v1alpha1", "kind": "Rules", "caches": [{"prefix": host, "product": product}],
            "rules": [{"name": "hub", "from": [upstream.host()], "to": format!("{host}/hub")}],
        });
        Self {
            name: "",
            cause: "",
            causes: Vec::new(),
            status: "",
            proof: None,
            image: format!("{}/{IMAGE}", upstream.host()),
            platforms: None,
            arguments: Vec::new(),
            variables: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
            rules,
            _servers: vec![upstream],
        }
    }

    fn of(product: &str, cache: Server, upstream: Server) -> Self {
        let mut fault = Self::at(&cache.host(), product, upstream);
        fault._servers.push(cache);
        fault
    }

    /// Sets what has to be named. The first cause is the injected one, unless [`Fault::injected`] says otherwise.
    fn named(mut self, name: &'static str, status: &'static str, causes: &[&'static str]) -> Self {
        (self.name, self.status, self.causes) = (name, status, causes.to_vec());
        self.cause = causes.first().copied().unwrap_or_default();
        self
    }

    /// Sets an injected cause that is not the first one.
    fn injected(self, cause: &'static str) -> Self {
        Self { cause, ..self }
    }

    fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Adds a pull Secret with a login.
    fn login(self, password: &str) -> Self {
        let host = self.rules["caches"][0]["prefix"].as_str().unwrap();
        let file = json!({"auths": {host: {"username": "jane", "password": password}}}).to_string();
        let path = self.folder.path().join("secret.json").display().to_string();
        std::fs::write(&path, file).unwrap();
        self.with(&["--pull-secret", &path])
    }

    /// Adds the file with the CA of the cache.
    fn trusting(mut self, ca: &Ca) -> Self {
        let path = self.folder.path().join("ca.crt");
        std::fs::write(&path, &ca.pem).unwrap();
        self.rules["caches"][0]["caFile"] = json!(path);
        self
    }

    fn variable(mut self, name: &'static str, value: String) -> Self {
        self.variables.push((name, value));
        self
    }

    fn platforms(self, platforms: &'static str) -> Self {
        Self { platforms: Some(platforms), ..self }
    }

    fn proof(self, result: &'static str) -> Self {
        Self { proof: Some(result), ..self }
    }

    /// Returns the path of the rules file.
    pub fn rules(&self) -> String {
        let path = self.folder.path().join("rules.yaml");
        std::fs::write(&path, self.rules.to_string()).unwrap();
        path.display().to_string()
    }
}

async fn serving(store: Store) -> Server {
    Server::plain(move |seen| store.answer(seen)).await
}

/// Returns an upstream without a fault.
async fn whole() -> Server {
    serving(Store::new()).await
}

async fn status(status: u16) -> Server {
    Server::plain(move |_| answer(status, &[], "")).await
}

async fn not_found() -> Server {
    Server::plain(|_| error(404, "MANIFEST_UNKNOWN", "manifest unknown")).await
}

/// Returns a cache that serves what is below a path.
async fn below(path: &'static str) -> Server {
    let store = Store::new();
    let answer = move |seen: &Seen| {
        if seen.path.starts_with(path) {
            store.answer(seen)
        } else {
            error(404, "NAME_UNKNOWN", "repository name not known to registry")
        }
    };
    Server::plain(answer).await
}

fn denied(challenge: &str) -> Answer {
    let mut denied = error(401, "UNAUTHORIZED", "authentication required");
    denied.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
    denied
}

/// Returns a cache that requires a login, and answers it with a status.
async fn with_login(status: u16) -> Server {
    let store = Store::new();
    let login = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("jane:{PASSWORD}")));
    let answer = move |seen: &Seen| match &seen.authorization {
        Some(found) if *found == login && status == 403 => error(403, "DENIED", "requested access is denied"),
        Some(found) if *found == login => store.answer(seen),
        _ => denied("Basic realm=\"cache\""),
    };
    Server::plain(answer).await
}

/// Returns all faults. Each has a name of its own.
pub async fn faults() -> Vec<Fault> {
    [
        of_paths().await,
        of_credentials().await,
        of_upstreams().await,
        of_caches().await,
        of_connections().await,
        of_content().await,
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn of_paths() -> Vec<Fault> {
    let mut library = Fault::of("harbor", below("/v2/hub/library/").await, whole().await);
    library.rules["rules"] = json!([{"name": "hub", "pattern": r"docker\.io/library/(.+)", "to": format!("{}/hub/$1", library.rules["caches"][0]["prefix"].as_str().unwrap())}]);
    library.image = "nginx:1".to_owned();
    vec![
        // A pull-through cache of distribution has the paths of its upstream.
        Fault::of("distribution", below("/v2/app/").await, whole().await).named(
            "wrong path",
            "missing",
            &["path", "upstream_login", "upstream_limit", "upstream_failure"],
        ),
        Fault::of("harbor", below("/v2/docker-hub/").await, whole().await).named(
            "wrong project",
            "missing",
            &["path", "upstream_login", "upstream_failure", "upstream_limit"],
        ),
        library.variable("HTTPS_PROXY", "http://127.0.0.1:1".to_owned()).named(
            "missing library/",
            "unknown",
            &["library_missing", "upstream_failure", "absent", "path", "upstream_login", "upstream_limit"],
        ),
        Fault::of("nexus", not_found().await, whole().await).named(
            "a miss that the cache remembers",
            "missing",
            &["remembered", "path", "upstream_login", "upstream_limit", "upstream_failure"],
        ),
        Fault::of("ecr", not_found().await, whole().await)
            .named(
                "no rule for the prefix",
                "missing",
                &["not_cached", "path", "upstream_login", "upstream_limit", "upstream_failure"],
            )
            .injected("path"),
    ]
}

async fn of_credentials() -> Vec<Fault> {
    let bearer = || {
        Server::plain(|seen: &Seen| match &*seen.path {
            path if path.starts_with("/token") => error(401, "UNAUTHORIZED", "wrong password"),
            _ => {
                let host = seen.headers["host"].to_str().unwrap();
                denied(&format!("Bearer realm=\"http://{host}/token\",service=\"cache\""))
            }
        })
    };
    vec![
        Fault::of("distribution", with_login(200).await, whole().await).named(
            "no credentials",
            "denied",
            &["no_credentials"],
        ),
        Fault::of("distribution", with_login(200).await, whole().await).login("hunter1").named(
            "wrong password",
            "denied",
            &["login", "upstream_login"],
        ),
        Fault::of("harbor", bearer().await, whole().await).login("hunter1").named(
            "expired password at the token server",
            "denied",
            &["login", "rights"],
        ),
        Fault::of(
            "ecr",
            Server::plain(|_| error(403, "DENIED", "Your authorization token has expired")).await,
            whole().await,
        )
        .login(PASSWORD)
        .named("expired token of ECR", "denied", &["rights", "login"])
        .injected("login"),
        Fault::of("distribution", with_login(403).await, whole().await).login(PASSWORD).named(
            "right user without rights",
            "denied",
            &["rights", "upstream_login"],
        ),
    ]
}

/// The answers of distribution to a request by tag are the same for all faults of its upstream.
async fn of_upstreams() -> Vec<Fault> {
    let slow = Server::raw(|mut stream| async move {
        server::read_head(&mut stream).await;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    });
    let limited = Server::plain(|_| answer(429, &[("retry-after", "600")], ""));
    let passing_on = Server::plain(|_| answer(429, &[("retry-after", "600")], ""));
    vec![
        Fault::of("distribution", not_found().await, status(401).await).named(
            "upstream 401",
            "unknown",
            &["upstream_login", "absent", "path", "upstream_limit", "upstream_failure"],
        ),
        Fault::of("distribution", not_found().await, status(403).await).named(
            "upstream 403",
            "unknown",
            &["upstream_login", "absent", "path", "upstream_limit", "upstream_failure"],
        ),
        Fault::of("distribution", not_found().await, not_found().await).named(
            "deleted tag of the upstream",
            "missing",
            &["absent"],
        ),
        Fault::of("distribution", not_found().await, limited.await).named(
            "upstream 429",
            "unknown",
            &["upstream_limit", "absent", "path", "upstream_login", "upstream_failure"],
        ),
        Fault::of("distribution", not_found().await, status(500).await).named(
            "upstream 500",
            "unknown",
            &["upstream_failure", "absent", "path", "upstream_login", "upstream_limit"],
        ),
        Fault::of("distribution", not_found().await, slow.await).with(&["--timeout", "1s"]).named(
            "upstream timeout",
            "unknown",
            &["upstream_failure", "absent", "path", "upstream_login", "upstream_limit"],
        ),
        Fault::of("harbor", passing_on.await, whole().await).named(
            "rate limit with Retry-After",
            "rate_limited",
            &["upstream_limit"],
        ),
    ]
}

async fn of_caches() -> Vec<Fault> {
    let page = || answer(403, &[("content-type", "text/html")], "<html>Please log in to the network</html>");
    let circle = |seen: &Seen| answer(307, &[("location", &seen.path)], "");
    vec![
        Fault::of("generic", status(429).await, whole().await).named(
            "rate limit without Retry-After",
            "rate_limited",
            &["cache_limit", "upstream_limit"],
        ),
        Fault::of("distribution", Server::plain(|_| error(500, "UNKNOWN", "unknown error")).await, whole().await)
            .named(
                "cache disk full",
                "unknown",
                &["upstream_failure", "upstream_login", "upstream_limit", "cache_failure"],
            )
            .injected("cache_failure"),
        Fault::of("artifactory", status(507).await, whole().await).named(
            "quota of the cache's storage",
            "unknown",
            &["cache_failure", "upstream_failure"],
        ),
        Fault::of("harbor", status(503).await, whole().await).named("cache overloaded", "unknown", &["cache_failure"]),
        Fault::of("harbor", Server::plain(move |_| page()).await, whole().await).named(
            "portal in the way",
            "denied",
            &["not_a_registry", "rights", "no_credentials"],
        ),
        Fault::of("generic", Server::plain(circle).await, whole().await).named(
            "redirects in a circle",
            "unknown",
            &["redirect"],
        ),
    ]
}

async fn of_connections() -> Vec<Fault> {
    let ca = Ca::new();
    let expired = ca.issue(&["127.0.0.1"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let answer = |_: &Seen| error(404, "MANIFEST_UNKNOWN", "manifest unknown");
    let strict = acceptor(&ca.issue(&["127.0.0.1"], |_| {}), Some(&ca));
    let closing = Server::raw(|mut stream| async move { server::read_head(&mut stream).await });
    let slow = Server::raw(|mut stream| async move {
        server::read_head(&mut stream).await;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    });
    let plain = whole().await;
    let named_plain = plain.at("registry.example.com");
    let mut http = Fault::at(&named_plain, "generic", whole().await);
    http._servers.push(plain);
    // It connects every name to loopback.
    let proxy = server::proxy(ProxyKind::Http, None).url("");
    vec![
        Fault::of("generic", Server::tls(ca.acceptor(&["127.0.0.1"]), answer).await, whole().await).named(
            "wrong CA",
            "unreachable",
            &["unknown_ca"],
        ),
        Fault::of("generic", Server::tls(ca.acceptor(&["harbor.example.com"]), answer).await, whole().await)
            .trusting(&ca)
            .named("name mismatch", "unreachable", &["wrong_certificate_name"]),
        Fault::of("generic", Server::tls(acceptor(&expired, None), answer).await, whole().await).trusting(&ca).named(
            "expired certificate",
            "unreachable",
            &["certificate_time"],
        ),
        Fault::of("generic", Server::tls(strict, answer).await, whole().await).trusting(&ca).named(
            "client certificate required",
            "unreachable",
            &["client_certificate"],
        ),
        http.variable("HTTPS_PROXY", proxy).named("plain HTTP", "unreachable", &["plain_http"]),
        Fault::at("registry.example.com", "generic", whole().await)
            .variable("HTTPS_PROXY", "http://127.0.0.1:1".to_owned())
            .named("proxy down", "unreachable", &["proxy"]),
        Fault::at("cache.invalid", "generic", whole().await).named("DNS", "unreachable", &["dns"]),
        Fault::at("127.0.0.1:1", "generic", whole().await).named(
            "nothing listens",
            "unreachable",
            &["connection_refused"],
        ),
        Fault::of("generic", closing.await, whole().await).named(
            "connections that end early",
            "unreachable",
            &["connection_closed", "tls"],
        ),
        Fault::of("zot", slow.await, whole().await).with(&["--timeout", "1s"]).named(
            "cache timeout",
            "unreachable",
            &["timeout"],
        ),
    ]
}

async fn of_content() -> Vec<Fault> {
    const PLATFORMS: &str = "linux/amd64,linux/arm64";
    let trimmed = || serving(changed(is_amd64, ""));
    let old = || changed(|_| true, "2026-10-01T00:00:00Z");
    // The upstream has the old image, and a new one for the tag.
    let mut both = old();
    let new = changed(|_| true, "2026-10-13T00:00:00Z");
    both.index = Some(both.manifest(super::content::INDEX, new.manifest_of(new.index.as_ref().unwrap())));
    let damaged = Store::new();
    let damaged = Server::plain(move |seen: &Seen| match (&seen.method, damaged.index.as_ref().unwrap().as_str()) {
        (&hyper::Method::GET, digest) if seen.path.contains("/manifests/") => {
            answer(200, &[("content-type", super::content::INDEX), ("docker-content-digest", digest)], "{}")
        }
        _ => damaged.answer(seen),
    });
    vec![
        Fault::of("harbor", trimmed().await, trimmed().await).platforms(PLATFORMS).named(
            "platform missing",
            "missing",
            &["platform_absent"],
        ),
        Fault::of("harbor", trimmed().await, whole().await).platforms(PLATFORMS).named(
            "trimmed index",
            "missing",
            &["index_trimmed"],
        ),
        Fault::of("harbor", trimmed().await, whole().await)
            .named("trimmed index of a served tag", "served", &[])
            .proof("trimmed"),
        Fault::of("distribution", serving(old()).await, serving(both).await)
            .named("stale tag", "served", &[])
            .proof("stale"),
        Fault::of("distribution", serving(old()).await, whole().await)
            .named("another image under the tag", "served", &[])
            .proof("different"),
        Fault::of("distribution", damaged.await, whole().await).named("damaged manifest", "unknown", &["damaged"]),
    ]
}

#[tokio::test]
async fn verify_names_the_cause_of_each_fault() {
    let faults = faults().await;
    let mut wrong = Vec::new();
    for fault in &faults {
        assert!(fault.proof.is_some() || fault.causes.contains(&fault.cause), "{}", fault.name);
        let rules = fault.rules();
        let mut arguments = vec!["verify", "--rules", &rules, "--images", "-", "-o", "json"];
        arguments.extend(fault.arguments.iter().map(String::as_str));
        arguments.extend(fault.platforms.iter().flat_map(|platforms| ["--platform", *platforms]));
        arguments.extend(fault.proof.map(|_| "--digest-proof"));
        let said = run(&arguments, &fault.variables, &format!("{}\n", fault.image)).await;
        let line = said.line();
        let causes: Vec<&str> =
            line["causes"].as_array().unwrap().iter().map(|cause| cause["cause"].as_str().unwrap()).collect();
        let proof = line["digest_proof"]["result"].as_str();
        if (line["status"].as_str(), &causes, proof) != (Some(fault.status), &fault.causes, fault.proof) {
            wrong.push(format!("{}: {line}", fault.name));
        }
        assert!(!format!("{said:?}").contains("hunter"), "{}: {said:?}", fault.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let names: std::collections::BTreeSet<_> = faults.iter().map(|fault| fault.name).collect();
    assert!(names.len() == faults.len() && names.len() >= 24, "{names:?}");
}
