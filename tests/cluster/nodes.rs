//! Nodes with the files of `pullthrough export containerd`. They can connect to a pull-through cache and to no registry.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::write;
use crate::containerd::{Containerd, Release};
use crate::harness::{assets, containerd, wait_for};
use crate::node::start_kubelet;
use crate::registry::{Certificates, Registry};
use crate::{DEADLINE, step};

/// The port is free, because no other process is in this network namespace.
const UPSTREAM_PORT: u16 = 5010;
const CACHE_PORT: u16 = 5011;
const PLAIN_CACHE_PORT: u16 = 5012;

/// Images, and the paths that the cache must receive. They include spellings that containerd does not normalise.
const IMAGES: [(&str, &str); 13] = [
    ("k8s.gcr.io/pause:1", "k8s/pause"),
    ("k8s.gcr.io:443/pause:1", "k8s/pause"),
    ("registry.k8s.io/pause:1", "k8s/pause"),
    ("docker.io/library/nginx:1", "docker-hub/library/nginx"),
    ("docker.io:443/library/nginx:1", "docker-hub/library/nginx"),
    ("index.docker.io/library/nginx:1", "docker-hub/library/nginx"),
    ("registry-1.docker.io/library/nginx:1", "docker-hub/library/nginx"),
    ("registry-1.docker.io:443/library/nginx:1", "docker-hub/library/nginx"),
    ("ghcr.io/team/app:1", "ghcr/team/app"),
    ("quay.io/team/data:1", "quay/team/data"),
    ("registry.gitlab.com/group/project/app:1", "gitlab/group/project/app"),
    ("registry.example.com:8443/team/app:1", "example/team/app"),
    ("mcr.microsoft.com/team/app:1", "team/app"),
];
/// The parts of an image.
const PARTS: [&str; 2] = ["manifests", "blobs"];
const SANDBOX: &str = "k8s/pause:3.10.1";
/// The image of [`IMAGES`] that a Pod runs. If there are image volumes, the Pod mounts it too.
const APP: (&str, &str) = ("ghcr.io/team/app:1", "ghcr/team/app");
const DATA: (&str, &str) = ("quay.io/team/data:1", "quay/team/data");

pub fn pull_from_the_cache(images: &Path) -> Result<()> {
    let programs = containerd()?;
    for release in [Release::First, Release::Second(&programs)] {
        let site = step("start a registry and its caches", || Site::start(images))?;
        let name = release.name();
        let node = Export::of(&site.rules(), &site.tls_options().concat())?;
        let runtime = Containerd::start(&release, &node.config(&release))?;
        step(&format!("{name} pulls from the cache, with client certificates"), || pull_all(&site, &runtime, &node))?;
        step(&format!("{name} does not pull without the files, the CA or the certificate"), || {
            controls(&site, &runtime)
        })?;
        step(&format!("{name} falls back, unless the export disables that"), || fall_back(&site, &runtime))?;
        step(&format!("{name} runs a Pod from the cache"), || run_pod(&site, &release, &runtime))?;
        step(&format!("{name} is stopped"), || drop(runtime));
    }
    imports(&programs)
}

/// A registry, a cache of it that requires a client certificate, and a cache without TLS. Fields are dropped in this order.
struct Site {
    plain_cache: Registry,
    cache: Registry,
    upstream: Registry,
    certificates: Certificates,
}

impl Site {
    fn start(images: &Path) -> Result<Self> {
        let certificates = Certificates::make()?;
        let upstream = Registry::start(UPSTREAM_PORT, None, None)?;
        let archive = images.join("hello.tar");
        for repository in IMAGES.map(|(_, repository)| repository).into_iter().collect::<BTreeSet<_>>() {
            upstream.push(&archive, &format!("{repository}:1"))?;
        }
        upstream.push(&images.join("pause.tar"), SANDBOX)?;
        upstream.push(&archive, "only/here:1")?;
        let cache = Registry::start(CACHE_PORT, Some(&upstream), Some(&certificates))?;
        let plain_cache = Registry::start(PLAIN_CACHE_PORT, Some(&upstream), None)?;
        Ok(Self { plain_cache, cache, upstream, certificates })
    }

    fn rules(&self) -> Value {
        let to = |path: &str| self.cache.image(path);
        json!([
            {"name": "kubernetes", "from": ["registry.k8s.io", "k8s.gcr.io"], "to": to("k8s")},
            {"name": "docker-hub", "from": ["docker.io"], "to": to("docker-hub")},
            {"name": "ghcr", "from": ["ghcr.io"], "to": to("ghcr")},
            {"name": "quay", "from": ["quay.io"], "to": to("quay")},
            {"name": "gitlab", "from": ["registry.gitlab.com"], "to": to("gitlab")},
            {"name": "example", "from": ["registry.example.com:8443"], "to": to("example")},
            {"name": "microsoft", "from": ["mcr.microsoft.com"], "to": to("").trim_end_matches('/')},
        ])
    }

