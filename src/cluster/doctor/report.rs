//! The report: checks with their findings.

use serde::Serialize;

use super::fault::{Fault, Severity};
use crate::cluster::api::Failure;

/// A fault, or a note for information.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub id: Fault,
    pub severity: Severity,
    /// The fault and its effect.
    pub what: String,
    /// The object that has the fault.
    #[serde(rename = "where")]
    pub place: String,
    /// How to fix it.
    pub fix: String,
}

/// A part of a check that was skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    pub what: String,
    pub why: String,
    /// The missing permission, if that is why.
    pub needs: Option<String>,
}

/// The state of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Ok,
    Findings,
    Incomplete,
    NotApplicable,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Findings => "findings",
            Self::Incomplete => "incomplete",
            Self::NotApplicable => "not applicable",
        }
    }
}

/// One question, and its answer.
#[derive(Debug, Clone)]
pub struct Check {
    /// The name, which is stable.
    pub name: &'static str,
    pub question: &'static str,
    /// What was observed, fault or not.
    pub facts: Vec<String>,
    pub findings: Vec<Finding>,
    pub skipped: Vec<Skipped>,
    /// Why the check does not apply to this cluster.
    pub not_applicable: Option<String>,
}

impl Check {
    pub fn new(name: &'static str, question: &'static str) -> Self {
        Self { name, question, facts: Vec::new(), findings: Vec::new(), skipped: Vec::new(), not_applicable: None }
    }

    pub fn not_applicable(mut self, why: impl Into<String>) -> Self {
        self.not_applicable = Some(why.into());
        self
    }

    pub fn fact(&mut self, fact: impl Into<String>) {
        self.facts.push(fact.into());
    }

    /// Adds a finding with its default severity and fix.
    pub fn find(&mut self, id: Fault, place: impl Into<String>, what: impl Into<String>) -> &mut Finding {
        let finding =
            Finding { id, severity: id.severity(), what: what.into(), place: place.into(), fix: id.fix().to_owned() };
        self.findings.push(finding);
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    /// Adds a skipped part, with the missing permission if that is why.
    pub fn skip_for(&mut self, failure: &Failure, what: impl Into<String>) {
        let needs = match failure {
            Failure::Forbidden { needs, .. } => Some(needs.clone()),
            _ => None,
        };
        self.skipped.push(Skipped { what: what.into(), why: failure.to_string(), needs });
    }

    pub fn skipped(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.skipped.push(Skipped { what: what.into(), why: why.into(), needs: None });
    }

    pub fn state(&self) -> State {
        if self.findings.iter().any(|finding| finding.severity > Severity::Note) {
            State::Findings
        } else if !self.skipped.is_empty() {
            State::Incomplete
        } else if self.not_applicable.is_some() {
            State::NotApplicable
        } else {
            State::Ok
        }
    }
}

/// All checks.
#[derive(Debug)]
pub struct Report {
    /// The URL of the API server; `None` without a cluster.
    pub server: Option<String>,
    pub checks: Vec<Check>,
}

/// The verdict of a report, which decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No errors or warnings in the parts that were not skipped.
    Healthy,
    Faults,
    /// The webhook configuration is unreadable, so no conclusion is possible.
    Incomplete,
}

impl Report {
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.checks.iter().flat_map(|check| &check.findings)
    }

    pub fn count(&self, severity: Severity) -> usize {
        self.findings().filter(|finding| finding.severity == severity).count()
    }

    /// Returns the number of skipped parts.
    pub fn skipped(&self) -> usize {
        self.checks.iter().map(|check| check.skipped.len()).sum()
    }

    pub fn verdict(&self) -> Verdict {
        // A readable webhook always has a fact.
        let is_unreadable = self
            .checks
            .iter()
            .any(|check| check.name == "webhook-configuration" && check.facts.is_empty() && !check.skipped.is_empty());
        if self.findings().any(|finding| finding.severity > Severity::Note) {
            Verdict::Faults
        } else if is_unreadable {
            Verdict::Incomplete
        } else {
            Verdict::Healthy
        }
    }
}
