//! Credentials as a workstation has them: Docker's `config.json`, with credential helpers.
//!
//! A registry is looked up as `docker` does: its helper in `credHelpers`, else `credsStore`, else `auths`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use super::credential::{Credential, Login};
use super::keyring::{InvalidKeyring, decode};
use super::process::{self, ProcessFault};
use crate::engine::DOCKER_HUB;

/// The name of Docker Hub in `config.json` and for helpers.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// A helper may have to ask somebody for a passphrase.
const HELPER_TIMEOUT: Duration = Duration::from_secs(60);
/// A user name that says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";
const NOT_FOUND: &str = "credentials not found in native keychain";

/// Docker's `config.json`. Its `Debug` output has no secrets.
#[derive(Clone, Default)]
pub struct DockerConfig {
    file: File,
    helpers: Option<PathBuf>,
}

impl std::fmt::Debug for DockerConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let File { auths, creds_store, cred_helpers } = &self.file;
        formatter
            .debug_struct("DockerConfig")
            .field("auths", &auths.iter().flat_map(BTreeMap::keys).collect::<Vec<_>>())
            .field("credsStore", creds_store)
            .field("credHelpers", cred_helpers)
            .finish()
    }
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    auths: Option<BTreeMap<String, Entry>>,
    creds_store: Option<String>,
    cred_helpers: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Default, Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// Why a `config.json` can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidDockerConfig {
    #[error("{path} is unreadable: {reason}; fix its permissions, or set DOCKER_CONFIG to another folder")]
    Unreadable { path: String, reason: String },
    #[error("{path} is not valid at line {line}, column {column}: invalid JSON, or a value of the wrong type; fix it")]
    Json { path: String, line: usize, column: usize },
}

/// Why there are no credentials for a registry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DockerConfigFault {
    #[error("{0}")]
    Auth(InvalidKeyring),
    #[error("`auths` has a `registrytoken` for it, which is not supported; log in with a user name and password")]
    RegistryToken,
    #[error("the helper's name `{0}` has a slash; name a program in PATH, without docker-credential-")]
    HelperName(String),
    #[error("docker-credential-{helper}: {fault}")]
    Helper { helper: String, fault: ProcessFault },
    #[error("docker-credential-{helper} printed no JSON with Username and Secret")]
    HelperAnswer { helper: String },
}

impl DockerConfig {
    /// Returns the path of the user's file: `config.json` in `DOCKER_CONFIG`, else in `.docker` of the home folder.
    pub fn path() -> Option<PathBuf> {
        let folder = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let folder = folder.or_else(|| Some(std::env::home_dir()?.join(".docker")))?;
        Some(folder.join("config.json"))
    }

    /// Reads a file. A missing file is an empty one.
    ///
    /// # Errors
    ///
    /// Returns why it can't be used, without values.
    pub fn read(path: &Path) -> Result<Self, InvalidDockerConfig> {
        let shown = path.display().to_string();
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(InvalidDockerConfig::Unreadable { path: shown, reason: error.to_string() }),
        };
        let json = |error: serde_json::Error| InvalidDockerConfig::Json {
            path: shown,
            line: error.line(),
            column: error.column(),
        };
        let file = serde_json::from_slice(&text).map_err(json)?;
        Ok(Self { file, helpers: None })
    }

    /// Uses the helpers in a folder instead of those in `PATH`.
    pub fn with_helpers(self, folder: PathBuf) -> Self {
        Self { helpers: Some(folder), ..self }
    }

    /// Returns the credentials for a registry with their source.
    pub(super) async fn find(&self, host: &str) -> Result<Option<(Credential, String)>, DockerConfigFault> {
        let key = if host == DOCKER_HUB { DOCKER_HUB_KEY } else { host };
        let File { auths, creds_store, cred_helpers } = &self.file;
        let helper = cred_helpers.as_ref().and_then(|helpers| helpers.get(key).or_else(|| helpers.get(host)));
        if let Some(helper) = helper.or(creds_store.as_ref()).filter(|helper| !helper.is_empty()) {
            let found = self.ask(helper, key).await?;
            return Ok(found.map(|credential| (credential, format!("docker-credential-{helper}"))));
        }
        let Some(auths) = auths else { return Ok(None) };
        let same_host = || auths.iter().find(|(name, _)| hostname(name) == hostname(key));
        let Some((key, entry)) = auths.get_key_value(key).or_else(same_host) else { return Ok(None) };
        let source = || format!("`auths` of Docker's config.json, key {key}");
        Ok(entry.credential(key)?.map(|credential| (credential, source())))
    }

    async fn ask(&self, helper: &str, key: &str) -> Result<Option<Credential>, DockerConfigFault> {
        if helper.contains(['/', '\\']) {
            return Err(DockerConfigFault::HelperName(helper.to_owned()));
        }
        let program = format!("docker-credential-{helper}");
        let program = self.helpers.as_ref().map_or_else(|| PathBuf::from(&program), |folder| folder.join(&program));
        let of_process = |fault| DockerConfigFault::Helper { helper: helper.to_owned(), fault };
        let args = ["get".to_owned()];
        let run = process::run(program.as_os_str(), &args, &[], key.as_bytes(), HELPER_TIMEOUT);
        let output = run.await.map_err(of_process)?;
        if !output.status.success() {
            let is_missing = String::from_utf8_lossy(&output.stdout).contains(NOT_FOUND);
            return if is_missing { Ok(None) } else { Err(of_process(output.failed())) };
        }
        let answer: HelperAnswer = serde_json::from_slice(&output.stdout)
            .map_err(|_| DockerConfigFault::HelperAnswer { helper: helper.to_owned() })?;
        let HelperAnswer { username, secret } = answer;
        Ok(match username.as_str() {
            _ if secret.is_empty() => None,
            TOKEN_USER => Some(Credential::IdentityToken(secret)),
            _ => Some(Credential::Login(Login { username, password: secret })),
        })
    }
}

impl Entry {
    fn credential(&self, key: &str) -> Result<Option<Credential>, DockerConfigFault> {
        let Self { auth, username, password, identitytoken, registrytoken } = self;
        let set = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        if let Some(token) = set(identitytoken) {
            return Ok(Some(Credential::IdentityToken(token)));
        }
        if let Some(auth) = set(auth) {
            return Ok(Some(Credential::Login(decode(key, &auth).map_err(DockerConfigFault::Auth)?)));
        }
        if let Some(password) = set(password) {
            return Ok(Some(Credential::Login(Login { username: set(username).unwrap_or_default(), password })));
        }
        if set(registrytoken).is_some() { Err(DockerConfigFault::RegistryToken) } else { Ok(None) }
    }
}

/// Returns the host of a key, which may be a URL.
fn hostname(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    key.split('/').next().unwrap_or_default()
}