    /// Returns the options to trust the cache, and to authenticate with it.
    fn tls_options(&self) -> [Vec<String>; 2] {
        let option = |name: &str, file: &str| format!("--{name}={}", self.certificates.path(file));
        [
            vec![option("ca-file", "ca.crt")],
            vec![option("client-certificate", "client.crt"), option("client-key", "client.key")],
        ]
    }
}

/// The files of `pullthrough export containerd`.
struct Export {
    folder: TempDir,
}

impl Export {
    fn of(rules: &Value, options: &[String]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let rules = json!({"apiVersion": "pullthrough.dev/v1alpha1", "kind": "Rules", "rules": rules});
        write(folder.path(), "rules.yaml", &rules.to_string())?;
        let export = Self { folder };
        let folder = export.folder.path().display();
        let targets = [format!("--directory={folder}"), format!("--node-directory={folder}")];
        export.run("export containerd --strict", &[&targets, options].concat())?;
        Ok(export)
    }

    /// Returns the image that the webhook would write.
    fn explain(&self, image: &str) -> Result<String> {
        let line: Value = serde_json::from_str(&self.run("explain --output=json", &[image.to_owned()])?)?;
        Ok(line["result"].as_str().context("no result")?.to_owned())
    }

    fn run(&self, command: &str, arguments: &[String]) -> Result<String> {
        let rules = format!("--rules={}", self.folder.path().join("rules.yaml").display());
        let mut program = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        let output = program.args(command.split(' ')).arg(rules).args(arguments).output().context("run pullthrough")?;
        ensure!(output.status.success(), "pullthrough: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn hosts(&self) -> PathBuf {
        self.folder.path().join("certs.d")
    }

    fn config(&self, release: &Release) -> PathBuf {
        self.folder.path().join(match release {
            Release::First => "containerd-1.toml",
            Release::Second(_) => "containerd-2.toml",
        })
    }
}

fn pull_all(site: &Site, containerd: &Containerd, node: &Export) -> Result<()> {
    for (image, repository) in IMAGES {
        let webhook_writes = node.explain(image)?;
        ensure!(
            webhook_writes == site.cache.image(&format!("{repository}:1")),
            "{image}: the webhook writes {webhook_writes}"
        );
        let before = PARTS.map(|part| site.cache.pulls(repository, part));
        containerd.pull(image, Some(&node.hosts())).with_context(|| format!("pull {image}"))?;
        let asked = || PARTS.map(|part| site.cache.pulls(repository, part));
        let more = wait_for(DEADLINE, || asked().iter().zip(before).all(|(now, before)| *now > before).then_some(()));
        more.with_context(|| format!("{image}: requests to the cache for {repository}: {before:?}, {:?}", asked()))?;
    }
    let all: BTreeSet<String> = IMAGES.map(|(_, repository)| repository.to_owned()).into();
    let asked: BTreeSet<String> = site.cache.asked_for().into_iter().collect();
    ensure!(asked == all, "requests to the cache: {asked:?}");
    ensure!(site.upstream.asked_for().is_empty(), "the registry behind the cache received requests");

    // Standard error reports them.
    for image in ["Quay.io/team/data:1", "registry-1.docker.io/nginx:1"] {
        ensure!(containerd.pull(image, Some(&node.hosts())).is_err(), "{image} was pulled");
    }
    let mut asked = site.cache.asked_for();
    asked.retain(|repository| !all.contains(repository));
    asked.dedup();
    ensure!(asked == ["docker-hub/nginx"], "requests to the cache: {asked:?}");
    Ok(())
}

fn controls(site: &Site, containerd: &Containerd) -> Result<()> {
    let before = site.cache.asked_for();
    for (image, _) in IMAGES {
        ensure!(containerd.pull(image, None).is_err(), "{image} was pulled without the files");
    }
    let [ca, client] = site.tls_options();
    let causes = ["certificate signed by unknown authority", "tls: bad certificate"];
    for (mut options, cause) in [client, ca].into_iter().zip(causes) {
        options.push("--no-fallback".into());
        let node = Export::of(&site.rules(), &options)?;
        let Err(error) = containerd.pull(IMAGES[0].0, Some(&node.hosts())) else { bail!("pulled with {options:?}") };
        ensure!(error.to_string().contains(cause), "the cause is not {cause:?}: {error:#}");
    }
    ensure!(site.cache.asked_for() == before, "the cache received requests");
    Ok(())
}

/// The upstream is available here. It has an image that the cache does not, because the cache searches it below `k8s`.
fn fall_back(site: &Site, containerd: &Containerd) -> Result<()> {
    let [upstream, cache] = [&site.upstream, &site.plain_cache].map(|registry| registry.image(""));
    let [upstream, cache] = [&upstream, &cache].map(|host| host.trim_end_matches('/'));
    let only_upstream = site.upstream.image("only/here:1");
    let only_cache = site.upstream.image("pause:1");
    let rules = json!([{"name": "local", "from": [upstream], "to": format!("{cache}/k8s")}]);
    let plain = [upstream, cache].map(|host| format!("--plain-http={host}"));
    let options = [plain.as_slice(), &[format!("--sandbox-image={only_cache}")]].concat();

    let strict = Export::of(&rules, &[options.as_slice(), &["--no-fallback".into()]].concat())?;
    let before = site.upstream.asked_for();
    ensure!(containerd.pull(&only_upstream, Some(&strict.hosts())).is_err(), "{only_upstream} came from the upstream");
    containerd.pull(&only_cache, Some(&strict.hosts()))?;
    ensure!(site.upstream.asked_for() == before, "requests to the upstream: {:?}", site.upstream.asked_for());

    let loose = Export::of(&rules, &options)?;
    containerd.pull(&only_cache, Some(&loose.hosts()))?;
    ensure!(site.upstream.asked_for() == before, "requests to the upstream: {:?}", site.upstream.asked_for());
    containerd.pull(&only_upstream, Some(&loose.hosts()))?;
    let asked = site.plain_cache.asked_for();
    ensure!(asked.iter().any(|repository| repository == "k8s/only/here"), "requests to the cache: {asked:?}");
    Ok(())
}

/// Starts a kubelet without an API server, which runs static Pods.
fn run_pod(site: &Site, release: &Release, containerd: &Containerd) -> Result<()> {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "app", "namespace": "default"},
        "spec": {"hostNetwork": true, "containers": [{"name": "app", "image": APP.0}]},
    });
    let mut repositories = BTreeSet::from(["k8s/pause", APP.1].map(str::to_owned));
    if let Release::Second(_) = release {
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
        pod["spec"]["volumes"] = json!([{"name": "data", "image": {"reference": DATA.0}}]);
        repositories.insert(DATA.1.to_owned());
    }
    let before = site.cache.asked_for().len();
    let (mut kubelet, static_pods) = start_kubelet(&assets(None, &["kubelet"])?, None, containerd)?;
    write(&static_pods, "app.json", &pod.to_string())?;
    let expected = BTreeSet::from([site.cache.image(SANDBOX), APP.0.to_owned()]);
    let runs = wait_for(DEADLINE, || match kubelet.check_alive() {
        Ok(()) => containerd.running().ok().filter(|images| *images == expected).map(|_| Ok(())),
        Err(error) => Some(Err(error)),
    });
    runs.and_then(|runs| runs).with_context(|| {
        format!("{:?}\n{}{}", containerd.running(), kubelet.log_tail(), containerd.server.log_tail())
    })?;
    let asked: BTreeSet<String> = site.cache.asked_for().split_off(before).into_iter().collect();
    ensure!(asked == repositories, "requests to the cache: {asked:?}");
    ensure!(
        !site.upstream.asked_for().iter().any(|name| repositories.contains(name)),
        "the upstream received requests"
    );
    Ok(())
}

