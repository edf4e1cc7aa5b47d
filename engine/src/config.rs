//! The rules file: its schema, and its checks, whose errors have a place and a fix.

mod bounded;
mod checker;
mod declarations;
mod failover;
mod health;
mod matcher;
mod operators;
mod places;
mod problem;
mod schema;
mod shape;
mod source;
mod structural;

use std::fmt;
use std::ops::Range;

use annotate_snippets::Level;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use self::checker::Checker;
pub use self::checker::{is_dns_label, is_object_name};
pub use self::declarations::{is_group, is_kind};
pub use self::places::Places;
pub use self::problem::{Problem, bytes};
pub use self::schema::{ApiVersion, present, some};
use self::schema::{DeclarationsFile, RulesFile};
pub use self::source::Source;
use crate::declared::Declaration;
use crate::{
    InvalidPrefix, Matcher, Mode, Namespaces, Percent, Policy, Prefix, Prefixes, Rule, Settings, WhenCacheDown,
};

/// The `apiVersion` of rules files and of tests files.
pub const API_VERSION: &str = "pullthrough.dev/v1alpha1";
const API_GROUP: &str = "pullthrough.dev/";
const KIND: &str = "Rules";

/// The most rules of one file: about twice as many as fit into a ConfigMap of 1 MiB at 100 bytes a rule.
pub const MAX_RULES: usize = 20_000;

/// The most entries of `caches` in a file.
pub const MAX_CACHES: usize = 1_000;

/// The sources of the rule of `--cache PREFIX`: the registry of the Kubernetes project, under each of its names.
pub const KUBERNETES_REGISTRY: [&str; 7] = [
    "registry.k8s.io",
    "k8s.gcr.io",
    "gcr.io/google_containers",
    "gcr.io/google-containers",
    "us.gcr.io/k8s-artifacts-prod",
    "eu.gcr.io/k8s-artifacts-prod",
    "asia.gcr.io/k8s-artifacts-prod",
];

/// A checked rules file.
#[derive(Debug, Clone)]
pub struct Config {
    pub settings: Settings,
    pub rules: Vec<Rule>,
    /// The place of the list of rules in the text, in bytes.
    pub rules_place: Range<usize>,
    /// The place of each prefix of `settings.caches` in the text.
    pub cache_places: Vec<Range<usize>>,
    /// Declarations of images in manifests, beside the built-in kinds.
    pub manifests: Vec<Declaration>,
    /// The place of each rule in the text; none for the built-in rule.
    pub places: Vec<Places>,
}

impl From<Config> for Policy {
    fn from(Config { settings, rules, rules_place: _, cache_places: _, manifests: _, places: _ }: Config) -> Self {
        Self::new(rules, settings)
    }
}

impl Config {
    /// Returns the built-in Kubernetes rule of `--cache PREFIX`.
    ///
    /// # Errors
    ///
    /// Returns an error if `prefix` is not a registry host, or a host and a path.
    pub fn for_cache(prefix: &str) -> Result<Self, InvalidPrefix> {
        let to = Prefix::parse(prefix).map_err(InvalidPrefix::of_target)?;
        let from = KUBERNETES_REGISTRY.into_iter().map(Prefix::parse).collect::<Result<_, _>>()?;
        let rule = Rule {
            name: "kubernetes".to_owned(),
            matcher: Matcher::From { from, to, failover: Vec::new() },
            except: Prefixes::default(),
            namespaces: Namespaces::All,
            image_pull_secrets: Vec::new(),
            mode: Mode::Enforce,
            when_cache_down: WhenCacheDown::Keep,
            check_exists: None,
            rollout: Percent::ALL,
        };
        Ok(Self {
            settings: Settings::default(),
            rules: vec![rule],
            rules_place: 0..0,
            cache_places: Vec::new(),
            manifests: Vec::new(),
            places: Vec::new(),
        })
    }
}

/// Returns the fingerprint of a rules file: the start of its SHA-256, as in `pullthrough_rules_info`.
pub fn fingerprint(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the JSON Schema of the rules file, for editors.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(RulesFile)
}

/// Problems that are drawn with their line. Each line may have all the other problems too.
const MAX_DRAWN: usize = 100;

/// The problems of a rules file or a tests file. Displays each with file, line, column, the line itself and a fix.
#[derive(Debug)]
pub struct RulesError {
    pub problems: Vec<Problem>,
    /// The first problem of the YAML hides those after it.
    pub is_first_only: bool,
    drawn: String,
    styled: String,
    line: String,
}

