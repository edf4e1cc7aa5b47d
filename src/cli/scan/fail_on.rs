//! `--fail-on`.

use anyhow::anyhow;

use crate::config::KUBERNETES_REGISTRY;
use crate::engine::{InvalidPrefix, Prefix};
use crate::registries::Upstream;
use crate::scan::FoundImage;

/// The least similarity (0 to 1) for a suggestion.
const ALIKE: f64 = 0.8;

#[derive(Debug)]
pub struct FailOn(Vec<Prefix>);

impl FailOn {
    pub fn parse(values: &[String]) -> anyhow::Result<Self> {
        let parse = |value: &String| Prefix::parse(value).map_err(|error| told(value, &error));
        values.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the canonical names.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|prefix| prefix.canonical().to_owned()).collect()
    }

    pub fn forbids(&self, finding: &FoundImage) -> bool {
        finding.forbidden_by(&self.0).is_some()
    }
}

fn told(value: &str, error: &InvalidPrefix) -> anyhow::Error {
    let likeness = |known: &&str| {
        let label = known.split('.').next().unwrap_or_default();
        strsim::jaro_winkler(value, known).max(strsim::jaro_winkler(value, label))
    };
    let meant = Upstream::ALL
        .map(Upstream::host)
        .into_iter()
        .chain(KUBERNETES_REGISTRY)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match (error, meant.filter(|meant| likeness(meant) > ALIKE)) {
        (InvalidPrefix::NotAHost { .. }, Some(meant)) => anyhow!("invalid --fail-on `{value}`: write `{meant}`"),
        _ => anyhow!("invalid --fail-on `{value}`: {error}"),
    }
}
