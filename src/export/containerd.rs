//! What containerd goes by on a node: a tree of `hosts.toml`, and a piece of its configuration.
//!
//! Facts are from its `docs/hosts.md`, `remotes/docker/config/hosts.go` and `cmd/containerd/server/config/config.go`
//! (`services/…` in 1.x), of 1.6.20, 1.7.28 and 2.4.2.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};

use super::Export;
use super::mirrors::{self, Mirror};
use crate::config::fingerprint;
use crate::engine::{DOCKER_HUB, Policy, Prefix, aliases_of};
use crate::registries::Upstream;

/// The first line of every file, by which it is known again.
pub const MARKER: &str = "# Made by `pullthrough export containerd`, which writes and removes it as the rules change.";
/// Below the directory, one folder for each host.
pub const HOSTS: &str = "certs.d";
/// In the folder of a host. Not `.crt`, which containerd would trust for the upstream where it can't read `hosts.toml`.
pub const CERTIFICATES: &str = "ca.pem";
pub const HOSTS_FILE: &str = "hosts.toml";
/// For containerd 1.x and 2.x.
pub const CONFIGS: [&str; 2] = ["containerd-1.toml", "containerd-2.toml"];
/// What nodes may do with a cache: nothing is pushed there.
const CAPABILITIES: &str = r#"capabilities = ["pull", "resolve"]"#;
/// containerd 1.x does not take a file that lacks the table.
const NO_HOST: &str = "[host]";

/// What the rules do not say.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the files are on the node.
    pub node_directory: String,
    /// What a Pod's sandbox runs.
    pub sandbox_image: String,
    /// Whether a node asks the upstream for what the cache does not give.
    pub fallback: bool,
    /// Hosts without TLS, in canonical form.
    pub plain_http: Vec<String>,
    /// The authorities of the caches, in PEM.
    pub ca: Option<String>,
    /// A certificate and its key to show to caches, as paths on the node.
    pub client: Option<(String, String)>,
}

/// What is to be written.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Texts by path below the directory.
    pub files: BTreeMap<String, String>,
    /// Nothing where the rules don't rewrite it.
    pub sandbox_image: Option<String>,
}

pub fn configuration(policy: &Policy, options: &Options) -> Export<Configuration> {
    let Export { what: mirrors, mut notes, mut omissions } = mirrors::of_hosts(policy);
    let mut files = BTreeMap::new();
    let mut add = |host: &str, cache: &Cache, text: String| {
        for folder in folders(host) {
            files.insert(format!("{HOSTS}/{folder}/{HOSTS_FILE}"), format!("{MARKER}\n{text}"));
            if let Some(ca) = cache.ca {
                files.insert(format!("{HOSTS}/{folder}/{CERTIFICATES}"), format!("{MARKER}\n{ca}"));
            }
        }
    };
    for (host, to) in mirrors.iter().filter_map(|mirror| Some((&mirror.prefix, mirror.to.as_deref()?))) {
        let cache = Cache::new(to, options);
        add(host, &cache, cache.instead_of(host, options));
    }
    // Images that name a cache themselves, as the sandbox's does and those that the webhook has rewritten.
    for host in caches(policy) {
        let cache = Cache::new(&host, options);
        if cache.is_plain || !cache.tls.is_empty() {
            add(&host, &cache, format!("server = {}\n{}\n{NO_HOST}\n", quoted(&cache.url), cache.tls));
        }
    }
    notes.extend(spellings(&mirrors));
    let sandbox = mirrors::sandbox_image(policy, "--sandbox-image", &options.sandbox_image);
    notes.extend(sandbox.notes);
    omissions.extend(sandbox.omissions);
    let sandbox_image = sandbox.what;
    files.extend(CONFIGS.map(str::to_owned).into_iter().zip(configs(options, sandbox_image.as_deref())));
    Export { what: Configuration { files, sandbox_image }, notes, omissions }
}

/// The canonical hosts that the rules send images to, as far as they are known.
pub fn caches(policy: &Policy) -> BTreeSet<String> {
    policy.rules().iter().filter_map(|rule| rule.matcher.target_host()).map(str::to_owned).collect()
}

/// How a node asks for the images below a `to`.
struct Cache<'o> {
    url: String,
    has_path: bool,
    is_plain: bool,
    /// The lines that say whom the cache has to be, and who asks it.
    tls: String,
    ca: Option<&'o str>,
}

