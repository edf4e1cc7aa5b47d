//! Debian's `docker-registry`, as a registry or as the pull-through cache of another.

use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use serde_json::json;
use tempfile::TempDir;

use crate::cluster::{folder, write};
use crate::harness::{Server, wait_for};
use crate::{DEADLINE, run_program};

pub struct Registry {
    pub server: Server,
    address: SocketAddrV4,
}

impl Registry {
    pub fn start(port: u16, cached: Option<&Registry>, tls: Option<&Certificates>) -> Result<Self> {
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
        if let Some(tls) = tls {
            config["http"]["tls"] = json!({
                "certificate": tls.path("server.crt"),
                "key": tls.path("server.key"),
                "clientcas": [tls.path("ca.crt")],
            });
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

    /// Returns its `HOST:PORT`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Returns the name of an image in this registry.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    pub fn push(&self, archive: &Path, name: &str) -> Result<()> {
        let (from, to) = (format!("oci-archive:{}", archive.display()), format!("docker://{}", self.image(name)));
        let copy = ["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", "--dest-no-creds", &from, &to];
        run_program(Path::new("skopeo"), &copy).map(drop)
    }

    /// Returns the number of containerd's requests for parts of an image, such as `manifests`.
    pub fn pulls(&self, name: &str, part: &str) -> usize {
        let request = format!("\"GET /v2/{name}/{part}/");
        self.server.log().lines().filter(|line| line.contains(&request) && line.contains("containerd/")).count()
    }

    /// Returns the repository of each part of an image that containerd has requested.
    pub fn asked_for(&self) -> Vec<String> {
        let log = self.server.log();
        let requests = log.lines().filter(|line| line.contains("containerd/"));
        let repositories = requests.filter_map(|line| {
            let request = line.split('"').nth(1)?;
            let path = request.strip_prefix("GET /v2/").or_else(|| request.strip_prefix("HEAD /v2/"))?;
            let (repository, _) = path.split_once("/manifests/").or_else(|| path.split_once("/blobs/"))?;
            Some(repository.to_owned())
        });
        repositories.collect()
    }
}

/// A CA, a registry on 127.0.0.1 and its client: `ca.crt`, and `.crt` and `.key` of `server` and `client`.
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    pub fn make() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut authority = CertificateParams::new([])?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        write(folder.path(), "ca.crt", &authority.pem())?;
        for (name, usage) in
            [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
        {
            let key = KeyPair::generate()?;
            let mut certificate = CertificateParams::new([Ipv4Addr::LOCALHOST.to_string()])?;
            certificate.extended_key_usages = vec![usage];
            let certificate = certificate.signed_by(&key, &authority)?;
            write(folder.path(), &format!("{name}.crt"), &certificate.pem())?;
            write(folder.path(), &format!("{name}.key"), &key.serialize_pem())?;
        }
        Ok(Self { folder })
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}
