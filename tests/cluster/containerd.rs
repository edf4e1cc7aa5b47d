//! containerd, with runc and a network for Pods.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::DEADLINE;
use crate::cluster::{folder, write};
use crate::harness::{Server, wait_for};
use crate::node::POD_NETWORK;

const CNI_PLUGINS: &str = "/usr/lib/cni";
/// In a container or a small virtual machine, root may not lower the value, and no Pod would start.
const OOM_SCORE: &str = "restrict_oom_score_adj = true\n";

/// Debian's containerd 1.6, or a compiled containerd 2.4 in this folder.
pub enum Release<'a> {
    First,
    Second(&'a Path),
}

impl Release<'_> {
    pub fn program(&self, name: &str) -> PathBuf {
        match self {
            Self::First => name.into(),
            Self::Second(folder) => folder.join(name),
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::First => "containerd 1.6",
            Self::Second(_) => "containerd 2.4",
        }
    }

    /// Returns a configuration that includes a file with the sandbox image and the registries, as the documentation says.
    fn config(&self, folder: &Path, file: &Path) -> Result<String> {
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let (file, folder) = (file.display(), folder.display());
        Ok(match self {
            Self::First => {
                let plugin = r#"plugins."io.containerd.grpc.v1.cri""#;
                let merged = text.replacen(&format!("[{plugin}]\n"), &format!("[{plugin}]\n{OOM_SCORE}"), 1);
                ensure!(merged.contains(OOM_SCORE), "no settings of {plugin}: {text}");
                format!(
                    r#"root = "{folder}/root"
state = "{folder}/state"
{merged}
[{plugin}.cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{folder}/cni"
[grpc]
address = "{folder}/containerd.sock"
"#
                )
            }
            Self::Second(programs) => {
                let plugin = r#"plugins."io.containerd.cri.v1.runtime""#;
                let programs = programs.display();
                format!(
                    r#"version = 3
imports = ["{file}"]
root = "{folder}/root"
state = "{folder}/state"
[grpc]
address = "{folder}/containerd.sock"
[{plugin}]
{OOM_SCORE}
[{plugin}.cni]
bin_dirs = ["{CNI_PLUGINS}"]
conf_dir = "{folder}/cni"
[{plugin}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
runtime_path = "{programs}/containerd-shim-runc-v2"
"#
                )
            }
        })
    }
}

pub struct Containerd {
    pub server: Server,
    ctr: PathBuf,
    socket: PathBuf,
}

impl Containerd {
    /// Starts containerd. The file has the sandbox image and the registries.
    pub fn start(release: &Release, file: &Path) -> Result<Self> {
        let folder = folder()?;
        let socket = folder.join("containerd.sock");
        let network = json!({
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [{
                "type": "ptp",
                "ipMasq": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": folder.join("addresses"),
                    "ranges": [[{"subnet": POD_NETWORK}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }],
        });
        write(&folder, "cni/pods.conflist", &network.to_string())?;
        let config = write(&folder, "config.toml", &release.config(&folder, file)?)?;
        let program = release.program("containerd");
        let server = Server::start(&program, ["--config".as_ref(), config.as_os_str()], &folder)?;
        let mut containerd = Self { server, ctr: release.program("ctr"), socket };
        let answers = wait_for(DEADLINE, || match containerd.server.check_alive() {
            Ok(()) => containerd.containers().ok().map(|_| Ok(())),
            Err(error) => Some(Err(error)),
        });
        answers.and_then(|answers| answers).with_context(|| containerd.server.log_tail())?;
        Ok(containerd)
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Sends SIGKILL to the first process of a container.
    pub fn kill(&self, container: &str) -> Result<()> {
        self.tasks(&["kill", "--signal", "SIGKILL", container]).map(drop)
    }

    /// Returns the images of running containers, including sandboxes.
    pub fn running(&self) -> Result<BTreeSet<String>> {
        let (tasks, containers) = (self.tasks(&["list"])?, self.kubernetes(&["containers", "list"])?);
        let is_running =
            |id: &str| tasks.lines().any(|line| line.split_whitespace().next() == Some(id) && line.contains("RUNNING"));
        let images = containers.lines().filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (id, image) = (fields.next()?, fields.next()?);
            is_running(id).then(|| image.to_owned())
        });
        Ok(images.collect())
    }

    /// Pulls an image with the hosts in this folder, and removes it.
    pub fn pull(&self, image: &str, hosts: Option<&Path>) -> Result<()> {
        let hosts = hosts.map(|hosts| format!("--hosts-dir={}", hosts.display()));
        let pull: Vec<&str> = ["images", "pull"].into_iter().chain(hosts.as_deref()).chain([image]).collect();
        self.ctr(&pull)?;
        self.ctr(&["images", "remove", "--sync", image]).map(drop)
    }

    fn containers(&self) -> Result<Vec<String>> {
        let output = self.tasks(&["list", "--quiet"])?;
        Ok(output.lines().map(str::to_owned).collect())
    }

    fn tasks(&self, arguments: &[&str]) -> Result<String> {
        self.kubernetes(&[&["tasks"], arguments].concat())
    }

    fn kubernetes(&self, arguments: &[&str]) -> Result<String> {
        self.ctr(&[&["--namespace", "k8s.io"], arguments].concat())
    }

    fn ctr(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.ctr).arg("--address").arg(&self.socket).args(arguments).output();
        let output = output.context("run ctr")?;
        ensure!(output.status.success(), "ctr: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Containerd {
    /// Ends the containers, which do not end with containerd.
    fn drop(&mut self) {
        let ended = wait_for(DEADLINE, || {
            if self.server.check_alive().is_err() {
                return Some(());
            }
            let containers = self.containers().ok()?;
            for container in &containers {
                // The kill fails if the container has ended.
                let _ = self.kill(container);
            }
            containers.is_empty().then_some(())
        });
        if let Err(error) = ended {
            eprintln!("containers may still run: {error:#}");
        }
    }
}
