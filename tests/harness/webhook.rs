use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

use super::{Server, wait_for};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pullthrough");
const START_DEADLINE: Duration = Duration::from_secs(20);
const LOG_DEADLINE: Duration = Duration::from_secs(20);

/// A running `pullthrough serve`, with a certificate that stays the same after a restart.
pub struct Webhook {
    server: Option<Server>,
    environment: Vec<String>,
    arguments: Vec<String>,
    listen: SocketAddr,
    metrics_listen: SocketAddr,
    folder: TempDir,
}

impl Webhook {
    /// Starts the server with a rules file of this text.
    pub fn start(rules: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("pullthrough-").tempdir().context("create a folder")?;
        make_certificate(folder.path(), None)?;
        let file = |option: &str, name: &str| format!("--{option}={}", folder.path().join(name).display());
        let arguments = vec![file("tls-cert", "tls.crt"), file("tls-key", "tls.key")];
        // Probes of caches that only rules know do not leave this machine.
        Self::start_in(folder, rules, arguments, vec!["HTTPS_PROXY=http://127.0.0.1:1".to_owned()])
    }

    /// Starts the server with managed certificates and a kubeconfig.
    pub fn start_managed(rules: &str, kubeconfig: &Path, arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("pullthrough-").tempdir().context("create a folder")?;
        let arguments = ["--manage-certificates"].iter().chain(arguments).map(|&argument| argument.to_owned());
        let kubeconfig = format!("KUBECONFIG={}", kubeconfig.display());
        Self::start_in(folder, rules, arguments.collect(), vec![kubeconfig])
    }

    fn start_in(folder: TempDir, rules: &str, mut arguments: Vec<String>, environment: Vec<String>) -> Result<Self> {
        let common = ["--drain-delay=0s", "--reload-interval=50ms", "--log-format=json"];
        arguments.extend(common.map(str::to_owned));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut webhook = Self { server: None, environment, arguments, listen: any, metrics_listen: any, folder };
        fs::write(webhook.rules_file(), rules).context("write the rules")?;
        webhook.resume()?;
        Ok(webhook)
    }

    /// Starts the program. If it ran before, it gets the same addresses.
    pub fn resume(&mut self) -> Result<()> {
        let own = tempfile::Builder::new().prefix("pullthrough-").tempdir().context("create a folder")?.keep();
        let command = [
            PROGRAM.to_owned(),
            "serve".to_owned(),
            format!("--rules={}", self.rules_file().display()),
            format!("--listen={}", self.listen),
            format!("--metrics-listen={}", self.metrics_listen),
        ];
        let arguments = self.environment.iter().chain(&command).chain(&self.arguments);
        let mut server = Server::start(Path::new("env"), arguments, &own)?;
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

    /// Starts the program again, with a new CA and an expired certificate.
    pub fn resume_expired(&mut self) -> Result<()> {
        self.stop();
        make_certificate(self.folder.path(), Some(2001))?;
        self.resume()
    }

    pub fn stop(&mut self) {
        self.server = None;
    }

    pub fn url(&self) -> String {
        format!("https://{}/mutate", self.listen)
    }

    pub fn address(&self) -> SocketAddr {
        self.listen
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

    /// Replaces the rules file, and waits until its rules are loaded.
    pub fn change_rules(&self, rules: &str) -> Result<()> {
        let reloads = r#"pullthrough_reloads_total{result="success",what="rules"}"#;
        let before = self.metric(reloads);
        let new = self.folder.path().join("rules.new");
        fs::write(&new, rules).context("write the rules")?;
        fs::rename(new, self.rules_file()).context("replace the rules")?;
        wait_for(START_DEADLINE, || (self.metric(reloads) > before).then_some(()))
    }

    /// Returns what `pullthrough export webhook` prints for these rules and this address.
    pub fn configuration(&self, arguments: &[&str]) -> Result<Value> {
        let output = std::process::Command::new(PROGRAM)
            .args(["export", "webhook", "--rules"])
            .arg(self.rules_file())
            .args(["--url", &self.url()])
            .args(self.ca_file().exists().then(|| format!("--ca-file={}", self.ca_file().display())))
            .args(arguments)
            .output()
            .context("run pullthrough")?;
        if !output.status.success() {
            bail!("pullthrough export webhook: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_saphyr::from_slice(&output.stdout)?)
    }

    /// Returns the readiness that the kubelet sees. It is an error if requests must not be sent.
    pub fn ready(&self) -> Result<(), String> {
        let answer = self.get("/readyz").unwrap_or_else(|error| panic!("{error:#}"));
        if answer.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(answer) }
    }

    pub fn log(&self) -> String {
        self.server.as_ref().map(Server::log).unwrap_or_default()
    }

    /// Waits for a line in the log, which may appear after the event that it reports.
    pub fn wait_for_log(&self, part: &str) {
        let found = wait_for(LOG_DEADLINE, || self.log().contains(part).then_some(()));
        found.unwrap_or_else(|error| panic!("the log has no `{part}`: {error}\n{}", self.log()));
    }

    /// Returns the value of one series of `/metrics`, or 0 if it does not exist yet.
    pub fn metric(&self, series: &str) -> f64 {
        self.metrics().unwrap_or_else(|error| panic!("{error:#}")).get(series).copied().unwrap_or_default()
    }

    /// Returns all of `/metrics`, by series.
    pub fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        // Metrics are written at most once a second, so recent events may be missing.
        thread::sleep(Duration::from_secs(1));
        let text = self.get("/metrics")?;
        let series = text.lines().filter(|line| line.starts_with("pullthrough_")).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Ok(series.collect())
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.metrics_listen).context("connect for metrics")?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }
}

fn address(logged: &Value) -> Result<SocketAddr> {
    let text = logged.as_str().unwrap_or_default();
    text.trim_matches(['[', ']']).parse().with_context(|| format!("no address in {logged}"))
}

/// Creates a CA and a certificate. If `last_year` is set, the certificate expires with that year.
fn make_certificate(folder: &Path, last_year: Option<i32>) -> Result<()> {
    let mut authority = CertificateParams::new([])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let mut certificate = CertificateParams::new(["127.0.0.1".to_owned()])?;
    if let Some(year) = last_year {
        certificate.not_after = rcgen::date_time_ymd(year, 12, 31);
    }
    let certificate = certificate.signed_by(&key, &authority)?;
    fs::write(folder.join("ca.crt"), authority.pem())?;
    fs::write(folder.join("tls.crt"), certificate.pem())?;
    fs::write(folder.join("tls.key"), key.serialize_pem())?;
    Ok(())
}
