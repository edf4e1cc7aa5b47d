//! Random waits, so that clients do not ask at the same time.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// Returns a random number from 0 to 1.
pub fn random_part() -> f64 {
    // The standard library's only source of random numbers.
    let random = RandomState::new().build_hasher().finish();
    (random >> 32) as f64 / f64::from(u32::MAX)
}
