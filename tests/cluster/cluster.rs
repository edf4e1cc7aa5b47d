//! A control plane with controllers, a node, a registry and a pull-through cache.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, thread};

use anyhow::{Context, Result};

use crate::DEADLINE;
use crate::harness::{ControlPlane, Options, Output, Server, wait_for};
use crate::node::{GATEWAY, NODE, Node};
use crate::registry::Registry;

/// The port is free, because no other process is in this network namespace.
const UPSTREAM_PORT: u16 = 5000;
const CACHE_PORT: u16 = 5001;

// Fields are dropped in this order: first the containers of the node, last what others depend on.
pub struct Cluster {
    pub node: Node,
    pub cache: Registry,
    pub upstream: Registry,
    scheduler: Server,
    controller_manager: Server,
    pub control_plane: ControlPlane,
}

impl Cluster {
    pub fn start(images: &Path) -> Result<Self> {
        let upstream = Registry::start(UPSTREAM_PORT, None, None)?;
        for (archive, name) in [
            ("pullthrough", "pullthrough:test"),
            ("pause", "pause:1"),
            ("hello", "k8s/hello:1"),
            ("pause", "k8s/failover:1"),
            ("pause", "k8s/share:1"),
        ] {
            upstream.push(&images.join(archive).with_extension("tar"), name)?;
        }
        let cache = Registry::start(CACHE_PORT, Some(&upstream), None)?;
        let control_plane = ControlPlane::start(&Options {
            address: Some(GATEWAY),
            controllers: true,
            arguments: vec![
                // The API server calls Services at their address, not their endpoints, as in most clusters.
                "--enable-aggregator-routing=false".into(),
                // The name of the node does not resolve.
                "--kubelet-preferred-address-types=InternalIP".into(),
            ],
            users: vec![
                ("system:kube-controller-manager", ""),
                ("system:kube-scheduler", ""),
                ("system:kube-proxy", ""),
                ("system:node:node", "system:nodes"),
            ],
            ..Options::default()
        })?;
        let start = |name: &str, more: &[String]| {
            let kubeconfig = control_plane.kubeconfig_of(&format!("system:{name}"));
            let arguments = [format!("--kubeconfig={}", kubeconfig.display()), "--leader-elect=false".into()];
            Server::start(&control_plane.assets().join(name), arguments.iter().chain(more), &folder()?)
        };
        let controller_manager = start(
            "kube-controller-manager",
            &[
                // Each controller has a service account of its own, as in most clusters.
                "--use-service-account-credentials=true".into(),
                format!("--service-account-private-key-file={}", control_plane.service_account_key().display()),
                format!("--root-ca-file={}", control_plane.certificate_authority().display()),
            ],
        )?;
        let scheduler = start("kube-scheduler", &[])?;
        let node = Node::start(&control_plane, &upstream)?;
        Ok(Self { node, cache, upstream, scheduler, controller_manager, control_plane })
    }

    /// Waits until Pods can be created and scheduled.
    pub fn wait_until_ready(&self) {
        for what in ["serviceaccount/default", &format!("node/{NODE}")] {
            let exists = || self.kubectl(&["get", what]).status.success().then_some(());
            wait_for(DEADLINE, exists).unwrap_or_else(|error| panic!("no {what}: {error:#}"));
        }
        self.kubectl(&["wait", "--for=condition=Ready", "node", NODE, "--timeout=60s"]).ok();
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        self.control_plane.kubectl(arguments)
    }

    /// Applies an object to a namespace.
    pub fn apply(&self, namespace: &str, object: &serde_json::Value) {
        let apply = ["apply", "--namespace", namespace, "--filename=-"];
        self.control_plane.kubectl_with(&apply, &object.to_string()).ok();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        for (title, arguments) in [
            ("Pods", ["get", "pods", "--all-namespaces", "--output=wide"]),
            ("events", ["get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"]),
        ] {
            eprintln!("--- {title}\n{}", self.kubectl(&arguments).stdout);
        }
        eprint!("--- the cache\n{}--- the upstream\n{}", self.cache.server.log_tail(), self.upstream.server.log_tail());
        eprint!("{}{}", self.scheduler.log_tail(), self.controller_manager.log_tail());
        eprint!("{}", self.node.log_tails());
        let _ = Command::new("sh").args(["-c", "tail -n 30 /var/log/pods/*/*/*.log >&2"]).status();
    }
}

/// Returns a new folder. The server that runs in it removes it.
pub fn folder() -> Result<PathBuf> {
    Ok(tempfile::Builder::new().prefix("pullthrough-").tempdir().context("create a folder")?.keep())
}

pub fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap_or(folder)).with_context(|| format!("create {}", folder.display()))?;
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}
