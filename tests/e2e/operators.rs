//! Operators that compare images, on a real API server. One program creates Pods and compares them in the ways of the known
//! operators; `docs/reference/operators.md` has the source of each way.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Value, json};

use crate::harness::{Client, wait_for};
use crate::scene::{Scene, rules};
use crate::{CLUSTER, DEADLINE};

const QUAY: &str = "  - {name: quay, from: [quay.io], to: c.io/quay}\n";
const SETS: (&str, &str) = ("kube-system", "statefulset-controller");

/// Reconciles of half an hour, one each 30 seconds.
const HALF_AN_HOUR: usize = 60;

/// How an operator compares a live Pod with its own. Returns whether they are the same.
type Compare = fn(live: &Value, own: &Value) -> bool;

/// An operator.
struct Way {
    name: &'static str,
    /// API version and kind.
    owner: (&'static str, &'static str),
    label: (&'static str, &'static str),
    /// Namespace and name.
    service_account: (&'static str, &'static str),
    /// Init containers and containers.
    containers: (&'static [&'static str], &'static [&'static str]),
    has_generated_name: bool,
    compare: Compare,
}

const WAYS: [Way; 10] = [
    Way {
        name: "aerospike",
        owner: ("apps/v1", "StatefulSet"),
        label: ("app", "aerospike-cluster"),
        service_account: SETS,
        containers: (&["aerospike-init"], &["aerospike-server", "exporter"]),
        has_generated_name: false,
        compare: |live, own| {
            same_parts(live, own, "initContainers", &["aerospike-init"]) && same_parts(live, own, "containers", &[])
        },
    },
    Way {
        name: "cloudnative-pg",
        owner: ("postgresql.cnpg.io/v1", "Cluster"),
        label: ("cnpg.io/cluster", "db"),
        service_account: ("cnpg-system", "cnpg-manager"),
        containers: (&["bootstrap-controller"], &["postgres"]),
        has_generated_name: false,
        compare: same_strings,
    },
    Way {
        name: "koperator",
        owner: ("kafka.banzaicloud.io/v1beta1", "KafkaCluster"),
        label: ("kafka_cr", "kafka"),
        service_account: ("kafka", "kafka-operator"),
        containers: (&["jmx-exporter"], &["kafka"]),
        has_generated_name: true,
        compare: same_strings,
    },
    Way {
        name: "kubeblocks",
        owner: ("workloads.kubeblocks.io/v1", "InstanceSet"),
        label: ("app.kubernetes.io/managed-by", "kubeblocks"),
        service_account: ("kb-system", "kubeblocks"),
        containers: (&["init"], &["mysql", "lorry"]),
        has_generated_name: false,
        compare: same_strings,
    },
    Way {
        name: "kubevirt",
        owner: ("kubevirt.io/v1", "VirtualMachineInstance"),
        label: ("kubevirt.io", "virt-launcher"),
        service_account: ("kubevirt", "kubevirt-controller"),
        containers: (&["container-disk-binary"], &["compute"]),
        has_generated_name: true,
        compare: |live, own| images(live, "containers")["compute"] == images(own, "containers")["compute"],
    },
    Way {
        name: "nifikop",
        owner: ("nifi.konpyutaika.com/v1", "NifiCluster"),
        label: ("nifi_cr", "nifi"),
        service_account: ("nifikop-system", "controller-manager"),
        containers: (&["zookeeper"], &["nifi"]),
        has_generated_name: true,
        compare: same_strings,
    },
    Way {
        name: "olm",
        owner: ("operators.coreos.com/v1alpha1", "CatalogSource"),
        label: ("olm.catalogSource", "community"),
        service_account: ("olm", "olm-operator-serviceaccount"),
        containers: (&["extract-utilities", "extract-content"], &["registry-server"]),
        has_generated_name: true,
        compare: |live, own| counts(live) == counts(own) && same_strings(live, own),
    },
    Way {
        name: "vitess",
        owner: ("planetscale.com/v2", "VitessShard"),
        label: ("planetscale.com/cluster", "vt"),
        service_account: ("vitess", "vitess-operator"),
        containers: (&["init-vt-root"], &["vttablet", "mysqld"]),
        has_generated_name: false,
        compare: same_strings,
    },
    Way {
        name: "zalando-postgres-operator",
        owner: ("apps/v1", "StatefulSet"),
        label: ("application", "spilo"),
        service_account: SETS,
        containers: (&[], &["postgres"]),
        has_generated_name: false,
        compare: |live, own| images(live, "containers")["postgres"] == images(own, "containers")["postgres"],
    },
    // One that the table does not have.
    Way {
        name: "unknown",
        owner: ("example.com/v1", "Widget"),
        label: ("widget", "a"),
        service_account: ("widgets", "widget-operator"),
        containers: (&[], &["widget"]),
        has_generated_name: false,
        compare: same_strings,
    },
];

