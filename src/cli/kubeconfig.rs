//! The cluster of a command.

mod file;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, ensure};
use hyper::Uri;
use kube::Config;

use super::output;
use crate::cluster::api::{Failure, chain};
use crate::proxy::{Proxy, without_credentials};

#[derive(Debug, clap::Args)]
pub struct KubeconfigArgs {
    /// The kubeconfig file. Default: the variable KUBECONFIG, then ~/.kube/config, then the Pod's service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig. Default: its current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl KubeconfigArgs {
    /// Returns the cluster's configuration, and prints a note with its address.
    pub async fn read(self, timeout: Duration) -> anyhow::Result<Config> {
        let target = Target::find(self.kubeconfig, self.context, timeout).await?;
        output::note(format_args!("note: cluster {target}"));
        Ok(target.config)
    }
}

/// A cluster, with the source of its configuration.
pub struct Target {
    pub config: Config,
    /// The context and its file, or the Pod, for messages.
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
    /// Finds the cluster as kubectl does, with one difference: the Pod's own cluster is used only if no kubeconfig is named and
    /// the default one does not exist.
    pub async fn find(file: Option<PathBuf>, context: Option<String>, timeout: Duration) -> anyhow::Result<Self> {
        // A file may be a pipe without a writer.
        let finding = tokio::task::spawn_blocking(|| match file::read(file)? {
            Some(files) => file::target(&files, context),
            None => Self::of_pod(context),
        });
        let found = tokio::time::timeout(timeout, finding).await;
        found.map_err(|_| {
            anyhow!("reading the kubeconfig took longer than {timeout:?}; check that it is a regular file")
        })??
    }

    fn of_pod(context: Option<String>) -> anyhow::Result<Self> {
        const INSTEAD: &str = "set KUBECONFIG to a kubeconfig";
        ensure!(context.is_none(), "--context needs a kubeconfig, and ~/.kube/config does not exist; {INSTEAD}");
        ensure!(
            variable("KUBERNETES_SERVICE_HOST").is_some(),
            "no cluster: ~/.kube/config does not exist, and this is not a Pod; {INSTEAD}"
        );
        let config = Config::incluster().map_err(|error| {
            anyhow!(
                "no cluster: the Pod's service account is unusable ({}); mount its token, or {INSTEAD}",
                chain(&error)
            )
        })?;
        let proxy = Proxy::from_environment(&config.cluster_url, variable)?;
        Ok(Self { config, place: "the Pod's own, with its service account".to_owned(), proxy }.through_proxy())
    }

    fn is_plain(&self) -> bool {
        self.config.cluster_url.scheme_str() == Some("http")
    }

    /// kube connects to port 443 through proxies, unless the server's URL has a port.
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

/// Returns the error of a request, with its fix.
pub fn request_failed(server: &impl std::fmt::Display, failure: &Failure) -> anyhow::Error {
    let fix = failure.fix().map(|fix| format!("; {fix}")).unwrap_or_default();
    anyhow!("request to the API server at {server} failed: {failure}{fix}")
}

/// Returns an environment variable, also if it is not UTF-8, so that it is not silently skipped.
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}
