//! How the Deployment runs `serve`: those of its arguments, variables and volumes that doctor needs.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::environment::{Environment, Setting};

/// The settings of `serve` that doctor needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    pub rules: Setting<Option<String>>,
    pub cache: Setting<Option<String>>,
    /// With `--manage-certificates`, the Secret's name.
    pub managed_secret: Setting<Option<String>>,
    pub sends_warnings: Setting<bool>,
}

/// Reads the arguments of a container as `serve` does. The command line defines them.
pub type ReadServe = fn(&[String], &Environment) -> Result<Serve, String>;

/// The arguments of the Pods' container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    pub rules: Setting<Option<RulesFrom>>,
    /// With `--manage-certificates`, the Secret's name.
    pub managed_secret: Setting<Option<String>>,
    pub sends_warnings: Setting<bool>,
    /// `None` if the ServiceAccount decides.
    pub has_token: Option<bool>,
    pub service_account: String,
}

/// The source of the replicas' rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RulesFrom {
    ConfigMap(Mount),
    /// A file that does not come from a ConfigMap.
    File(String),
    Cache(String),
}

/// A file of a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub config_map: String,
    pub key: String,
    pub by_sub_path: bool,
}

impl Arguments {
    pub fn of(deployment: &Deployment, read: ReadServe) -> Option<Self> {
        let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
        let container = container(pod)?;
        let words: Vec<String> = container.command.iter().chain(&container.args).flatten().cloned().collect();
        let unread = |why| format!("the arguments of the Deployment are unreadable: {why}");
        let (rules, managed_secret, sends_warnings) = match read(&words, &Environment::of(container)).map_err(unread) {
            Ok(Serve { rules, cache, managed_secret, sends_warnings }) => {
                (rules_from(pod, container, rules, cache), managed_secret, sends_warnings)
            }
            Err(why) => (Err(why.clone()), Err(why.clone()), Err(why)),
        };
        Some(Self {
            rules,
            managed_secret,
            sends_warnings,
            has_token: if mounts_token(pod) { Some(true) } else { pod.automount_service_account_token },
            service_account: pod.service_account_name.clone().unwrap_or_else(|| "default".to_owned()),
        })
    }

    /// Returns the mount of the ConfigMap with the rules.
    pub fn mount(&self) -> Option<&Mount> {
        match &self.rules {
            Ok(Some(RulesFrom::ConfigMap(mount))) => Some(mount),
            _ => None,
        }
    }
}

fn rules_from(
    pod: &PodSpec,
    container: &Container,
    rules: Setting<Option<String>>,
    cache: Setting<Option<String>>,
) -> Setting<Option<RulesFrom>> {
    Ok(match rules? {
        Some(file) => Some(match mount(pod, container, &file) {
            Some(mount) => RulesFrom::ConfigMap(mount),
            None => RulesFrom::File(file),
        }),
        None => cache?.map(RulesFrom::Cache),
    })
}

/// Returns the container of the server: the one with the port `https`, since there may be sidecars.
pub fn container(pod: &PodSpec) -> Option<&Container> {
    let serves =
        |container: &&Container| container.ports.iter().flatten().any(|port| port.name.as_deref() == Some("https"));
    pod.containers
        .iter()
        .find(serves)
        .or_else(|| pod.containers.iter().find(|container| container.name == "pullthrough"))
        .or_else(|| pod.containers.first())
}

/// Returns the number of the container's port with this name.
pub fn port(container: &Container, name: &str) -> Option<u16> {
    let port = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name))?;
    u16::try_from(port.container_port).ok()
}

/// Returns whether a projected volume of the Pod has the token.
fn mounts_token(pod: &PodSpec) -> bool {
    let projected = pod.volumes.iter().flatten().filter_map(|volume| volume.projected.as_ref());
    projected.flat_map(|source| source.sources.iter().flatten()).any(|source| source.service_account_token.is_some())
}

/// Returns the ConfigMap that a file of the container comes from.
fn mount(pod: &PodSpec, container: &Container, file: &str) -> Option<Mount> {
    let below = |folder: &str| {
        let rest = file.strip_prefix(folder.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/').to_owned())
    };
    let mounts = container.volume_mounts.iter().flatten();
    let (mount, rest) = mounts
        .filter_map(|mount| Some((mount, below(&mount.mount_path)?)))
        .max_by_key(|(mount, _)| mount.mount_path.len())?;
    let volume = pod.volumes.iter().flatten().find(|volume| volume.name == mount.name)?;
    let source = volume.config_map.as_ref()?;
    let path = match mount.sub_path.as_deref().filter(|path| !path.is_empty()) {
        None => rest,
        Some(sub) if rest.is_empty() => sub.to_owned(),
        Some(sub) => format!("{sub}/{rest}"),
    };
    let item = source.items.iter().flatten().find(|item| item.path == path);
    let key = item.map_or(path, |item| item.key.clone());
    let by_sub_path = mount.sub_path.as_deref().is_some_and(|path| !path.is_empty());
    Some(Mount { config_map: source.name.clone(), key, by_sub_path })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rules(mount: Value, volume: Value) -> Option<RulesFrom> {
        let read: ReadServe = |_, _| {
            Ok(Serve {
                rules: Ok(Some("/etc/rules/rules.yaml".to_owned())),
                cache: Ok(None),
                managed_secret: Ok(None),
                sends_warnings: Ok(true),
            })
        };
        let deployment = json!({"spec": {"template": {"spec": {
            "containers": [
                {"name": "proxy"},
                {"name": "x", "ports": [{"name": "https", "containerPort": 8443}],
                 "volumeMounts": [{"name": "other", "mountPath": "/"}, mount]},
            ],
            "volumes": [{"name": "other", "emptyDir": {}}, volume],
        }}}});
        Arguments::of(&serde_json::from_value(deployment).unwrap(), read).unwrap().rules.unwrap()
    }

    #[test]
    fn the_config_map_behind_the_rules_is_found() {
        let volume = || json!({"name": "rules", "configMap": {"name": "r"}});
        let mounted = |key: &str, by_sub_path| {
            Some(RulesFrom::ConfigMap(Mount { config_map: "r".into(), key: key.into(), by_sub_path }))
        };
        let plain = |by_sub_path| mounted("rules.yaml", by_sub_path);
        let unmounted = Some(RulesFrom::File("/etc/rules/rules.yaml".to_owned()));
        assert_eq!(rules(json!({"name": "rules", "mountPath": "/etc/rules"}), volume()), plain(false));
        assert_eq!(rules(json!({"name": "rules", "mountPath": "/etc/rules/"}), volume()), plain(false));
        let file = json!({"name": "rules", "mountPath": "/etc/rules/rules.yaml", "subPath": "rules.yaml"});
        assert_eq!(rules(file, volume()), plain(true));
        let item = json!({"name": "rules", "configMap": {"name": "r", "items": [{"key": "k", "path": "rules.yaml"}]}});
        assert_eq!(rules(json!({"name": "rules", "mountPath": "/etc/rules"}), item), mounted("k", false));
        assert_eq!(rules(json!({"name": "rules", "mountPath": "/etc/rule"}), volume()), unmounted);
        assert_eq!(rules(json!({"name": "absent", "mountPath": "/etc/rules"}), volume()), unmounted);
    }
}