/// Returns the images of a list, by container.
fn images(pod: &Value, list: &str) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let containers = pod["spec"][list].as_array().into_iter().flatten();
    containers.map(|container| (text(&container["name"]), text(&container["image"]))).collect()
}

fn counts(pod: &Value) -> [usize; 2] {
    ["initContainers", "containers"].map(|list| images(pod, list).len())
}

/// Compares each container of its own with the live one of this name, and ignores others.
fn same_strings(live: &Value, own: &Value) -> bool {
    ["initContainers", "containers"].into_iter().all(|list| {
        let live = images(live, list);
        images(own, list).iter().all(|(name, image)| live.get(name) == Some(image))
    })
}

/// Compares registry, name and tag, of which a registry of Docker Hub and `latest` may be missing.
fn same_parts(live: &Value, own: &Value, list: &str, ignored: &[&str]) -> bool {
    let parts = |image: &str| {
        let image = image.strip_prefix("docker.io/").unwrap_or(image);
        let (registry, rest) = image.split_once('/').unwrap_or(("", image));
        let (name, tag) = rest.split_once(':').unwrap_or((rest, ""));
        [registry, name, if tag == "latest" { "" } else { tag }].map(str::to_owned)
    };
    let live = images(live, list);
    images(own, list)
        .iter()
        .filter(|(name, _)| !ignored.contains(&name.as_str()))
        .all(|(name, image)| live.get(name).is_some_and(|live| parts(live) == parts(image)))
}

/// An operator at work in a namespace.
struct Running<'w> {
    way: &'w Way,
    client: Client,
    namespace: &'static str,
    pod: Option<Value>,
    created: usize,
}

impl<'w> Running<'w> {
    fn start(way: &'w Way, namespace: &'static str) -> Self {
        let (of, name) = way.service_account;
        let exists = |arguments: &[&str]| CLUSTER.kubectl(arguments).status.success();
        if !exists(&["get", "namespace", of]) {
            // Another test may do the same now.
            let _ = CLUSTER.kubectl(&["create", "namespace", of]);
        }
        let _ = CLUSTER.kubectl(&["create", "serviceaccount", name, "--namespace", of]);
        let binding = format!("operator-{of}-{name}");
        let subject = format!("--serviceaccount={of}:{name}");
        let _ = CLUSTER.kubectl(&["create", "clusterrolebinding", &binding, "--clusterrole=cluster-admin", &subject]);
        let client = CLUSTER.client_of(&CLUSTER.service_account(of, name));
        Self { way, client, namespace, pod: None, created: 0 }
    }

    /// Returns the Pod as the operator wants it.
    fn own(&self) -> Value {
        let Way { name, owner: (api_version, kind), label: (key, value), containers: (init, main), .. } = self.way;
        let containers = |names: &[&str]| -> Vec<Value> {
            names
                .iter()
                .map(|container| json!({"name": container, "image": format!("quay.io/{name}/{container}:1")}))
                .collect()
        };
        let mut metadata = json!({
            "labels": {*key: value},
            "ownerReferences": [{"apiVersion": api_version, "kind": kind, "name": name, "uid": name, "controller": true}],
        });
        metadata[if self.way.has_generated_name { "generateName" } else { "name" }] = json!(format!("{name}-0"));
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"initContainers": containers(init), "containers": containers(main)},
        })
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.namespace)
    }

    /// Creates the Pod if it is missing, and recreates it if it is not as wanted.
    fn reconcile(&mut self) {
        let own = self.own();
        if let Some(name) = self.pod.take().map(|pod| pod["metadata"]["name"].as_str().expect("a name").to_owned()) {
            let path = format!("{}/{name}", self.path());
            let live = self.client.get(&path).expect("the Pod exists");
            if (self.way.compare)(&live, &own) {
                self.pod = Some(live);
                return;
            }
            // Without a node, it is deleted at once.
            self.client.request(Method::DELETE, &path, Vec::new()).expect("deleted");
        }
        self.pod = Some(self.client.post(&self.path(), &own).expect("created"));
        self.created += 1;
    }

    fn reconcile_for(&mut self, reconciles: usize) -> usize {
        let before = self.created;
        (0..reconciles).for_each(|_| self.reconcile());
        self.created - before
    }
}