impl RulesError {
    /// Draws the problems of a text. `name` is the name of the text in errors.
    pub fn new(problems: Vec<Problem>, name: &str, text: &str) -> Self {
        let source = Source::new(name, text);
        let draw = |render: fn(&Problem, Level<'static>, Option<&str>, &Source) -> String| {
            let problems_shown = problems.iter().take(MAX_DRAWN);
            let mut drawn: Vec<String> =
                problems_shown.map(|problem| render(problem, Level::ERROR, None, &source)).collect();
            if problems.len() > MAX_DRAWN {
                drawn.push(format!("error: {} more problems in {name}", problems.len() - MAX_DRAWN));
            }
            drawn.join("\n\n")
        };
        let mut line = problems.first().map(|problem| problem.line(&source)).unwrap_or_default();
        match problems.len() {
            0 | 1 => {}
            2 => line.push_str("; 1 more problem"),
            count => line.push_str(&format!("; {} more problems", count - 1)),
        }
        Self {
            drawn: draw(Problem::render),
            styled: draw(Problem::render_styled),
            line,
            problems,
            is_first_only: false,
        }
    }

    /// Returns what it displays, with ANSI colours.
    pub fn styled(&self) -> &str {
        &self.styled
    }

    /// Returns the first problem and how many there are, in one line that begins with `file:line:column`.
    pub fn line(&self) -> &str {
        &self.line
    }
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.drawn)
    }
}

impl std::error::Error for RulesError {}

/// Reads a rules file. `name` is its name in errors.
///
/// ```
/// let error = pullthrough_engine::config::parse("rules.yaml", "apiVersion: pullthrough.dev/v1\nkind: Rules\nrules: []\n").unwrap_err();
/// assert!(error.to_string().contains("rules.yaml:1:13"));
/// ```
///
/// # Errors
///
/// Returns every problem of the file that can be found at once.
pub fn parse(name: &str, text: &str) -> Result<Config, RulesError> {
    let file: RulesFile = read(name, text, KIND)?;
    let mut checker = Checker::default();
    let config = checker.file(file);
    if checker.problems.is_empty() { Ok(config) } else { Err(RulesError::new(checker.problems, name, text)) }
}

/// Reads a file with declarations alone, as below `manifests` of a rules file. `kind` is the kind of the file in errors.
///
/// # Errors
///
/// Returns every problem of the file that can be found at once.
pub fn declarations(name: &str, text: &str, kind: &str) -> Result<Vec<Declaration>, RulesError> {
    let file: DeclarationsFile = read(name, text, kind)?;
    let mut checker = Checker::default();
    let declarations = file.manifests.iter().filter_map(|entry| checker.declaration(entry)).collect();
    if checker.problems.is_empty() { Ok(declarations) } else { Err(RulesError::new(checker.problems, name, text)) }
}

/// Reads a file of this project, and checks its schema.
///
/// # Errors
///
/// Returns the first problem of the YAML.
pub fn read<T: DeserializeOwned>(name: &str, text: &str, kind: &str) -> Result<T, RulesError> {
    serde_saphyr::from_str_with_options(text, options(text)).map_err(|error| {
        let error = RulesError::new(vec![structural::problem(text, &error, kind)], name, text);
        // Of another file, nothing else matters.
        RulesError { is_first_only: self::kind(text).is_some_and(|found| found == kind), ..error }
    })
}

/// Returns the kind of a file of this project, whether it is valid or not.
pub fn kind(text: &str) -> Option<String> {
    let documents = shape::documents(text).ok()?;
    let root = &documents.first()?.value;
    let field = |name| root.field(name).and_then(|field| field.value.as_text());
    let is_own = field("apiVersion")?.starts_with(API_GROUP);
    field("kind").filter(|_| is_own).map(str::to_owned)
}

fn options(text: &str) -> serde_saphyr::Options {
    let defaults = serde_saphyr::Budget::default();
    // No text has more nodes than bytes, so a text never has too many: memory is in proportion to the file.
    let nodes = defaults.max_nodes.max(text.len());
    serde_saphyr::options! {
        // Comments that are emitted are limited to 32 in a row.
        emit_comments: false,
        // `yes` and `on` are strings in YAML 1.2.
        strict_booleans: true,
        budget: serde_saphyr::budget! { max_nodes: nodes, max_events: defaults.max_events.max(nodes.saturating_mul(3)) },
    }
}