impl<'o> Cache<'o> {
    fn new(to: &str, options: &'o Options) -> Self {
        let (host, path) = to.split_once('/').map_or((to, None), |(host, path)| (host, Some(path)));
        let canonical = Prefix::parse(host).map_or_else(|_| host.to_owned(), |prefix| prefix.host().to_owned());
        let url = url(&canonical, options);
        let is_plain = url.starts_with("http:");
        let ca = options.ca.as_deref().filter(|_| !is_plain);
        let mut tls = String::new();
        if ca.is_some() {
            let _ = writeln!(tls, "ca = {}", quoted(CERTIFICATES));
        }
        if let Some((certificate, key)) = options.client.as_ref().filter(|_| !is_plain) {
            let _ = writeln!(tls, "client = [[{}, {}]]", quoted(certificate), quoted(key));
        }
        let url = path.map_or(url.clone(), |path| format!("{url}/v2/{path}"));
        Self { url, has_path: path.is_some(), is_plain, tls, ca }
    }

    /// The `hosts.toml` of a host whose images are here.
    fn instead_of(&self, host: &str, options: &Options) -> String {
        let own = quoted(&self.url);
        let path = if self.has_path { "override_path = true\n" } else { "" };
        let settings = format!("{CAPABILITIES}\n{path}{}", self.tls);
        match options.fallback {
            true => format!("server = {}\n\n[host.{own}]\n{settings}", quoted(&url(host, options))),
            false => format!("server = {own}\n{settings}\n{NO_HOST}\n"),
        }
    }
}

/// Of a registry, by its canonical host.
fn url(host: &str, options: &Options) -> String {
    let scheme = if options.plain_http.iter().any(|plain| plain == host) { "http" } else { "https" };
    format!("{scheme}://{}", if host == DOCKER_HUB { Upstream::DockerHub.endpoint() } else { host })
}

/// Where containerd looks for the names that a canonical host goes by (`hostPaths` in `config_unix.go`).
fn folders(host: &str) -> Vec<String> {
    let mut folders = Vec::new();
    for name in [host].into_iter().chain(aliases_of(host)) {
        folders.push(folder(name));
        if !has_port(name) {
            folders.push(folder(&format!("{name}:443")));
        }
    }
    folders
}

fn has_port(host: &str) -> bool {
    // Behind the brackets of an IPv6 address.
    host.rsplit(']').next().unwrap_or_default().contains(':')
}

/// What containerd looks for first.
fn folder(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) => format!("{name}_{port}_"),
        None => host.to_owned(),
    }
}

/// The path of a file that containerd would no longer find, once there is this one.
pub fn shadowed(path: &str) -> Option<String> {
    let folder = path.strip_prefix(HOSTS)?.strip_prefix('/')?.strip_suffix(HOSTS_FILE)?.strip_suffix('/')?;
    let (host, port) = folder.strip_suffix('_')?.rsplit_once('_')?;
    Some(format!("{HOSTS}/{host}:{port}/{HOSTS_FILE}"))
}

fn spellings(mirrors: &[Mirror]) -> Vec<String> {
    let mut spellings = Vec::new();
    if !mirrors.is_empty() {
        spellings.push(
            "containerd takes hosts as they are written: images whose host has upper case, or zeros before its port, are \
             not mirrored"
                .to_owned(),
        );
    }
    if mirrors.iter().any(|mirror| mirror.prefix == DOCKER_HUB) {
        spellings.push(
            "`library/` is implied at `docker.io` and `index.docker.io` only: of `registry-1.docker.io/nginx` and \
             `registry.hub.docker.com/nginx` containerd asks the cache for `nginx`"
                .to_owned(),
        );
    }
    spellings
}

/// In the order of [`CONFIGS`].
fn configs(options: &Options, sandbox_image: Option<&str>) -> [String; 2] {
    let node = &options.node_directory;
    let [_, second] = CONFIGS;
    let config = |head: String, plugin: &str, sandbox_table: &str, sandbox_key: &str| {
        let sandbox = sandbox_image.map(|image| format!("\n[{sandbox_table}]\n{sandbox_key} = {}\n", quoted(image)));
        let hosts = quoted(&format!("{node}/{HOSTS}"));
        format!("{MARKER}\n{head}{}\n[{plugin}.registry]\nconfig_path = {hosts}\n", sandbox.unwrap_or_default())
    };
    let head_1 = format!(
        "\
# For containerd 1.6 and 1.7: merge this into {node}/config.toml, and restart containerd.
# It is not for the `imports` there, unless that file sets nothing for the plugin: an import replaces all that it sets.
version = 2
"
    );
    let head_2 = format!(
        "\
# For containerd 2.x: import this in {node}/config.toml, and restart containerd. What is set elsewhere stays.
#   imports = [\"{node}/{second}\"]
version = 3
"
    );
    let cri = r#"plugins."io.containerd.grpc.v1.cri""#;
    let images = r#"plugins."io.containerd.cri.v1.images""#;
    [config(head_1, cri, cri, "sandbox_image"), config(head_2, images, &format!("{images}.pinned_images"), "sandbox")]
}

