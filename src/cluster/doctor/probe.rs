//! The dry run: the creation of a Pod with an image for each rule, which the API server does not store.

use kube::api::PostParams;
use serde_json::{Value, json};

use super::objects::Objects;
use super::pods::Survey;
use crate::cluster::api::{Api, Failure, Target, found};
use crate::engine::{Decision, Mode, Percent, Policy, Question, Rule, Workload};

/// The limit on containers of the Pod. More rules are rare.
const MAX_IMAGES: usize = 100;
/// What is appended to a `from` to get an image. The image need not exist.
const IMAGES: [&str; 2] = ["pullthrough-doctor:probe", "pullthrough-doctor/probe:1"];

/// The dry run looks for rewritten images, and there are none.
const NOTHING_ENFORCED: &str = "no rule has mode `enforce`, so it is not proven that the API server calls the webhook; \
    to see a call, create a Pod with an image of a rule by `kubectl run … --dry-run=server`, which prints a warning";

const GENERATE_NAME: &str = "pullthrough-doctor-";

/// What the dry run tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub namespace: String,
    pub probes: Vec<Probe>,
    /// Rules that are not tested, and why.
    pub not_tested: Vec<String>,
}

/// An image, and the image that the rules rewrite it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub rule: String,
    pub image: String,
    pub expected: String,
}

/// The API server's response to the dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// The names of containers, and their images.
    pub images: Vec<(String, String)>,
    pub warnings: Vec<String>,
}

/// The outcome of the dry run.
#[derive(Debug)]
pub enum DryRun {
    /// Why there was no dry run.
    Skipped(String),
    Done(Plan, Result<Probed, Failure>),
}

impl DryRun {
    /// Creates the Pod in a dry run, in `wanted_namespace`, or else in the one in which most rules apply.
    pub async fn run(api: &Api, objects: &Objects, survey: Option<&Survey>, wanted_namespace: Option<&str>) -> Self {
        let plan = match Plan::make(objects, survey, wanted_namespace) {
            Ok(plan) => plan,
            Err(why) => return Self::Skipped(why),
        };
        let target = Target { api: "api/v1", resource: "pods", namespace: Some(&plan.namespace), name: None };
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let mut answer = api.create(target, &dry_run, &plan.pod(true)).await;
        if let Err(Failure::Rejected { code, message }) = &answer {
            answer = match api.create(target, &dry_run, &plan.pod(false)).await {
                Err(Failure::Rejected { message: other, .. }) if other != *message => {
                    let message = format!("{message}; without resource requests: {other}");
                    Err(Failure::Rejected { code: *code, message })
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
    /// Chooses a namespace, and an image for each rule.
    ///
    /// # Errors
    ///
    /// Returns why no rule can be tested.
    pub fn make(objects: &Objects, survey: Option<&Survey>, wanted_namespace: Option<&str>) -> Result<Self, String> {
        let policy = objects.policy().ok_or("the rules are unknown")?;
        match found(&objects.configuration) {
            Some(_) if objects.webhook().is_some() => {}
            _ => return Err("there is no webhook configuration".to_owned()),
        }
        let enforced = policy.rules().iter().filter(|rule| rule.mode == Mode::Enforce).count();
        if enforced == 0 {
            return Err(NOTHING_ENFORCED.to_owned());
        }
        let candidates = match wanted_namespace {
            Some(namespace) => vec![namespace],
            None => candidates(objects),
        };
        // The first of those in which most rules can be tested.
        let mut best: Option<Self> = None;
        for namespace in candidates {
            let plan = Self::within(namespace, policy, survey);
            if plan.probes.len() > best.as_ref().map_or(0, |best| best.probes.len()) {
                best = Some(plan);
            }
        }
        best.ok_or_else(|| match wanted_namespace {
            Some(namespace) => format!("no rule rewrites an image in namespace {namespace}"),
            None => "no rule rewrites an image in a namespace that the webhook covers".to_owned(),
        })
    }

    fn within(namespace: &str, policy: &Policy, survey: Option<&Survey>) -> Self {
        let mut plan = Self { namespace: namespace.to_owned(), probes: Vec::new(), not_tested: Vec::new() };
        for rule in policy.rules().iter().filter(|rule| rule.mode == Mode::Enforce) {
            match example(rule, namespace, policy, survey) {
                Some(_) if plan.probes.len() == MAX_IMAGES => {
                    plan.not_tested.push(format!("{} (the dry run is limited to {MAX_IMAGES} rules)", rule.name));
                }
                Some((image, expected)) => {
                    plan.probes.push(Probe { rule: rule.name.clone(), image, expected });
                }
                None if rule.matcher.pattern().is_some() => {
                    plan.not_tested.push(format!("{} (its pattern matches no image of a Pod)", rule.name));
                }
                None if included_from(namespace) > rule.rollout => plan.not_tested.push(format!(
                    "{} (its rollout of {} does not include the Pod of the dry run)",
                    rule.name, rule.rollout
                )),
                None => plan.not_tested.push(format!("{} (it rewrites no image in namespace {namespace})", rule.name)),
            }
        }
        plan
    }

    /// Returns a Pod that passes common admission policies. A ResourceQuota may require resource requests, and a LimitRange may
    /// deny them.
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
            "metadata": {"generateName": GENERATE_NAME, "namespace": self.namespace},
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

/// Returns the namespaces that the webhook covers, in order of preference.
fn candidates(objects: &Objects) -> Vec<&str> {
    let Ok(namespaces) = &objects.namespaces else { return vec!["default"] };
    let mut names: Vec<&str> = namespaces
        .iter()
        .filter(|namespace| !namespace.terminating && objects.covers(&namespace.name))
        .map(|namespace| namespace.name.as_str())
        .collect();
    names.sort_by_key(|name| (*name != "default", name.starts_with("kube-"), *name == objects.namespace));
    names
}

/// Returns the percentage from which roll-outs include the Pod of the dry run.
fn included_from(namespace: &str) -> Percent {
    Workload::new("Pod", GENERATE_NAME).included_from(namespace)
}

/// Returns an image that this rule rewrites, and the result.
fn example(rule: &Rule, namespace: &str, policy: &Policy, survey: Option<&Survey>) -> Option<(String, String)> {
    let seen = survey.and_then(|survey| survey.examples.get(&rule.name)).map(|(image, _)| image.clone());
    let from = rule.matcher.sources().into_iter().flat_map(|from| from.iter());
    let made = from.flat_map(|prefix| IMAGES.map(|image| format!("{}/{image}", prefix.written())));
    made.chain(seen).find_map(|image| {
        let included_from = Some(included_from(namespace));
        let question = Question { image: &image, namespace, pull_never: false, previous: None, included_from };
        match policy.decide(question) {
            Decision::Rewrite { rule: by, result, .. } if by.name == rule.name => Some((image, result)),
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

    /// Returns the image of a probe's container in the response.
    pub fn image(&self, index: usize) -> Option<&str> {
        let name = format!("probe-{index}");
        self.images.iter().find(|(of, _)| *of == name).map(|(_, image)| image.as_str())
    }
}
