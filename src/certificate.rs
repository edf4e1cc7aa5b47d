//! Certificates: how to issue them, whether a client trusts one, and the clock to check them with.

pub mod ca;
pub mod clock;
pub mod leaf;
pub mod trust;
