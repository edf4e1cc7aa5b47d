//! A static Pod, which the kubelet runs unchanged from its file, and its mirror Pod, which must be the same.

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
        // The program has no handler for SIGTERM.
        "spec": {"containers": [{"name": "hello", "image": HELLO}], "terminationGracePeriodSeconds": 1},
    });
    let get = || -> Option<Value> {
        let output = cluster.kubectl(&["get", "pod", &name, "--output=json"]);
        output.status.success().then(|| output.json())
    };
    let mirror = step("a static Pod runs", || {
        let folder = cluster.node.static_pods();
        fs::create_dir_all(folder).unwrap();
        // The kubelet ignores hidden files. After the rename it sees a complete file.
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
    let wait_for_syncs = || {
        let before = syncs();
        wait_for(DEADLINE, || (syncs() >= before + SYNCS).then_some(())).expect("the kubelet syncs the Pod");
    };
    let requests = || {
        let events = cluster.control_plane.audit_events();
        let of_pod = events.iter().filter(|event| {
            let object = &event["objectRef"];
            let done = event["responseStatus"]["code"].as_u64().is_some_and(|code| code < 300);
            object["resource"] == "pods" && object["name"] == name && object["subresource"].is_null() && done
        });
        let of_kubelet: Vec<_> =
            of_pod.filter(|event| event["user"]["username"] == format!("system:node:{NODE}")).collect();
        ["create", "delete", "update", "patch"].map(|verb| {
            let with_verb = of_kubelet.iter().filter(|event| event["verb"] == verb);
            with_verb.count()
        })
    };
    step("it is unchanged after some syncs", wait_for_syncs);
    let later = get().expect("the mirror Pod");
    assert_eq!(later["metadata"]["uid"], mirror["metadata"]["uid"]);
    assert_eq!(later["spec"], mirror["spec"]);
    assert_eq!(restarts(&later), 0);
    assert_eq!(requests(), [1, 0, 0, 0], "the kubelet's requests for it");

    let again = step("its mirror Pod is deleted, and recreated once", || {
        cluster.kubectl(&["delete", "pod", &name, "--force", "--grace-period=0"]).ok();
        let is_new = |pod: &Value| pod["metadata"]["uid"] != mirror["metadata"]["uid"];
        let is_told = |pod: &Value| pod["status"]["containerStatuses"][0]["ready"] == true;
        let again = wait_for(DEADLINE, || get().filter(|pod| is_new(pod) && is_told(pod))).expect("a new mirror Pod");
        wait_for_syncs();
        again
    });
    let later = get().expect("the mirror Pod");
    assert_eq!(later["metadata"]["uid"], again["metadata"]["uid"]);
    for pod in [&again, &later] {
        assert_eq!(pod["spec"], mirror["spec"]);
        assert_eq!(restarts(pod), 0, "the running container is not affected");
        assert_eq!(container(pod), container(&mirror));
    }
    let [created, deleted, updated, patched] = requests();
    assert_eq!([created, updated, patched], [2, 0, 0], "the kubelet's requests for it");
    // If the kubelet sees the first mirror Pod while it is being deleted, it deletes it too.
    assert!(deleted <= 1, "the kubelet deleted it {deleted} times");

    step("it ends when its file is removed", || {
        fs::remove_file(cluster.node.static_pods().join("static.json")).unwrap();
        wait_for(DEADLINE, || get().is_none().then_some(())).expect("the mirror Pod is gone");
    });
}

fn restarts(pod: &Value) -> u64 {
    pod["status"]["containerStatuses"][0]["restartCount"].as_u64().expect("a count")
}

/// Returns the ID of the running container.
fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["containerID"]
}
