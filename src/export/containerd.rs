//! Export to containerd: a tree of `hosts.toml`, and a part of its configuration.
//!
//! Sources: `hosts.md`, `remotes/docker/config/hosts.go` and `cmd/containerd/server/config/config.go` (`services/…` in 1.x) of
//! containerd 1.6.20, 1.7.28 and 2.4.2.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};

use super::Export;
use super::mirrors::{self, Mirror};
use crate::config::fingerprint;
use crate::engine::{DOCKER_HUB, Policy, Prefix, aliases_of};
use crate::registries::Upstream;

/// The first line of every file, which marks it as written by this export.
pub const MARKER: &str = "# Made by `pullthrough export containerd`, which writes and removes it as the rules change.";
/// The folder below the directory that has a folder for each host.
pub const HOSTS: &str = "certs.d";
/// The CA in the folder of a host. Not `.crt`: if `hosts.toml` is unreadable, containerd would trust it for the upstream.
pub const CERTIFICATES: &str = "ca.pem";
pub const HOSTS_FILE: &str = "hosts.toml";
/// The configuration files for containerd 1.x and 2.x.
pub const CONFIGS: [&str; 2] = ["containerd-1.toml", "containerd-2.toml"];
/// The capabilities of a cache: nodes push nothing.
const CAPABILITIES: &str = r#"capabilities = ["pull", "resolve"]"#;
/// containerd 1.x rejects a file without this table.
const NO_HOST: &str = "[host]";

/// Options beside the rules.
#[derive(Debug, Clone)]
pub struct ContainerdOptions {
    /// The directory of the files on the node.
    pub node_directory: String,
    /// The image of Pods' sandboxes.
    pub sandbox_image: String,
    /// Whether a node pulls from the upstream if the cache fails.
    pub fallback: bool,
    /// Hosts without TLS, in canonical form.
    pub plain_http: Vec<String>,
    /// The CAs of the caches, in PEM.
    pub ca: Option<String>,
    /// A client certificate and its key, as paths on the node.
    pub client: Option<(String, String)>,
}

/// The files to write.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The texts, by path below the directory.
    pub files: BTreeMap<String, String>,
    /// `None` if the rules do not rewrite it.
    pub sandbox_image: Option<String>,
}

pub fn configuration(policy: &Policy, options: &ContainerdOptions) -> Export<Configuration> {
    let Export { what: mirrors, mut notes, mut omissions } = mirrors::of_hosts(policy);
    let mut files = BTreeMap::new();
    let mut add = |host: &str, ca: Option<&str>, text: String| {
        for folder in folders(host) {
            files.insert(format!("{HOSTS}/{folder}/{HOSTS_FILE}"), format!("{MARKER}\n{text}"));
            if let Some(ca) = ca {
                files.insert(format!("{HOSTS}/{folder}/{CERTIFICATES}"), format!("{MARKER}\n{ca}"));
            }
        }
    };
    for Mirror { prefix: host, to, failover } in &mirrors {
        let caches: Vec<Cache> = to.iter().chain(failover).map(|to| Cache::new(to, options)).collect();
        if let Some(text) = instead_of(host, &caches, options) {
            // All caches have the same CA, and those with plain HTTP none.
            let ca = caches.iter().find_map(|cache| cache.ca);
            add(host, ca, text);
        }
    }
    // Images that name a cache: the sandbox's, and those that the webhook rewrote.
    for host in caches(policy) {
        let cache = Cache::new(&host, options);
        if cache.is_plain || !cache.tls.is_empty() {
            add(&host, cache.ca, format!("server = {}\n{}\n{NO_HOST}\n", quoted(&cache.url), cache.tls));
        }
    }
    notes.extend(spellings(&mirrors));
    if options.ca.is_none() {
        notes.extend(mirrors::ca_notes(policy));
    }
    let sandbox = mirrors::sandbox_image(policy, "--sandbox-image", &options.sandbox_image);
    notes.extend(sandbox.notes);
    omissions.extend(sandbox.omissions);
    let sandbox_image = sandbox.what;
    files.extend(CONFIGS.map(str::to_owned).into_iter().zip(configs(options, sandbox_image.as_deref())));
    Export { what: Configuration { files, sandbox_image }, notes, omissions }
}

/// Returns the canonical hosts of every `to` and failover, except those with groups.
pub fn caches(policy: &Policy) -> BTreeSet<String> {
    policy.rules().iter().flat_map(|rule| rule.matcher.target_hosts()).flatten().map(str::to_owned).collect()
}

/// The settings with which a node pulls the images below a `to` or a failover.
struct Cache<'o> {
    url: String,
    has_path: bool,
    is_plain: bool,
    /// The lines with the CA and the client certificate.
    tls: String,
    ca: Option<&'o str>,
}

