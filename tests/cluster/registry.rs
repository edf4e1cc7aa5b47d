//! Debian's `docker-registry`, as a registry or as the pull-through cache of another.

use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use crate::cluster::{folder, write};
use crate::harness::{Server, wait_for};
use crate::{DEADLINE, run_program};

pub struct Registry {
    pub server: Server,
    address: SocketAddrV4,
}

impl Registry {
    pub fn start(port: u16, cached: Option<&Registry>) -> Result<Self> {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let folder = folder()?;
        let mut config = json!({
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": folder.join("storage")}},
            "http": {"addr": address},
        });
        if let Some(registry) = cached {
            config["proxy"] = json!({"remoteurl": format!("http://{}", registry.address)});
        }
        let config = write(&folder, "config.yml", &config.to_string())?;
        let mut server = Server::start(Path::new("docker-registry"), ["serve".as_ref(), config.as_os_str()], &folder)?;
        let listens = wait_for(DEADLINE, || match server.check_alive() {
            Ok(()) => TcpStream::connect(address).ok().map(|_| Ok(())),
            Err(error) => Some(Err(error)),
        });
        listens.and_then(|listens| listens).with_context(|| server.log_tail())?;
        Ok(Self { server, address })
    }

    /// The name of an image here.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    pub fn push(&self, archive: &Path, name: &str) -> Result<()> {
        let (from, to) = (format!("oci-archive:{}", archive.display()), format!("docker://{}", self.image(name)));
        let copy = ["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", "--dest-no-creds", &from, &to];
        run_program(Path::new("skopeo"), &copy).map(drop)
    }

    /// The requests of containerd for parts of an image, such as `manifests`.
    pub fn pulls(&self, name: &str, part: &str) -> usize {
        let request = format!("\"GET /v2/{name}/{part}/");
        self.server.log().lines().filter(|line| line.contains(&request) && line.contains("containerd/")).count()
    }
}
