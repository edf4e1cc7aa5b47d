//! The clients of registries, through the library's public interface, against servers of the tests.

mod answers;
mod authorization;
mod content;
mod credentials;
mod doctor_image;
mod drill;
mod faults;
mod hostile;
mod lists;
mod products;
mod program;
#[path = "../harness/proxy.rs"]
#[allow(dead_code, reason = "the end-to-end tests use more of it")]
mod proxy;
mod redirects;
mod server;
mod transport;
mod verify;
