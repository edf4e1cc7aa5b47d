//! A fast hash for names that rules have.

use std::hash::{BuildHasherDefault, Hasher};

use super::chunk;

/// A map by names of the rules file. A request looks names up and adds none, so no request can make them collide.
pub type ByName<V> = std::collections::HashMap<Box<str>, V, BuildHasherDefault<NameHasher>>;

/// Mixes 8 bytes at a time, by the multiplication of FxHash (`rustc-hash`).
#[derive(Default)]
pub struct NameHasher(u64);

impl NameHasher {
    const FACTOR: u64 = 0xf135_7aea_2e62_a9c5;

    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(26) ^ word).wrapping_mul(Self::FACTOR);
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, _) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        // Bytes that are mixed twice do no harm.
        let last = chunk::last(bytes);
        self.add(u64::from_le_bytes(last) ^ (bytes.len() as u64).rotate_right(8));
    }

    fn finish(&self) -> u64 {
        // The table uses the top bits and the lowest ones.
        self.0.rotate_left(26)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn similar_names_rarely_collide() {
        let names = (0..100_000).map(|at| format!("registry-{at}.example.com/a"));
        let hashes: Vec<u64> =
            names.map(|name| BuildHasherDefault::<NameHasher>::new().hash_one(name.as_str())).collect();
        let distinct = |bits: &dyn Fn(u64) -> u64| hashes.iter().map(|hash| bits(*hash)).collect::<HashSet<_>>().len();
        // As many as of random numbers: 100,000 in 2¹⁷ places leave about 70,000.
        assert_eq!(distinct(&|hash| hash), 100_000);
        assert!(distinct(&|hash| hash & 0x1_ffff) > 65_000, "{}", distinct(&|hash| hash & 0x1_ffff));
        assert_eq!(distinct(&|hash| hash >> 57), 128);
    }
}
