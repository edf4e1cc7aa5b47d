//! Credentials of workstations and nodes, with a helper and a plugin of the tests in `programs`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pullthrough::registry::{
    Client, CredentialFault, Credentials, DockerConfig, DockerConfigFault, Keyring, Login, Outcome, PluginFault,
    ProcessFault, Providers, Settings,
};
use serde_json::{Value, json};

use super::server::{Server, answer, name, settings};

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry/programs")
}

/// Starts a registry that answers 404 to `USER:PASSWORD`, and wants Basic credentials otherwise.
async fn registry(login: &str) -> Server {
    let expected = format!("Basic {}", BASE64_STANDARD.encode(login));
    Server::plain(move |seen| {
        if seen.authorization.as_ref() == Some(&expected) {
            answer(404, &[], "")
        } else {
            answer(401, &[("www-authenticate", "Basic")], "")
        }
    })
    .await
}

/// Asks a registry with a client, which must not leak secrets, for an image.
async fn ask(credentials: Credentials, image: &str) -> (Outcome<()>, Option<String>, Vec<CredentialFault>) {
    assert!(!format!("{credentials:?}").contains("hunter2"));
    let client = Client::new(settings(), credentials).unwrap();
    let (repository, tag) = name(image);
    let answer = client.manifest(&repository, &tag).await;
    assert!(!format!("{answer:?} {client:?}").contains("hunter2"), "{answer:?}");
    let outcome = match answer.outcome {
        Outcome::Missing => Outcome::Missing,
        Outcome::Denied(denied) => Outcome::Denied(denied),
        other => panic!("{other:?}"),
    };
    (outcome, answer.trace.credential, answer.trace.credential_faults)
}

fn docker_config(content: &Value) -> DockerConfig {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, content.to_string()).unwrap();
    DockerConfig::read(&path).unwrap().with_helpers(programs())
}

#[tokio::test]
async fn a_workstation_has_the_credentials_of_docker() {
    let server = registry("jane:hunter2").await;
    let (host, image) = (server.host(), format!("{}/app:1", server.host()));
    let login = BASE64_STANDARD.encode("jane:hunter2");
    let url = format!("https://{host}/v1/");
    for (config, source) in [
        (json!({"auths": {&host: {"auth": login}}}), Some(format!("`auths` of Docker's config.json, key {host}"))),
        (json!({"auths": {&url: {"auth": login}}}), Some(format!("`auths` of Docker's config.json, key {url}"))),
        (
            json!({"auths": {&host: {"username": "jane", "password": "hunter2"}}, "credHelpers": null}),
            Some(format!("`auths` of Docker's config.json, key {host}")),
        ),
        (json!({"credHelpers": {&host: "test-jane"}}), Some("docker-credential-test-jane".to_owned())),
        (json!({"credsStore": "test-jane", "auths": {&host: {}}}), Some("docker-credential-test-jane".to_owned())),
        (
            json!({"credsStore": "test-none", "credHelpers": {&host: "test-jane"}}),
            Some("docker-credential-test-jane".to_owned()),
        ),
        (json!({"auths": {"other.example": {"auth": login}}}), None),
        (json!({"auths": {&host: {}}}), None),
        (json!({"credHelpers": {"other.example": "test-jane"}}), None),
        (json!({"credsStore": "test-none"}), None),
        // As in Docker, a helper is not a supplement of `auths`.
        (json!({"credsStore": "test-none", "auths": {&host: {"auth": login}}}), None),
        (json!({}), None),
    ] {
        let (outcome, found, faults) = ask(Credentials::Workstation(docker_config(&config)), &image).await;
        assert_eq!((&found, outcome == Outcome::Missing, faults), (&source, source.is_some(), vec![]), "{config}");
    }
}

