//! A control plane with workloads, for `pullthrough scan`.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::custom;
use super::workloads::{self, Expected};
use crate::harness::{Client, ControlPlane, Options};
use crate::scene::{KUBERNETES, rules};

pub const NAMESPACES: [&str; 4] = ["scan-a", "scan-b", "scan-off", "scan-excluded"];
/// A user who may list some kinds in one namespace.
pub const READER: &str = "reader";
/// A user with the permissions that the documentation lists.
pub const SCANNER: &str = "scanner";
/// A user without permissions.
pub const BLIND: &str = "blind";

const RULES: &str = "  - name: docker-hub
    from: [docker.io]
    to: cache.example.com/hub
    except: [docker.io/library/busybox]
    namespaces: {exclude: [scan-excluded]}
  - {name: github, from: [ghcr.io], to: cache.example.com/ghcr, mode: observe}
";

/// One cluster for all tests, which only read it.
static YARD: LazyLock<Yard> = LazyLock::new(|| Yard::new().unwrap_or_else(|error| panic!("{error:#}")));

pub struct Yard {
    pub cluster: ControlPlane,
    pub expected: Vec<Expected>,
    /// The findings with rules that declare more.
    pub declared: Vec<Expected>,
    folder: TempDir,
}

/// The output of the command.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Yard {
    pub fn get() -> &'static Self {
        &YARD
    }

    fn new() -> anyhow::Result<Self> {
        let users = vec![(READER, "readers"), (SCANNER, "scanners"), (BLIND, "nobody")];
        let cluster = ControlPlane::start(&Options { users, ..Options::default() })?;
        let folder = tempfile::tempdir()?;
        let rules = rules("allowOptOut: true\n", &[KUBERNETES, RULES].concat());
        std::fs::write(folder.path().join("rules.yaml"), &rules)?;
        std::fs::write(folder.path().join("declaring.yaml"), rules + custom::DECLARATIONS)?;
        for namespace in NAMESPACES {
            cluster.create_namespace(namespace);
        }
        cluster.kubectl(&["label", "namespace", "scan-off", "pullthrough.dev/rewrite=disabled"]).ok();
        let lists = ["create", "role", "lister", "-n", "scan-a", "--verb=list", "--resource=pods,deployments.apps"];
        cluster.kubectl(&lists).ok();
        cluster.kubectl(&["create", "rolebinding", "lister", "-n", "scan-a", "--role=lister", "--user=reader"]).ok();
        cluster.kubectl_with(&["create", "-f", "-"], documented_role()).ok();
        let bind = ["create", "clusterrolebinding", "scan", "--clusterrole=pullthrough-scan", "--user=scanner"];
        cluster.kubectl(&bind).ok();
        let mut expected = workloads::create(&cluster);
        let (always, declared) = custom::create(&cluster);
        expected.extend(always);
        let yard = Self { cluster, expected, declared, folder };
        register(&yard.cluster.client(), &yard.rules())?;
        Ok(yard)
    }

    pub fn rules(&self) -> String {
        self.folder.path().join("rules.yaml").display().to_string()
    }

    /// Returns the rules with `manifests`.
    pub fn declaring_rules(&self) -> String {
        self.folder.path().join("declaring.yaml").display().to_string()
    }

    pub fn command(&self, kubeconfig: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.arg("scan").arg("--kubeconfig").arg(kubeconfig).args(arguments);
        command
    }

    pub fn scan(&self, arguments: &[&str]) -> Said {
        self.scan_with(&self.cluster.kubeconfig(), arguments)
    }

    pub fn scan_as(&self, user: &str, arguments: &[&str]) -> Said {
        self.scan_with(&self.cluster.kubeconfig_of(user), arguments)
    }

    pub fn scan_with(&self, kubeconfig: &Path, arguments: &[&str]) -> Said {
        let output = self.command(kubeconfig, arguments).output().expect("the binary runs");
        let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
        Said { code: output.status.code().expect("an exit code"), stdout, stderr }
    }
}

pub fn documented_role() -> &'static str {
    const PAGE: &str = include_str!("../../../docs/how-to/find-images.md");
    let blocks = PAGE.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    blocks
        .into_iter()
        .find(|block| block.contains("kind: ClusterRole\n"))
        .expect("docs/how-to/find-images.md has a ClusterRole")
}

/// Creates the configuration that `pullthrough export webhook` prints. No server runs, and no Pod is created any more.
fn register(client: &Client, rules: &str) -> anyhow::Result<()> {
    let mut export = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
    let output =
        export.args(["export", "webhook", "--rules", rules, "--url", "https://127.0.0.1:1/mutate"]).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut configuration: Value = serde_saphyr::from_slice(&output.stdout)?;
    configuration["webhooks"][0]["failurePolicy"] = json!("Ignore");
    client.post("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", &configuration)?;
    Ok(())
}
