//! Certificates, wherever they come from: how they are made, whether one is trusted, and by which time.

pub mod authority;
pub mod clock;
pub mod leaf;
pub mod trust;
