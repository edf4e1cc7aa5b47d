//! Tests of rules: images, each with the expected decision.

mod schema;

use std::ops::Range;

use self::schema::{CaseEntry, PullPolicyEntry, TestsFile};
use crate::config::{self, API_VERSION, Problem, RulesError};
use crate::engine::{
    CacheState, Context, Decision, Dependence, Facts, ImageRef, InvalidPrefix, Policy, Prefix, Question, Reason,
    Workload,
};

const KIND: &str = "Tests";

/// An image, and the expected decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Counted from 1.
    pub line: usize,
    pub image: String,
    pub namespace: String,
    /// The workload of the Pod, for rules with `rollout`.
    pub workload: Option<Workload<'static>>,
    /// `imagePullPolicy: Never`.
    pub pull_never: bool,
    pub expected: Expected,
    /// The expected rule; `None` accepts any.
    pub rule: Option<String>,
    pub facts: Facts,
    /// The facts, as the end of a sentence about the case.
    pub facts_note: String,
}

/// An expected decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    Result(String),
    Reason(Reason),
}

impl Case {
    /// Returns what the decision depends on, beside the image.
    pub fn context<'c>(&'c self, policy: &'c Policy) -> Context<'c> {
        Context { facts: &self.facts, ..Context::of(policy) }
    }

    /// Decides about the image.
    pub fn decide<'c>(&'c self, policy: &'c Policy) -> Decision<'c> {
        let Self { image, namespace, workload, pull_never, .. } = self;
        let included_from = workload.as_ref().map(|workload| workload.included_from(namespace));
        self.context(policy).decide(Question {
            image,
            namespace,
            pull_never: *pull_never,
            previous: None,
            included_from,
        })
    }

    /// Returns whether a decision is the expected one.
    pub fn is_met_by(&self, decision: &Decision) -> bool {
        let is_expected = match (&self.expected, decision) {
            (Expected::Result(expected), Decision::Rewrite { result, .. }) => expected == result,
            (Expected::Result(_), _) => false,
            (Expected::Reason(expected), decision) => decision.reason() == Some(*expected),
        };
        let rule = decision.rule().map(|rule| rule.name.as_str());
        is_expected && self.rule.as_deref().is_none_or(|expected| rule == Some(expected))
    }
}

/// Reads a tests file. `name` is its name in errors.
///
/// # Errors
///
/// Returns every problem of the file that can be found at once.
pub fn parse(name: &str, text: &str) -> Result<Vec<Case>, RulesError> {
    let file: TestsFile = config::read(name, text, KIND)?;
    let TestsFile { api_version, kind, tests } = file;
    let mut problems = Vec::new();
    let mut problem = |span: Range<usize>, message: String, fix: String| {
        problems.push(Problem { message, fix: Some(fix), span });
    };
    let place = config::bytes;
    if api_version.value != API_VERSION {
        let message = format!("unknown apiVersion `{}`", api_version.value);
        problem(place(api_version.defined), message, format!("write `{API_VERSION}`"));
    }
    if kind.value != KIND {
        problem(place(kind.defined), format!("unknown kind `{}`", kind.value), format!("write `{KIND}`"));
    }
    if tests.value.is_empty() {
        let fix = "add a case with an `image`, and its `result` or `reason`";
        problem(place(tests.defined), "`tests` is empty".to_owned(), fix.to_owned());
    }
    let mut cases = Vec::new();
    for entry in tests.value {
        let CaseEntry { image, namespace, workload, pull_policy, down, missing, result, reason, rule } = entry;
        let at = place(image.defined);
        let workload = workload.and_then(|written| match Workload::parse(&written.value) {
            Ok(workload) => Some(workload),
            Err(error) => {
                problem(place(written.defined), format!("invalid workload `{}`", written.value), error.to_string());
                None
            }
        });
        let mut states = Vec::new();
        for prefix in &down {
            match Prefix::parse(&prefix.value).map_err(InvalidPrefix::of_target) {
                Ok(parsed) => states.push((parsed, CacheState::Down)),
                Err(error) => {
                    problem(place(prefix.defined), format!("invalid registry `{}`", prefix.value), error.to_string());
                }
            }
        }
        for image in &missing {
            if let Err(error) = ImageRef::parse(&image.value) {
                problem(place(image.defined), format!("invalid image `{}`", image.value), error.to_string());
            }
        }
        let facts_note: String = down
            .iter()
            .map(|prefix| format!(", {} down", prefix.value))
            .chain(missing.iter().map(|image| format!(", {} missing", image.value)))
            .collect();
        let facts = Facts::of_states(states).with_missing(missing.into_iter().map(|image| image.value));
        let expected = match (result, reason) {
            (Some(result), None) => Some(Expected::Result(result)),
            (None, Some(reason)) => match self::reason(&reason.value) {
                Ok(reason) => Some(Expected::Reason(reason)),
                Err((message, fix)) => {
                    problem(place(reason.defined), message, fix);
                    None
                }
            },
            (Some(_), Some(reason)) => {
                let message = "the case has both `result` and `reason`".to_owned();
                problem(
                    place(reason.defined),
                    message,
                    "remove one: an image has a `result` if it is rewritten, and a `reason` if not".to_owned(),
                );
                None
            }
            (None, None) => {
                let message = "the case has neither `result` nor `reason`".to_owned();
                let fix = "add the `result` if the image is rewritten, or the `reason` if not";
                problem(at.clone(), message, fix.to_owned());
                None
            }
        };
        let Some(expected) = expected else { continue };
        cases.push(Case {
            line: usize::try_from(image.defined.line()).unwrap_or(usize::MAX),
            image: image.value,
            namespace,
            workload,
            pull_never: matches!(pull_policy, Some(PullPolicyEntry::Never)),
            expected,
            rule,
            facts,
            facts_note,
        });
    }
    if problems.is_empty() { Ok(cases) } else { Err(RulesError::new(problems, name, text)) }
}

