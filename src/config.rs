//! The rules file: its schema, and how text becomes checked rules or errors that name place and cure.
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

mod checker;
mod problem;
mod schema;

use std::fmt;

use annotate_snippets::Level;
use sha2::{Digest, Sha256};

use self::checker::Checker;
pub use self::checker::is_dns_label;
use self::problem::{Problem, structural};
use self::schema::RulesFile;
use crate::engine::{InvalidPrefix, Matcher, Mode, Namespaces, Policy, Prefix, Rule, Settings};

const API_VERSION: &str = "pullthrough.dev/v1alpha1";
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
    /// What is valid, but may not be meant. Each is drawn like an error.
    pub notes: Vec<String>,
}

impl From<Config> for Policy {
    fn from(Config { settings, rules, notes: _ }: Config) -> Self {
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
            except: Vec::new(),
            namespaces: Namespaces::All,
            image_pull_secrets: Vec::new(),
            mode: Mode::Enforce,
        };
        Ok(Self { settings: Settings::default(), rules: vec![rule], notes: Vec::new() })
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

/// All that is wrong with a rules file. Displays each problem with file, line, column, the line itself and a cure.
#[derive(Debug)]
pub struct RulesError(String);

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RulesError {}

/// Reads a rules file. `name` is what errors call it.
///
/// ```
/// let error = pullthrough::config::parse("rules.yaml", "apiVersion: pullthrough.dev/v1\nkind: Rules\nrules: []\n").unwrap_err();
/// assert!(error.to_string().contains("rules.yaml:1:13"));
/// ```
///
/// # Errors
///
/// With every problem of the file that can be told at once.
pub fn parse(name: &str, text: &str) -> Result<Config, RulesError> {
    // `yes` and `on` are strings in YAML 1.2.
    let options = serde_saphyr::options! { strict_booleans: true };
    let draw = |problems: &[Problem], level: Level| -> Vec<String> {
        problems.iter().map(|problem| problem.render(level.clone(), name, text)).collect()
    };
    let problems = match serde_saphyr::from_str_with_options::<RulesFile>(text, options) {
        Ok(file) => {
            let mut checker = Checker::new(text);
            let config = checker.file(file);
            if checker.problems.is_empty() {
                return Ok(Config { notes: draw(&checker.notes, Level::WARNING), ..config });
            }
            checker.problems
        }
        Err(error) => vec![structural(text, &error)],
    };
    Err(RulesError(draw(&problems, Level::ERROR).join("\n\n")))
}
