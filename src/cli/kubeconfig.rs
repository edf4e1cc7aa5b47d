//! Which cluster a command looks at.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::cluster::api::chain;

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
    pub async fn read(self, timeout: Duration) -> anyhow::Result<Config> {
        let Self { kubeconfig, context } = self;
        // Credentials may come from another program.
        let config = tokio::time::timeout(timeout, config(kubeconfig, context)).await;
        config.map_err(|_| anyhow!("the kubeconfig gave no answer within {timeout:?}"))?
    }
}

async fn config(file: Option<PathBuf>, context: Option<String>) -> anyhow::Result<Config> {
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    // Further lines would show the file, and it may hold secrets.
    let told =
        |error: &(dyn std::error::Error + 'static)| anyhow!("{}", chain(error).lines().next().unwrap_or_default());
    match file {
        Some(file) => {
            let read = Kubeconfig::read_from(&file).map_err(|error| told(&error));
            let read = read.with_context(|| format!("can't use the kubeconfig {}", file.display()))?;
            let config = Config::from_custom_kubeconfig(read, &options).await.map_err(|error| told(&error));
            config.with_context(|| format!("can't use the kubeconfig {}", file.display()))
        }
        None => {
            let error = match Config::from_kubeconfig(&options).await {
                Ok(config) => return Ok(config),
                Err(error) => error,
            };
            // A context is asked of a kubeconfig alone.
            match options.context.is_none().then(Config::incluster) {
                Some(Ok(config)) => Ok(config),
                _ => Err(told(&error)).context("no cluster to look at; name a kubeconfig with --kubeconfig"),
            }
        }
    }
}
