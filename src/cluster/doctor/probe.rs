//! A Pod, created without being stored, that has an image for each rule.

use kube::api::PostParams;
use serde_json::{Value, json};

use super::objects::Objects;
use super::pods::Survey;
use crate::cluster::api::{Api, Failure, Target, found};
use crate::engine::{Decision, Mode, Policy, Question, Rule};

/// Containers of the Pod; more rules than this are rare.
const MAX_IMAGES: usize = 100;
/// What stands behind a `from`, so that it is an image; nobody needs to have it.
const IMAGES: [&str; 2] = ["pullthrough-doctor:probe", "pullthrough-doctor/probe:1"];

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub namespace: String,
    pub probes: Vec<Probe>,
    /// Rules that are not tried, and why.
    pub left_out: Vec<String>,
}

/// An image, and what the rules make of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub rule: String,
    pub image: String,
    pub expected: String,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// By container.
    pub images: Vec<(String, String)>,
    pub warnings: Vec<String>,
}

/// What became of the dry run.
#[derive(Debug)]
pub enum DryRun {
    /// Why there was none.
    Skipped(String),
    Done(Plan, Result<Probed, Failure>),
}

impl DryRun {
    /// Creates the Pod in a dry run, in the namespace that is wanted, or else in the best one.
    pub async fn run(api: &Api, objects: &Objects, survey: Option<&Survey>, wanted_namespace: Option<&str>) -> Self {
        let plan = match Plan::make(objects, survey, wanted_namespace) {
            Ok(plan) => plan,
            Err(why) => return Self::Skipped(why),
        };
        let target = Target { api: "api/v1", resource: "pods", namespace: Some(&plan.namespace), name: None };
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let mut answer = api.create(target, &dry_run, &plan.pod(true)).await;
        if let Err(Failure::Refused { code, message }) = &answer {
            answer = match api.create(target, &dry_run, &plan.pod(false)).await {
                Err(Failure::Refused { message: other, .. }) if other != *message => {
                    let message = format!("{message}; and the same without resources: {other}");
                    Err(Failure::Refused { code: *code, message })
                }
                Err(_) => answer,
                accepted => accepted,
            };
        }
        let probed = answer.map(|answer| Probed::read(&answer.body, answer.warnings));
        Self::Done(plan, probed)
    }
}

impl Plan {
    /// # Errors
    ///
    /// Why nothing can be tried.
    pub fn make(objects: &Objects, survey: Option<&Survey>, wanted_namespace: Option<&str>) -> Result<Self, String> {
        let policy = objects.policy().ok_or("the rules are not known")?;
        match found(&objects.registered) {
            Some(_) if objects.webhook().is_some() => {}
            _ => return Err("the webhook is not registered".to_owned()),
        }
        let enforced = policy.rules().iter().filter(|rule| rule.mode == Mode::Enforce).count();
        if enforced == 0 {
            return Err("no rule changes anything".to_owned());
        }
        let candidates = match wanted_namespace {
            Some(namespace) => vec![namespace],
            None => candidates(objects),
        };
        // The first of those where most can be tried.
        let mut best: Option<Self> = None;
        for namespace in candidates {
            let plan = Self::within(namespace, policy, survey);
            if plan.probes.len() > best.as_ref().map_or(0, |best| best.probes.len()) {
                best = Some(plan);
            }
        }
        best.ok_or_else(|| match wanted_namespace {
            Some(namespace) => format!("no rule changes an image in namespace {namespace}"),
            None => "no rule changes an image in a namespace that is in reach".to_owned(),
        })
    }

    fn within(namespace: &str, policy: &Policy, survey: Option<&Survey>) -> Self {
        let mut plan = Self { namespace: namespace.to_owned(), probes: Vec::new(), left_out: Vec::new() };
        for rule in policy.rules().iter().filter(|rule| rule.mode == Mode::Enforce) {
            match example(rule, namespace, policy, survey) {
                Some(_) if plan.probes.len() == MAX_IMAGES => plan.left_out.push(rule.name.clone()),
                Some((image, expected)) => {
                    plan.probes.push(Probe { rule: rule.name.clone(), image, expected });
                }
                None if rule.matcher.pattern().is_some() => {
                    plan.left_out.push(format!("{} (no Pod has an image that its pattern matches)", rule.name));
                }
                None => plan.left_out.push(format!("{} (it changes no image in namespace {namespace})", rule.name)),
            }
        }
        plan
    }

    /// A Pod that any admission should let in. A quota wants resources to be named, and a LimitRange others.
    pub fn pod(&self, names_resources: bool) -> Value {
        let small = json!({"cpu": "1m", "memory": "1Mi"});
        let container = |(index, probe): (usize, &Probe)| {
            let mut container = json!({
                "name": format!("probe-{index}"),
                "image": probe.image,
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": true,
                },
            });
            if names_resources {
                container["resources"] = json!({"requests": small, "limits": small});
            }
            container
        };
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "pullthrough-doctor-", "namespace": self.namespace},
            "spec": {
                "automountServiceAccountToken": false,
                "securityContext": {
                    "runAsNonRoot": true,
                    "runAsUser": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": self.probes.iter().enumerate().map(container).collect::<Vec<_>>(),
            },
        })
    }
}

/// Namespaces in reach, in the order in which they are preferred.
fn candidates(objects: &Objects) -> Vec<&str> {
    let Ok(namespaces) = &objects.namespaces else { return vec!["default"] };
    let mut names: Vec<&str> = namespaces
        .iter()
        .filter(|namespace| !namespace.terminating && objects.is_in_reach(&namespace.name))
        .map(|namespace| namespace.name.as_str())
        .collect();
    names.sort_by_key(|name| (*name != "default", name.starts_with("kube-"), *name == objects.namespace));
    names
}

/// An image that the engine rewrites by this rule, and to what.
fn example(rule: &Rule, namespace: &str, policy: &Policy, survey: Option<&Survey>) -> Option<(String, String)> {
    let seen = survey.and_then(|survey| survey.examples.get(&rule.name)).map(|(image, _)| image.clone());
    let from = rule.matcher.sources().into_iter().flat_map(|from| from.iter());
    let made = from.flat_map(|prefix| IMAGES.map(|image| format!("{}/{image}", prefix.written())));
    made.chain(seen).find_map(|image| {
        let question = Question { image: &image, namespace, pull_never: false, previous: None };
        match policy.decide(question) {
            Decision::Rewrite { rule: by, result } if by.name == rule.name => Some((image, result)),
            _ => None,
        }
    })
}

impl Probed {
    pub fn read(pod: &Value, warnings: Vec<String>) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        Self { images: containers.map(|one| (text(&one["name"]), text(&one["image"]))).collect(), warnings }
    }

    /// The image that a probe's container has now.
    pub fn image(&self, index: usize) -> Option<&str> {
        let name = format!("probe-{index}");
        self.images.iter().find(|(of, _)| *of == name).map(|(_, image)| image.as_str())
    }
}
