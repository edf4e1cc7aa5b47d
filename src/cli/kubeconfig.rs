//! Which cluster a command looks at.

mod file;
mod proxy;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use hyper::Uri;
use kube::Config;

use self::proxy::Proxy;
use super::output;
use crate::cluster::api::chain;
use crate::cluster::client::without_credentials;

#[derive(Debug, clap::Args)]
pub struct KubeconfigArgs {
    /// The kubeconfig file. Default: the variable KUBECONFIG, ~/.kube/config, or the Pod's own service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig. Default: its current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl KubeconfigArgs {
    /// Returns the cluster's configuration, and reports which one it is on standard error.
    pub async fn read(self, timeout: Duration) -> anyhow::Result<Config> {
        let target = Target::find(self.kubeconfig, self.context, timeout).await?;
        output::talk(format_args!("note: cluster {target}"));
        Ok(target.config)
    }
}

/// A cluster, and how it was chosen.
pub struct Target {
    pub config: Config,
    /// The context and its file, or the Pod.
    place: String,
    proxy: Option<Proxy>,
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { config, place, proxy } = self;
        write!(formatter, "{}, {place}", without_credentials(&config.cluster_url))?;
        if self.is_plain() {
            write!(formatter, ", without credentials, since it is not HTTPS")?;
        }
        proxy.as_ref().map_or(Ok(()), |proxy| write!(formatter, ", through the proxy {proxy}"))
    }
}

impl Target {
    /// Finds the cluster as kubectl does, but for this: a Pod's own is taken only if no kubeconfig is named and the default
    /// one does not exist.
    pub async fn find(file: Option<PathBuf>, context: Option<String>, timeout: Duration) -> anyhow::Result<Self> {
        // A file may be a pipe that nobody writes to.
        let finding = tokio::task::spawn_blocking(|| match file::read(file)? {
            Some(files) => file::target(&files, context),
            None => Self::of_pod(context),
        });
        let found = tokio::time::timeout(timeout, finding).await;
        found.map_err(|_| anyhow!("the kubeconfig gave no answer within {timeout:?}"))??
    }

    fn of_pod(context: Option<String>) -> anyhow::Result<Self> {
        const INSTEAD: &str = "name a kubeconfig with --kubeconfig or KUBECONFIG";
        ensure!(context.is_none(), "--context is for a kubeconfig, and there is none at ~/.kube/config; {INSTEAD}");
        ensure!(
            variable("KUBERNETES_SERVICE_HOST").is_some(),
            "no cluster to look at: there is no kubeconfig at ~/.kube/config, and this is not a Pod; {INSTEAD}"
        );
        let config = Config::incluster().map_err(|error| anyhow!("{}", chain(&error))).with_context(|| {
            format!("no cluster to look at: the Pod's service account is unusable; mount its token, or {INSTEAD}")
        })?;
        let proxy = Proxy::from_environment(&config.cluster_url, variable)?;
        Ok(Self { config, place: "the Pod's own, by its service account".to_owned(), proxy }.through_proxy())
    }

    fn is_plain(&self) -> bool {
        self.config.cluster_url.scheme_str() == Some("http")
    }

    /// kube asks proxies for port 443 unless the server's is given.
    fn through_proxy(mut self) -> Self {
        let Some(proxy) = &self.proxy else { return self };
        self.config.proxy_url = Some(proxy.url.clone());
        let server = &self.config.cluster_url;
        if self.is_plain() && server.port().is_none() {
            let authority = format!("{}:80", server.host().unwrap_or_default());
            let parts = Uri::builder().scheme("http").authority(authority).path_and_query(server.path());
            self.config.cluster_url = parts.build().unwrap_or_else(|_| server.clone());
        }
        self
    }
}

/// A variable of the environment, also if it is not UTF-8, so that it is not silently passed over.
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}