/// Tests the `imports` of the files.
fn imports(programs: &Path) -> Result<()> {
    let cache = json!([{"name": "kubernetes", "from": ["registry.k8s.io"], "to": "cache.example.com/k8s"}]);
    let node = Export::of(&cache, &[])?;
    let (sandbox, hosts) = ("cache.example.com/k8s/pause:3.10.1", node.hosts().display().to_string());
    // A version, a setting of the node for the plugin, and whether that setting stays.
    let cases = [
        (Release::First, "version = 2", "", None),
        (
            Release::First,
            "version = 2",
            "[plugins.\"io.containerd.grpc.v1.cri\"]\nmax_concurrent_downloads = 7",
            Some(false),
        ),
        (
            Release::Second(programs),
            "version = 3",
            "[plugins.\"io.containerd.cri.v1.images\"]\nmax_concurrent_downloads = 7",
            Some(true),
        ),
        (
            Release::Second(programs),
            "version = 2",
            "[plugins.\"io.containerd.grpc.v1.cri\"]\nmax_concurrent_downloads = 7",
            Some(true),
        ),
    ];
    for (release, version, own, stays) in cases {
        let folder = tempfile::tempdir()?;
        let config = format!("{version}\nimports = [{:?}]\n{own}\n", node.config(&release));
        let config = write(folder.path(), "config.toml", &config)?;
        let output = Command::new(release.program("containerd"))
            .arg("--config")
            .arg(config)
            .args(["config", "dump"])
            .output()?;
        let dump = String::from_utf8(output.stdout)?.replace('\'', "\"");
        let has = |key: &str, value: &str| dump.contains(&format!("{key} = {value}\n"));
        ensure!(dump.contains(&format!("= \"{sandbox}\"\n")) && has("config_path", &format!("\"{hosts}\"")), "{dump}");
        if let Some(stays) = stays {
            ensure!(has("max_concurrent_downloads", "7") == stays, "{}, {version}: {dump}", release.name());
        }
    }
    Ok(())
}
