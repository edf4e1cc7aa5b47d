//! containerd, with runc and a network of Pods.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::DEADLINE;
use crate::cluster::{folder, write};
use crate::harness::{Server, wait_for};
use crate::node::POD_NETWORK;
use crate::registry::Registry;

const CNI_PLUGINS: &str = "/usr/lib/cni";

pub struct Containerd {
    pub server: Server,
    socket: PathBuf,
}

impl Containerd {
    pub fn start(upstream: &Registry) -> Result<Self> {
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
        // For static Pods, which name the registry itself: on this node, the upstream is it.
        let host = format!("http://{}", upstream.image("v2/k8s"));
        let hosts = format!("[host.\"{host}\"]\ncapabilities = [\"pull\", \"resolve\"]\noverride_path = true\n");
        write(&folder, "hosts/registry.k8s.io/hosts.toml", &hosts)?;
        let config = config(&folder, &socket, &upstream.image("pause:1"));
        let config = write(&folder, "config.toml", &config)?;
        let server = Server::start(Path::new("containerd"), ["--config".as_ref(), config.as_os_str()], &folder)?;
        let mut containerd = Self { server, socket };
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

    fn containers(&self) -> Result<Vec<String>> {
        let output = self.tasks(&["list", "--quiet"])?;
        Ok(output.lines().map(str::to_owned).collect())
    }

    fn tasks(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("ctr")
            .arg("--address")
            .arg(&self.socket)
            .args(["--namespace", "k8s.io", "tasks"])
            .args(arguments)
            .output()
            .context("run ctr")?;
        ensure!(output.status.success(), "ctr: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Containerd {
    /// Ends the containers, which would outlive their runtime.
    fn drop(&mut self) {
        let ended = wait_for(DEADLINE, || {
            if self.server.check_alive().is_err() {
                return Some(());
            }
            let containers = self.containers().ok()?;
            for container in &containers {
                // One that has ended meanwhile can't be killed.
                let _ = self.kill(container);
            }
            containers.is_empty().then_some(())
        });
        if let Err(error) = ended {
            eprintln!("containers may still run: {error:#}");
        }
    }
}

fn config(folder: &Path, socket: &Path, sandbox: &str) -> String {
    let (folder, socket) = (folder.display(), socket.display());
    format!(
        r#"version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{sandbox}"
# Root of a container, or of a small virtual machine, may not lower it, and no Pod would start.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{folder}/hosts"
"#
    )
}
