//! The code of Operator Lifecycle Manager (OLM) itself on a real API server. `tests/e2e/operators.rs` has the comparisons of all
//! known operators, in a program of the tests.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;

use pullthrough::engine::Operator;
use serde_json::Value;

use crate::harness::{self, wait_for};
use crate::scene::{Scene, rules};
use crate::{CLUSTER, DEADLINE};

/// The default namespace and service account of OLM's manifests.
const ACCOUNT: (&str, &str) = ("olm", "olm-operator-serviceaccount");
const QUAY: &str = "  - {name: quay, from: [quay.io], to: c.io/quay}\n";
/// The images of the catalog, of opm, and with the utilities, by the registry.
const IMAGES: [&str; 3] =
    ["operatorhubio/catalog:latest", "operator-framework/opm:v1.73.0", "operator-framework/olm:v0.46.0"];
/// The catalogs of the program.
const CATALOGS: [&str; 2] = ["extracted", "plain"];
/// Reconciles of half an hour, one each 30 seconds.
const HALF_AN_HOUR: usize = 60;

/// The kubeconfig of OLM's service account.
static KUBECONFIG: LazyLock<PathBuf> = LazyLock::new(|| {
    let (namespace, name) = ACCOUNT;
    CLUSTER.create_namespace(namespace);
    CLUSTER.kubectl(&["create", "serviceaccount", name, "--namespace", namespace]).ok();
    let subject = format!("--serviceaccount={namespace}:{name}");
    CLUSTER.kubectl(&["create", "clusterrolebinding", "olm", "--clusterrole=cluster-admin", &subject]).ok();
    CLUSTER.service_account_kubeconfig(namespace, name).unwrap_or_else(|error| panic!("{error:#}"))
});

/// OLM's reconciler of two catalogs in a namespace. The program ends with its standard input.
struct Catalogs {
    program: Child,
    output: BufReader<ChildStdout>,
    namespace: &'static str,
}

impl Catalogs {
    /// Starts it with images of this registry.
    fn start(scene: &Scene, registry: &str) -> Self {
        let folder = harness::assets(Some("olm"), &[]).unwrap_or_else(|error| panic!("{error:#}"));
        let version = Operator::named("olm").expect("a known operator").sources[0].version;
        let compiled = folder.file_name().expect("a name").to_string_lossy();
        assert!(
            compiled.starts_with(&format!("olm-{}-", version.trim_start_matches('v'))),
            "the table of operators has {version}, but tests/e2e/assets.sh compiles {compiled}: use one version"
        );
        let mut program = Command::new(folder.join("olm"))
            .arg(&*KUBECONFIG)
            .arg(scene.namespace)
            .args(IMAGES.map(|image| format!("{registry}/{image}")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run olm");
        let output = BufReader::new(program.stdout.take().expect("piped"));
        Self { program, output, namespace: scene.namespace }
    }

    /// Reconciles each catalog this many times. Returns how many Pods that created, by catalog.
    fn reconcile(&mut self, times: usize) -> BTreeMap<String, usize> {
        let stdin = self.program.stdin.as_mut().expect("piped");
        writeln!(stdin, "{times}").expect("olm reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("olm answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: olm failed, see above: {line}"))
    }

    /// Returns the images of the Pods, by catalog.
    fn images(&self) -> BTreeMap<String, Vec<String>> {
        let list = CLUSTER.kubectl(&["get", "pods", "--namespace", self.namespace, "-o", "json"]).json();
        let pods = list["items"].as_array().expect("a list");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        pods.iter()
            .map(|pod| {
                let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
                let images = lists.into_iter().flatten().flatten().map(|container| text(&container["image"]));
                (text(&pod["metadata"]["labels"]["olm.catalogSource"]), images.collect())
            })
            .collect()
    }
}

impl Drop for Catalogs {
    fn drop(&mut self) {
        self.program.stdin = None;
        let _ = self.program.wait();
    }
}

/// Returns the images of the catalogs' Pods from a registry.
fn images_of(registry: &str) -> BTreeMap<String, Vec<String>> {
    let [catalog, opm, utilities] = IMAGES.map(|image| format!("{registry}/{image}"));
    [("plain".to_owned(), vec![catalog.clone()]), ("extracted".to_owned(), vec![utilities, catalog, opm])].into()
}

/// What OLM does in half an hour.
struct Case {
    namespace: &'static str,
    /// Settings of the rules.
    head: &'static str,
    /// The registry of the images that OLM has.
    registry: &'static str,
    /// Pods that are created for each catalog in the first half hour, and in the second.
    created: [usize; 2],
    /// The registry of the images at the end.
    result: &'static str,
    /// Loops that were seen in the last ten minutes, and workloads that stand down.
    loops: [f64; 2],
}

const CASES: [Case; 4] = [
    Case {
        namespace: "olm-loops",
        head: "",
        registry: "quay.io",
        created: [HALF_AN_HOUR; 2],
        result: "c.io/quay",
        loops: [2.0, 0.0],
    },
    Case {
        namespace: "olm-stands-down",
        head: "operators: {onRecreateLoop: standDown}\n",
        registry: "quay.io",
        // The first Pod, and five that replace it.
        created: [1 + 5, 0],
        result: "quay.io",
        loops: [2.0, 2.0],
    },
    Case {
        namespace: "olm-is-skipped",
        head: "operators: {skip: [olm]}\n",
        registry: "quay.io",
        created: [1, 0],
        result: "quay.io",
        loops: [0.0, 0.0],
    },
    Case {
        namespace: "olm-has-rewritten-names",
        head: "",
        registry: "c.io/quay",
        created: [1, 0],
        result: "c.io/quay",
        loops: [0.0, 0.0],
    },
];

#[test]
fn olm_recreates_rewritten_catalogs_unless_it_is_skipped_or_stands_down() {
    for Case { namespace, head, registry, created, result, loops } in CASES {
        let scene = Scene::new(namespace, &rules(head, QUAY));
        let mut catalogs = Catalogs::start(&scene, registry);
        for expected in created {
            let expected: BTreeMap<_, _> = CATALOGS.map(|catalog| (catalog.to_owned(), expected)).into();
            assert_eq!(catalogs.reconcile(HALF_AN_HOUR), expected, "{namespace}");
        }
        assert_eq!(catalogs.images(), images_of(result), "{namespace}");
        for (state, expected) in ["looping", "standing_down"].into_iter().zip(loops) {
            let series = format!("pullthrough_recreate_loops{{state=\"{state}\"}}");
            // Metrics are up to a second old.
            let found = wait_for(DEADLINE, || (scene.webhook.metric(&series) == expected).then_some(()));
            found.unwrap_or_else(|error| panic!("{namespace}: {series} {}: {error:#}", scene.webhook.metric(&series)));
        }
    }
}