const SKIP: &str = "operators:\n  skip:\n    - cloudnative-pg\n    - koperator\n    - kubeblocks\n    - kubevirt\n    - nifikop\n    - olm\n    \
                    - {name: vitess, operatorNamespaces: [vitess]}\n    - {name: aerospike, namespaces: {include: [operators-*]}}\n    \
                    - {name: zalando-postgres-operator, namespaces: {include: [operators-*]}}\n";

#[test]
fn operators_that_are_skipped_recreate_nothing_in_half_an_hour() {
    let scene = Scene::new("operators-skipped", &rules(SKIP, QUAY));
    for way in WAYS.iter().filter(|way| way.name != "unknown") {
        let mut operator = Running::start(way, scene.namespace);
        assert_eq!(operator.reconcile_for(HALF_AN_HOUR), 1, "{}: created once, and never recreated", way.name);
        let series = |result: &str| {
            let (name, series) = (way.name, "pullthrough_operator_pods_total");
            format!("{series}{{dry_run=\"false\",operator=\"{name}\",result=\"{result}\"}}")
        };
        assert_eq!(scene.webhook.metric(&series("not_rewritten")), 1.0, "{}", way.name);
        assert_eq!(scene.webhook.metric(&series("rewritten")), 0.0, "{}", way.name);
    }
    // Others with the same owner and label get the cache, as everybody.
    let own = Running { client: CLUSTER.client(), ..Running::start(&WAYS[1], scene.namespace) };
    let mut pod = own.own();
    pod["metadata"]["name"] = json!("forged");
    let created = own.client.post(&own.path(), &pod).expect("created");
    assert_eq!(images(&created, "containers")["postgres"], "c.io/quay/cloudnative-pg/postgres:1");
}

#[test]
fn operators_recreate_rewritten_pods_until_the_workload_stands_down() {
    let scene = Scene::new("operators-loop", &rules("", QUAY));
    for way in &WAYS {
        let mut operator = Running::start(way, scene.namespace);
        assert_eq!(operator.reconcile_for(7), 7, "{}: recreated by each reconcile", way.name);
    }
    let custom = WAYS.iter().filter(|way| way.owner.0 != "apps/v1").count() as f64;
    wait_for_loops(&scene, "looping", custom);
    let log = scene.webhook.log();
    for part in [
        "again and again",
        "\"owner\":\"unknown\"",
        "\"kind\":\"Widget\"",
        "\"operator\":\"cloudnative-pg\"",
        "spec.imageName of Cluster",
    ] {
        assert!(log.contains(part), "no {part} in\n{log}");
    }

    scene.webhook.change_rules(&rules("operators: {onRecreateLoop: standDown}\n", QUAY)).expect("changed");
    // Loaded rules start anew.
    wait_for_loops(&scene, "looping", 0.0);
    for way in WAYS.iter().filter(|way| way.owner.0 != "apps/v1") {
        let mut operator = Running { namespace: scene.namespace, ..Running::start(way, scene.namespace) };
        if !way.has_generated_name {
            let _ = scene.kubectl(&["delete", "pod", &format!("{}-0", way.name)]);
        }
        let created = operator.reconcile_for(HALF_AN_HOUR);
        assert_eq!(created - 1, 5, "{}: it stands down within five recreations", way.name);
        assert_eq!(operator.reconcile_for(HALF_AN_HOUR), 0, "{}: it stays", way.name);
    }
    wait_for_loops(&scene, "standing_down", custom);
}

/// Waits for a number of loops. Metrics are up to a second old.
fn wait_for_loops(scene: &Scene, state: &str, expected: f64) {
    let series = format!("pullthrough_recreate_loops{{state=\"{state}\"}}");
    let found = wait_for(DEADLINE, || (scene.webhook.metric(&series) == expected).then_some(()));
    found.unwrap_or_else(|error| panic!("{series} {}, not {expected}: {error:#}", scene.webhook.metric(&series)));
}
