//! The files of `export containerd`. `tests/cluster/nodes.rs` runs containerd with them.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use walkdir::WalkDir;

use crate::program::pullthrough;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
const FOREIGN: &str = "server = \"https://example.com\"\n";

/// A folder with rules, a CA, and the exported files.
struct Scene {
    folder: TempDir,
}

impl Scene {
    /// Creates a folder with rules, given as `FROM to TO` in each line.
    fn new(rules: &str) -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        scene.write("ca.crt", &format!("{KEY}{CERTIFICATE}"));
        scene.change(rules);
        scene
    }

    fn change(&self, rules: &str) {
        let mut text = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n".to_owned();
        for (index, (from, to)) in rules.lines().filter_map(|line| line.split_once(" to ")).enumerate() {
            writeln!(text, "  - {{name: r{index}, from: [{}], to: {}}}", from.trim(), to).unwrap();
        }
        self.write("rules.yaml", &text);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Returns the exit code, standard output and standard error, without the name of the folder.
    fn run(&self, arguments: &str) -> (i32, String, String) {
        let place = format!("{}/", self.folder.path().display());
        let arguments = format!("export containerd {}", arguments.replace('@', &place));
        let output = pullthrough(&arguments.split_whitespace().collect::<Vec<_>>());
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(&place, "@");
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Exports into the folder, which prints no data. Returns standard error.
    fn export(&self, code: i32, arguments: &str) -> String {
        let (actual, stdout, stderr) = self.run(&format!("--rules @rules.yaml --directory @out {arguments}"));
        assert_eq!((actual, stdout.as_str()), (code, ""), "{stderr}");
        stderr
    }

    /// Returns every file with its text.
    fn tree(&self) -> String {
        let mut tree = String::new();
        for entry in WalkDir::new(self.path("out")).sort_by_file_name() {
            let entry = entry.unwrap();
            if entry.file_type().is_file() {
                let name = entry.path().strip_prefix(self.path("out")).unwrap();
                writeln!(tree, "== {}\n{}", name.display(), fs::read_to_string(entry.path()).unwrap()).unwrap();
            }
        }
        tree
    }
}

#[test]
fn every_mirrored_host_gets_a_folder() {
    let scene = Scene::new(
        "docker.io to cache.example.com:8443/docker-hub
        registry.example.com:5000 to cache.example.com:8443/example
        quay.io to plain.example.com
        gcr.io/team to cache.example.com:8443/team",
    );
    let options = "--ca-file @ca.crt --client-certificate /etc/cache/tls.crt --client-key /etc/cache/tls.key \
                   --plain-http plain.example.com --sandbox-image quay.io/pause:1";
    let told = scene.export(1, &format!("{options} --strict"));
    insta::assert_snapshot!("told", told);
    insta::assert_snapshot!("fallback", scene.tree());
    assert_eq!(scene.export(0, &format!("{options} --no-fallback")).lines().filter(|line| is_write(line)).count(), 11);
    insta::assert_snapshot!("no_fallback", scene.tree());
    assert!(!scene.tree().contains("PRIVATE KEY"), "files for nodes must have no private key");
    for entry in WalkDir::new(scene.path("out")).into_iter().map(Result::unwrap).filter(|entry| !entry.path().is_dir())
    {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o644, "{}", entry.path().display());
    }
}

fn is_write(line: &str) -> bool {
    line.starts_with("wrote ")
}

#[test]
fn the_old_registry_of_kubernetes_leads_to_the_new_one_without_a_cache() {
    let scene = Scene::new("");
    let (code, _, told) = scene.run("--cache registry.k8s.io --directory @out --node-directory /opt/containerd");
    assert_eq!(code, 0);
    insta::assert_snapshot!("kubernetes", format!("{told}{}", scene.tree()));
}

