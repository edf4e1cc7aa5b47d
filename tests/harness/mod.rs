//! A real control plane, etcd and kube-apiserver, for tests and demos.
//!
//! The tests of a binary share one control plane. They run in parallel, each in a namespace of its own:
//!
//! ```ignore
//! static CLUSTER: LazyLock<ControlPlane> = LazyLock::new(|| ControlPlane::start(&Options::default()).unwrap());
//! ```
//!
//! A static is never dropped, and a test process can be killed. In both cases [`Server`] ends the servers.
#![allow(dead_code, unused_imports, reason = "each test binary uses another part of the harness")]

mod balancer;
mod client;
mod handshake;
pub mod installation;
mod kubectl;
pub mod kyverno;
mod proxy;
mod server;
mod webhook;

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

pub use balancer::Balancer;
pub use client::{Client, request};
pub use handshake::{certificates, handshake};
pub use kubectl::{Kubectl, Output};
pub use proxy::{Proxy, ProxyKind};
pub use server::Server;
pub use webhook::Webhook;

const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/assets.sh");
const AUDIT_POLICY: &str = include_str!("audit-policy.yaml");
/// The listening address of etcd, in its folder. etcd reads the last part as a port, and the name of the socket includes it.
const ETCD: &str = "unix://etcd.sock:0";
const ATTEMPTS: usize = 3;
/// The addresses of Services.
pub const SERVICE_NETWORK: &str = "10.0.0.0/24";
const START_DEADLINE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The Kubernetes version, such as `1.34`. The default is that of `assets.sh`.
    pub version: Option<String>,
    /// Further arguments of kube-apiserver, such as `--feature-gates=...`. They override those of the harness.
    pub arguments: Vec<String>,
    /// The address that kube-apiserver listens on. The default is 127.0.0.1, which Pods can't connect to.
    pub address: Option<Ipv4Addr>,
    /// Whether a controller-manager will run, which creates the service accounts of Pods.
    pub controllers: bool,
    /// Users beside `admin` and `dev`, each with one group. See [`ControlPlane::kubeconfig_of`].
    pub users: Vec<(&'static str, &'static str)>,
}

// Fields are dropped in this order. kube-apiserver must end before the etcd that it writes to.
pub struct ControlPlane {
    api_server: Server,
    etcd: Server,
    admin: Kubectl,
    dev: Kubectl,
    assets: PathBuf,
    /// The arguments of kube-apiserver.
    arguments: Vec<String>,
    url: String,
    minor: u32,
    /// The CA of client certificates.
    clients: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl ControlPlane {
    pub fn start(options: &Options) -> Result<Self> {
        let assets = assets(options.version.as_deref(), &[])?;
        let folder = tempfile::Builder::new().prefix("pullthrough-").tempdir().context("create a folder")?;
        let kubectl = || -> Result<_> {
            Ok(Kubectl { binary: assets.join("kubectl"), folder: folder.path().to_owned(), token: random_token()? })
        };
        let (admin, dev) = (kubectl()?, kubectl()?);
        let mut tokens = format!("{},admin,admin,system:masters\n{},dev,dev\n", admin.token, dev.token);
        let mut users = vec![];
        for (name, group) in &options.users {
            let token = random_token()?;
            tokens.push_str(&format!("{token},{name},{name},{group}\n"));
            users.push((name, token));
        }
        let service_accounts = KeyPair::generate().context("create the key of service accounts")?;
        let mut clients = CertificateParams::new([])?;
        clients.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let clients = CertifiedIssuer::self_signed(clients, KeyPair::generate()?)?;
        write(&folder, "clients.crt", &clients.pem())?;
        write(&folder, "tokens.csv", &tokens)?;
        write(&folder, "service-account.key", &service_accounts.serialize_pem())?;
        write(&folder, "service-account.pub", &service_accounts.public_key_pem())?;
        write(&folder, "audit-policy.yaml", AUDIT_POLICY)?;

        let mut etcd = Server::start(&assets.join("etcd"), etcd_arguments(), folder.path())?;
        let (api_server, arguments, url) = start_api_server(&assets, &folder, options, &admin, &mut etcd)?;
        for (name, token) in users {
            write(&folder, &format!("{name}.kubeconfig"), &kubeconfig(&url, &token))?;
        }
        let version = admin.run(&["get", "--raw", "/version"]).json();
        let minor = version["minor"].as_str().and_then(|minor| minor.trim_end_matches('+').parse().ok());
        let minor = minor.with_context(|| format!("no minor version in {version}"))?;
        admin.run(&["create", "clusterrolebinding", "dev", "--clusterrole=cluster-admin", "--user=dev"]).ok();
        Ok(Self { api_server, etcd, admin, dev, assets, arguments, url, minor, clients, folder })
    }

    /// Runs kubectl as `admin`, a member of system:masters.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        self.admin.run(arguments)
    }

