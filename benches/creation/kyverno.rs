//! Kyverno's admission controller beside the API server, with one kind of policy at a time.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::harness::{self, ControlPlane, Server, wait_for};
use crate::{DEADLINE, export, in_namespaces};

pub const NAMESPACE: &str = "with-kyverno";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    MutatingPolicy,
    ClusterPolicy,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::MutatingPolicy, Self::ClusterPolicy];

    pub const fn title(self) -> &'static str {
        match self {
            Self::MutatingPolicy => "Kyverno, MutatingPolicy",
            Self::ClusterPolicy => "Kyverno, ClusterPolicy",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::MutatingPolicy => "MutatingPolicy",
            Self::ClusterPolicy => "ClusterPolicy",
        }
    }
}

pub struct Kyverno {
    server: Server,
    installed: Option<Value>,
}

impl Kyverno {
    /// Starts the controller, with a webhook for the Pods of its own namespace.
    pub fn start(cluster: &ControlPlane) -> Result<Self> {
        cluster.create_namespace(NAMESPACE);
        let webhooks = json!({"namespaceSelector": in_namespaces(&[NAMESPACE])}).to_string();
        Ok(Self { server: harness::kyverno::start(cluster, json!({"webhooks": webhooks}))?, installed: None })
    }

    /// Installs the policy of this kind, and removes the other.
    pub fn install(&mut self, cluster: &ControlPlane, kind: Kind, rules: &Path) -> Result<()> {
        if let Some(policy) = self.installed.take() {
            cluster.kubectl_with(&["delete", "-f", "-"], &policy.to_string()).ok();
        }
        let rules = rules.display().to_string();
        let mut policies = export(&["kyverno", "--kind", kind.name(), "--rules", &rules])?;
        ensure!(policies.len() == 1, "{} policies", policies.len());
        let policy = policies.remove(0);
        let applied = wait_for(DEADLINE, || {
            self.server.check_alive().err().map(Err).or_else(|| {
                let output = cluster.kubectl_with(&["apply", "--server-side", "-f", "-"], &policy.to_string());
                output.status.success().then_some(Ok(()))
            })
        });
        applied.and_then(|applied| applied).with_context(|| self.server.log_tail())?;
        self.installed = Some(policy);
        Ok(())
    }
}
