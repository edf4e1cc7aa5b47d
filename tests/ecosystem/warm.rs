//! `warm` with distribution as a pull-through cache: what it fetched is served without the upstream, and nothing else.

mod proxy {
    pub use crate::harness::{Proxy, ProxyKind};
}
#[path = "../registry/server.rs"]
#[allow(dead_code, reason = "the tests of the client use more of it")]
mod server;
#[path = "../warm/store.rs"]
#[allow(dead_code, reason = "the tests of `warm` use more of it")]
mod store;

use std::process::Command;

use self::server::Server;
use self::store::Store;
use crate::init::registry::{Registry, free_address};
use crate::needs;

const IMAGES: usize = 40;

/// Returns the status of a GET, and the number of bytes.
fn get(url: &str) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "20", "--output", "/dev/null", "--write-out", "%{http_code} %{size_download}"])
        .args(["--header", "Accept: application/vnd.oci.image.index.v1+json"])
        .args(["--header", "Accept: application/vnd.oci.image.manifest.v1+json", url])
        .output()
        .expect("curl");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn distribution_serves_what_was_fetched_without_its_upstream() {
    needs("docker-registry");
    let names: Vec<String> = (0..IMAGES).map(|number| format!("app{number}")).collect();
    let mut store = Store::default();
    for name in names.iter().map(String::as_str).chain(["cold"]) {
        store.index(name, "1", &["base", name]);
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let of_upstream = store.clone();
    let upstream = runtime.block_on(Server::plain(move |seen| of_upstream.answer("", seen)));
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let address = free_address();
    let configuration = file(
        "cache.yml",
        format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n\
             proxy: {{remoteurl: 'http://{}'}}\n",
            folder.path().join("storage").display(),
            upstream.host()
        ),
    );
    let _cache = Registry::start(&configuration, &address);
    let rules = file(
        "rules.yaml",
        format!(
            "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\ncaches: [{{prefix: '{address}', product: distribution}}]\n\
             rules: [{{name: up, from: ['{}'], to: '{address}'}}]\n",
            upstream.host()
        ),
    );
    let list = file("images.txt", names.iter().map(|name| format!("{}/{name}:1\n", upstream.host())).collect());
    let output = Command::new(env!("CARGO_BIN_EXE_pullthrough"))
        .args(["warm", "--anonymous", "--rules"])
        .arg(&rules)
        .arg("--images")
        .arg(&list)
        .output()
        .expect("the binary runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(told.contains(&format!("fetched {IMAGES} of {IMAGES} images: ")), "{told}");

    drop((upstream, runtime));
    let url = |path: &str| format!("http://{address}{path}");
    for name in &names {
        let answer = get(&url(&format!("/v2/{name}/manifests/1")));
        assert!(answer.starts_with("200 "), "{name}:1 by its tag: {answer}");
    }
    let (cold, warm): (Vec<String>, Vec<String>) =
        store.paths("").into_iter().partition(|path| path.starts_with("/v2/cold/"));
    // Indexes, manifests, configurations and layers.
    assert_eq!((warm.len(), cold.len()), (IMAGES * 12, 12));
    for path in &warm {
        let answer = get(&url(path));
        assert!(answer.starts_with("200 ") && !answer.ends_with(" 0"), "{path}: {answer}");
    }
    for path in &cold {
        let answer = get(&url(path));
        assert!(!answer.starts_with("200 "), "{path}: {answer}");
    }
}
