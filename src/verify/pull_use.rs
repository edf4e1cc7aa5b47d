//! The pull Secrets that an image is asked with.

use serde::Serialize;

/// The pull Secrets of the Pods of a namespace, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PullUse {
    pub namespace: String,
    pub secrets: Vec<String>,
    /// Those that are missing, unreadable or invalid.
    pub unusable: Vec<String>,
}

impl PullUse {
    pub fn of(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), secrets: Vec::new(), unusable: Vec::new() }
    }

    /// Adds the Secrets of a Pod that are not known.
    pub fn add(&mut self, secrets: &[String], unusable: &[String]) {
        for (known, names) in [(&mut self.secrets, secrets), (&mut self.unusable, unusable)] {
            let new: Vec<String> = names.iter().filter(|name| !known.contains(name)).cloned().collect();
            known.extend(new);
        }
    }
}
