//! A node: containerd, kube-proxy, and the kubelet.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;
use tempfile::TempDir;

use crate::cluster::{folder, write};
use crate::containerd::{Containerd, Release};
use crate::harness::{ControlPlane, Server};
use crate::registry::Registry;

pub const NODE: &str = "node";
/// The address of the node, and the gateway of its Pods.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);
pub const POD_NETWORK: &str = "10.88.0.0/24";

// Fields are dropped in this order.
pub struct Node {
    kubelet: Server,
    containerd: Containerd,
    files: TempDir,
    proxy: Server,
    static_pods: PathBuf,
}

impl Node {
    pub fn start(control_plane: &ControlPlane, upstream: &Registry) -> Result<Self> {
        let (containerd, files) = start_containerd(upstream)?;
        let proxy = start_proxy(control_plane)?;
        let kubeconfig = control_plane.kubeconfig_of("system:node:node");
        let (kubelet, static_pods) = start_kubelet(control_plane.assets(), Some(&kubeconfig), &containerd)?;
        Ok(Self { kubelet, containerd, files, proxy, static_pods })
    }

    /// Returns containerd's folder with a folder for each host.
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    /// Returns the kubelet's folder of static Pods.
    pub fn static_pods(&self) -> &Path {
        &self.static_pods
    }

    /// Kills the process of a container.
    pub fn kill_container(&self, id: &str) -> Result<()> {
        self.containerd.kill(id)
    }

    pub fn kubelet_log(&self) -> String {
        self.kubelet.log()
    }

    pub fn log_tails(&self) -> String {
        [&self.proxy, &self.containerd.server, &self.kubelet].map(Server::log_tail).concat()
    }
}

fn start_containerd(upstream: &Registry) -> Result<(Containerd, TempDir)> {
    let files = tempfile::tempdir()?;
    let folder = files.path();
    // Static Pods name the registry itself. On this node, that is the upstream.
    let host = format!("http://{}", upstream.image("v2/k8s"));
    let hosts = format!("[host.\"{host}\"]\ncapabilities = [\"pull\", \"resolve\"]\noverride_path = true\n");
    write(folder, "registry.k8s.io/hosts.toml", &hosts)?;
    let config = format!(
        r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{}"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{}"
"#,
        upstream.image("pause:1"),
        folder.display()
    );
    let containerd = Containerd::start(&Release::First, &write(folder, "config.toml", &config)?)?;
    Ok((containerd, files))
}

fn start_proxy(control_plane: &ControlPlane) -> Result<Server> {
    let folder = folder()?;
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": POD_NETWORK,
        "hostnameOverride": NODE,
        "clientConnection": {"kubeconfig": control_plane.kubeconfig_of("system:kube-proxy")},
        // Settings of the whole machine stay unchanged.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    });
    let config = write(&folder, "config.json", &config.to_string())?;
    let program = control_plane.assets().join("kube-proxy");
    Server::start(&program, ["--config".as_ref(), config.as_os_str()], &folder)
}

/// Starts the kubelet, and returns it with its folder of static Pods. Without a kubeconfig it runs no other Pods.
pub fn start_kubelet(assets: &Path, kubeconfig: Option<&Path>, containerd: &Containerd) -> Result<(Server, PathBuf)> {
    let folder = folder()?;
    let static_pods = folder.join("static");
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{}", containerd.socket().display()),
        "staticPodPath": static_pods,
        // For commands such as `kubectl logs`. Only Pods are in this network namespace.
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        // The default is a minute, which is too long for a test.
        "syncFrequency": "1s",
        "fileCheckFrequency": "1s",
        // On machines with cgroup v1 too.
        "failCgroupV1": false,
        "failSwapOn": false,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": false,
        "evictionHard": {},
        "resolvConf": "",
    });
    let config = write(&folder, "config.json", &config.to_string())?;
    let path = |path: &Path| path.display().to_string();
    let mut arguments = vec![
        format!("--config={}", path(&config)),
        format!("--root-dir={}", path(&folder.join("root"))),
        format!("--cert-dir={}", path(&folder.join("certificates"))),
        format!("--hostname-override={NODE}"),
        format!("--node-ip={GATEWAY}"),
        "--v=2".into(),
        // Logs every sync.
        "--vmodule=kubelet=4".into(),
    ];
    arguments.extend(kubeconfig.map(|kubeconfig| format!("--kubeconfig={}", path(kubeconfig))));
    Ok((Server::start(&assets.join("kubelet"), arguments, &folder)?, static_pods))
}
