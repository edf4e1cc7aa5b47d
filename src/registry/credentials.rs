//! The credentials of a client: those of a workstation, or those of a node.

use std::sync::Arc;

use thiserror::Error;

use super::credential::Credential;
use super::docker_config::{DockerConfig, DockerConfigFault};
use super::keyring::Keyring;
use super::name::Repository;
use super::provider::{ProviderFault, Providers};

/// The source of credentials of pull Secrets.
const PULL: &str = "pull credentials";

/// Where a client finds credentials. Programs that it runs are named by this alone.
#[derive(Debug, Default)]
pub enum Credentials {
    #[default]
    Anonymous,
    /// As `docker` finds them.
    Workstation(DockerConfig),
    /// As the kubelet finds them: pull credentials first, then those of plugins.
    Node { pull: Keyring, providers: Option<Providers> },
    /// As the kubelet finds them for a Pod: those of its pull Secrets first, then those of its node.
    Pod { pull: Keyring, node: Arc<Credentials> },
}

/// Why credentials could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CredentialFault {
    #[error("credentials for {host}: {fault}")]
    Workstation { host: String, fault: DockerConfigFault },
    #[error("{0}")]
    Provider(ProviderFault),
}

/// The credentials for a repository.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// With their sources, in the order in which they are tried.
    pub(super) credentials: Vec<(Credential, String)>,
    pub(super) faults: Vec<CredentialFault>,
}

impl Credentials {
    pub(super) async fn find(&self, repository: &Repository) -> Found {
        match self {
            Self::Anonymous => Found::default(),
            Self::Workstation(config) => match config.find(repository.host()).await {
                Ok(found) => Found { credentials: found.into_iter().collect(), faults: Vec::new() },
                Err(fault) => {
                    let fault = CredentialFault::Workstation { host: repository.host().to_owned(), fault };
                    Found { credentials: Vec::new(), faults: vec![fault] }
                }
            },
            Self::Pod { pull, node } => {
                let mut credentials = logins(pull, &repository.to_string(), PULL);
                let of_node = Box::pin(node.find(repository)).await;
                credentials.extend(of_node.credentials);
                Found { credentials, faults: of_node.faults }
            }
            Self::Node { pull, providers } => {
                let name = repository.to_string();
                let mut credentials = logins(pull, &name, PULL);
                let mut faults = Vec::new();
                if let Some(providers) = providers {
                    let (keyring, of_providers) = providers.find(&name).await;
                    credentials.extend(logins(&keyring, &name, "credential provider"));
                    faults.extend(of_providers.into_iter().map(CredentialFault::Provider));
                }
                Found { credentials, faults }
            }
        }
    }
}

/// Returns the logins for an image with their sources. Empty ones stand for none.
fn logins(keyring: &Keyring, name: &str, kind: &str) -> Vec<(Credential, String)> {
    let found = keyring.lookup(name).into_iter().filter(|(_, login)| !login.password.is_empty());
    found.map(|(key, login)| (Credential::Login(login.clone()), format!("{kind}, key {key}"))).collect()
}
