//! One row of the table: an environment with kubeconfigs, in which kubectl and pullthrough run.

use std::fs::Permissions;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::CLUSTER;
use crate::harness::{Proxy, ProxyKind};

/// The password of proxies with credentials. `ENCODED_PASSWORD` is its form in a URL.
pub const PASSWORD: &str = "p@ss:w/rd";
pub const ENCODED_PASSWORD: &str = "p%40ss%3Aw%2Frd";

/// The outcome of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the API server answered and the command succeeded.
    pub succeeded: bool,
    /// Whether the connection went through the proxy of the row.
    pub through_proxy: bool,
    /// Whether the other server received a connection.
    pub impostor: bool,
}

pub const REACHED: Outcome = Outcome { succeeded: true, through_proxy: false, impostor: false };
pub const THROUGH_PROXY: Outcome = Outcome { succeeded: true, through_proxy: true, impostor: false };
pub const FAILED: Outcome = Outcome { succeeded: false, through_proxy: false, impostor: false };
pub const IMPOSTOR: Outcome = Outcome { succeeded: false, through_proxy: false, impostor: true };
pub const NOT_FROM_PROXY: Outcome = Outcome { succeeded: false, through_proxy: true, impostor: false };

/// The texts of a row may have variables. `$folder` is its folder, `$port` the port of the API server. `$proxy` is the address of
/// the proxy, `$impostor` that of the other server.
pub struct Row {
    feature: String,
    files: Vec<(String, Vec<u8>)>,
    variables: Vec<(String, String)>,
    arguments: Vec<String>,
    folder: TempDir,
    proxy: Option<Proxy>,
    impostor: String,
    /// The first line of each connection to the other server.
    asked: Arc<Mutex<Vec<String>>>,
    in_pod: bool,
}

/// Returns a kubeconfig of `admin` with a change.
pub fn kubeconfig(change: impl FnOnce(&mut Value)) -> String {
    let mut config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": {
            "server": CLUSTER.url(),
            "certificate-authority": CLUSTER.certificate_authority(),
        }}],
        "users": [{"name": "admin", "user": {"token": CLUSTER.admin().token()}}],
        "contexts": [{"name": "admin", "context": {"cluster": "e2e", "user": "admin"}}],
        "current-context": "admin",
    });
    change(&mut config);
    config.to_string()
}

/// Returns the kubeconfig with a changed cluster entry.
pub fn with_cluster(change: impl FnOnce(&mut Value)) -> String {
    kubeconfig(|config| change(&mut config["clusters"][0]["cluster"]))
}

/// Returns the kubeconfig with another user.
pub fn with_user(user: Value) -> String {
    kubeconfig(|config| config["users"][0]["user"] = user)
}

pub fn authority() -> String {
    std::fs::read_to_string(CLUSTER.certificate_authority()).expect("a certificate")
}

pub fn authority_data() -> String {
    BASE64_STANDARD.encode(authority())
}

impl Row {
    pub fn new(feature: impl Into<String>) -> Self {
        let impostor = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = impostor.local_addr().expect("an address");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let heard = Arc::clone(&asked);
        thread::spawn(move || {
            for mut stream in impostor.incoming().filter_map(Result::ok) {
                let mut begin = [0; 4096];
                let length = stream.read(&mut begin).unwrap_or_default();
                let begin = String::from_utf8_lossy(&begin[..length]).into_owned();
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(begin);
            }
        });
        Self {
            feature: feature.into(),
            files: vec![],
            variables: vec![],
            arguments: vec![],
            folder: tempfile::tempdir().expect("a folder"),
            proxy: None,
            impostor: address.to_string(),
            asked,
            in_pod: false,
        }
    }

    /// A row with one kubeconfig, the value of `--kubeconfig`.
    pub fn with(feature: impl Into<String>, text: impl AsRef<[u8]>) -> Self {
        Self::new(feature).file("config", text).argument("--kubeconfig=$folder/config")
    }

    pub fn file(mut self, name: &str, text: impl AsRef<[u8]>) -> Self {
        self.files.push((name.to_owned(), text.as_ref().to_owned()));
        self
    }

    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    pub fn proxy(mut self, kind: ProxyKind) -> Self {
        self.proxy = Some(Proxy::start(kind, None).expect("a proxy"));
        self
    }

    pub fn proxy_with_password(mut self, kind: ProxyKind) -> Self {
        self.proxy = Some(Proxy::start(kind, Some(("user", PASSWORD))).expect("a proxy"));
        self
    }

    /// The row runs in a Pod: with the mounted service account and the variables of a Pod.
    pub fn in_pod(mut self) -> Self {
        self.in_pod = true;
        let port = CLUSTER.url().rsplit(':').next().unwrap_or_default().to_owned();
        self.variable("KUBERNETES_SERVICE_HOST", "127.0.0.1").variable("KUBERNETES_SERVICE_PORT", port)
    }

