//! Options for probes of caches.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::registries::{RegistriesArgs, Warnings};
use crate::engine::Cache;
use crate::registry::{Client, Retries};
use crate::serve::caches::MakeClient;

/// A probe has the timeout of its cache, 1m at most.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A failed probe is an answer. The next one comes with the next interval.
const RETRIES: Retries = Retries { attempts: 1, backoff: Duration::ZERO, max_wait: Duration::ZERO };

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Probes of caches")]
pub(super) struct ProbingArgs {
    /// A .dockerconfigjson with credentials for `canary`, as pull Secrets have it; repeat it for several; loaded again when it
    /// changes
    #[arg(long = "pull-secret", value_name = "FILE", env = "PULLTHROUGH_PULL_SECRET", value_delimiter = ',')]
    pull_secrets: Vec<PathBuf>,

    /// The CredentialProviderConfig of the kubelet, a file or a folder, with credentials for `canary`; the plugins that it
    /// names are run
    #[arg(
        long = "image-credential-provider-config",
        value_name = "PATH",
        env = "PULLTHROUGH_IMAGE_CREDENTIAL_PROVIDER_CONFIG",
        requires = "programs"
    )]
    providers: Option<PathBuf>,

    /// The folder with the plugins of --image-credential-provider-config
    #[arg(
        long = "image-credential-provider-bin-dir",
        value_name = "FOLDER",
        env = "PULLTHROUGH_IMAGE_CREDENTIAL_PROVIDER_BIN_DIR",
        requires = "providers"
    )]
    programs: Option<PathBuf>,

    /// Also send credentials to this token server, if a cache names it; repeat it or separate by commas
    #[arg(long = "token-server", value_name = "HOST", env = "PULLTHROUGH_TOKEN_SERVER", value_delimiter = ',')]
    token_servers: Vec<String>,

    /// Use plain HTTP with this cache, also for credentials; repeat it or separate by commas. Loopback hosts need no flag
    #[arg(long, value_name = "HOST", env = "PULLTHROUGH_PLAIN_HTTP", value_delimiter = ',')]
    plain_http: Vec<String>,
}

impl MakeClient for ProbingArgs {
    fn files(&self, cache: &Cache) -> Vec<PathBuf> {
        let authority = cache.ca_file.iter().map(PathBuf::from);
        authority.chain(self.pull_secrets.iter().cloned()).chain(self.providers.iter().cloned()).collect()
    }

    fn make(&self, cache: &Cache) -> anyhow::Result<Client> {
        let Self { pull_secrets, providers, programs, token_servers, plain_http } = self.clone();
        let anonymous = pull_secrets.is_empty() && providers.is_none();
        let registries = RegistriesArgs {
            docker_config: None,
            pull_secrets,
            providers,
            programs,
            anonymous,
            token_servers,
            plain_http,
            warnings: Warnings::Log,
        };
        registries.client(std::slice::from_ref(cache), TIMEOUT, RETRIES)
    }
}
