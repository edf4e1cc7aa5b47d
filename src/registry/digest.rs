//! Digests of content.

use std::fmt;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256, Sha384, Sha512};

const PIECE_BYTES: usize = 1 << 20;

/// A digest with a supported algorithm: sha256, sha384 or sha512.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    pub fn parse(text: &str) -> Option<Self> {
        let (algorithm, hex) = text.split_once(':')?;
        let digits = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return None,
        };
        let is_hex = hex.len() == digits && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_hex.then(|| Self(text.to_owned()))
    }

    /// Returns the SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::Sha256(Sha256::new());
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns whether `bytes` have this digest.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish() == *self
    }

    /// Returns whether what a reader returns has this digest. Reads it to its end in constant memory.
    ///
    /// # Errors
    ///
    /// Returns the error of the reader.
    pub fn is_of_reader(&self, mut reader: impl Read) -> io::Result<bool> {
        let mut hasher = self.hasher();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok(hasher.finish() == *self),
                Ok(bytes) => hasher.update(&piece[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns a hasher with the algorithm of this digest.
    pub(super) fn hasher(&self) -> Hasher {
        match self.0.split_once(':') {
            Some(("sha384", _)) => Hasher::Sha384(Sha384::new()),
            Some(("sha512", _)) => Hasher::Sha512(Sha512::new()),
            _ => Hasher::Sha256(Sha256::new()),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

pub(super) enum Hasher {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha384(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => text("sha256", &hasher.finalize()),
            Self::Sha384(hasher) => text("sha384", &hasher.finalize()),
            Self::Sha512(hasher) => text("sha512", &hasher.finalize()),
        }
    }
}

fn text(algorithm: &str, hash: &[u8]) -> Digest {
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Digest(format!("{algorithm}:{hex}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_parsed_and_verified() {
        for (algorithm, empty) in [
            ("sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (
                "sha384",
                "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b",
            ),
            (
                "sha512",
                "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
            ),
        ] {
            let digest = Digest::parse(&format!("{algorithm}:{empty}")).unwrap();
            assert!(digest.is_of(b"") && !digest.is_of(b"x"), "{digest}");
            assert!(digest.is_of_reader(&b""[..]).unwrap() && !digest.is_of_reader(&b"x"[..]).unwrap(), "{digest}");
            assert_eq!(Digest::parse(&format!("{algorithm}:{}", empty.to_uppercase())), None);
            assert_eq!(Digest::parse(&format!("{algorithm}:{}", &empty[1..])), None);
        }
        assert_eq!(Digest::parse("md5:d41d8cd98f00b204e9800998ecf8427e"), None);
        assert_eq!(Digest::parse("sha256"), None);
    }
}