    /// Asserts that both commands have this outcome, and that pullthrough prints this text on standard error.
    #[track_caller]
    pub fn both(self, expected: Outcome, says: &str) {
        self.check(expected, expected, says);
    }

    /// Asserts different outcomes. The documentation explains each difference.
    #[track_caller]
    pub fn differs(self, kubectl: Outcome, pullthrough: Outcome, says: &str) {
        assert_ne!(kubectl, pullthrough);
        self.check(kubectl, pullthrough, says);
    }

    #[track_caller]
    fn check(self, kubectl: Outcome, pullthrough: Outcome, says: &str) {
        for (name, content) in &self.files {
            let path = self.folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            let content = match std::str::from_utf8(content) {
                Ok(text) => self.resolved(text).into_bytes(),
                Err(_) => content.clone(),
            };
            std::fs::write(&path, content).expect("a file");
            // Some files are programs.
            std::fs::set_permissions(path, Permissions::from_mode(0o755)).expect("a file");
        }
        let program = CLUSTER.assets().join("kubectl");
        let raw = ["get", "--raw=/api/v1/namespaces/default/pods", "--request-timeout=3s"];
        // A timeout is part of the configuration. With it, kubectl does not use the Pod's own cluster.
        let (outcome, told) = self.run(&program, &raw[..if self.in_pod { 2 } else { 3 }]);
        assert_eq!(outcome, kubectl, "kubectl, {}: {told}", self.feature);
        let program = Path::new(env!("CARGO_BIN_EXE_pullthrough"));
        let (outcome, told) = self.run(program, &["scan", "-n=default", "-o=json", "--timeout=3s"]);
        assert_eq!(outcome, pullthrough, "pullthrough, {}: {told}", self.feature);
        assert!(told.contains(&self.resolved(says)), "{}: {told}", self.feature);
        let cluster = told.lines().filter(|line| line.starts_with("note: cluster ")).count();
        let is_found = pullthrough.succeeded || pullthrough.through_proxy || pullthrough.impostor;
        assert!(cluster == 1 || (cluster == 0 && !is_found), "{}: {told}", self.feature);
        assert!(!told.contains(PASSWORD) && !told.contains(ENCODED_PASSWORD), "{}: {told}", self.feature);
        let heard = self.heard().concat();
        for text in [&told, &heard] {
            assert!(!text.contains(CLUSTER.admin().token()), "{}: {text}", self.feature);
        }
    }

    fn heard(&self) -> MutexGuard<'_, Vec<String>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resolved(&self, text: &str) -> String {
        let port = CLUSTER.url().rsplit(':').next().unwrap_or_default();
        let proxy = self.proxy.as_ref().map(|proxy| proxy.address().to_string()).unwrap_or_default();
        let ca = self.proxy.as_ref().map(|proxy| proxy.ca().to_owned()).unwrap_or_default();
        text.replace("$folder", &self.folder.path().display().to_string())
            .replace("$port", port)
            .replace("$proxy_ca", &ca)
            .replace("$proxy", &proxy)
            .replace("$impostor_port", self.impostor.rsplit(':').next().unwrap_or_default())
            .replace("$impostor", &self.impostor)
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> (Outcome, String) {
        let tunnels = || self.proxy.as_ref().map_or(0, Proxy::tunnels);
        let before = (tunnels(), self.heard().len());
        let mut command = if self.in_pod { self.pod() } else { Command::new("env") };
        let home = format!("HOME={}", self.folder.path().display());
        let path = format!("PATH={}", std::env::var("PATH").unwrap_or_default());
        let variables = self.variables.iter().map(|(name, value)| format!("{name}={}", self.resolved(value)));
        command.arg("-i").args([home, path]).args(variables).arg(program).args(arguments);
        command.args(self.arguments.iter().map(|argument| self.resolved(argument))).current_dir("/");
        let output = command.stdin(std::process::Stdio::null()).output().expect("the program runs");
        let outcome = Outcome {
            succeeded: output.status.success(),
            through_proxy: tunnels() > before.0,
            impostor: self.heard().len() > before.1,
        };
        (outcome, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Returns a command that runs `env` in a mount namespace with a service account.
    fn pod(&self) -> Command {
        const MOUNT: &str = "set -e
            mount -t tmpfs none /run
            account=/run/secrets/kubernetes.io/serviceaccount
            mkdir -p $account
            printf %s \"$1\" >$account/token
            printf %s \"$2\" >$account/ca.crt
            printf default >$account/namespace
            shift 2
            exec env \"$@\"";
        let is_possible = Command::new("unshare").args(["-rm", "true"]).output().is_ok_and(|run| run.status.success());
        let mut command = Command::new(if is_possible { "unshare" } else { "sudo" });
        command.args(if is_possible { &["-rm"][..] } else { &["-n", "unshare", "-m"] });
        command.args(["sh", "-c", MOUNT, "pod", CLUSTER.admin().token(), &authority()]);
        command
    }
}