#[test]
fn what_is_there_is_known_again() {
    let scene = Scene::new("quay.io to cache.example.com/quay\nghcr.io to cache.example.com/ghcr");
    scene.export(0, "--ca-file @ca.crt");
    let (tree, inode) = (scene.tree(), |name: &str| fs::metadata(scene.path("out").join(name)).unwrap().ino());
    let before = inode("certs.d/quay.io/hosts.toml");
    assert!(!scene.export(0, "--ca-file @ca.crt").lines().any(is_write), "a second export must not write");
    assert_eq!((scene.tree(), inode("certs.d/quay.io/hosts.toml")), (tree, before));

    scene.write("out/certs.d/ghcr.io/notes.txt", "ours\n");
    scene.write("out/certs.d/example.com/hosts.toml", FOREIGN);
    scene.change("quay.io to other.example.com/quay");
    let told = scene.export(0, "");
    insta::assert_snapshot!("changed", told);
    for (name, stays) in [
        ("certs.d/quay.io/hosts.toml", true),
        ("certs.d/quay.io/ca.pem", false),
        ("certs.d/ghcr.io/hosts.toml", false),
        ("certs.d/ghcr.io/notes.txt", true),
        ("certs.d/ghcr.io_443_", false),
        ("certs.d/cache.example.com", false),
        ("certs.d/example.com/hosts.toml", true),
    ] {
        assert_eq!(scene.path("out").join(name).exists(), stays, "{name}");
    }
}

#[test]
fn what_others_made_stays_and_nothing_is_written() {
    type Make = fn(&Path);
    let cases: [(&str, Make); 6] = [
        ("certs.d/quay.io/hosts.toml", |path| fs::write(path, FOREIGN).unwrap()),
        ("certs.d/quay.io/hosts.toml", |path| fs::create_dir(path).unwrap()),
        ("certs.d/quay.io/hosts.toml", |path| symlink("nowhere", path).unwrap()),
        ("certs.d/quay.io/ca.pem", |path| fs::write(path, "").unwrap()),
        // containerd reads this folder only if the folder `quay.io_443_` does not exist.
        ("certs.d/quay.io:443/hosts.toml", |path| fs::write(path, FOREIGN).unwrap()),
        ("containerd-2.toml", |path| fs::write(path, b"\xff").unwrap()),
    ];
    for (name, make) in cases {
        let scene = Scene::new("quay.io to cache.example.com/quay\nghcr.io to cache.example.com/ghcr");
        let path = scene.path("out").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        make(&path);
        let told = scene.export(2, "--ca-file @ca.crt");
        let error = format!(
            "error: nothing was written:\n  @out/{name}: not created by this command; move it away and run the command again\n"
        );
        assert!(told.ends_with(&error), "{told}");
        assert!(!scene.path("out/certs.d/ghcr.io").exists(), "{name}");
    }
}

#[test]
fn the_sandbox_image_is_what_the_rules_make_of_it() {
    let scene = Scene::new("");
    let rules = |rules: &str| format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n{rules}");
    let plain = "  - {name: k8s, from: [registry.k8s.io], to: cache.example.com/k8s}\n";
    let by_namespace =
        "  - {name: some, from: [registry.k8s.io/pause], to: cache.example.com/some, namespaces: {include: [a]}}\n";
    let pattern = "  - {name: p, pattern: 'registry\\.k8s\\.io/(.+)', to: cache.example.com/p/$1}\n";
    let except = "  - {name: e, from: [registry.k8s.io], to: c.example.com/k8s, except: [registry.k8s.io/pause]}\n";
    let observe = "  - {name: o, from: [registry.k8s.io], to: c.example.com/k8s, mode: observe}\n";
    for (text, image, expected) in [
        (plain.to_owned(), "registry.k8s.io/pause:3.9", Ok("cache.example.com/k8s/pause:3.9")),
        (plain.to_owned(), "REGISTRY.k8s.io:443/pause", Ok("cache.example.com/k8s/pause")),
        (plain.to_owned(), "cache.example.com/k8s/pause:3.9", Ok("cache.example.com/k8s/pause:3.9")),
        (pattern.to_owned(), "registry.k8s.io/pause:3.9", Ok("cache.example.com/p/pause:3.9")),
        (plain.to_owned() + by_namespace, "registry.k8s.io/pause:3.9", Ok("cache.example.com/k8s/pause:3.9")),
        (
            by_namespace.to_owned() + plain,
            "registry.k8s.io/pause:3.9",
            Err(
                "omitted: `--sandbox-image registry.k8s.io/pause:3.9`: rule `some` has `namespaces`, and a node has one sandbox image\n",
            ),
        ),
        (
            plain.to_owned(),
            "quay.io/pause:3.9",
            Err("note: the rules do not rewrite the sandbox image quay.io/pause:3.9\n"),
        ),
        (
            except.to_owned(),
            "registry.k8s.io/pause:3.9",
            Err("note: the rules do not rewrite the sandbox image registry.k8s.io/pause:3.9\n"),
        ),
        (
            observe.to_owned(),
            "registry.k8s.io/pause:3.9",
            Err("note: the rules do not rewrite the sandbox image registry.k8s.io/pause:3.9\n"),
        ),
    ] {
        scene.write("rules.yaml", &rules(&text));
        let told = scene.export(0, &format!("--sandbox-image {image}"));
        for (file, key) in [("containerd-1.toml", "sandbox_image"), ("containerd-2.toml", "sandbox")] {
            let config = fs::read_to_string(scene.path("out").join(file)).unwrap();
            let line = config.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
            assert_eq!(line, expected.ok().map(|image| format!("{image:?}")).as_deref(), "{text}{image}");
        }
        match expected {
            Ok(_) => assert!(!told.contains("sandbox"), "{told}"),
            Err(why) => assert!(told.contains(why), "{told}"),
        }
    }
}

