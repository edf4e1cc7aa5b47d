//! Commands of an operator that go through the kubelet.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::cluster::{Cluster, folder};
use crate::harness::{Server, wait_for};
use crate::installation::NAMESPACE;
use crate::{DEADLINE, step};

const DEPLOYMENT: &str = "deployment/pullthrough";

pub fn reaches_the_pods(cluster: &Cluster) {
    step("kubectl logs, exec and port-forward work", || {
        let log = cluster.kubectl(&["logs", DEPLOYMENT, "--namespace", NAMESPACE]).ok();
        assert!(log.contains("\"message\":\"serving\""), "{log}");
        let version =
            cluster.kubectl(&["exec", DEPLOYMENT, "--namespace", NAMESPACE, "--", "/pullthrough", "--version"]);
        assert!(version.ok().starts_with("pullthrough "));
        let forwarded = PortForward::start(cluster);
        assert!(forwarded.get("/readyz").ends_with("\r\n\r\nready\n"));
    });
}

/// `kubectl port-forward` to the port for metrics.
struct PortForward {
    server: Server,
    address: String,
}

impl PortForward {
    fn start(cluster: &Cluster) -> Self {
        let kubectl = cluster.control_plane.assets().join("kubectl");
        let kubeconfig = format!("--kubeconfig={}", cluster.control_plane.kubeconfig().display());
        let arguments = [&kubeconfig, "port-forward", DEPLOYMENT, "--namespace", NAMESPACE, ":metrics"];
        let mut server = Server::start(&kubectl, arguments, &folder().unwrap()).unwrap();
        let address = wait_for(DEADLINE, || {
            server.check_alive().unwrap_or_else(|error| panic!("{error:#}\n{}", server.log_tail()));
            let log = server.log();
            let line = log.lines().find_map(|line| line.strip_prefix("Forwarding from 127.0.0.1:"));
            line.and_then(|line| line.split_once(' ')).map(|(port, _)| format!("127.0.0.1:{port}"))
        });
        let address = address.unwrap_or_else(|error| panic!("{error:#}\n{}", server.log_tail()));
        Self { server, address }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        read.unwrap_or_else(|error| panic!("{error}\n{}", self.server.log_tail()));
        answer
    }
}
