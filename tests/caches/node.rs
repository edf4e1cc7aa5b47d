//! containerd, which pulls as a node does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::DEADLINE;
use crate::harness::{Server, containerd, wait_for};

/// The plugins for the kubelet need runc and a network, and only Pods need them.
const CONFIG: &str = r#"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
[plugins."io.containerd.metadata.v1.bolt"]
content_sharing_policy = "isolated"
"#;
/// Runs containerd with file systems of its own. Its data is in memory, because overlayfs does not work on each file system.
const START: &str = r#"mkdir "$1/root" && mount -t tmpfs tmpfs "$1/root" && exec "$2" --config "$1/config.toml""#;

/// Debian's containerd 1.6, and containerd 2.4.
pub static NODES: LazyLock<[Node; 2]> = LazyLock::new(|| {
    let second = containerd().unwrap();
    [Node::start("1.6", 2, Path::new("")), Node::start("2.4", 3, &second)]
});

pub struct Node {
    pub version: &'static str,
    server: Server,
    ctr: PathBuf,
    socket: PathBuf,
    pulls: AtomicUsize,
}

impl Node {
    fn start(version: &'static str, config_version: u8, programs: &Path) -> Self {
        // It is removed with the server.
        let folder = tempfile::tempdir().unwrap().keep();
        let (shown, socket) = (folder.display(), folder.join("containerd.sock"));
        let config = format!(
            "version = {config_version}\nroot = \"{shown}/root\"\nstate = \"{shown}/state\"\n{CONFIG}\
             [grpc]\naddress = \"{shown}/containerd.sock\"\n"
        );
        std::fs::write(folder.join("config.toml"), config).unwrap();
        let program = programs.join("containerd");
        let arguments = ["--mount", "sh", "-ec", START, "sh"].map(Path::new);
        let arguments = arguments.into_iter().chain([&*folder, &*program]);
        let server = Server::start(Path::new("unshare"), arguments, &folder).unwrap();
        let mut node = Self { version, server, ctr: programs.join("ctr"), socket, pulls: AtomicUsize::new(0) };
        let answers = wait_for(DEADLINE, || match node.server.check_alive() {
            Ok(()) => node.ctr(&["version"]).ok().map(|_| Ok(())),
            Err(error) => Some(Err(error)),
        });
        answers.flatten().unwrap_or_else(|error| panic!("root is needed: {error:#}\n{}", node.server.log_tail()));
        node
    }

    /// Pulls an image as a node that has no image. Returns the error of containerd.
    pub fn pull(&self, image: &str, hosts: &Path, login: &str) -> Result<(), String> {
        // Namespaces share nothing, as configured.
        let namespace = format!("pull-{}", self.pulls.fetch_add(1, Ordering::Relaxed));
        let hosts = hosts.display().to_string();
        self.ctr(&["--namespace", &namespace, "images", "pull", "--hosts-dir", &hosts, "--user", login, image])
    }

    fn ctr(&self, arguments: &[&str]) -> Result<(), String> {
        let output = Command::new(&self.ctr).arg("--address").arg(&self.socket).args(arguments).output().unwrap();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}
