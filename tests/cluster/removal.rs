//! `kubectl delete -k`, after which there is nothing left.

use crate::cluster::Cluster;
use crate::deployment::HELLO;
use crate::installation::Installation;
use crate::inventory::Inventory;
use crate::step;

pub fn leaves_nothing(cluster: &Cluster, installation: &Installation, before: &Inventory) {
    step("kubectl delete -k", || installation.delete(cluster));
    step(&format!("the cluster is what it was: {} objects", before.count()), || before.wait_until_again(cluster));
    let run = ["run", "probe", "--image", HELLO, "--dry-run=server", "--output=jsonpath={.spec.containers[0].image}"];
    assert_eq!(cluster.kubectl(&run).ok(), HELLO, "nobody rewrites any more");
}
