//! Platforms of nodes and of images.

use std::fmt;

use serde::Deserialize;

/// `linux/arm64/v8`. Empty parts are not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    pub variant: String,
    #[serde(rename = "os.version")]
    pub os_version: String,
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { os, architecture, variant, os_version: _ } = self;
        write!(formatter, "{os}/{architecture}")?;
        if variant.is_empty() { Ok(()) } else { write!(formatter, "/{variant}") }
    }
}

impl Platform {
    /// Parses `linux/arm64` or `linux/arm/v7`.
    ///
    /// # Errors
    ///
    /// Returns the form of a platform.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_part = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let parts: Vec<&str> = text.split('/').collect();
        let platform = |os: &str, architecture: &str, variant: &str| Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
            os_version: String::new(),
        };
        match &*parts {
            _ if !parts.iter().all(is_part) => {}
            [os, architecture] => return Ok(platform(os, architecture, "")),
            [os, architecture, variant] => return Ok(platform(os, architecture, variant)),
            _ => {}
        }
        Err("write OS/ARCHITECTURE, or OS/ARCHITECTURE/VARIANT, such as linux/arm64".to_owned())
    }

    /// Returns whether a node of this platform runs an image of the platform `found`.
    pub fn runs(&self, found: &Self) -> bool {
        (&self.os, &self.architecture) == (&found.os, &found.architecture)
            && (self.variant.is_empty() || self.known_variant() == found.known_variant())
    }

    /// Returns the variant. As for containerd, that of arm64 is v8 by default.
    fn known_variant(&self) -> &str {
        match (&*self.architecture, &*self.variant) {
            ("arm64", "") => "v8",
            (_, variant) => variant,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_compared_as_containerd_does() {
        for (needed, found, expected) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm", "linux/arm/v7", true),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("linux/amd64", "linux/arm64", false),
            ("windows/amd64", "linux/amd64", false),
        ] {
            let [needed_platform, found_platform] = [needed, found].map(|text| Platform::parse(text).unwrap());
            assert_eq!(needed_platform.runs(&found_platform), expected, "{needed} {found}");
        }
    }

    #[test]
    fn other_forms_of_a_platform_are_errors() {
        for text in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b"] {
            assert!(Platform::parse(text).is_err(), "{text}");
        }
    }
}
