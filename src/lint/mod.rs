//! What is valid in a rules file, but hardly meant.

mod collision;
mod index;
mod layout;
mod literal;
mod overlap;
mod spelling;

use std::ops::Range;

use annotate_snippets::Level;

use self::index::Index;
use crate::config::{Config, Places, Problem, Source};
use crate::engine::{Pattern, Prefix, Prefixes, Rule};

macro_rules! lints {
    ($($(#[doc = $doc:literal])+ $lint:ident, $name:literal;)+) => {
        /// What can be wrong with valid rules.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Lint { $($(#[doc = $doc])+ $lint),+ }

        impl Lint {
            pub const ALL: &[Self] = &[$(Self::$lint),+];

            /// What it is called, for good.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$lint => $name),+ }
            }

            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|lint| lint.as_str() == name)
            }

            /// One sentence for people.
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$lint => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

lints! {
    /// A rule takes what is under a `to`, where nothing is rewritten again.
    Loop, "loop";
    /// An earlier rule takes all that this one could.
    Shadowed, "shadowed";
    /// Images of different origin get the same name in the cache.
    Collision, "collision";
    /// `docker.io/nginx` stands where `docker.io/library/nginx` is meant.
    DockerLibrary, "docker-library";
    /// No cache has images where `to` says.
    CacheLayout, "cache-layout";
    /// The cache can't pull through from that registry.
    UnsupportedUpstream, "unsupported-upstream";
    /// A `.` in the host of a `pattern` stands for any character.
    UnescapedDot, "unescaped-dot";
    /// `k8s.gcr.io` goes through the cache, but `registry.k8s.io` does not.
    Frozen, "frozen";
}

/// A lint, and where it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub lint: Lint,
    /// The name of the rule.
    pub rule: String,
    pub problem: Problem,
}

impl Finding {
    /// Draws it with the line it stands in.
    pub fn render(&self, source: &Source) -> String {
        self.problem.render(Level::WARNING, Some(self.lint.as_str()), source)
    }
}

/// Everything that is found, in the order of the file.
pub fn findings(config: &Config) -> Vec<Finding> {
    let rules: Vec<Place> =
        config.rules.iter().zip(&config.places).map(|(rule, places)| Place { rule, places }).collect();
    let index = Index::new(&rules);
    let mut findings = Findings(Vec::new());
    overlap::check(&index, &mut findings);
    collision::check(&index, &mut findings);
    layout::check(&rules, &mut findings);
    spelling::check(&rules, &mut findings);
    let Findings(mut findings) = findings;
    findings.sort_by_key(|finding| (finding.problem.span.start, finding.lint));
    findings
}

/// A rule, and where its parts stand.
#[derive(Clone, Copy)]
struct Place<'c> {
    rule: &'c Rule,
    places: &'c Places,
}

impl<'c> Place<'c> {
    /// The entries of `from`, each with its place.
    fn from(self) -> impl Iterator<Item = (&'c Prefix, &'c Range<usize>)> {
        self.sources().into_iter().flat_map(|from| from.iter()).zip(&self.places.sources)
    }

    /// `from`, where the rule has no pattern.
    fn sources(self) -> Option<&'c Prefixes> {
        self.rule.matcher.sources()
    }

    /// The first entry of `from` that a canonical name is at or below.
    fn source_above(self, name: &str) -> Option<&'c Prefix> {
        self.sources()?.first_above(name)
    }

    fn except(self) -> impl Iterator<Item = (&'c Prefix, &'c Range<usize>)> {
        self.rule.except.iter().zip(&self.places.except)
    }

    fn pattern(self) -> Option<(&'c Pattern, &'c Range<usize>)> {
        self.rule.matcher.pattern().zip(self.places.sources.first())
    }

    /// A name that is its `to`, in canonical form; with a letter for each group.
    fn target(self) -> Option<Prefix> {
        self.rule.matcher.sample_target()
    }
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, lint: Lint, place: Place, span: &Range<usize>, message: String, cure: String) {
        let problem = Problem { message, cure: Some(cure), span: span.clone() };
        self.0.push(Finding { lint, rule: place.rule.name.clone(), problem });
    }
}
