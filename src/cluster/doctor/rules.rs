//! The rules that replicas should have loaded, and their source.

use k8s_openapi::api::core::v1::ConfigMap;

use super::arguments::{Arguments, Mount, RulesFrom};
use crate::cluster::api::{Api, Failure, Target};
use crate::config::{self, Config, Source};
use crate::engine::Policy;
use crate::lint;

/// A rules file from `--rules`.
#[derive(Debug, Clone)]
pub struct Given {
    /// Its name in errors.
    pub name: String,
    pub content: Vec<u8>,
}

/// Rules, valid or not.
#[derive(Debug)]
pub struct Rules {
    /// Their source, as messages name it.
    pub place: String,
    /// Their hash, as in `pullthrough_rules_info`.
    pub hash: String,
    /// The rules with the findings of lints, or their errors.
    pub parsed: Result<(Policy, Vec<String>), String>,
    /// Whether they come from the cluster, so that the replicas should have loaded them.
    pub of_cluster: bool,
}

/// Why the rules are unavailable.
#[derive(Debug)]
pub enum NoRules {
    /// Replicas have no rules either.
    Missing {
        place: String,
        what: String,
    },
    /// Their source is not an object of the cluster.
    Unknown(String),
    Skipped(Failure),
}

impl Rules {
    pub fn policy(&self) -> Option<&Policy> {
        self.parsed.as_ref().ok().map(|(policy, _)| policy)
    }

    pub fn given(given: &Given) -> Self {
        Self::parse(given.name.clone(), &given.content, false)
    }

    fn parse(place: String, content: &[u8], of_cluster: bool) -> Self {
        let parsed = match std::str::from_utf8(content) {
            Ok(text) => config::parse(&place, text).map_err(|error| error.to_string()).map(|config| {
                let source = Source::new(&place, text);
                let notes = lint::findings(&config).iter().map(|finding| finding.render(&source)).collect();
                (Policy::from(config), notes)
            }),
            Err(error) => Err(format!("{place}: not UTF-8 after byte {}", error.valid_up_to())),
        };
        Self { place, hash: config::fingerprint(content), parsed, of_cluster }
    }

    /// Reads the rules that the arguments of the Deployment name.
    pub async fn of_deployment(api: &Api, namespace: &str, arguments: &Arguments) -> Result<Self, NoRules> {
        match &arguments.rules {
            Ok(Some(RulesFrom::ConfigMap(mount))) => Self::of_config_map(api, namespace, mount).await,
            Ok(Some(RulesFrom::Cache(prefix))) => {
                let parsed = Config::for_cache(prefix).map(|config| (Policy::from(config), Vec::new()));
                Ok(Self {
                    place: format!("the Deployment's --cache {prefix}"),
                    hash: config::fingerprint(prefix.as_bytes()),
                    parsed: parsed.map_err(|error| format!("invalid --cache `{prefix}`: {error}")),
                    of_cluster: true,
                })
            }
            Ok(Some(RulesFrom::File(file))) => Err(NoRules::Unknown(format!(
                "the Deployment reads its rules from {file}, which does not come from a ConfigMap; set --rules"
            ))),
            Ok(None) => Err(NoRules::Unknown("the Deployment has neither --rules nor --cache".to_owned())),
            Err(why) => Err(NoRules::Unknown(format!("{why}; set --rules"))),
        }
    }

    async fn of_config_map(api: &Api, namespace: &str, mount: &Mount) -> Result<Self, NoRules> {
        let Mount { config_map: name, key, .. } = mount;
        let target = Target { api: "api/v1", resource: "configmaps", namespace: Some(namespace), name: Some(name) };
        let place = format!("ConfigMap {namespace}/{name}");
        let found: Option<ConfigMap> = api.find(target).await.map_err(NoRules::Skipped)?;
        let Some(ConfigMap { data, binary_data, .. }) = found else {
            let what = "it does not exist, so no new Pod of the Deployment can start".to_owned();
            return Err(NoRules::Missing { place, what });
        };
        let text = data.and_then(|mut data| data.remove(key)).map(String::into_bytes);
        let bytes = || binary_data.and_then(|mut data| data.remove(key)).map(|bytes| bytes.0);
        match text.or_else(bytes) {
            Some(content) => Ok(Self::parse(format!("{place}, {key}"), &content, true)),
            None => {
                let what = format!("it has no key {key}; the Deployment reads its rules from this key");
                Err(NoRules::Missing { place, what })
            }
        }
    }
}
