//! The client of registries of a command: credentials, CAs, timeouts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};

use super::output;
use crate::engine::{Cache, ImageRef};
use crate::registry::{
    Client, Credentials, DockerConfig, HostSettings, Keyring, Providers, ProxyVariables, Retries, Settings, Timeouts,
};

/// A registry has to answer several requests within this multiple of the timeout of one.
const TOTAL: u32 = 4;
const MAX_CONNECT: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Registries")]
pub struct RegistriesArgs {
    /// Use the credentials of a workstation: the folder of Docker's config.json, or the file. Helpers in it are run. Default:
    /// the variable DOCKER_CONFIG, then ~/.docker.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["pull_secrets", "providers"])]
    pub(super) docker_config: Option<PathBuf>,

    /// Use the credentials of a node: a .dockerconfigjson, as pull Secrets have it; repeat it for several. The kubelet's
    /// matching of hosts and paths applies.
    #[arg(long = "pull-secret", value_name = "FILE")]
    pub(super) pull_secrets: Vec<PathBuf>,

    /// Use the credentials of a node: the CredentialProviderConfig of the kubelet, a file or a folder. The plugins that it
    /// names are run.
    #[arg(long = "image-credential-provider-config", value_name = "PATH", requires = "programs")]
    pub(super) providers: Option<PathBuf>,

    /// The folder with the plugins of --image-credential-provider-config.
    #[arg(long = "image-credential-provider-bin-dir", value_name = "FOLDER", requires = "providers")]
    pub(super) programs: Option<PathBuf>,

    /// Use no credentials.
    #[arg(long, conflicts_with_all = ["docker_config", "pull_secrets", "providers"])]
    pub(super) anonymous: bool,

    /// Also send credentials to this token server, if a registry names it; repeat it for several. Without it, they are sent to
    /// servers of the registry's own domain.
    #[arg(long = "token-server", value_name = "HOST")]
    pub(super) token_servers: Vec<String>,

    /// Use plain HTTP with this registry, also for credentials; repeat it for several. Loopback hosts need no flag.
    #[arg(long, value_name = "HOST")]
    pub(super) plain_http: Vec<String>,

    #[arg(skip)]
    pub(super) warnings: Warnings,
}

/// Where warnings about credentials go.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Warnings {
    #[default]
    StandardError,
    /// For `serve`, whose standard error may have JSON lines alone.
    Log,
}

impl Warnings {
    fn warn(self, text: std::fmt::Arguments) {
        match self {
            Self::StandardError => output::talk(format_args!("warning: {text}")),
            Self::Log => tracing::warn!("{text}"),
        }
    }
}

impl RegistriesArgs {
    /// Makes a client. It trusts the CAs of `caches`.
    ///
    /// # Errors
    ///
    /// Returns the file that is unreadable or unusable.
    pub fn client(self, caches: &[Cache], timeout: Duration, retries: Retries) -> anyhow::Result<Client> {
        let pull = self.read_pull_secrets()?;
        let pull = (!pull.is_empty()).then_some(pull);
        self.client_with(pull, caches, timeout, retries)
    }

    /// As [`Self::client`], with pull Secrets that were read before: those of files, and others. With `Some`, credentials are
    /// those of a node.
    pub fn client_with(
        self,
        pull: Option<Vec<(String, Keyring)>>,
        caches: &[Cache],
        timeout: Duration,
        retries: Retries,
    ) -> anyhow::Result<Client> {
        let hosts = self.hosts(caches)?;
        let token_servers = self.token_servers.clone();
        let credentials = self.credentials(pull)?;
        let settings = Settings {
            hosts,
            token_servers,
            proxies: ProxyVariables::from_environment(),
            timeouts: Timeouts {
                connect: timeout.min(MAX_CONNECT),
                headers: timeout,
                stall: timeout,
                total: timeout * TOTAL,
            },
            retries,
        };
        Ok(Client::new(settings, credentials)?)
    }

