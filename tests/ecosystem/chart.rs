//! The chart, rendered by Helm, and the files for kustomize that are rendered from it.

mod release;
mod steps;
mod values;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::{env, fs};

use serde_json::Value;

use crate::harness;
use crate::harness::installation::{CHART, NAMESPACE, Objects, ROOT, manifests};

/// A cache whose name the chart does not take for a placeholder.
const CACHE: &str = "cache.corp.internal/k8s";
/// Files of `manifests/`, and the files of values that each is rendered with.
const INSTALLATIONS: [(&str, &[&str]); 5] = [
    ("overlays/self-managed/install.yaml", &["self-managed"]),
    ("overlays/cert-manager/install.yaml", &["cert-manager"]),
    ("overlays/own-certificates/install.yaml", &["own-certificates"]),
    ("overlays/high-availability/install.yaml", &["high-availability"]),
    ("overlays/fail-closed/install.yaml", &["high-availability", "fail-closed"]),
];
const MONITORING: &str = "monitoring/monitoring.yaml";

static HELM: LazyLock<PathBuf> = LazyLock::new(|| harness::helm().unwrap_or_else(|error| panic!("{error:#}")));

/// `make generate` writes the files.
#[test]
fn what_is_rendered_is_current() {
    let of_installations = INSTALLATIONS.iter().map(|(file, values)| (*file, *values, None));
    for (file, values, show_only) in
        of_installations.chain([(MONITORING, &["monitoring"][..], Some("templates/monitoring/*.yaml"))])
    {
        // kustomize generates the rules, so that users can merge their own.
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
        assert!(text == kept, "manifests/{file} differs from the rendered chart: run `make generate`");
    }
}

#[test]
fn the_linter_finds_nothing() {
    helm(&["lint", "--strict", CHART, "--namespace", NAMESPACE, "--set", &format!("cache.prefix={CACHE}")], "")
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Renders the chart with further arguments. Returns Helm's error if it fails.
fn template(arguments: &[&str], stdin: &str) -> Result<String, String> {
    helm(&[&["template", NAMESPACE, CHART, "--namespace", NAMESPACE], arguments].concat(), stdin)
}

/// Renders the chart with these values.
fn rendered(values: &Value) -> Result<Objects, String> {
    template(&["--values=-"], &values.to_string()).map(|yaml| Objects::parse(&yaml))
}

/// Returns the output of Helm, or its error.
fn helm(arguments: &[&str], stdin: &str) -> Result<String, String> {
    let mut child = Command::new(&*HELM)
        .args(arguments)
        .current_dir(ROOT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", HELM.display()));
    // If Helm needs no values, it ends without reading them.
    let _ = child.stdin.take().map(|mut pipe| pipe.write_all(stdin.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    if output.status.success() { Ok(stdout) } else { Err(stdout + &stderr) }
}
