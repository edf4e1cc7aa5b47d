//! An upstream, a cache of it, and what nodes and pullthrough know of both.

use std::path::PathBuf;
use std::process::Command;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::access::{Access, PASSWORD, USER};
use crate::cache::{Cache, Release};
use crate::images::{NATIVE, Upstream};
use crate::node::Node;
use crate::program::run;
use crate::server::Ca;

/// In the storage of a cache.
pub const STATE: &str = "scheduler-state.json";

pub struct Site {
    pub cache: Cache,
    /// `None` after it was stopped.
    upstream: Option<Upstream>,
    /// The upstream's address, as part of images.
    host: String,
    folder: TempDir,
}

impl Site {
    pub fn start(release: Release, access: Access) -> Self {
        let (ca, upstream) = (Ca::new(), Upstream::start());
        let cache = Cache::start(release, access, &upstream.host(), &ca);
        let folder = tempfile::tempdir().unwrap();
        let host = upstream.host();
        let site = Self { cache, upstream: Some(upstream), host, folder };
        let file = site.file("ca.crt", &ca.pem);
        site.rules("rules.yaml", &json!({"product": "distribution", "caFile": file}));
        site.rules("rules-without-ca.yaml", &json!({"product": "distribution"}));
        site.secret("secret.json", PASSWORD);
        site.secret("wrong-secret.json", "wrong");
        for (folder, ca) in [("hosts", format!("ca = \"{}\"\n", file.display())), ("hosts-without-ca", String::new())] {
            // containerd 1.6 requires the table.
            let hosts = format!("server = \"https://{}\"\n{ca}[host]\n", site.cache.host());
            site.file(&format!("{folder}/{}/hosts.toml", site.cache.host()), &hosts);
        }
        site
    }

    fn rules(&self, name: &str, cache: &Value) {
        let mut cache = cache.clone();
        cache["prefix"] = json!(self.cache.host());
        let rules = json!({
            "apiVersion": "pullthrough.dev/v1alpha1", "kind": "Rules", "caches": [cache],
            "rules": [{"name": "upstream", "from": [self.host], "to": self.cache.host()}],
        });
        self.file(name, &rules.to_string());
    }

    fn secret(&self, name: &str, password: &str) {
        let login = json!({"username": USER, "password": password});
        self.file(name, &json!({"auths": {self.cache.host(): login}}).to_string());
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn upstream(&self) -> &Upstream {
        self.upstream.as_ref().expect("the upstream runs")
    }

    pub fn stop_upstream(&mut self) {
        self.upstream = None;
    }

    /// Pulls an image, named without its registry, from the cache.
    pub fn pull(&self, node: &Node, image: &str) -> Result<(), String> {
        self.pull_with(node, image, "hosts", PASSWORD)
    }

    /// Pulls with this folder of hosts.toml files, and this password.
    pub fn pull_with(&self, node: &Node, image: &str, hosts: &str, password: &str) -> Result<(), String> {
        node.pull(&format!("{}/{image}", self.cache.host()), &self.path(hosts), &format!("{USER}:{password}"))
    }

    /// Runs pullthrough with the right rules and credentials. Returns the objects that it prints for the images.
    pub fn ask(&self, arguments: &[&str], images: &[&str]) -> Vec<Value> {
        self.ask_with(arguments, images, "rules.yaml", "secret.json")
    }

    pub fn ask_with(&self, arguments: &[&str], images: &[&str], rules: &str, secret: &str) -> Vec<Value> {
        let secret = self.path(secret).display().to_string();
        self.run(&[arguments, &["--pull-secret", &secret]].concat(), images, rules)
    }

    /// Runs `pullthrough drill` with the storage of the cache.
    pub fn drill(&self, images: &[&str]) -> Vec<Value> {
        let storage = format!("--storage={}={}", self.cache.host(), self.cache.storage().display());
        self.run(&["drill", &storage, &format!("--platform=linux/{NATIVE}")], images, "rules.yaml")
    }

    /// Runs `pullthrough drill` with a listing of the storage, as `gsutil ls -l` prints it. The cache is asked for manifests.
    pub fn drill_by_keys(&self, images: &[&str]) -> Vec<Value> {
        let mut lines = String::new();
        // The cache runs, and may remove a file meanwhile.
        for entry in walkdir::WalkDir::new(self.cache.storage()).into_iter().filter_map(Result::ok) {
            let Ok(metadata) = entry.metadata() else { continue };
            let written = Timestamp::try_from(metadata.modified().unwrap()).unwrap();
            if metadata.is_file() {
                lines += &format!("{:>10}  {written}  {}\n", metadata.len(), entry.path().display());
            }
        }
        let host = self.cache.host();
        let keys = format!("--keys={host}={}", self.file("keys", &lines).display());
        let state = format!("--scheduler-state={host}={}", self.cache.storage().join(STATE).display());
        self.ask(&["drill", &keys, &state, &format!("--platform=linux/{NATIVE}")], images)
    }

    fn run(&self, arguments: &[&str], images: &[&str], rules: &str) -> Vec<Value> {
        let list: String = images.iter().map(|image| format!("{}/{image}\n", self.host)).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.args(arguments).arg("--rules").arg(self.path(rules)).args(["--images", "-", "--output", "json"]);
        let output = run(command.env_clear().env("HOME", self.folder.path()), &list);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() < Some(2), "{stderr}");
        let lines = String::from_utf8(output.stdout).unwrap();
        let values: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(values.len(), images.len(), "{lines}{stderr}");
        values
    }
}
