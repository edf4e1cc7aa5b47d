//! The chart, rendered by Helm, and the files for kustomize that are rendered from it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::{env, fs};

use serde_json::Value;

use crate::harness;

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
pub const NAMESPACE: &str = "pullthrough";

pub const CHART: &str = "manifests/chart";
/// Files of `manifests/`, and the files of values behind each.
const INSTALLATIONS: [(&str, &[&str]); 5] = [
    ("overlays/self-managed/install.yaml", &["self-managed"]),
    ("overlays/cert-manager/install.yaml", &["cert-manager"]),
    ("overlays/own-certificates/install.yaml", &["own-certificates"]),
    ("overlays/high-availability/install.yaml", &["high-availability"]),
    ("overlays/fail-closed/install.yaml", &["high-availability", "fail-closed"]),
];
const MONITORING: &str = "monitoring/monitoring.yaml";

static HELM: LazyLock<PathBuf> = LazyLock::new(|| harness::helm().unwrap_or_else(|error| panic!("{error:#}")));

/// `make generate` writes the files again.
#[test]
fn what_is_rendered_is_current() {
    let of_installations = INSTALLATIONS.iter().map(|(file, values)| (*file, *values, None));
    for (file, values, show_only) in
        of_installations.chain([(MONITORING, &["monitoring"][..], Some("templates/monitoring/*.yaml"))])
    {
        // The rules come with kustomize's own generator, so that people can merge theirs.
        let mut arguments = "--set existingConfigMap=pullthrough-rules".to_owned();
        for name in values {
            let _ = write!(arguments, " --values manifests/values/{name}.yaml");
        }
        if let Some(show_only) = show_only {
            let _ = write!(arguments, " --show-only {show_only}");
        }
        let rendered =
            template(&arguments.split(' ').collect::<Vec<_>>(), "").unwrap_or_else(|error| panic!("{error}"));
        let text = format!(
            "# Written by `make generate`:\n#\n#   helm template pullthrough {CHART} --namespace {NAMESPACE} \\\n#     {}\n{rendered}",
            arguments.replace(" --", " \\\n#     --")
        );
        let path = manifests(file);
        if env::var_os("GENERATED").is_some_and(|mode| mode == "overwrite") {
            fs::write(&path, &text).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(text == kept, "manifests/{file} is not what the chart renders to: run `make generate`");
    }
}

#[test]
fn the_linter_finds_nothing() {
    helm(&["lint", "--strict", CHART, "--set", "cache=cache.example.com/k8s"], "")
        .unwrap_or_else(|error| panic!("{error}"));
}

/// What the chart renders to with more arguments, or what Helm says against them.
pub fn template(arguments: &[&str], stdin: &str) -> Result<String, String> {
    helm(&[&["template", NAMESPACE, CHART, "--namespace", NAMESPACE], arguments].concat(), stdin)
}

/// What the chart renders to with these values.
pub fn rendered(values: &Value) -> Result<Objects, String> {
    template(&["--values=-"], &values.to_string()).map(|yaml| Objects::parse(&yaml))
}

/// What Helm prints, or what it says against the arguments.
pub fn helm(arguments: &[&str], stdin: &str) -> Result<String, String> {
    let mut child = Command::new(&*HELM)
        .args(arguments)
        .current_dir(ROOT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", HELM.display()));
    // A helm that reads no values ends without reading.
    let _ = child.stdin.take().map(|mut pipe| pipe.write_all(stdin.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    if output.status.success() { Ok(stdout) } else { Err(stdout + &stderr) }
}

pub fn manifests(path: &str) -> PathBuf {
    Path::new(ROOT).join("manifests").join(path)
}

/// What a folder or the chart renders to.
pub struct Objects(pub Vec<Value>);

impl Objects {
    pub fn parse(yaml: &str) -> Objects {
        Objects(serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}:\n{yaml}")))
    }

    #[track_caller]
    pub fn get(&self, kind: &str, name: &str) -> &Value {
        let found = self.find(kind).find(|object| object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    pub fn find(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    /// As one object, for kubectl, without those that belong to operators that are not there.
    pub fn list(&self) -> Value {
        let of_operators = ["cert-manager.io/v1", "monitoring.coreos.com/v1"];
        let is_known = |object: &&Value| of_operators.iter().all(|version| object["apiVersion"] != *version);
        serde_json::json!({
            "apiVersion": "v1",
            "kind": "List",
            "items": self.0.iter().filter(is_known).collect::<Vec<_>>(),
        })
    }
}

/// The entry of a list that has the name.
#[track_caller]
pub fn entry<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().into_iter().flatten().find(|entry| entry["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}