/// Returns the reasons that a case can expect.
fn reasons() -> impl Iterator<Item = Reason> {
    Reason::ALL.iter().copied().filter(|reason| match reason.depends_on() {
        Dependence::Image | Dependence::Facts | Dependence::Workload => true,
        Dependence::Request => false,
    })
}

fn reason(name: &str) -> Result<Reason, (String, String)> {
    if let Some(reason) = reasons().find(|reason| reason.as_str() == name) {
        return Ok(reason);
    }
    let message = match Reason::ALL.iter().find(|reason| reason.as_str() == name) {
        Some(reason) => format!("`{name}` can't be tested, because it depends on the whole Pod: {}", reason.describe()),
        None => format!("unknown reason `{name}`"),
    };
    let known: Vec<String> = reasons().map(|reason| format!("`{}`", reason.as_str())).collect();
    Err((message, format!("known here: {}", known.join(", "))))
}

/// Returns the JSON Schema of a tests file, for editors.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(TestsFile)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each with the line and column that it must name, and a part of what to write instead.
    #[test]
    fn every_problem_names_its_place_and_a_fix() {
        let head = format!("apiVersion: {API_VERSION}\nkind: Tests\n");
        for (text, place, fix) in [
            ("", "1:1", "`kind: Tests`"),
            (
                "apiVersion: v1\nkind: Tests\ntests: [{image: a, reason: no_rule}]",
                "1:13",
                "write `pullthrough.dev/v1alpha1`",
            ),
            (&format!("{head}tests: []"), "3:8", "add a case"),
            (&format!("{head}tests:"), "3:6", "write its value"),
            (&format!("{head}cases: []"), "3:1", "known here"),
            (&format!("{head}tests: [{{image: a, reason: no_rule}}]\n---\na"), "5:1", "keep all tests in one document"),
            (&format!("{head}tests:\n  - {{image: a, results: b}}"), "4:16", "did you mean `result`?"),
            (
                &format!("{head}tests:\n  - {{image: a, reason: no_rule, pullPolicy: never}}"),
                "4:45",
                "did you mean `Never`?",
            ),
            (&format!("{head}tests:\n  - {{image: a, reason: no_rule, down: c.io}}"), "4:39", "write `[c.io]`"),
            (
                &format!("{head}tests:\n  - {{image: a, reason: no_rule, down: [cache]}}"),
                "4:40",
                "as in `cache.example.com/cache`",
            ),
            (&format!("{head}tests:\n  - {{image: a, reason: no_rule, missing: ['c.io/A']}}"), "4:43", "lower case"),
            (
                &format!("{head}tests:\n  - {{image: a, reason: no_rule, workload: web}}"),
                "4:43",
                "as in `Deployment/web`",
            ),
            (&format!("{head}tests:\n  - {{result: a}}"), "4:6", "add `image:`"),
            (&format!("{head}tests:\n  - {{image: a, reason: no_rule, namespace: }}"), "4:42", "write its value"),
            (&format!("{head}tests:\n  - {{image: a, reason: deleting}}"), "4:24", "known here: `placeholder`"),
        ] {
            let error = parse("tests.yaml", text).expect_err(text).to_string();
            assert!(error.contains(&format!("tests.yaml:{place}")), "{text}: not at {place}:\n{error}");
            assert!(error.contains(fix), "{text}: no `{fix}` in:\n{error}");
        }
    }
}