    fn hosts(&self, caches: &[Cache]) -> anyhow::Result<BTreeMap<String, HostSettings>> {
        let mut hosts: BTreeMap<String, HostSettings> = BTreeMap::new();
        for cache in caches {
            let Some(file) = &cache.ca_file else { continue };
            let pem = std::fs::read(file).with_context(|| {
                format!(
                    "`caFile` of the cache `{}` is unreadable: {file}; fix the path in `caches`",
                    cache.prefix.written()
                )
            })?;
            let host = hosts.entry(host_of(cache.prefix.canonical())).or_default();
            // A file may have no line end.
            host.ca_pem.get_or_insert_default().extend([&pem[..], b"\n"].concat());
        }
        for host in &self.plain_http {
            let registry = canonical_host(host)
                .ok_or_else(|| anyhow!("invalid --plain-http `{host}`: write HOST or HOST:PORT"))?;
            hosts.entry(registry).or_default().is_plain_http = true;
        }
        Ok(hosts)
    }

    /// Reads the files of --pull-secret. Each has its name.
    pub fn read_pull_secrets(&self) -> anyhow::Result<Vec<(String, Keyring)>> {
        let read = |file: &PathBuf| Ok((format!("--pull-secret {}", file.display()), keyring(file, self.warnings)?));
        self.pull_secrets.iter().map(read).collect()
    }

    /// Returns where credentials are looked for, and whether nodes look there too. `is_node` is set if pull Secrets of the
    /// cluster are read.
    pub fn sources(&self, is_node: bool) -> (Vec<String>, bool) {
        if self.anonymous {
            return (vec!["nothing (--anonymous)".to_owned()], true);
        }
        let mut sources: Vec<String> =
            self.pull_secrets.iter().map(|file| format!("--pull-secret {}", file.display())).collect();
        sources.extend(self.providers.as_ref().map(|config| format!("the plugins of {}", config.display())));
        if !sources.is_empty() || is_node {
            return (sources, true);
        }
        let path = self.workstation();
        (path.map(|path| format!("Docker's {}", path.display())).into_iter().collect(), false)
    }

    /// Returns the path of the workstation's credentials.
    fn workstation(&self) -> Option<PathBuf> {
        match &self.docker_config {
            Some(path) if path.is_dir() => Some(path.join("config.json")),
            Some(path) => Some(path.clone()),
            None => DockerConfig::path(),
        }
    }

    fn credentials(self, pull: Option<Vec<(String, Keyring)>>) -> anyhow::Result<Credentials> {
        if self.anonymous {
            return Ok(Credentials::Anonymous);
        }
        if pull.is_none() && self.providers.is_none() {
            if let Some(path) = &self.docker_config {
                ensure!(path.exists(), "--docker-config {} does not exist; correct the path", path.display());
            }
            return Ok(match self.workstation() {
                Some(path) => Credentials::Workstation(DockerConfig::read(&path)?),
                None => Credentials::Anonymous,
            });
        }
        let keyrings = pull.unwrap_or_default();
        let pull = keyrings.into_iter().fold(Keyring::default(), |mut pull, (_, keyring)| {
            pull.extend(keyring);
            pull
        });
        let providers = self.providers.zip(self.programs);
        let providers = providers.map(|(config, programs)| Providers::read(&config, &programs)).transpose()?;
        for name in providers.iter().flat_map(|providers| &providers.ignored) {
            self.warnings.warn(format_args!(
                "the credential provider {name} needs a service account, which is not supported; it is not run"
            ));
        }
        Ok(Credentials::Node { pull, providers })
    }
}

fn keyring(file: &Path, warnings: Warnings) -> anyhow::Result<Keyring> {
    let shown = file.display();
    let json = std::fs::read(file).with_context(|| format!("--pull-secret {shown} is unreadable; fix the path"))?;
    let keyring = Keyring::parse(&json).with_context(|| format!("--pull-secret {shown}"))?;
    for key in &keyring.ignored {
        warnings.warn(format_args!(
            "--pull-secret {shown}: the key `{key}` is not supported; write a host, or a host and a path"
        ));
    }
    Ok(keyring)
}

/// Returns the host of a registry as canonical names have it; `None` if it is not a host, or has a path.
pub(super) fn canonical_host(host: &str) -> Option<String> {
    let image = format!("{host}/x");
    let image = ImageRef::parse(&image).ok().filter(|image| image.host_is_written() && !host.contains('/'))?;
    image.registry().map(str::to_owned)
}

fn host_of(name: &str) -> String {
    name.split('/').next().unwrap_or_default().to_owned()
}
