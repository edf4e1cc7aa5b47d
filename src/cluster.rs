//! What talks to the Kubernetes API.

pub mod api;
pub mod certificates;
pub mod doctor;