#[tokio::test]
async fn docker_hub_has_a_key_of_its_own() {
    // The helper prints the key that it gets to standard error and fails.
    let config = docker_config(&json!({"credsStore": "test-fails"}));
    let (repository, tag) = name("nginx");
    // Nothing is asked: the name of the registry is not resolved by this proxy.
    let settings = Settings { proxies: [("HTTPS_PROXY", "http://127.0.0.1:1")].into(), ..settings() };
    let answer = Client::new(settings, Credentials::Workstation(config)).unwrap().manifest(&repository, &tag).await;
    let text = answer.trace.credential_faults[0].to_string();
    assert!(
        text.ends_with(
            "docker-credential-test-fails: it failed (exit status: 3): no keychain for https://index.docker.io/v1/"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn faults_of_helpers_are_in_the_trace() {
    let server = registry("jane:hunter2").await;
    let (host, image) = (server.host(), format!("{}/app:1", server.host()));
    let of_helper = |helper: &str, fault| DockerConfigFault::Helper { helper: helper.to_owned(), fault };
    let stderr = format!("no keychain for {host}");
    let failed = ProcessFault::Failed { status: "exit status: 3".to_owned(), stderr };
    for (helper, fault) in [
        ("test-fails", of_helper("test-fails", failed)),
        ("test-large", of_helper("test-large", ProcessFault::TooLarge)),
        ("test-garbage", DockerConfigFault::HelperAnswer { helper: "test-garbage".to_owned() }),
        ("../programs/test-jane", DockerConfigFault::HelperName("../programs/test-jane".to_owned())),
    ] {
        let config = docker_config(&json!({"credsStore": helper}));
        let (outcome, source, faults) = ask(Credentials::Workstation(config), &image).await;
        assert!(matches!(outcome, Outcome::Denied(_)) && source.is_none());
        assert_eq!(faults, [CredentialFault::Workstation { host: host.clone(), fault }]);
    }
    let config = docker_config(&json!({"credsStore": "test-missing"}));
    let (_, _, faults) = ask(Credentials::Workstation(config), &image).await;
    assert!(
        faults[0].to_string().contains("docker-credential-test-missing: it can't be run: No such file"),
        "{faults:?}"
    );
    for (entry, part) in [
        (json!({"auth": "hunter2!"}), "is not base64"),
        (json!({"registrytoken": "hunter2"}), "`registrytoken` for it, which is not supported"),
    ] {
        let config = docker_config(&json!({"auths": {&host: entry}}));
        let (_, _, faults) = ask(Credentials::Workstation(config), &image).await;
        assert!(faults[0].to_string().contains(part), "{faults:?}");
    }
}

#[test]
fn unusable_docker_configurations_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    assert!(DockerConfig::read(&path).is_ok(), "a missing file is an empty one");
    for content in ["{\n  \"auths\": \"hunter2\"}", "{\n  \"auths\" hunter2}", "\n[\"hunter2\"]"] {
        std::fs::write(&path, content).unwrap();
        let error = DockerConfig::read(&path).unwrap_err().to_string();
        assert!(error.contains("config.json is not valid at line 2, column") && !error.contains("hunter2"), "{error}");
    }
    let error = DockerConfig::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("is unreadable: "), "{error}");
}

/// A configuration of plugins in a folder, and the file in which the plugin counts its runs.
struct Plugins {
    folder: tempfile::TempDir,
}

impl Plugins {
    /// Each provider is a mode of the test's plugin, with images and a field for its configuration.
    fn new(providers: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs").display().to_string();
        let providers: Vec<Value> = providers
            .iter()
            .enumerate()
            .map(|(index, (mode, image))| {
                let name = format!("credential-provider-{}", index + 1);
                json!({
                    "name": name,
                    "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
                    "matchImages": [image],
                    "defaultCacheDuration": "1h",
                    "args": [mode],
                    "env": [{"name": "RUNS", "value": runs}, {"name": "SECRET", "value": "hunter2"}],
                })
            })
            .collect();
        let config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": providers,
        });
        std::fs::write(folder.path().join("config.yaml"), config.to_string()).unwrap();
        Self { folder }
    }

    fn providers(&self) -> Providers {
        Providers::read(&self.folder.path().join("config.yaml"), &programs()).unwrap()
    }

    /// Returns the images for which the plugin ran.
    fn runs(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("runs")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn a_plugin_gives_credentials_and_they_are_kept_as_it_says() {
    let server = registry("plugin:hunter2").await;
    let host = server.host();
    for (mode, runs) in [
        ("Image", vec!["a/app", "a/other", "b/app"]),
        ("Registry", vec!["a/app"]),
        ("Global", vec!["a/app"]),
        ("never", vec!["a/app", "a/app", "a/other", "b/app"]),
        ("default", vec!["a/app"]),
    ] {
        let plugins = Plugins::new(&[(mode, "other.example"), (mode, &format!("127.*.0.1:{}", server.address.port()))]);
        let credentials = Credentials::Node { pull: Keyring::default(), providers: Some(plugins.providers()) };
        let client = Client::new(settings(), credentials).unwrap();
        for image in ["a/app", "a/app", "a/other", "b/app"] {
            let (repository, tag) = name(&format!("{host}/{image}:1"));
            let answer = client.manifest(&repository, &tag).await;
            assert_eq!(answer.outcome, Outcome::Missing, "{answer:?}");
            assert_eq!(answer.trace.credential, Some(format!("credential provider, key {host}")));
            assert!(!format!("{answer:?} {client:?}").contains("hunter2"));
        }
        let runs: Vec<String> = runs.iter().map(|image| format!("{host}/{image}")).collect();
        assert_eq!(plugins.runs(), runs, "{mode}");
    }
}

#[tokio::test]
async fn pull_credentials_come_before_those_of_plugins() {
    let server = registry("plugin:hunter2").await;
    let host = server.host();
    let plugins = Plugins::new(&[("Image", &host)]);
    let pull = |password: &str| {
        Keyring::parse(json!({"auths": {&host: {"username": "plugin", "password": password}}}).to_string().as_bytes())
            .unwrap()
    };
    for (pull, key) in [
        (pull("wrong"), "credential provider"),
        (pull("hunter2"), "pull credentials"),
        (pull(""), "credential provider"),
    ] {
        let credentials = Credentials::Node { pull, providers: Some(plugins.providers()) };
        let (outcome, source, faults) = ask(credentials, &format!("{host}/app:1")).await;
        assert_eq!((outcome, source, faults), (Outcome::Missing, Some(format!("{key}, key {host}")), vec![]));
    }
}

/// All that a Pod has comes before what its node has, also where the node's key is longer.
#[tokio::test]
async fn pull_secrets_of_a_pod_come_before_the_credentials_of_its_node() {
    let server = registry("pod:hunter2").await;
    let host = server.host();
    let keyring = |key: &str, user: &str, password: &str| -> Keyring {
        let login = Login { username: user.to_owned(), password: password.to_owned() };
        [(key.to_owned(), login)].into_iter().collect()
    };
    let path = format!("{host}/app");
    let pull = keyring(&path, "node", "hunter2");
    let node = Client::new(settings(), Credentials::Node { pull, providers: None }).unwrap();
    let (repository, tag) = name(&format!("{host}/app:1"));
    let nothing = Keyring::default();
    let basic = |user: &str, password: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
    let (of_node, of_pod) = (basic("node", "hunter2"), basic("pod", "hunter2"));
    for (pull, is_served, sent) in [
        (nothing.clone(), false, vec![&of_node]),
        (keyring(&host, "pod", "wrong"), false, vec![&basic("pod", "wrong"), &of_node]),
        (keyring(&host, "pod", "hunter2"), true, vec![&of_pod]),
        // What one Pod has is not sent for another one.
        (nothing, false, vec![&of_node]),
    ] {
        let client = node.with_pull_secrets(pull);
        let asked = server.seen().len();
        let answer = client.manifest(&repository, &tag).await;
        assert_eq!(matches!(answer.outcome, Outcome::Missing), is_served, "{answer:?}");
        let key = if is_served { &host } else { &path };
        assert_eq!(answer.trace.credential, Some(format!("pull credentials, key {key}")));
        let logins: Vec<String> = server.seen()[asked..].iter().filter_map(|seen| seen.authorization.clone()).collect();
        assert_eq!(logins.iter().collect::<Vec<_>>(), sent);
        assert!(!format!("{answer:?} {client:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn faults_of_plugins_are_in_the_trace() {
    let server = registry("plugin:hunter2").await;
    let host = server.host();
    let version = "credentialprovider.kubelet.k8s.io/v1".to_owned();
    let stderr = "no role for this node".to_owned();
    let failed = ProcessFault::Failed { status: "exit status: 4".to_owned(), stderr };
    for (mode, expected) in [
        ("fails", PluginFault::Process(failed)),
        ("garbage", PluginFault::Response(version.clone())),
        ("v1beta1", PluginFault::Response(version)),
        ("wrong-key", PluginFault::CacheKeyType),
        ("wrong-duration", PluginFault::CacheDuration),
    ] {
        let plugins = Plugins::new(&[(mode, &host)]);
        let credentials = Credentials::Node { pull: Keyring::default(), providers: Some(plugins.providers()) };
        let (outcome, source, faults) = ask(credentials, &format!("{host}/app:1")).await;
        assert!(matches!(outcome, Outcome::Denied(_)) && source.is_none());
        let [CredentialFault::Provider(fault)] = &faults[..] else { panic!("{faults:?}") };
        assert_eq!((&*fault.name, &fault.fault), ("credential-provider-1", &expected));
    }
    let plugins = Plugins::new(&[("sleeps", &host)]);
    let providers = plugins.providers().with_timeout(Duration::from_millis(200));
    let start = Instant::now();
    let credentials = Credentials::Node { pull: Keyring::default(), providers: Some(providers) };
    let (_, _, faults) = ask(credentials, &format!("{host}/app:1")).await;
    assert_eq!(
        faults[0].to_string(),
        "credential provider credential-provider-1: it did not end within 200ms; run it by hand to see what it waits for"
    );
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn unusable_plugin_configurations_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    let header = "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n";
    let provider =
        "apiVersion: credentialprovider.kubelet.k8s.io/v1, matchImages: [a.example], defaultCacheDuration: 1h";
    for (content, part) in [
        ("kind: Secret\n".to_owned(), "it has `apiVersion: ` and `kind: Secret`"),
        ("kind: {hunter2: x\n".to_owned(), "not a CredentialProviderConfig"),
        (format!("{header}providers: hunter2\n"), "not a CredentialProviderConfig"),
        (format!("{header}providers: []\n"), "`providers` is empty"),
        (format!("{header}providers: [{{name: x, {provider}, env: hunter2}}]\n"), "not a CredentialProviderConfig"),
        (
            format!("{header}providers: [{{name: x, {provider}, env: [{{value: [hunter2]}}]}}]\n"),
            "not a CredentialProviderConfig",
        ),
        (format!("{header}providers: [{{name: ../x, {provider}}}]\n"), "`../x` is invalid: its name must be"),
        (
            format!("{header}providers: [{{name: x, {provider}}}, {{name: x, {provider}}}]\n"),
            "`x` is invalid: duplicate name",
        ),
        (
            format!("{header}providers: [{{name: x, apiVersion: v1}}]\n"),
            "`x` is invalid: its apiVersion is not supported",
        ),
        (
            format!("{header}providers: [{{name: x, apiVersion: credentialprovider.kubelet.k8s.io/v1}}]\n"),
            "`matchImages` is empty",
        ),
        (
            format!("{header}providers: [{{name: x, {}}}]\n", provider.replace("a.example", "'a b'")),
            "`a b` in `matchImages`",
        ),
        (
            format!("{header}providers: [{{name: x, {}}}]\n", provider.replace("1h", "1d")),
            "`defaultCacheDuration` is not",
        ),
    ] {
        std::fs::write(&path, &content).unwrap();
        let error = Providers::read(&path, &programs()).unwrap_err().to_string();
        assert!(error.contains("config.yaml: ") && error.contains(part), "{content}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let error = Providers::read(&folder.path().join("missing.yaml"), &programs()).unwrap_err().to_string();
    assert!(error.contains("missing.yaml: unreadable: "), "{error}");

    // A folder has the providers of its files. One that requires a service account is not run.
    std::fs::write(&path, format!("{header}providers: [{{name: x, {provider}}}]\n")).unwrap();
    let attributes = "tokenAttributes: {serviceAccountTokenAudience: a, requireServiceAccount: true, cacheType: Token}";
    std::fs::write(
        folder.path().join("b.json"),
        format!("{header}providers: [{{name: y, {provider}, {attributes}}}]\n"),
    )
    .unwrap();
    assert_eq!(Providers::read(folder.path(), &programs()).unwrap().ignored, ["y"]);
    std::fs::write(folder.path().join("c.yml"), format!("{header}providers: [{{name: y, {provider}}}]\n")).unwrap();
    assert!(
        Providers::read(folder.path(), &programs())
            .unwrap_err()
            .to_string()
            .contains("c.yml: the provider `y` is invalid: duplicate")
    );
    let empty = tempfile::tempdir().unwrap();
    assert!(Providers::read(empty.path(), &programs()).unwrap_err().to_string().contains("has no .json"));
}
