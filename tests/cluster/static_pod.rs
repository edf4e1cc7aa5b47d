//! A static Pod, which the kubelet runs as its file says, and its mirror Pod, which has to say the same.

use std::fs;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::deployment::HELLO;
use crate::harness::wait_for;
use crate::node::NODE;
use crate::{DEADLINE, step};

const SYNCS: usize = 5;

pub fn stays_as_it_is(cluster: &Cluster) {
    let name = format!("static-{NODE}");
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "static", "namespace": "default"},
        "spec": {"containers": [{"name": "hello", "image": HELLO}]},
    });
    let get = || -> Option<Value> {
        let output = cluster.kubectl(&["get", "pod", &name, "--output=json"]);
        output.status.success().then(|| output.json())
    };
    let mirror = step("a static Pod runs", || {
        let folder = cluster.node.static_pods();
        fs::create_dir_all(folder).unwrap();
        // The kubelet does not read hidden files, and sees this one whole.
        fs::write(folder.join(".static.json"), pod.to_string()).unwrap();
        fs::rename(folder.join(".static.json"), folder.join("static.json")).unwrap();
        wait_for(DEADLINE, || get().filter(|pod| pod["status"]["phase"] == "Running")).expect("a mirror Pod that runs")
    });
    assert!(mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string(), "{mirror:#}");
    assert_eq!(mirror["spec"]["containers"][0]["image"], HELLO);

    let syncs = || {
        let log = cluster.node.kubelet_log();
        log.lines().filter(|line| line.contains("SyncLoop (SYNC)") && line.contains(&name)).count()
    };
    step("it stays as it is over some syncs", || {
        let before = syncs();
        wait_for(DEADLINE, || (syncs() >= before + SYNCS).then_some(())).expect("the kubelet syncs it");
    });
    let later = get().expect("the mirror Pod");
    assert_eq!(later["metadata"]["uid"], mirror["metadata"]["uid"]);
    assert_eq!(later["spec"], mirror["spec"]);
    assert_eq!(later["status"]["containerStatuses"][0]["restartCount"], 0);
    let requests = |verb: &str| {
        let events = cluster.control_plane.audit_events();
        let of_pod = events.iter().filter(|event| {
            let object = &event["objectRef"];
            let done = event["responseStatus"]["code"].as_u64().is_some_and(|code| code < 300);
            object["resource"] == "pods" && object["name"] == name && object["subresource"].is_null() && done
        });
        of_pod.filter(|event| event["verb"] == verb).count()
    };
    assert_eq!(["create", "delete", "update", "patch"].map(requests), [1, 0, 0, 0], "the kubelet's requests for it");
}
