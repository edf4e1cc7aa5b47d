//! Pull-through caches that are real: distribution 2.8 of Debian and 3.1.2, with TLS and logins, in front of an upstream of the
//! tests. A real containerd pulls from them.
//!
//! `make test-caches` installs or compiles the programs. It needs root, for containerd.

mod access;
mod cache;
#[path = "../harness/mod.rs"]
mod harness;
mod images;
mod node;
mod outage;
#[path = "../harness/program.rs"]
mod program;
#[allow(dead_code, reason = "the tests of the client use more of it")]
#[path = "../registry/server.rs"]
mod server;
mod site;
mod verify;

mod proxy {
    pub use crate::harness::{Proxy, ProxyKind};
}

use std::time::Duration;

/// The time that a program may take to start.
const DEADLINE: Duration = Duration::from_secs(30);