#[test]
fn a_daemon_set_does_the_same_on_every_node() {
    let scene = Scene::new("registry.k8s.io to cache.example.com/k8s");
    let print = |options: &str| {
        let (code, stdout, _) = scene.run(&format!("--rules @rules.yaml --daemon-set {options}"));
        assert_eq!(code, 0);
        stdout
    };
    let options = "--ca-file @ca.crt --no-fallback --client-certificate /tls.crt --client-key /tls.key";
    let all = print(options);
    insta::with_settings!({filters => vec![(env!("CARGO_PKG_VERSION"), "[version]")]}, {
        insta::assert_snapshot!("daemon_set", all);
    });

    // Returns the name of the ConfigMap that the Pods mount.
    let files = |yaml: &str| {
        let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap();
        let [_, config_map, daemon_set] = documents.as_slice() else { panic!("three objects: {yaml}") };
        let name = &daemon_set["spec"]["template"]["spec"]["volumes"][1]["configMap"]["name"];
        assert_eq!(&config_map["metadata"]["name"], name);
        name.clone()
    };
    let first = files(&all);
    assert_eq!(files(&print(options)), first);
    assert_ne!(files(&print("")), first, "the name must change without the CA");
    scene.change("registry.k8s.io to cache.example.com/other");
    assert_ne!(files(&print(options)), first, "the name must change with the rules");

    let (_, stdout, _) = scene.run("--cache cache.example.com/k8s --daemon-set --plain-http cache.example.com");
    assert!(!stdout.contains("ConfigMap") && stdout.contains("- --cache=cache.example.com/k8s\n"), "{stdout}");
    assert!(stdout.contains("- --plain-http=cache.example.com\n"), "{stdout}");
}

#[test]
fn mistakes_are_named() {
    let scene = Scene::new("registry.k8s.io to cache.example.com/k8s");
    scene.write("file", "");
    for (arguments, error) in [
        ("--directory @out --daemon-set", "the argument '--directory <DIRECTORY>' cannot be used with '--daemon-set'"),
        ("--directory @out --client-key /key", "--client-certificate <PATH>"),
        ("--directory @out --image a", "'--image <IMAGE>'"),
        ("--directory @out --namespace a", "'--namespace <NAMESPACE>'"),
        ("--directory @out --node-directory etc", "write an absolute path on the node"),
        ("--directory @out --sandbox-image A", "'--sandbox-image <IMAGE>'"),
        (
            "--directory @out --plain-http cache.example.com/k8s",
            "write a host without a path, such as `cache.example.com`",
        ),
        (
            "--directory @out --plain-http example.com",
            "--plain-http example.com: the rules don't name this host; remove it",
        ),
        ("--directory @out --ca-file @none", "can't read the CA file @none"),
        ("--directory @out --ca-file @rules.yaml", "@rules.yaml has no certificate in PEM"),
        ("--directory @file/out", "--directory @file/out: @file is not a folder; use another"),
    ] {
        let (code, stdout, stderr) = scene.run(&format!("--rules @rules.yaml {arguments}"));
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments}");
        assert!(stderr.contains(error), "{arguments}: {stderr}");
        assert!(!scene.path("out").exists(), "{arguments}");
    }
}
