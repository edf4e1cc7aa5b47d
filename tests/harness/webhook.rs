use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

use super::{Server, wait_for};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pullthrough");
const START_DEADLINE: Duration = Duration::from_secs(20);

/// A running `pullthrough serve`, with a certificate that outlives restarts.
pub struct Webhook {
    server: Option<Server>,
    arguments: Vec<String>,
    listen: SocketAddr,
    metrics_listen: SocketAddr,
    folder: TempDir,
}

impl Webhook {
    /// Serves a rules file of this text.
    pub fn start(rules: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("pullthrough-").tempdir().context("make a folder")?;
        make_certificate(folder.path())?;
        let file = |name: &str| folder.path().join(name).display().to_string();
        let arguments = [
            "serve".to_owned(),
            format!("--rules={}", file("rules.yaml")),
            format!("--tls-cert={}", file("tls.crt")),
            format!("--tls-key={}", file("tls.key")),
            "--drain-delay-secs=0".to_owned(),
            "--reload-interval-millis=50".to_owned(),
            "--log-format=json".to_owned(),
        ];
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut webhook = Self { server: None, arguments: arguments.into(), listen: any, metrics_listen: any, folder };
        fs::write(webhook.rules_file(), rules).context("write the rules")?;
        webhook.resume()?;
        Ok(webhook)
    }

    /// Runs the program, on the addresses of its earlier run if there was one.
    pub fn resume(&mut self) -> Result<()> {
        let own = tempfile::Builder::new().prefix("pullthrough-").tempdir().context("make a folder")?.keep();
        let addresses = [format!("--listen={}", self.listen), format!("--metrics-listen={}", self.metrics_listen)];
        let arguments = self.arguments.iter().chain(&addresses);
        let mut server = Server::start(Path::new(PROGRAM), arguments, &own)?;
        let serving = wait_for(START_DEADLINE, || {
            if let Err(error) = server.check_alive() {
                return Some(Err(error));
            }
            let log = server.log();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line["message"] == "serving").map(Ok)
        });
        let serving = match serving {
            Ok(Ok(serving)) => serving,
            Ok(Err(error)) | Err(error) => bail!("{error:#}\n{}", server.log_tail()),
        };
        self.listen = address(&serving["listen"])?;
        self.metrics_listen = address(&serving["metrics_listen"])?;
        self.server = Some(server);
        Ok(())
    }

    pub fn stop(&mut self) {
        self.server = None;
    }

    pub fn url(&self) -> String {
        format!("https://{}/mutate", self.listen)
    }

    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics_listen
    }

    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    pub fn rules_file(&self) -> PathBuf {
        self.folder.path().join("rules.yaml")
    }

    /// Replaces the rules file, and waits until its rules are in force.
    pub fn change_rules(&self, rules: &str) -> Result<()> {
        let reloads = r#"pullthrough_reloads_total{result="success",what="rules"}"#;
        let before = self.metric(reloads);
        let new = self.folder.path().join("rules.new");
        fs::write(&new, rules).context("write the rules")?;
        fs::rename(new, self.rules_file()).context("replace the rules")?;
        wait_for(START_DEADLINE, || (self.metric(reloads) > before).then_some(()))
    }

    /// What `pullthrough export webhook` prints for these rules and this address.
    pub fn configuration(&self, arguments: &[&str]) -> Result<Value> {
        let output = std::process::Command::new(PROGRAM)
            .args(["export", "webhook", "--rules"])
            .arg(self.rules_file())
            .args(["--url", &self.url(), "--ca-file"])
            .arg(self.ca_file())
            .args(arguments)
            .output()
            .context("run pullthrough")?;
        if !output.status.success() {
            bail!("pullthrough export webhook: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_saphyr::from_slice(&output.stdout)?)
    }

    /// One series of `/metrics`; 0 where it is not there yet.
    pub fn metric(&self, series: &str) -> f64 {
        self.metrics().unwrap_or_else(|error| panic!("{error:#}")).get(series).copied().unwrap_or_default()
    }

    /// All of `/metrics`, by series.
    pub fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let mut stream = TcpStream::connect(self.metrics_listen).context("connect for metrics")?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let series = text.lines().filter(|line| line.starts_with("pullthrough_")).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Ok(series.collect())
    }
}

fn address(logged: &Value) -> Result<SocketAddr> {
    let text = logged.as_str().unwrap_or_default();
    text.trim_matches(['[', ']']).parse().with_context(|| format!("no address in {logged}"))
}

fn make_certificate(folder: &Path) -> Result<()> {
    let mut authority = CertificateParams::new([])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&key, &authority)?;
    fs::write(folder.join("ca.crt"), authority.pem())?;
    fs::write(folder.join("tls.crt"), certificate.pem())?;
    fs::write(folder.join("tls.key"), key.serialize_pem())?;
    Ok(())
}
