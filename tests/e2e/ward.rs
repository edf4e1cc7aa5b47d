//! A control plane with a webhook, for `pullthrough doctor`.

use std::process::Command;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::DEADLINE;
use crate::harness::{ControlPlane, Options, Webhook, wait_for};
use crate::scene::{KUBERNETES, rules};

/// A cluster of its own, because doctor inspects the whole cluster. Tests run one after the other.
static WARD: LazyLock<Mutex<Ward>> =
    LazyLock::new(|| Mutex::new(Ward::new().unwrap_or_else(|error| panic!("{error:#}"))));

pub struct Ward {
    pub cluster: ControlPlane,
    pub webhook: Webhook,
}

/// The output of doctor, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub report: Value,
}

impl Said {
    pub fn find(&self, id: &str) -> Option<&Value> {
        let checks = self.report["checks"].as_array().expect("checks");
        checks.iter().flat_map(|check| check["findings"].as_array().expect("findings")).find(|one| one["id"] == id)
    }

    pub fn state(&self, check: &str) -> &str {
        let checks = self.report["checks"].as_array().expect("checks");
        let found = checks.iter().find(|one| one["check"] == check).unwrap_or_else(|| panic!("no check {check}"));
        found["state"].as_str().expect("a state")
    }

    /// Returns the errors and warnings.
    fn faults(&self) -> Vec<&str> {
        let checks = self.report["checks"].as_array().expect("checks");
        let findings = checks.iter().flat_map(|check| check["findings"].as_array().expect("findings"));
        findings.filter(|one| one["severity"] != "note").map(|one| one["id"].as_str().expect("an id")).collect()
    }
}

impl Ward {
    fn new() -> anyhow::Result<Self> {
        let cluster = ControlPlane::start(&Options::default())?;
        Ok(Self { cluster, webhook: Webhook::start(&rules("", KUBERNETES))? })
    }

    /// Returns the cluster with the webhook registered as `export webhook` prints it, and nothing else.
    pub fn sound() -> MutexGuard<'static, Ward> {
        let ward = WARD.lock().unwrap_or_else(PoisonError::into_inner);
        ward.cluster.kubectl(&["delete", "mutatingwebhookconfigurations", "--all"]).ok();
        ward.register(&ward.configuration());
        let said = ward.wait_until("healthy", |said| said.code == 0);
        assert_eq!(said.faults(), Vec::<&str>::new());
        ward
    }

    pub fn configuration(&self) -> Value {
        self.webhook.configuration(&[]).unwrap_or_else(|error| panic!("{error:#}"))
    }

    pub fn register(&self, configuration: &Value) {
        self.cluster.kubectl_with(&["apply", "-f", "-"], &configuration.to_string()).ok();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.arg("doctor").arg("--kubeconfig").arg(self.cluster.kubeconfig());
        command.arg("--rules").arg(self.webhook.rules_file()).args(arguments);
        command
    }

    pub fn doctor(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).args(["-o", "json"]).output().expect("the binary runs");
        let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        let report = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
        Said { code: output.status.code().expect("an exit code"), report }
    }

    /// Waits until the API server has loaded the configuration.
    #[track_caller]
    pub fn wait_until(&self, what: &str, is_so: impl Fn(&Said) -> bool) -> Said {
        let mut last = None;
        let said = wait_for(DEADLINE, || {
            let said = self.doctor(&[]);
            if is_so(&said) {
                return Some(said);
            }
            last = Some(said);
            None
        });
        said.unwrap_or_else(|error| {
            panic!("doctor did not report {what}: {error:#}: {:#}", last.map(|said| said.report).unwrap_or_default())
        })
    }

    /// Waits for a finding, and checks its form.
    #[track_caller]
    pub fn finds(&self, id: &str) -> Value {
        let said = self.wait_until(id, |said| said.find(id).is_some());
        let found = said.find(id).expect("a value that was just found").clone();
        let expected = i32::from(!said.faults().is_empty());
        assert_eq!(said.code, expected, "{:#}", said.report);
        for key in ["severity", "what", "where", "fix"] {
            assert!(found[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {found:#}");
        }
        found
    }

    /// Registers the webhook with one change, and waits for the finding.
    #[track_caller]
    pub fn finds_when(&self, id: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut configuration = self.configuration();
        change(&mut configuration["webhooks"][0]);
        self.register(&configuration);
        self.finds(id)
    }
}
