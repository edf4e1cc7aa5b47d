//! The rules file: its schema, and how text becomes checked rules or errors that name place and cure.

mod checker;
mod declarations;
mod places;
mod problem;
mod schema;
mod source;

use std::fmt;

use annotate_snippets::Level;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use self::checker::Checker;
pub use self::checker::{is_dns_label, is_object_name};
pub use self::declarations::{is_group, is_kind};
pub use self::places::Places;
use self::problem::structural;
pub use self::problem::{Problem, bytes};
pub use self::schema::{ApiVersion, present, some};
use self::schema::{DeclarationsFile, RulesFile};
pub use self::source::Source;
use crate::declared::Declaration;
use crate::{InvalidPrefix, Matcher, Mode, Namespaces, Policy, Prefix, Prefixes, Rule, Settings};

/// Of the rules file, and of a file that tests rules.
pub const API_VERSION: &str = "pullthrough.dev/v1alpha1";
const KIND: &str = "Rules";

/// What `--cache PREFIX` sends through the cache: the registry of the Kubernetes project, under each of its names.
pub const KUBERNETES_REGISTRY: [&str; 7] = [
    "registry.k8s.io",
    "k8s.gcr.io",
    "gcr.io/google_containers",
    "gcr.io/google-containers",
    "us.gcr.io/k8s-artifacts-prod",
    "eu.gcr.io/k8s-artifacts-prod",
    "asia.gcr.io/k8s-artifacts-prod",
];

/// A rules file that was read and checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub settings: Settings,
    pub rules: Vec<Rule>,
    /// Where manifests have images, beside the kinds that are known.
    pub manifests: Vec<Declaration>,
    /// Where each rule stands in the text; none for the built-in one.
    pub places: Vec<Places>,
}

impl From<Config> for Policy {
    fn from(Config { settings, rules, manifests: _, places: _ }: Config) -> Self {
        Self::new(rules, settings)
    }
}

impl Config {
    /// The built-in Kubernetes rule, as `--cache PREFIX` asks for it.
    ///
    /// # Errors
    ///
    /// Where `prefix` is no registry host, or host and path.
    pub fn for_cache(prefix: &str) -> Result<Self, InvalidPrefix> {
        let to = Prefix::parse(prefix).map_err(InvalidPrefix::of_target)?;
        let from = KUBERNETES_REGISTRY.into_iter().map(Prefix::parse).collect::<Result<_, _>>()?;
        let rule = Rule {
            name: "kubernetes".to_owned(),
            matcher: Matcher::From { from, to },
            except: Prefixes::default(),
            namespaces: Namespaces::All,
            image_pull_secrets: Vec::new(),
            mode: Mode::Enforce,
        };
        Ok(Self { settings: Settings::default(), rules: vec![rule], manifests: Vec::new(), places: Vec::new() })
    }
}

/// What tells one content of a rules file from another: the start of its SHA-256, as `pullthrough_rules_info` has it.
pub fn fingerprint(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The JSON Schema of the rules file, for editors.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(RulesFile)
}

/// Problems that are drawn at most, each with its line, which may have all the others too.
const MAX_DRAWN: usize = 100;

/// All that is wrong with a rules file, or with one that tests them. Displays each problem with file, line, column, the line itself and a cure.
#[derive(Debug)]
pub struct RulesError {
    pub problems: Vec<Problem>,
    drawn: String,
}

impl RulesError {
    /// Draws the problems of a text. `name` is what the text is called.
    pub fn new(problems: Vec<Problem>, name: &str, text: &str) -> Self {
        let source = Source::new(name, text);
        let mut drawn: Vec<String> =
            problems.iter().take(MAX_DRAWN).map(|problem| problem.render(Level::ERROR, None, &source)).collect();
        if problems.len() > MAX_DRAWN {
            drawn.push(format!("error: {} more problems in {name}", problems.len() - MAX_DRAWN));
        }
        Self { drawn: drawn.join("\n\n"), problems }
    }
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.drawn)
    }
}

impl std::error::Error for RulesError {}

/// Reads a rules file. `name` is what errors call it.
///
/// ```
/// let error = pullthrough_engine::config::parse("rules.yaml", "apiVersion: pullthrough.dev/v1\nkind: Rules\nrules: []\n").unwrap_err();
/// assert!(error.to_string().contains("rules.yaml:1:13"));
/// ```
///
/// # Errors
///
/// With every problem of the file that can be told at once.
pub fn parse(name: &str, text: &str) -> Result<Config, RulesError> {
    let file: RulesFile = read(name, text, KIND)?;
    let mut checker = Checker::default();
    let config = checker.file(file);
    if checker.problems.is_empty() { Ok(config) } else { Err(RulesError::new(checker.problems, name, text)) }
}

/// Reads a file that has declarations alone, as the rules file has them below `manifests`. `kind` is what errors call such a file.
///
/// # Errors
///
/// With every problem of the file that can be told at once.
pub fn declarations(name: &str, text: &str, kind: &str) -> Result<Vec<Declaration>, RulesError> {
    let file: DeclarationsFile = read(name, text, kind)?;
    let mut checker = Checker::default();
    let declarations = file.manifests.iter().filter_map(|entry| checker.declaration(entry)).collect();
    if checker.problems.is_empty() { Ok(declarations) } else { Err(RulesError::new(checker.problems, name, text)) }
}

/// Reads a file of this project, as far as its schema can tell.
///
/// # Errors
///
/// With the first problem of the YAML.
pub fn read<T: DeserializeOwned>(name: &str, text: &str, kind: &str) -> Result<T, RulesError> {
    // Comments that are emitted are limited to 32 in a row. `yes` and `on` are strings in YAML 1.2.
    let options = serde_saphyr::options! { emit_comments: false, strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| RulesError::new(vec![structural(text, &error, kind)], name, text))
}
