//! Credential provider plugins of the kubelet.
//!
//! They are configured, run and cached as in `pkg/credentialprovider/plugin` of Kubernetes 1.36, except that they get no
//! service account token.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use thiserror::Error;
use tokio::sync::Mutex;

use super::credential::Login;
use super::keyring::{Key, Keyring};
use super::process::{self, ProcessFault};

const CONFIG_API_VERSIONS: [&str; 3] =
    ["kubelet.config.k8s.io/v1", "kubelet.config.k8s.io/v1beta1", "kubelet.config.k8s.io/v1alpha1"];
const PLUGIN_API_VERSIONS: [&str; 3] = [
    "credentialprovider.kubelet.k8s.io/v1",
    "credentialprovider.kubelet.k8s.io/v1beta1",
    "credentialprovider.kubelet.k8s.io/v1alpha1",
];
/// The kubelet's.
const PLUGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// The plugins of a kubelet's configuration.
#[derive(Debug)]
pub struct Providers {
    providers: Vec<Provider>,
    /// The names of plugins that need a service account, which are not run.
    pub ignored: Vec<String>,
    timeout: Duration,
}

struct Provider {
    name: String,
    program: PathBuf,
    api_version: String,
    match_images: Vec<Key>,
    default_cache: Duration,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// The lock is held while the plugin runs: its answer may be for other images too.
    cache: Mutex<HashMap<String, (Keyring, Instant)>>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Provider")
            .field("name", &self.name)
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// Why a `CredentialProviderConfig` can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {problem}")]
pub struct InvalidProviders {
    pub path: String,
    pub problem: ProvidersProblem,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProvidersProblem {
    #[error("unreadable: {0}; fix the path or its permissions")]
    Unreadable(String),
    #[error("the folder has no .json, .yaml or .yml file; name a file with a CredentialProviderConfig")]
    EmptyFolder,
    #[error("not a CredentialProviderConfig of kubelet.config.k8s.io/v1: {0}")]
    Format(String),
    #[error("`providers` is empty; add a plugin")]
    NoProviders,
    #[error("the provider `{name}` is invalid: {reason}")]
    Provider { name: String, reason: String },
}

/// Why a plugin gave no credentials.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("credential provider {name}: {fault}")]
pub struct ProviderFault {
    pub name: String,
    pub fault: PluginFault,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PluginFault {
    #[error("{0}")]
    Process(ProcessFault),
    #[error("it printed no CredentialProviderResponse of {0}; fix `apiVersion` in its configuration, or update it")]
    Response(String),
    #[error("its cacheKeyType is not Image, Registry or Global; update it")]
    CacheKeyType,
    #[error("its cacheDuration is not a duration such as 12h; update it")]
    CacheDuration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigFile {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    providers: Option<Vec<ProviderEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProviderEntry {
    name: String,
    #[serde(default)]
    match_images: Vec<String>,
    default_cache_duration: Option<String>,
    #[serde(default)]
    api_version: String,
    args: Option<Vec<String>>,
    env: Option<Vec<Variable>>,
    token_attributes: Option<TokenAttributes>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenAttributes {
    #[serde(default)]
    require_service_account: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    api_version: String,
    kind: String,
    cache_key_type: String,
    cache_duration: Option<String>,
    auth: Option<BTreeMap<String, Auth>>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

impl Providers {
    /// Reads the file, or the files of the folder, of the kubelet's `--image-credential-provider-config`. The plugins are in
    /// `programs`, its `--image-credential-provider-bin-dir`.
    ///
    /// # Errors
    ///
    /// Returns the file and what is wrong with it.
    pub fn read(config: &Path, programs: &Path) -> Result<Self, InvalidProviders> {
        let at = |path: &Path, problem| InvalidProviders { path: path.display().to_string(), problem };
        let unreadable = |path: &Path, error: std::io::Error| at(path, ProvidersProblem::Unreadable(error.to_string()));
        let mut files = vec![config.to_owned()];
        if config.is_dir() {
            let entries = std::fs::read_dir(config).map_err(|error| unreadable(config, error))?;
            let is_config = |path: &PathBuf| {
                !path.is_dir()
                    && path
                        .extension()
                        .is_some_and(|extension| ["json", "yaml", "yml"].iter().any(|one| extension == *one))
            };
            files = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(is_config).collect();
            files.sort();
        }
        if files.is_empty() {
            return Err(at(config, ProvidersProblem::EmptyFolder));
        }
        let (mut providers, mut ignored, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
        for path in &files {
            let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
            for entry in entries(&text).map_err(|problem| at(path, problem))? {
                let name = entry.name.clone();
                let of_provider = |reason| at(path, ProvidersProblem::Provider { name: name.clone(), reason });
                if !names.insert(name.clone()) {
                    return Err(of_provider("duplicate name".to_owned()));
                }
                match entry.provider(programs).map_err(of_provider)? {
                    Some(provider) => providers.push(provider),
                    None => ignored.push(name),
                }
            }
        }
        if names.is_empty() {
            return Err(at(config, ProvidersProblem::NoProviders));
        }
        Ok(Self { providers, ignored, timeout: PLUGIN_TIMEOUT })
    }

    /// Uses another timeout for plugins than the kubelet's 60 s.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Returns the credentials of all plugins for an image, and why others gave none.
    pub(super) async fn find(&self, image: &str) -> (Keyring, Vec<ProviderFault>) {
        let (mut keyring, mut faults) = (Keyring::default(), Vec::new());
        for provider in
            self.providers.iter().filter(|provider| provider.match_images.iter().any(|key| key.matches(image)))
        {
            match provider.find(image, self.timeout).await {
                Ok(found) => keyring.extend(found),
                Err(fault) => faults.push(ProviderFault { name: provider.name.clone(), fault }),
            }
        }
        (keyring, faults)
    }
}

fn entries(text: &str) -> Result<Vec<ProviderEntry>, ProvidersProblem> {
    // The reader limits comments otherwise.
    let options = serde_saphyr::options! { emit_comments: false };
    let file: ConfigFile = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        // Further lines of the error show the file, which may have a secret in `env`.
        let error = error.to_string();
        let first = error.lines().next().unwrap_or_default();
        ProvidersProblem::Format(first.trim_start_matches("error: ").to_owned())
    })?;
    if file.kind != "CredentialProviderConfig" || !CONFIG_API_VERSIONS.contains(&file.api_version.as_str()) {
        return Err(ProvidersProblem::Format(format!(
            "it has `apiVersion: {}` and `kind: {}`",
            file.api_version, file.kind
        )));
    }
    Ok(file.providers.unwrap_or_default())
}

impl ProviderEntry {
    /// Returns the provider; `None` if it needs a service account.
    fn provider(self, programs: &Path) -> Result<Option<Provider>, String> {
        let Self { name, match_images, default_cache_duration, api_version, args, env, token_attributes } = self;
        if name.is_empty() || name.contains(['/', ' ']) || matches!(name.as_str(), "." | "..") {
            return Err("its name must be that of a program, without slashes and spaces".to_owned());
        }
        if !PLUGIN_API_VERSIONS.contains(&api_version.as_str()) {
            return Err(format!("its apiVersion is not supported; write {}", PLUGIN_API_VERSIONS[0]));
        }
        if match_images.is_empty() {
            return Err("`matchImages` is empty; add the registries that it serves".to_owned());
        }
        let parse = |image: &String| {
            Key::parse(image).ok_or_else(|| format!("`{image}` in `matchImages` is not a host with a path"))
        };
        let match_images = match_images.iter().map(parse).collect::<Result<_, _>>()?;
        let duration =
            default_cache_duration.ok_or("`defaultCacheDuration` is missing; write a duration such as 12h")?;
        let default_cache =
            duration_of(&duration).ok_or("`defaultCacheDuration` is not a duration; write one such as 12h")?;
        if token_attributes.is_some_and(|attributes| attributes.require_service_account) {
            return Ok(None);
        }
        let env = env.unwrap_or_default().into_iter().map(|variable| (variable.name, variable.value)).collect();
        Ok(Some(Provider {
            program: programs.join(&name),
            name,
            api_version,
            match_images,
            default_cache,
            args: args.unwrap_or_default(),
            env,
            cache: Mutex::default(),
        }))
    }
}

impl Provider {
    async fn find(&self, image: &str, timeout: Duration) -> Result<Keyring, PluginFault> {
        let registry = image.split('/').next().unwrap_or_default();
        let mut cache = self.cache.lock().await;
        cache.retain(|_, (_, until)| *until > Instant::now());
        if let Some((keyring, _)) = [image, registry, "global"].iter().find_map(|key| cache.get(*key)) {
            return Ok(keyring.clone());
        }
        let response = self.run(image, timeout).await?;
        let key = match response.cache_key_type.as_str() {
            "Image" => image,
            "Registry" => registry,
            "Global" => "global",
            _ => return Err(PluginFault::CacheKeyType),
        };
        let duration = match &response.cache_duration {
            Some(text) => duration_of(text).ok_or(PluginFault::CacheDuration)?,
            None => self.default_cache,
        };
        let auth = response.auth.unwrap_or_default().into_iter();
        let keyring: Keyring =
            auth.map(|(key, Auth { username, password })| (key, Login { username, password })).collect();
        if let Some(until) = Instant::now().checked_add(duration).filter(|_| !duration.is_zero()) {
            cache.insert(key.to_owned(), (keyring.clone(), until));
        }
        Ok(keyring)
    }

    async fn run(&self, image: &str, timeout: Duration) -> Result<Response, PluginFault> {
        let request = serde_json::json!({
            "kind": "CredentialProviderRequest",
            "apiVersion": self.api_version,
            "image": image,
        });
        let input = request.to_string();
        let output = process::run(self.program.as_os_str(), &self.args, &self.env, input.as_bytes(), timeout)
            .await
            .map_err(PluginFault::Process)?;
        if !output.status.success() {
            return Err(PluginFault::Process(output.failed()));
        }
        let response: Option<Response> = serde_json::from_slice(&output.stdout).ok();
        let is_right = |response: &Response| {
            response.kind == "CredentialProviderResponse" && response.api_version == self.api_version
        };
        response.filter(is_right).ok_or_else(|| PluginFault::Response(self.api_version.clone()))
    }
}

/// Reads a duration as Go's `time.ParseDuration` does, except for fractions of nanoseconds: `12h`, `1h30m`, `0`, `1.5s`.
fn duration_of(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut sum = Duration::ZERO;
    while !rest.is_empty() || sum == Duration::ZERO {
        let (number, after) = rest.split_at(rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len()));
        let secs = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += Duration::try_from_secs_f64(number.parse::<f64>().ok()? * secs).ok()?;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, secs) in [
            ("12h", Some(43_200.0)),
            ("1h30m", Some(5_400.0)),
            ("1h30m5s", Some(5_405.0)),
            ("0", Some(0.0)),
            ("0s", Some(0.0)),
            ("1.5s", Some(1.5)),
            ("500ms", Some(0.5)),
            ("12", None),
            ("", None),
            ("-1h", None),
            ("h", None),
            ("1d", None),
            ("1h ", None),
        ] {
            assert_eq!(duration_of(text).map(|duration| duration.as_secs_f64()), secs, "{text}");
        }
    }
}
