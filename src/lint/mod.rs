//! Likely mistakes in a valid rules file.

mod caches;
mod check_exists;
mod collision;
mod index;
mod layout;
mod overlap;
mod placeholder;
mod spelling;

use std::ops::Range;

use annotate_snippets::Level;

use self::index::Index;
pub use self::placeholder::is_placeholder_host;
use crate::config::{Config, Places, Problem, Source};
use crate::engine::{Pattern, Prefix, Prefixes, Rule};

macro_rules! lints {
    ($($(#[doc = $doc:literal])+ $lint:ident, $name:literal;)+) => {
        /// A kind of likely mistake in valid rules.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Lint { $($(#[doc = $doc])+ $lint),+ }

        impl Lint {
            pub const ALL: &[Self] = &[$(Self::$lint),+];

            /// Returns its stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$lint => $name),+ }
            }

            /// Returns the lint with a name.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|lint| lint.as_str() == name)
            }

            /// Returns one sentence that describes it.
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$lint => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

lints! {
    /// A rule matches images under a `to` or `failover`, which are never rewritten again.
    Loop, "loop";
    /// An earlier rule matches all images of this one.
    Shadowed, "shadowed";
    /// Images of different registries get the same name in the cache.
    Collision, "collision";
    /// `docker.io/nginx` is written in place of `docker.io/library/nginx`.
    DockerLibrary, "docker-library";
    /// This `to` or `failover` does not match the product's layout.
    CacheLayout, "cache-layout";
    /// The cache does not support that registry as an upstream.
    UnsupportedUpstream, "unsupported-upstream";
    /// An unescaped `.` in the host of a `pattern` matches any character.
    UnescapedDot, "unescaped-dot";
    /// A rule matches `k8s.gcr.io`, but none matches `registry.k8s.io`.
    Frozen, "frozen";
    /// No rule's `to` or `failover` belongs to this entry of `caches`.
    UnusedCache, "unused-cache";
    /// `checkExists` asks a pull-through cache, which fetches images that it does not have.
    CheckExists, "check-exists";
    /// A cache of the rule is an example name, from which no image can be pulled.
    Placeholder, "placeholder";
    /// The file has no rules, so no image is rewritten.
    NoRules, "no-rules";
}

/// A likely mistake, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LintFinding {
    pub lint: Lint,
    /// The name of the rule; `None` for the whole file.
    pub rule: Option<String>,
    pub problem: Problem,
}

impl LintFinding {
    /// Draws it with its line.
    pub fn render(&self, source: &Source) -> String {
        self.problem.render(Level::WARNING, Some(self.lint.as_str()), source)
    }

    /// As [`Self::render`], with ANSI colours.
    pub fn render_styled(&self, source: &Source) -> String {
        self.problem.render_styled(Level::WARNING, Some(self.lint.as_str()), source)
    }
}

/// Returns all findings, in the order of the file.
pub fn findings(config: &Config) -> Vec<LintFinding> {
    let rules: Vec<PlacedRule> =
        config.rules.iter().zip(&config.places).map(|(rule, places)| PlacedRule { rule, places }).collect();
    let index = Index::new(&rules);
    let mut findings = Findings(Vec::new());
    if config.rules.is_empty() {
        findings.no_rules(config);
    }
    overlap::check(&index, &mut findings);
    collision::check(&index, &mut findings);
    layout::check(&index, &mut findings);
    spelling::check(&rules, &mut findings);
    placeholder::check(&rules, &mut findings);
    caches::check(config, &mut findings);
    check_exists::check(&index, &config.settings.caches, &mut findings);
    let Findings(mut findings) = findings;
    findings.sort_by_key(|finding| (finding.problem.span.start, finding.lint));
    findings
}

/// A rule, and the places of its parts.
#[derive(Clone, Copy)]
struct PlacedRule<'c> {
    rule: &'c Rule,
    places: &'c Places,
}

impl<'c> PlacedRule<'c> {
    /// Returns the entries of `from`, each with its place.
    fn from(self) -> impl Iterator<Item = (&'c Prefix, &'c Range<usize>)> {
        self.sources().into_iter().flat_map(|from| from.iter()).zip(&self.places.sources)
    }

    /// Returns `from`; `None` if the rule has a pattern.
    fn sources(self) -> Option<&'c Prefixes> {
        self.rule.matcher.sources()
    }

    /// Returns the first entry of `from` that a canonical name is at or below.
    fn source_above(self, name: &str) -> Option<&'c Prefix> {
        self.sources()?.first_above(name)
    }

    fn except(self) -> impl Iterator<Item = (&'c Prefix, &'c Range<usize>)> {
        self.rule.except.iter().zip(&self.places.except)
    }

    fn pattern(self) -> Option<(&'c Pattern, &'c Range<usize>)> {
        self.rule.matcher.pattern().zip(self.places.sources.first())
    }

    /// Returns its `to` and each failover in canonical form, with a letter for each group.
    fn targets(self) -> impl Iterator<Item = Target<'c>> {
        let matcher = &self.rule.matcher;
        let written = std::iter::once(matcher.target()).chain(matcher.failover());
        let spans = std::iter::once(&self.places.to).chain(&self.places.failover);
        matcher
            .sample_targets()
            .into_iter()
            .zip(written)
            .zip(spans)
            .filter_map(|((prefix, written), span)| Some(Target { prefix: prefix?, written, span }))
    }
}

/// A `to` or a failover.
struct Target<'c> {
    /// In canonical form, with a letter for each group.
    prefix: Prefix,
    written: &'c str,
    span: &'c Range<usize>,
}

struct Findings(Vec<LintFinding>);

impl Findings {
    fn no_rules(&mut self, config: &Config) {
        let message = "`rules` is empty: no image is rewritten".to_owned();
        let fix = Some("add a rule with `name`, `from` and `to`".to_owned());
        let problem = Problem { message, fix, span: config.rules_place.clone() };
        self.0.push(LintFinding { lint: Lint::NoRules, rule: None, problem });
    }

    fn add(&mut self, lint: Lint, place: PlacedRule, span: &Range<usize>, message: String, fix: String) {
        let problem = Problem { message, fix: Some(fix), span: span.clone() };
        self.0.push(LintFinding { lint, rule: Some(place.rule.name.clone()), problem });
    }
}