    /// Runs kubectl like [`Self::kubectl`], with a text as its standard input.
    pub fn kubectl_with(&self, arguments: &[&str], stdin: &str) -> Output {
        self.admin.run_with(arguments, stdin)
    }

    /// Returns kubectl as `admin`, of the group system:masters.
    pub fn admin(&self) -> &Kubectl {
        &self.admin
    }

    /// Returns kubectl as `dev`, a user outside of `system:` with the role cluster-admin.
    pub fn dev(&self) -> &Kubectl {
        &self.dev
    }

    /// Returns kubectl as a service account, which must exist.
    pub fn service_account(&self, namespace: &str, name: &str) -> Kubectl {
        let token = self.kubectl(&["create", "token", name, "--namespace", namespace]).ok();
        Kubectl { token: token.trim().to_owned(), ..self.admin.clone() }
    }

    /// Returns a client certificate of a user of system:masters, and its key, in PEM.
    pub fn client_certificate(&self) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let mut certificate = CertificateParams::new([])?;
        certificate.distinguished_name.push(DnType::CommonName, "certified");
        certificate.distinguished_name.push(DnType::OrganizationName, "system:masters");
        certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok((certificate.signed_by(&key, &self.clients)?.pem(), key.serialize_pem()))
    }

    /// Writes a kubeconfig of a service account, with its token in a file as in a Pod. Returns its path.
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = format!("{namespace}.{name}.token");
        write(&self.folder, &token, self.service_account(namespace, name).token())?;
        let authority = self.certificate_authority();
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "e2e", "cluster": {"server": self.url, "certificate-authority": authority}}],
            "users": [{"name": name, "user": {"tokenFile": self.folder.path().join(token)}}],
            "contexts": [{"name": name, "context": {"cluster": "e2e", "user": name, "namespace": namespace}}],
            "current-context": name,
        });
        let file = format!("{namespace}.{name}.kubeconfig");
        write(&self.folder, &file, &kubeconfig.to_string())?;
        Ok(self.folder.path().join(file))
    }

    /// Creates a namespace. Tests that share this control plane use one each.
    pub fn create_namespace(&self, name: &str) {
        self.kubectl(&["create", "namespace", name]).ok();
    }

    /// Returns the audit log of the requests so far. Events may appear after the response: use [`wait_for`].
    pub fn audit_events(&self) -> Vec<Value> {
        let path = self.folder.path().join("audit.log");
        let log = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // The last line may be incomplete.
        let complete = log.rfind('\n').map_or("", |end| &log[..end]);
        complete
            .lines()
            .map(|line| serde_json::from_str(line).expect("an event in each line of the audit log"))
            .collect()
    }

    /// Returns the minor version of Kubernetes: 36 for 1.36.
    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// Returns the folder of the binaries in use.
    pub fn assets(&self) -> &Path {
        &self.assets
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the path of the CA certificate to trust, in PEM.
    pub fn certificate_authority(&self) -> PathBuf {
        self.folder.path().join("apiserver.crt")
    }

    /// Returns the path of a kubeconfig of `admin`.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Returns the path of a kubeconfig of one of [`Options::users`].
    pub fn kubeconfig_of(&self, user: &str) -> PathBuf {
        self.folder.path().join(format!("{user}.kubeconfig"))
    }

    /// Returns the path of the key that signs service account tokens, in PEM.
    pub fn service_account_key(&self) -> PathBuf {
        self.folder.path().join("service-account.key")
    }

    /// Kills kube-apiserver. etcd keeps running.
    pub fn stop_api_server(&mut self) -> Result<()> {
        self.api_server.kill()
    }

    /// Starts kube-apiserver again, with the same arguments and the same address.
    pub fn resume_api_server(&mut self) -> Result<()> {
        let program = self.assets.join("kube-apiserver");
        self.api_server = Server::start(&program, &self.arguments, self.folder.path())?;
        wait_until_ready(&self.admin, &mut self.api_server, &mut self.etcd)
    }

    /// Returns the log of kube-apiserver.
    pub fn log(&self) -> String {
        self.api_server.log()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if thread::panicking() {
            eprint!("{}{}", self.etcd.log_tail(), self.api_server.log_tail());
        }
    }
}