/// A basic string of TOML, which has the escapes of JSON. Control characters are kept out before.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// What the nodes' own way to these files is made of.
#[derive(Debug, Clone)]
pub struct DaemonSet<'a> {
    pub namespace: &'a str,
    /// Of pullthrough.
    pub image: &'a str,
    /// What runs once all is written.
    pub idle_image: &'a str,
    /// Of pullthrough.
    pub arguments: &'a [String],
    /// Texts by name, which it finds in the folder `mounted`.
    pub files: &'a BTreeMap<&'a str, &'a str>,
    pub mounted: &'a str,
    pub node_directory: &'a str,
}

/// Before its objects, as comments.
pub const DAEMON_SET_HEAD: &str = "\
# Writes certs.d and a piece of containerd's configuration on every node. containerd reads certs.d at each pull, once its
# config_path names it. The piece takes effect when config.toml has it and containerd is restarted, which is yours to do.
# All of this has the label app.kubernetes.io/name=pullthrough-containerd, to be deleted by. What was written stays.
";
const DAEMON_SET_NAME: &str = "pullthrough-containerd";
/// That of Kubernetes' own pause image.
const UNPRIVILEGED: u32 = 65535;

/// The objects, to be applied in this order.
pub fn daemon_set(daemon_set: &DaemonSet) -> Vec<Value> {
    let DaemonSet { namespace, image, idle_image, arguments, files, mounted, node_directory } = daemon_set;
    let labels = json!({"app.kubernetes.io/name": DAEMON_SET_NAME});
    let metadata = json!({"name": DAEMON_SET_NAME, "namespace": namespace, "labels": labels});
    let (mut mounts, mut volumes) = (
        vec![json!({"name": "node", "mountPath": node_directory})],
        // It may be missing where containerd runs with its defaults.
        vec![json!({"name": "node", "hostPath": {"path": node_directory, "type": "DirectoryOrCreate"}})],
    );
    let mut objects = vec![json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata,
        "automountServiceAccountToken": false,
    })];
    if !files.is_empty() {
        // Other files have another name: every node gets them, none gets those from before, and a rollback has its own.
        let content: String = files.iter().flat_map(|(name, text)| [name, "\n", text, "\n"]).collect();
        let mut metadata = metadata.clone();
        metadata["name"] = json!(format!("{DAEMON_SET_NAME}-{}", fingerprint(content.as_bytes())));
        mounts.push(json!({"name": "files", "mountPath": mounted, "readOnly": true}));
        volumes.push(json!({"name": "files", "configMap": {"name": metadata["name"]}}));
        objects.push(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "immutable": true,
            "data": files,
        }));
    }
    let container = |name: &str, image: &str, user: u32, more: Value| {
        let mut container = json!({
            "name": name,
            "image": image,
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
            "securityContext": {
                "runAsUser": user,
                "runAsGroup": user,
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": true,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        });
        if let (Value::Object(container), Value::Object(more)) = (&mut container, more) {
            container.extend(more);
        }
        container
    };
    objects.push(json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": labels},
            // Files that nodes refuse don't get to all of them.
            "updateStrategy": {"rollingUpdate": {"maxUnavailable": "10%"}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": DAEMON_SET_NAME,
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    // On a new node it comes before the network of Pods, whose images may need it.
                    "hostNetwork": true,
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [{"operator": "Exists"}],
                    "priorityClassName": "system-node-critical",
                    // Nothing is lost with it.
                    "terminationGracePeriodSeconds": 1,
                    // The folder is root's.
                    "initContainers": [
                        container("write", image, 0, json!({"args": arguments, "volumeMounts": mounts})),
                    ],
                    "containers": [container("idle", idle_image, UNPRIVILEGED, json!({}))],
                    "volumes": volumes,
                },
            },
        },
    }));
    objects
}
