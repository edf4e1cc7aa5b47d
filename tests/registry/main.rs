//! The clients of registries, through the library's public interface, against servers of the tests.

mod answers;
mod authorization;
mod content;
mod credentials;
mod doctor_image;
mod drill;
mod faults;
mod hostile;
mod inventory;
mod lists;
mod products;
mod program;
#[path = "../harness/proxy.rs"]
#[allow(dead_code, reason = "the end-to-end tests use more of it")]
mod proxy;
mod redirects;
#[path = "../harness/sarif_schema.rs"]
#[allow(dead_code, reason = "the tests of scan use more of it")]
mod sarif_schema;
mod server;
mod transport;
mod verify;
mod verify_reports;
