//! How the Deployment calls `serve`: what of its arguments, variables and volumes matters here.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, PodSpec};

const DEFAULT_SECRET: &str = "pullthrough-tls";

/// What the Pods' container is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    pub rules: Option<Mount>,
    /// `--rules` names a file that no ConfigMap is mounted for.
    pub unmounted_rules: Option<String>,
    pub cache: Option<String>,
    /// With `--manage-certificates`, the Secret's name.
    pub managed_secret: Option<String>,
    pub tells_warnings: bool,
    /// `None`: as the ServiceAccount says.
    pub has_token: Option<bool>,
    pub service_account: String,
}

/// A file of a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub config_map: String,
    pub key: String,
    pub by_sub_path: bool,
}

impl Arguments {
    pub fn of(deployment: &Deployment) -> Option<Self> {
        let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
        let container = container(pod)?;
        let file = value(container, "--rules", "PULLTHROUGH_RULES");
        let rules = file.as_deref().and_then(|file| mount(pod, container, file));
        let manages = is_on(container, "--manage-certificates", "PULLTHROUGH_MANAGE_CERTIFICATES");
        let secret = || {
            value(container, "--certificate-secret", "PULLTHROUGH_CERTIFICATE_SECRET")
                .unwrap_or_else(|| DEFAULT_SECRET.to_owned())
        };
        Some(Self {
            unmounted_rules: if rules.is_none() { file } else { None },
            rules,
            cache: value(container, "--cache", "PULLTHROUGH_CACHE"),
            managed_secret: manages.then(secret),
            tells_warnings: !is_on(container, "--no-warnings", "PULLTHROUGH_NO_WARNINGS"),
            has_token: if mounts_token(pod) { Some(true) } else { pod.automount_service_account_token },
            service_account: pod.service_account_name.clone().unwrap_or_else(|| "default".to_owned()),
        })
    }
}

/// The container that serves: the one with the port, for there may be sidecars.
pub fn container(pod: &PodSpec) -> Option<&Container> {
    let serves =
        |container: &&Container| container.ports.iter().flatten().any(|port| port.name.as_deref() == Some("https"));
    pod.containers
        .iter()
        .find(serves)
        .or_else(|| pod.containers.iter().find(|container| container.name == "pullthrough"))
        .or_else(|| pod.containers.first())
}

/// The number of a port of the container, by its name.
pub fn port(container: &Container, name: &str) -> Option<u16> {
    let port = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name))?;
    u16::try_from(port.container_port).ok()
}

/// Whether the token is a volume that somebody wrote.
fn mounts_token(pod: &PodSpec) -> bool {
    let projected = pod.volumes.iter().flatten().filter_map(|volume| volume.projected.as_ref());
    projected.flat_map(|source| source.sources.iter().flatten()).any(|source| source.service_account_token.is_some())
}

fn words(container: &Container) -> impl Iterator<Item = &String> {
    container.command.iter().flatten().chain(container.args.iter().flatten())
}

fn variable<'c>(container: &'c Container, name: &str) -> Option<&'c str> {
    let found = container.env.iter().flatten().find(|variable| variable.name == name)?;
    found.value.as_deref()
}

/// `--flag=value`, `--flag value`, or the variable.
fn value(container: &Container, flag: &str, name: &str) -> Option<String> {
    let mut words = words(container);
    while let Some(word) = words.next() {
        match word.strip_prefix(flag) {
            Some("") => return words.next().cloned(),
            Some(rest) if rest.starts_with('=') => return Some(rest[1..].to_owned()),
            _ => {}
        }
    }
    variable(container, name).map(str::to_owned)
}

fn is_on(container: &Container, flag: &str, name: &str) -> bool {
    // As clap's FalseyValueParser reads it.
    let is_truthy =
        |text: &str| !matches!(text.to_ascii_lowercase().as_str(), "" | "n" | "no" | "f" | "false" | "off" | "0");
    words(container).any(|word| word == flag) || variable(container, name).is_some_and(is_truthy)
}

/// The ConfigMap behind a file of the container.
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

    fn arguments(args: Value, mount: Value, volume: Value) -> Arguments {
        let deployment = json!({"spec": {"template": {"spec": {
            "serviceAccountName": "robot",
            "containers": [
                {"name": "proxy"},
                {"name": "x", "ports": [{"name": "https", "containerPort": 8443}], "args": args,
                 "volumeMounts": [{"name": "other", "mountPath": "/"}, mount],
                 "env": [{"name": "PULLTHROUGH_NO_WARNINGS", "value": "yes"}]},
            ],
            "volumes": [{"name": "other", "emptyDir": {}}, volume],
        }}}});
        Arguments::of(&serde_json::from_value(deployment).unwrap()).unwrap()
    }

    fn rules(mount: Value, volume: Value) -> Option<Mount> {
        arguments(json!(["serve", "--rules=/etc/rules/rules.yaml"]), mount, volume).rules
    }

    #[test]
    fn the_config_map_behind_the_rules_is_found() {
        let volume = || json!({"name": "rules", "configMap": {"name": "r"}});
        let plain = |by_sub_path| Some(Mount { config_map: "r".into(), key: "rules.yaml".into(), by_sub_path });
        assert_eq!(rules(json!({"name": "rules", "mountPath": "/etc/rules"}), volume()), plain(false));
        assert_eq!(rules(json!({"name": "rules", "mountPath": "/etc/rules/"}), volume()), plain(false));
        let file = json!({"name": "rules", "mountPath": "/etc/rules/rules.yaml", "subPath": "rules.yaml"});
        assert_eq!(rules(file, volume()), plain(true));
        let item = json!({"name": "rules", "configMap": {"name": "r", "items": [{"key": "k", "path": "rules.yaml"}]}});
        assert_eq!(rules(json!({"name": "rules", "mountPath": "/etc/rules"}), item).unwrap().key, "k");
        assert_eq!(rules(json!({"name": "rules", "mountPath": "/etc/rule"}), volume()), None);
        assert_eq!(rules(json!({"name": "absent", "mountPath": "/etc/rules"}), volume()), None);
    }

    #[test]
    fn flags_are_read_in_each_form() {
        let none = || json!({"name": "none", "mountPath": "/none"});
        let args = json!(["serve", "--cache", "a.io/b", "--manage-certificates", "--certificate-secret=s"]);
        let read = arguments(args, none(), json!({"name": "none"}));
        assert_eq!((read.cache.as_deref(), read.managed_secret.as_deref()), (Some("a.io/b"), Some("s")));
        assert!(!read.tells_warnings);
        let read = arguments(json!(["serve", "--rules=/x"]), none(), json!({"name": "none"}));
        assert_eq!((read.unmounted_rules.as_deref(), read.managed_secret), (Some("/x"), None));
    }
}
