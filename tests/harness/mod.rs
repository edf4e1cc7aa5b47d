//! A real control plane, etcd and kube-apiserver, for tests and demos.
//!
//! A test binary shares one among its tests, which run in parallel and take a namespace each:
//!
//! ```ignore
//! static CLUSTER: LazyLock<ControlPlane> = LazyLock::new(|| ControlPlane::start(&Options::default()).unwrap());
//! ```
//!
//! A static is never dropped, and a test process can be killed: [`Server`] makes the servers end all the same.
#![allow(dead_code, unused_imports, reason = "every user of the harness takes another part of it")]

mod balancer;
mod client;
mod handshake;
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
/// Where etcd listens in its folder; it takes the last part for a port and keeps it in the name of the socket.
const ETCD: &str = "unix://etcd.sock:0";
const ATTEMPTS: usize = 3;
/// Of the addresses of Services.
pub const SERVICE_NETWORK: &str = "10.0.0.0/24";
const START_DEADLINE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The Kubernetes version, such as `1.34`, if not the default of `assets.sh`.
    pub version: Option<String>,
    /// More arguments of kube-apiserver, such as `--feature-gates=...`; they win over those of the harness.
    pub arguments: Vec<String>,
    /// Where kube-apiserver listens, if not on 127.0.0.1, which Pods can't reach.
    pub address: Option<Ipv4Addr>,
    /// Whether a controller-manager is going to run, so that Pods have their service accounts.
    pub controllers: bool,
    /// Users beside `admin` and `dev`, with one group each; see [`ControlPlane::kubeconfig_of`].
    pub users: Vec<(&'static str, &'static str)>,
}

// The fields are dropped in this order: kube-apiserver has to end before the etcd that it writes to.
pub struct ControlPlane {
    api_server: Server,
    etcd: Server,
    admin: Kubectl,
    dev: Kubectl,
    assets: PathBuf,
    /// Of kube-apiserver.
    arguments: Vec<String>,
    url: String,
    minor: u32,
    /// Signs the certificates of clients.
    clients: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl ControlPlane {
    pub fn start(options: &Options) -> Result<Self> {
        let assets = assets(options.version.as_deref(), &[])?;
        let folder = tempfile::Builder::new().prefix("pullthrough-").tempdir().context("make a folder")?;
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
        let service_accounts = KeyPair::generate().context("make the key of service accounts")?;
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

    /// Runs kubectl as a member of system:masters.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        self.admin.run(arguments)
    }

    /// As [`Self::kubectl`], with the text as stdin.
    pub fn kubectl_with(&self, arguments: &[&str], stdin: &str) -> Output {
        self.admin.run_with(arguments, stdin)
    }

    /// `admin`, of the group system:masters.
    pub fn admin(&self) -> &Kubectl {
        &self.admin
    }

    /// `dev`, a user outside of `system:` that RBAC gives the role cluster-admin.
    pub fn dev(&self) -> &Kubectl {
        &self.dev
    }

    /// A service account, which has to exist.
    pub fn service_account(&self, namespace: &str, name: &str) -> Kubectl {
        let token = self.kubectl(&["create", "token", name, "--namespace", namespace]).ok();
        Kubectl { token: token.trim().to_owned(), ..self.admin.clone() }
    }

    /// A certificate of a user of system:masters and its key, in PEM.
    pub fn client_certificate(&self) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let mut certificate = CertificateParams::new([])?;
        certificate.distinguished_name.push(DnType::CommonName, "certified");
        certificate.distinguished_name.push(DnType::OrganizationName, "system:masters");
        certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok((certificate.signed_by(&key, &self.clients)?.pem(), key.serialize_pem()))
    }

    /// A kubeconfig of a service account, with its token in a file, as in a Pod.
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

    /// Makes a namespace, so that tests that share this control plane keep apart.
    pub fn create_namespace(&self, name: &str) {
        self.kubectl(&["create", "namespace", name]).ok();
    }

    /// The requests answered so far. The audit log may lag behind an answer: combine it with [`wait_for`].
    pub fn audit_events(&self) -> Vec<Value> {
        let path = self.folder.path().join("audit.log");
        let log = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // The last line may be half written.
        let complete = log.rfind('\n').map_or("", |end| &log[..end]);
        complete.lines().map(|line| serde_json::from_str(line).expect("a line of the audit log is an event")).collect()
    }

    /// The minor version of Kubernetes: 36 for 1.36.
    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// The folder of the binaries that run.
    pub fn assets(&self) -> &Path {
        &self.assets
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate to trust, in PEM.
    pub fn certificate_authority(&self) -> PathBuf {
        self.folder.path().join("apiserver.crt")
    }

    /// A kubeconfig of `admin`.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// A kubeconfig of one of [`Options::users`].
    pub fn kubeconfig_of(&self, user: &str) -> PathBuf {
        self.folder.path().join(format!("{user}.kubeconfig"))
    }

    /// The key that signs the tokens of service accounts, in PEM.
    pub fn service_account_key(&self) -> PathBuf {
        self.folder.path().join("service-account.key")
    }

    /// Kills kube-apiserver, and nothing else.
    pub fn stop_api_server(&mut self) -> Result<()> {
        self.api_server.kill()
    }

    /// Runs it again, as it was and where it was.
    pub fn resume_api_server(&mut self) -> Result<()> {
        let program = self.assets.join("kube-apiserver");
        self.api_server = Server::start(&program, &self.arguments, self.folder.path())?;
        wait_until_ready(&self.admin, &mut self.api_server, &mut self.etcd)
    }

    /// What kube-apiserver wrote.
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

/// The folder with the binaries of a control plane and the further ones named; `assets.sh` compiles what is missing.
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

/// The program `helm`, compiled like those.
pub fn helm() -> Result<PathBuf> {
    Ok(assets(Some("helm"), &[])?.join("helm"))
}

/// The folder of containerd 2, `ctr` and the shim, compiled like those.
pub fn containerd() -> Result<PathBuf> {
    assets(Some("containerd"), &[])
}

/// Polls until there is a value; fails after the deadline.
pub fn wait_for<T>(deadline: Duration, mut poll: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = poll() {
            return Ok(value);
        }
        ensure!(start.elapsed() < deadline, "still waiting after {deadline:?}");
        thread::sleep(POLL_INTERVAL);
    }
}

/// A port of 127.0.0.1 that was free a moment ago.
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

/// Starts kube-apiserver, on another port where somebody took the chosen one before it could.
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
    bail!("kube-apiserver found its port taken {ATTEMPTS} times")
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
        // Nobody makes the service accounts that this plugin wants every Pod to have.
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
