//! distribution as a pull-through cache, with TLS and a login.

use std::net::TcpStream;
use std::path::PathBuf;

use pullthrough::registry::Digest;
use serde_json::json;
use tempfile::TempDir;

use crate::DEADLINE;
use crate::access::{Access, TokenServer};
use crate::harness::{Server, assets, free_port, wait_for};
use crate::server::Ca;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// 2.8, Debian's.
    Second,
    /// 3.1.2.
    Third,
}

impl Release {
    fn program(self) -> PathBuf {
        match self {
            Self::Second => "docker-registry".into(),
            Self::Third => assets(Some("distribution"), &[]).unwrap().join("distribution"),
        }
    }
}

// Fields are dropped in this order.
pub struct Cache {
    server: Option<Server>,
    pub tokens: Option<TokenServer>,
    release: Release,
    host: String,
    folder: TempDir,
}

impl Cache {
    /// Starts a cache of an upstream. Its certificate is of this CA.
    pub fn start(release: Release, access: Access, upstream: &str, ca: &Ca) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificate = ca.issue(&["127.0.0.1"], |_| {});
        let file = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let tls = json!({
            "certificate": file("tls.crt", &certificate.chain_pem), "key": file("tls.key", &certificate.key_pem),
        });
        let (auth, tokens) = access.configuration(ca, folder.path());
        let host = format!("127.0.0.1:{}", free_port().unwrap());
        let configuration = json!({
            "version": 0.1,
            "storage": {
                "filesystem": {"rootdirectory": folder.path().join("storage")},
                "cache": {"blobdescriptor": "inmemory"},
                "delete": {"enabled": true},
            },
            "http": {"addr": host, "tls": tls},
            "auth": auth,
            "proxy": {"remoteurl": format!("http://{upstream}")},
        });
        file("config.yml", configuration.to_string().as_bytes());
        let mut cache = Self { server: None, tokens, release, host, folder };
        cache.restart();
        cache
    }

    /// Starts the program, again if it was stopped. The storage stays.
    pub fn restart(&mut self) {
        let configuration = self.folder.path().join("config.yml");
        let arguments = ["serve".as_ref(), configuration.as_os_str()];
        // It is removed with the server.
        let folder = tempfile::tempdir().unwrap().keep();
        let mut server = Server::start(&self.release.program(), arguments, &folder).unwrap();
        let listens = wait_for(DEADLINE, || match server.check_alive() {
            Ok(()) => TcpStream::connect(&self.host).ok().map(|_| Ok(())),
            Err(error) => Some(Err(error)),
        });
        listens.flatten().unwrap_or_else(|error| panic!("{error:#}\n{}", server.log_tail()));
        self.server = Some(server);
    }

    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Returns the address, as part of images.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the folder of the filesystem driver.
    pub fn storage(&self) -> PathBuf {
        self.folder.path().join("storage")
    }

    /// Returns the data of content in the storage.
    pub fn data(&self, digest: &Digest) -> PathBuf {
        let digits = digest.as_str().trim_start_matches("sha256:");
        self.storage().join("docker/registry/v2/blobs/sha256").join(&digits[..2]).join(digits).join("data")
    }

    /// Returns a folder of a repository in the storage.
    pub fn repository(&self, repository: &str, folder: &str) -> PathBuf {
        self.storage().join("docker/registry/v2/repositories").join(repository).join(folder)
    }
}
