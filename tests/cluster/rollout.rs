//! A rolling restart of the webhook while Pods are created that may not be without it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::Cluster;
use crate::deployment::HELLO;
use crate::harness::wait_for;
use crate::{DEADLINE, ROLLOUT_TIMEOUT, step};

const REPLICAS: usize = 2;

pub fn fails_no_creation(cluster: &Cluster) {
    let patch = r#"[{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]"#;
    cluster.kubectl(&["patch", "mutatingwebhookconfiguration/zz-pullthrough", "--type=json", "--patch", patch]).ok();

    let done = AtomicBool::new(false);
    let Created { count, slowest, faults } = step("a rolling restart", || {
        thread::scope(|scope| {
            let creations = scope.spawn(|| create_pods_until(&done, cluster));
            let restarted = restart(cluster);
            done.store(true, Ordering::Relaxed);
            restarted.unwrap_or_else(|error| panic!("{error}"));
            creations.join().expect("no panic")
        })
    });
    println!("          {count} Pods were created meanwhile, the slowest in {} ms", slowest.as_millis());
    assert!(faults.is_empty(), "{} of {count} failed: {:#?}", faults.len(), &faults[..faults.len().min(5)]);
    assert!(count > 0);
}

/// Returns when the new Pods are ready, and the old ones have drained and are gone.
fn restart(cluster: &Cluster) -> Result<(), String> {
    let kubectl = |arguments: &[&str]| {
        let output = cluster.kubectl(&[&["--namespace=pullthrough"], arguments].concat());
        if output.status.success() { Ok(output.stdout) } else { Err(output.stderr) }
    };
    kubectl(&["rollout", "restart", "deployment/pullthrough"])?;
    kubectl(&["rollout", "status", "deployment/pullthrough", ROLLOUT_TIMEOUT])?;
    let pods = || kubectl(&["get", "pods", "--output=name"]).map_or(0, |names| names.lines().count());
    wait_for(DEADLINE, || (pods() == REPLICAS).then_some(())).map_err(|error| format!("the old Pods: {error:#}"))
}

#[derive(Default)]
struct Created {
    count: usize,
    slowest: Duration,
    /// Why Pods were refused, or what image they were left with.
    faults: Vec<String>,
}

/// Creates Pods, in dry runs, one after the other without a pause.
fn create_pods_until(done: &AtomicBool, cluster: &Cluster) -> Created {
    let client = cluster.control_plane.client();
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "hello", "image": HELLO}]},
    });
    let expected = cluster.cache.image("k8s/hello:1");
    let mut created = Created::default();
    while !done.load(Ordering::Relaxed) {
        let start = Instant::now();
        let answer = client.dry_run("default", &pod);
        created.count += 1;
        created.slowest = created.slowest.max(start.elapsed());
        match answer.map(|pod| pod["spec"]["containers"][0]["image"].clone()) {
            Ok(image) if image == expected => {}
            Ok(image) => created.faults.push(format!("its image is {image}")),
            Err(error) => created.faults.push(format!("{error:#}")),
        }
    }
    created
}
