//! `pullthrough warm`, through the binary, against servers of the tests.

mod interrupted;
mod limits;
mod order;
mod products;
#[path = "../harness/proxy.rs"]
#[allow(dead_code, reason = "other tests use it")]
mod proxy;
#[path = "../registry/server.rs"]
#[allow(dead_code, reason = "the tests of the client use more of it")]
mod server;
mod store;
mod troubles;

use std::process::{Output, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use self::server::Server;
use self::store::Store;

/// The path of the upstream in the cache.
const PREFIX: &str = "up/";

/// An upstream, and a cache of it.
struct Scene {
    upstream: Server,
    cache: Server,
    folder: TempDir,
}

/// What a run of the binary gave.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    /// Of `-o json`.
    entries: Vec<Value>,
    stderr: String,
}

impl Ran {
    fn sum(&self, key: &str) -> u64 {
        self.entries.iter().map(|entry| entry[key].as_u64().unwrap()).sum()
    }

    /// Returns the only entry.
    fn entry(&self) -> &Value {
        assert_eq!(self.entries.len(), 1, "{self:?}");
        &self.entries[0]
    }

    fn status(&self) -> &str {
        self.entry()["status"].as_str().unwrap()
    }

    /// Returns the only fault, as `PART: CAUSE, CAUSE; ANSWER; UPSTREAM`, with the names of the causes.
    fn fault(&self) -> String {
        let faults = self.entry()["faults"].as_array().unwrap();
        assert_eq!(faults.len(), 1, "{self:?}");
        let text = |key: &str| faults[0][key].as_str().unwrap_or("not asked").to_owned();
        let causes = faults[0]["causes"].as_array().unwrap().iter();
        let causes: Vec<&str> = causes.map(|cause| cause["cause"].as_str().unwrap()).collect();
        format!("{}: {}; {}; {}", text("part"), causes.join(", "), text("answer"), text("upstream_answer"))
    }
}

impl Scene {
    async fn new(product: &str, upstream: Server, cache: Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = format!(
            "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\ncaches:\n  - {{prefix: '{cache}', product: {product}}}\n\
             rules:\n  - {{name: up, from: ['{upstream}'], to: '{cache}/up'}}\n",
            cache = cache.host(),
            upstream = upstream.host()
        );
        std::fs::write(folder.path().join("rules.yaml"), rules).unwrap();
        Self { upstream, cache, folder }
    }

    /// Starts both with the same content.
    async fn of(product: &str, store: &Store) -> Self {
        let shared = Arc::new(store.clone());
        let (upstream, cache) = (Arc::clone(&shared), shared);
        let upstream = Server::plain(move |seen| upstream.answer("", seen)).await;
        let cache = match product {
            "distribution" => Server::plain(Store::clone(store).distribution(PREFIX)).await,
            _ => Server::plain(move |seen| cache.answer(PREFIX, seen)).await,
        };
        Self::new(product, upstream, cache).await
    }

    /// Returns a command that fetches images of the upstream.
    fn command(&self, images: &[&str], arguments: &[&str]) -> Command {
        let path = |name: &str| self.folder.path().join(name);
        let list: String = images.iter().map(|image| format!("{}/{image}\n", self.upstream.host())).collect();
        std::fs::write(path("images.txt"), list).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
        command.args(["warm", "-o", "json", "--rules", "rules.yaml", "--images", "images.txt"]).args(arguments);
        for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "PULLTHROUGH_RULES"] {
            command.env_remove(variable);
        }
        command.env("DOCKER_CONFIG", self.folder.path()).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    fn start(&self, images: &[&str], arguments: &[&str]) -> Child {
        self.command(images, arguments).spawn().unwrap()
    }

    async fn warm(&self, images: &[&str], arguments: &[&str]) -> Ran {
        let Output { status, stdout, stderr } = self.command(images, arguments).output().await.unwrap();
        let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        let entries = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Ran { code: status.code(), entries, stderr }
    }

    /// Returns the requests to the cache, with names instead of digests.
    fn requests(&self, store: &Store) -> Vec<String> {
        let short = |line: &String| store.named(&line.replace("/v2/up/", "").replace("manifests/", ""));
        self.cache.lines().iter().map(short).collect()
    }
}
