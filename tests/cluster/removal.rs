//! `kubectl delete -k` leaves nothing behind.

use crate::cluster::Cluster;
use crate::deployment::HELLO;
use crate::installation::{Installation, probe};
use crate::inventory::Inventory;
use crate::step;

pub fn leaves_nothing(cluster: &Cluster, installation: &Installation, before: &Inventory) {
    step("kubectl delete -k", || installation.delete(cluster));
    step(&format!("the cluster has the same {} objects as before", before.count()), || {
        before.wait_until_again(cluster)
    });
    assert_eq!(cluster.kubectl(&probe(HELLO)).ok(), HELLO, "Pods are not rewritten any more");
}