/// Returns the folder with the binaries of a control plane and `binaries`. `assets.sh` compiles those that are missing.
pub fn assets(version: Option<&str>, binaries: &[&str]) -> Result<PathBuf> {
    let output = Command::new(ASSETS)
        .arg(version.unwrap_or_default())
        .args(binaries)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("run {ASSETS}"))?;
    ensure!(output.status.success(), "{ASSETS} failed ({}), see above", output.status);
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim_end()))
}

/// Returns the path of `helm`. `assets.sh` compiles it if it is missing.
pub fn helm() -> Result<PathBuf> {
    Ok(assets(Some("helm"), &[])?.join("helm"))
}

/// Returns the folder with containerd 2, `ctr` and the shim. `assets.sh` compiles them if they are missing.
pub fn containerd() -> Result<PathBuf> {
    assets(Some("containerd"), &[])
}

/// Polls until there is a value. Fails after the deadline.
pub fn wait_for<T>(deadline: Duration, mut poll: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = poll() {
            return Ok(value);
        }
        ensure!(start.elapsed() < deadline, "timeout after {deadline:?}");
        thread::sleep(POLL_INTERVAL);
    }
}

/// Returns a port of 127.0.0.1 that was free when it was chosen.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?.port())
}

fn etcd_arguments() -> [String; 8] {
    [
        format!("--listen-client-urls={ETCD}"),
        format!("--advertise-client-urls={ETCD}"),
        "--listen-peer-urls=unix://peer.sock:0".into(),
        "--initial-advertise-peer-urls=unix://peer.sock:0".into(),
        "--initial-cluster=default=unix://peer.sock:0".into(),
        "--data-dir=etcd".into(),
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ]
}

/// Starts kube-apiserver. If another process takes the chosen port first, it chooses another one.
fn start_api_server(
    assets: &Path,
    folder: &TempDir,
    options: &Options,
    admin: &Kubectl,
    etcd: &mut Server,
) -> Result<(Server, Vec<String>, String)> {
    let address = options.address.unwrap_or(Ipv4Addr::LOCALHOST);
    for _ in 0..ATTEMPTS {
        let port = free_port()?;
        let url = format!("https://{address}:{port}");
        write(folder, "kubeconfig", &kubeconfig(&url, &admin.token))?;
        let arguments = api_server_arguments(address, port, options);
        let mut server = Server::start(&assets.join("kube-apiserver"), &arguments, folder.path())?;
        match wait_until_ready(admin, &mut server, etcd) {
            Ok(()) => return Ok((server, arguments, url)),
            Err(_) if server.log().contains("address already in use") => {}
            Err(error) => bail!("{error:#}\n{}{}", etcd.log_tail(), server.log_tail()),
        }
    }
    bail!("the port of kube-apiserver was in use {ATTEMPTS} times")
}

fn api_server_arguments(address: Ipv4Addr, port: u16, options: &Options) -> Vec<String> {
    let mut arguments = vec![
        format!("--etcd-servers={ETCD}"),
        format!("--bind-address={address}"),
        format!("--advertise-address={address}"),
        format!("--secure-port={port}"),
        "--cert-dir=.".into(),
        "--token-auth-file=tokens.csv".into(),
        "--client-ca-file=clients.crt".into(),
        "--authorization-mode=Node,RBAC".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        "--service-account-key-file=service-account.pub".into(),
        "--service-account-signing-key-file=service-account.key".into(),
        format!("--service-cluster-ip-range={SERVICE_NETWORK}"),
        "--enable-aggregator-routing=true".into(),
        "--audit-policy-file=audit-policy.yaml".into(),
        "--audit-log-path=audit.log".into(),
    ];
    if !options.controllers {
        // No controller creates the service accounts that this plugin requires for every Pod.
        arguments.push("--disable-admission-plugins=ServiceAccount".into());
    }
    arguments.extend(options.arguments.iter().cloned());
    arguments
}

fn wait_until_ready(admin: &Kubectl, api_server: &mut Server, etcd: &mut Server) -> Result<()> {
    for arguments in [["get", "--raw", "/readyz"], ["get", "namespace", "default"]] {
        wait_for(START_DEADLINE, || {
            if let Err(error) = etcd.check_alive().and_then(|()| api_server.check_alive()) {
                return Some(Err(error));
            }
            admin.run(&arguments).status.success().then_some(Ok(()))
        })
        .with_context(|| format!("kubectl {}", arguments.join(" ")))??;
    }
    Ok(())
}

fn kubeconfig(url: &str, token: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": {"server": url, "certificate-authority": "apiserver.crt"}}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "admin", "context": {"cluster": "e2e", "user": "admin"}}],
        "current-context": "admin",
    })
    .to_string()
}

fn random_token() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes)).context("read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn write(folder: &TempDir, name: &str, text: &str) -> Result<()> {
    let path = folder.path().join(name);
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}
