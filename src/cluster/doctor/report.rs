//! What was looked at and what was found.

use serde::Serialize;

use super::fault::{Fault, Severity};
use crate::cluster::api::Failure;

/// Something that is not as it should be, or that is worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub id: Fault,
    pub severity: Severity,
    /// What is the case, and what comes of it.
    pub what: String,
    /// The object.
    #[serde(rename = "where")]
    pub place: String,
    /// What to do about it.
    pub cure: String,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unseen {
    pub what: String,
    pub why: String,
    /// The permission that was refused, if that was it.
    pub needs: Option<String>,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Ok,
    Findings,
    CouldNotLook,
    Skipped,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Findings => "findings",
            Self::CouldNotLook => "could not look",
            Self::Skipped => "skipped",
        }
    }
}

/// One question, and all that there is to say about it.
#[derive(Debug, Clone)]
pub struct Check {
    /// Stable.
    pub name: &'static str,
    pub question: &'static str,
    /// What is so, in sentences.
    pub facts: Vec<String>,
    pub findings: Vec<Finding>,
    pub unseen: Vec<Unseen>,
    /// Why the question makes no sense here.
    pub skipped: Option<String>,
}

impl Check {
    pub fn new(name: &'static str, question: &'static str) -> Self {
        Self { name, question, facts: Vec::new(), findings: Vec::new(), unseen: Vec::new(), skipped: None }
    }

    pub fn skip(mut self, why: impl Into<String>) -> Self {
        self.skipped = Some(why.into());
        self
    }

    pub fn fact(&mut self, fact: impl Into<String>) {
        self.facts.push(fact.into());
    }

    /// Notes a finding with the severity and the cure that it usually has.
    pub fn find(&mut self, id: Fault, place: impl Into<String>, what: impl Into<String>) -> &mut Finding {
        let finding =
            Finding { id, severity: id.severity(), what: what.into(), place: place.into(), cure: id.cure().to_owned() };
        self.findings.push(finding);
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    /// Notes that something could not be looked at, and which permission that would take.
    pub fn could_not_look(&mut self, failure: &Failure, what: impl Into<String>) {
        let needs = match failure {
            Failure::Forbidden { needs, .. } => Some(needs.clone()),
            _ => None,
        };
        self.unseen.push(Unseen { what: what.into(), why: failure.to_string(), needs });
    }

    pub fn unseen(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.unseen.push(Unseen { what: what.into(), why: why.into(), needs: None });
    }

    pub fn state(&self) -> State {
        if self.findings.iter().any(|finding| finding.severity > Severity::Note) {
            State::Findings
        } else if !self.unseen.is_empty() {
            State::CouldNotLook
        } else if self.skipped.is_some() {
            State::Skipped
        } else {
            State::Ok
        }
    }
}

/// All checks.
#[derive(Debug)]
pub struct Report {
    /// Where the API server was found.
    pub server: String,
    pub checks: Vec<Check>,
}

/// What a report comes to, as the exit code says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No error and no warning in what could be looked at.
    Healthy,
    Faults,
    /// The registration itself could not be read, so nothing can be said.
    CouldNotLook,
}

impl Report {
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.checks.iter().flat_map(|check| &check.findings)
    }

    pub fn count(&self, severity: Severity) -> usize {
        self.findings().filter(|finding| finding.severity == severity).count()
    }

    /// How many things could not be looked at.
    pub fn unseen(&self) -> usize {
        self.checks.iter().map(|check| check.unseen.len()).sum()
    }

    pub fn verdict(&self) -> Verdict {
        // There is always a fact about one that could be read.
        let is_registration_unseen = self
            .checks
            .iter()
            .any(|check| check.name == "registration" && check.facts.is_empty() && !check.unseen.is_empty());
        if self.findings().any(|finding| finding.severity > Severity::Note) {
            Verdict::Faults
        } else if is_registration_unseen {
            Verdict::CouldNotLook
        } else {
            Verdict::Healthy
        }
    }
}