impl<'o> Cache<'o> {
    fn new(to: &str, options: &'o ContainerdOptions) -> Self {
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

    /// Returns the lines after its URL.
    fn settings(&self) -> String {
        let path = if self.has_path { "override_path = true\n" } else { "" };
        format!("{CAPABILITIES}\n{path}{}", self.tls)
    }
}

/// Returns the `hosts.toml` of a host whose images these caches serve; `None` without a cache. containerd tries each `host` in
/// order, and `server` after them.
fn instead_of(host: &str, caches: &[Cache], options: &ContainerdOptions) -> Option<String> {
    let (last, before) = caches.split_last()?;
    let (server, hosts) = if options.fallback {
        (format!("server = {}\n", quoted(&url(host, options))), caches)
    } else {
        (format!("server = {}\n{}", quoted(&last.url), last.settings()), before)
    };
    let mut text = server;
    for cache in hosts {
        let _ = write!(text, "\n[host.{}]\n{}", quoted(&cache.url), cache.settings());
    }
    if hosts.is_empty() {
        let _ = writeln!(text, "\n{NO_HOST}");
    }
    Some(text)
}

/// Returns the URL of a registry, by its canonical host.
fn url(host: &str, options: &ContainerdOptions) -> String {
    let scheme = if options.plain_http.iter().any(|plain| plain == host) { "http" } else { "https" };
    format!("{scheme}://{}", if host == DOCKER_HUB { Upstream::DockerHub.endpoint() } else { host })
}

/// Returns the folders in which containerd looks for each name of a canonical host (`hostPaths` in `config_unix.go`).
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
    // The colons in the brackets of an IPv6 address do not count.
    host.rsplit(']').next().unwrap_or_default().contains(':')
}

/// Returns the folder that containerd tries first for a host.
fn folder(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) => format!("{name}_{port}_"),
        None => host.to_owned(),
    }
}

/// Returns the path of a file that containerd ignores if this one exists.
pub fn shadowed(path: &str) -> Option<String> {
    let folder = path.strip_prefix(HOSTS)?.strip_prefix('/')?.strip_suffix(HOSTS_FILE)?.strip_suffix('/')?;
    let (host, port) = folder.strip_suffix('_')?.rsplit_once('_')?;
    Some(format!("{HOSTS}/{host}:{port}/{HOSTS_FILE}"))
}

fn spellings(mirrors: &[Mirror]) -> Vec<String> {
    let mut spellings = Vec::new();
    if !mirrors.is_empty() {
        spellings.push(
            "containerd compares hosts as written: images whose host has upper case, or a port with leading zeros, are not \
             mirrored"
                .to_owned(),
        );
    }
    if mirrors.iter().any(|mirror| mirror.prefix == DOCKER_HUB) {
        spellings.push(
            "containerd adds `library/` for `docker.io` and `index.docker.io` only: for `registry-1.docker.io/nginx` and \
             `registry.hub.docker.com/nginx` it asks the cache for `nginx`"
                .to_owned(),
        );
    }
    spellings
}

/// Returns the texts of [`CONFIGS`], in their order.
fn configs(options: &ContainerdOptions, sandbox_image: Option<&str>) -> [String; 2] {
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
# Do not add it to `imports` there if config.toml has settings of this plugin: an import replaces all of them.
version = 2
"
    );
    let head_2 = format!(
        "\
# For containerd 2.x: import this in {node}/config.toml, and restart containerd. Other settings are unchanged.
#   imports = [\"{node}/{second}\"]
version = 3
"
    );
    let cri = r#"plugins."io.containerd.grpc.v1.cri""#;
    let images = r#"plugins."io.containerd.cri.v1.images""#;
    [config(head_1, cri, cri, "sandbox_image"), config(head_2, images, &format!("{images}.pinned_images"), "sandbox")]
}

/// Returns a basic string of TOML, which has the escapes of JSON. Callers reject control characters.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The parameters of the DaemonSet that writes these files on nodes.
#[derive(Debug, Clone)]
pub struct DaemonSet<'a> {
    pub namespace: &'a str,
    /// The image of pullthrough.
    pub image: &'a str,
    /// The image that runs after the files are written.
    pub idle_image: &'a str,
    /// The arguments of pullthrough.
    pub arguments: &'a [String],
    /// The texts of its files, by name, which are mounted in the folder `mounted`.
    pub files: &'a BTreeMap<&'a str, &'a str>,
    pub mounted: &'a str,
    pub node_directory: &'a str,
}

/// The comments before the objects.
pub const DAEMON_SET_HEAD: &str = "\
# Writes certs.d and a part of containerd's configuration on every node. If config_path names certs.d, containerd reads it at
# each pull. The part takes effect after you import it in config.toml, or merge it there, and restart containerd.
# All objects have the label app.kubernetes.io/name=pullthrough-containerd, to delete them by. The files on nodes remain.
";
const DAEMON_SET_NAME: &str = "pullthrough-containerd";
/// The user of Kubernetes' pause image.
const UNPRIVILEGED: u32 = 65535;

/// Returns the objects, in the order in which to apply them.
pub fn daemon_set(daemon_set: &DaemonSet) -> Vec<Value> {
    let DaemonSet { namespace, image, idle_image, arguments, files, mounted, node_directory } = daemon_set;
    let labels = json!({"app.kubernetes.io/name": DAEMON_SET_NAME});
    let metadata = json!({"name": DAEMON_SET_NAME, "namespace": namespace, "labels": labels});
    let (mut mounts, mut volumes) = (
        vec![json!({"name": "node", "mountPath": node_directory})],
        // The folder may be missing if containerd runs with its defaults.
        vec![json!({"name": "node", "hostPath": {"path": node_directory, "type": "DirectoryOrCreate"}})],
    );
    let mut objects = vec![json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata,
        "automountServiceAccountToken": false,
    })];
    if !files.is_empty() {
        // The name contains a hash of the files. So a roll-out brings new files to every node, and a rollback the old ones.
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
            // Files that nodes reject must not reach all nodes.
            "updateStrategy": {"rollingUpdate": {"maxUnavailable": "10%"}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": DAEMON_SET_NAME,
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    // On a new node it must run before the Pod network, whose images may need these files.
                    "hostNetwork": true,
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [{"operator": "Exists"}],
                    "priorityClassName": "system-node-critical",
                    // The container has no state.
                    "terminationGracePeriodSeconds": 1,
                    // Root owns the folder.
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
