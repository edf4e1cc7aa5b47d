//! What is known of registries at the time of a request.

use std::collections::{BTreeMap, BTreeSet};

use super::custom_owner::CustomOwner;
use super::prefix::{Prefix, boundaries};

/// The state of a registry, as probes found it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum CacheState {
    #[default]
    Up,
    /// It limits the rate of requests. Decisions are those of [`CacheState::Up`].
    Degraded,
    Down,
}

impl CacheState {
    pub const ALL: [Self; 3] = [Self::Up, Self::Degraded, Self::Down];

    /// Returns its stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// Facts about caches, upstreams and workloads. They are collected elsewhere, and do not change while they are used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// By canonical prefix.
    states: BTreeMap<String, CacheState>,
    /// Rewritten images that their cache does not have, with tag and digest.
    missing: BTreeSet<String>,
    /// Owners whose new Pods are not rewritten.
    standing_down: BTreeSet<CustomOwner<'static>>,
}

impl Facts {
    /// No facts: every registry counts as up, and every cache as having each image.
    pub const NONE: &'static Self =
        &Self { states: BTreeMap::new(), missing: BTreeSet::new(), standing_down: BTreeSet::new() };

    /// Returns the facts for states of registries: of caches, and of upstreams by their host. Of several prefixes above a
    /// name the longest applies. A registry without a state counts as up.
    pub fn of_states(states: impl IntoIterator<Item = (Prefix, CacheState)>) -> Self {
        let states = states.into_iter().map(|(prefix, state)| (prefix.canonical().to_owned(), state)).collect();
        Self { states, ..Self::default() }
    }

    /// Returns the same facts with the answers to existence checks of one request: the rewritten images, with tag and
    /// digest, that their cache does not have. Images without an answer count as cached.
    #[must_use]
    pub fn with_missing(self, images: impl IntoIterator<Item = String>) -> Self {
        Self { missing: images.into_iter().collect(), ..self }
    }

    /// Returns the same facts with the owners that stand down: their Pods were rewritten and recreated again and again.
    #[must_use]
    pub fn with_standing_down(self, owners: BTreeSet<CustomOwner<'static>>) -> Self {
        Self { standing_down: owners, ..self }
    }

    /// Returns the owners that stand down.
    pub fn standing_down(&self) -> &BTreeSet<CustomOwner<'static>> {
        &self.standing_down
    }

    /// Returns the state of the registry of a canonical name.
    pub fn state_of(&self, name: &str) -> CacheState {
        if self.states.is_empty() {
            return CacheState::Up;
        }
        boundaries(name).rev().find_map(|above| self.states.get(above)).copied().unwrap_or_default()
    }

    pub(super) fn knows_states(&self) -> bool {
        !self.states.is_empty()
    }

    pub(super) fn is_down(&self, name: &str) -> bool {
        self.state_of(name) == CacheState::Down
    }

    pub(super) fn is_missing(&self, image: &str) -> bool {
        self.missing.contains(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_the_longest_prefix_applies() {
        let prefix = |text| Prefix::parse(text).expect("a prefix");
        let facts = Facts::of_states([
            (prefix("C.io:443"), CacheState::Down),
            (prefix("c.io/a"), CacheState::Degraded),
            (prefix("c.io/a/b"), CacheState::Up),
        ]);
        for (name, expected) in [
            ("c.io", CacheState::Down),
            ("c.io/x", CacheState::Down),
            ("c.io/ab", CacheState::Down),
            ("c.io/a", CacheState::Degraded),
            ("c.io/a/x", CacheState::Degraded),
            ("c.io/a/b/x", CacheState::Up),
            ("c.io:5000/x", CacheState::Up),
            ("d.io/x", CacheState::Up),
        ] {
            assert_eq!(facts.state_of(name), expected, "{name}");
        }
        assert_eq!(Facts::NONE.state_of("c.io/x"), CacheState::Up);
    }
}
